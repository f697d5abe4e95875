//! A problem in a file: where it is, what is wrong, how to put it right.
