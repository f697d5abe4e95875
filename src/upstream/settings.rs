//! What a server is shown beside its messages, as configured. Secrets are only named here; they are read at the start.

use http::HeaderName;

use crate::breaker::BreakerSettings;
use crate::secret::Reference;

/// What a server is shown.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Headers of callers that it may see beside those that the protocol needs.
    pub forward_headers: Vec<HeaderName>,
    /// What lets the gate in.
    pub credential: CredentialSettings,
    /// When it is left alone.
    pub breaker: BreakerSettings,
}

/// What lets the gate in.
#[derive(Clone, Debug, Default)]
pub enum CredentialSettings {
    /// Nothing: the server takes what reaches it.
    #[default]
    None,
    /// A secret in this header.
    Header {
        /// The header.
        name: HeaderName,
        /// Where the secret is kept.
        value: Reference,
    },
    /// A token that is kept there, as `Authorization: Bearer`.
    Bearer(Reference),
}
