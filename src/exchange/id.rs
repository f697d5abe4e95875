//! The name of one decision.

use std::fmt;

use http::HeaderValue;

/// 64 random bits, written as 16 hexadecimal digits. It names a decision; it proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// A fresh one.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// As a header's value.
    pub fn header(self) -> HeaderValue {
        // Sixteen hexadecimal digits are always a header's value.
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
