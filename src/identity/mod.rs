//! Who is asking. A step that fails is never "nobody": only a request without any credential can be anonymous.

mod api_key;
mod expiry;
mod principal;
mod principals;
mod weak;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;

pub use api_key::{NewKey, hash_entry, looks_like_key, new_key};
pub use expiry::{Date, EXPIRY, parse_expiry};
pub use principal::{ANONYMOUS, Principal, Proof};
pub use principals::{
    Compiled, Known, PRINCIPALS_KEYS, PrincipalsFile, PrincipalsSource, WithoutRole, compile, is_principal_id,
};

use api_key::ApiKeys;

/// The header that carries a key by itself.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// All ways to prove an identity that the policy allows; by default none.
#[derive(Debug, Default)]
pub struct Authenticators {
    keys: ApiKeys,
    anonymous: Option<Arc<Principal>>,
}

/// Why nobody was identified. `Display` is for the operator; the caller only learns that it must authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No credential at all.
    Missing,
    /// More than one; which of them counts would depend on who reads.
    Several,
    /// Not a key by its form.
    Malformed,
    /// `Authorization` with another scheme than `Bearer`.
    UnsupportedScheme,
    /// No key of the policy.
    Unknown,
    /// A key of the policy that is no longer valid.
    Expired {
        /// Whose key it is.
        id: Arc<str>,
    },
    /// A token of an identity provider, but none is configured.
    LooksLikeJwt,
}

impl AuthError {
    /// A word for logs and labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "no_credential",
            Self::Several => "several_credentials",
            Self::Malformed => "malformed_credential",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::Unknown => "unknown_key",
            Self::Expired { .. } => "expired_key",
            Self::LooksLikeJwt => "jwt_without_issuer",
        }
    }
}

impl Authenticators {
    /// Who sent these headers.
    ///
    /// # Errors
    /// There is not exactly one credential, or it is not one of the policy's.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Arc<Principal>, AuthError> {
        match credential(headers)? {
            Some(key) => self.keys.identify(key, clock::wall()),
            None => self.anonymous.clone().ok_or(AuthError::Missing),
        }
    }

    /// The principal as it is now, if it still can prove itself: streams outlive the policy that they were opened under.
    pub fn still(&self, principal: &Principal) -> Option<Arc<Principal>> {
        match principal.proof() {
            Proof::ApiKey => self.keys.of(principal.id(), clock::wall()),
            Proof::Anonymous => self.anonymous.clone(),
        }
    }

    /// The principals that keys prove, by id, and when each key ends.
    pub fn keys(&self) -> BTreeMap<&str, (&Arc<Principal>, Option<SystemTime>)> {
        self.keys.iter().map(|key| (&**key.principal.id(), (&key.principal, key.expires))).collect()
    }

    /// Whether the key of this id is the same one in both.
    pub fn has_same_key(&self, other: &Self, id: &str) -> bool {
        self.keys.hash_of(id).is_some_and(|hash| other.keys.hash_of(id) == Some(hash))
    }

    /// Whoever shows no credential, if such callers are let in; for asking what would be decided.
    ///
    /// # Errors
    /// They are not.
    pub fn supposed_anonymous(&self) -> Result<Arc<Principal>, AuthError> {
        self.anonymous.clone().ok_or(AuthError::Missing)
    }

    /// Whether callers without a credential are let in.
    pub fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }
}

/// The one credential of a request, if there is any.
fn credential(headers: &HeaderMap) -> Result<Option<&[u8]>, AuthError> {
    let mut keys = headers.get_all(API_KEY).iter();
    let mut tokens = headers.get_all(AUTHORIZATION).iter();
    match (keys.next(), tokens.next(), keys.next(), tokens.next()) {
        (None, None, None, None) => Ok(None),
        (Some(key), None, None, None) => Ok(Some(key.as_bytes())),
        (None, Some(token), None, None) => bearer(token).map(Some),
        _ => Err(AuthError::Several),
    }
}

/// The token of `Bearer TOKEN`: the scheme in any case, one space, and a token68 (RFC 9110, 11.2).
fn bearer(value: &HeaderValue) -> Result<&[u8], AuthError> {
    let value = value.as_bytes();
    let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(AuthError::UnsupportedScheme);
    }
    let token = value.get(scheme.len() + 1..).unwrap_or_default();
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let body = token.get(..token.len() - padding).unwrap_or_default();
    let token68 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if !body.is_empty() && body.iter().all(token68) { Ok(token) } else { Err(AuthError::Malformed) }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no credential, and the policy does not say `anonymous: true`"),
            Self::Several => f.write_str("more than one credential"),
            Self::Malformed => f.write_str("the credential is not a key: wrong length, characters or checksum"),
            Self::UnsupportedScheme => f.write_str("`authorization` with another scheme than Bearer"),
            Self::Unknown => f.write_str("no key of the policy has this hash"),
            Self::Expired { id } => write!(f, "the key of `{id}` has expired"),
            Self::LooksLikeJwt => f.write_str("the credential is a JWT, and no issuer of tokens is configured"),
        }
    }
}

impl std::error::Error for AuthError {}
