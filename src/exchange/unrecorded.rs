//! What is not written down does not happen.

use std::fmt;

/// A call cannot be recorded, so it may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecorded;

impl fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the audit log cannot be written, and calls that are not recorded are refused (audit.failure)")
    }
}

impl std::error::Error for Unrecorded {}
