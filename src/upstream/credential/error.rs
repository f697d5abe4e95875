//! Why a server cannot be shown what it must be. Nothing was sent then.

use std::fmt;
use std::sync::Arc;

/// Why there is nothing to show. `Display` is for the operator; nothing here quotes a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// The token endpoint gives no token now.
    Unavailable(Arc<str>),
    /// It gives none in exchange for this caller's.
    Refused(Arc<str>),
    /// The caller came without a token, and the server takes nothing else.
    NoToken,
    /// What the server must be told of the caller cannot be said.
    Untold(&'static str),
}

impl CredentialError {
    /// A word for logs, labels and `error.data.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "credential_unavailable",
            Self::Refused(_) => "exchange_refused",
            Self::NoToken => "caller_without_token",
            Self::Untold(_) => "caller_untold",
        }
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "no token for the server can be had: {why}"),
            Self::Refused(why) => write!(f, "no token for the server is given in exchange for the caller's: {why}"),
            Self::NoToken => f.write_str("the server takes callers' tokens only (credential), and this one has none"),
            Self::Untold(what) => write!(f, "the server cannot be told who asks: {what}"),
        }
    }
}

impl std::error::Error for CredentialError {}
