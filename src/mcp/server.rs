//! What an MCP server is called in our files, metrics and logs.

use std::fmt;
use std::sync::Arc;

/// The operator's name for an upstream server: `[a-z0-9][a-z0-9_-]{0,62}`.
///
/// Never the name that the server reports of itself, which anyone could choose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Arc<str>);

/// Why a text is not a server name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAServerName;

impl ServerName {
    /// Reads a name.
    ///
    /// # Errors
    /// The text is empty, longer than 63 bytes or has other characters than `a-z 0-9 _ -`.
    pub fn new(text: &str) -> Result<Self, NotAServerName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(plain);
        if starts_well && text.len() <= 63 && bytes.all(|b| plain(b) || b == b'_' || b == b'-') {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NotAServerName)
        }
    }

    /// What stands in records where no server is meant. No server can be called so.
    pub fn none() -> Self {
        Self(Arc::from("_none"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotAServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server name is 1 to 63 characters of a-z, 0-9, `_` and `-`, beginning with a letter or digit")
    }
}
