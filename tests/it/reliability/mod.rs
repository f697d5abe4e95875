//! When things break: what callers see of it, and for how long.

mod endpoints;
