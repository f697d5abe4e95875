//! What a server is shown beside its messages, as configured. Secrets are only named here; they are read at the start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use reqwest::Url;
use rustls::pki_types::ServerName;

use super::{Balance, Timeouts};
use crate::breaker::BreakerSettings;
use crate::secret::Reference;

/// What a server is shown.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Headers of callers that it may see beside those that the protocol needs.
    pub forward_headers: Vec<HeaderName>,
    /// What lets the gate in.
    pub credential: CredentialSettings,
    /// How it is told who asks, if it can verify that.
    pub assertion: Option<AssertionSettings>,
    /// How it is reached by TLS.
    pub tls: TlsSettings,
    /// When one of its endpoints is left alone.
    pub breaker: BreakerSettings,
    /// How long it may take for what.
    pub timeouts: Timeouts,
    /// Which of its endpoints gets the next call.
    pub balance: Balance,
    /// How many calls one of them may have under way, but for streams without an end.
    pub max_in_flight: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            forward_headers: Vec::new(),
            credential: CredentialSettings::None,
            assertion: None,
            tls: TlsSettings::default(),
            breaker: BreakerSettings::default(),
            timeouts: Timeouts::default(),
            balance: Balance::default(),
            max_in_flight: 512,
        }
    }
}

/// TLS towards a server; by default as the system has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The authorities that sign for it, in PEM, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The gate's certificate and those between it and an authority, and where its key is kept.
    pub identity: Option<(PathBuf, Reference)>,
    /// Whom its certificate must name, in place of the host of its URL.
    pub server_name: Option<ServerName<'static>>,
}

/// What lets the gate in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// A token of the gate's own, by the client credentials grant (RFC 6749, 4.4).
    ClientCredentials(TokenEndpoint),
    /// A token for each caller, in exchange for the one that it came with (RFC 8693).
    TokenExchange(TokenEndpoint),
    /// The token that the caller came with.
    Passthrough,
}

impl CredentialSettings {
    /// Whether only callers with a token of an identity provider can be let in so.
    pub fn needs_callers_token(&self) -> bool {
        match self {
            Self::TokenExchange(_) | Self::Passthrough => true,
            Self::None | Self::Header { .. } | Self::Bearer(_) | Self::ClientCredentials(_) => false,
        }
    }
}

/// Where tokens are asked for, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// Where it is.
    pub url: Url,
    /// The client that the gate is there.
    pub client_id: String,
    /// What proves that.
    pub proof: ClientProof,
    /// The scopes to ask for.
    pub scope: Option<String>,
    /// Whom the token is to be for, by name (RFC 8693).
    pub audience: Option<String>,
    /// The same, by URL (RFC 8707).
    pub resource: Option<String>,
    /// Addresses that are no public ones, or reached without https, and may be asked all the same.
    pub listed: Arc<[IpNet]>,
    /// Authorities that are believed beside the system's, in PEM.
    pub authorities: Option<PathBuf>,
}

/// What proves which client the gate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// A secret in `Authorization: Basic` (`client_secret_basic`).
    Basic(Reference),
    /// A secret in the form (`client_secret_post`).
    Post(Reference),
    /// A key that signs (`private_key_jwt`, RFC 7523).
    Key(Reference),
}

/// How a server is told who asks: by a JWT that the gate signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionSettings {
    /// The header; in `Authorization` it goes after `Bearer`.
    pub header: HeaderName,
    /// What the gate is called in `iss`.
    pub issuer: String,
    /// What the server is called in `aud`.
    pub audience: String,
    /// How long one counts.
    pub lifetime: Duration,
    /// Claims of the caller that it has.
    pub claims: Vec<String>,
    /// The keys: the first one signs, all are published.
    pub keys: Vec<Reference>,
}
