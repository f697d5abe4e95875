//! What a request shows of who sends it, and the one credential in that.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::AuthError;
use crate::tls::ClientCertificate;

/// The header that carries a key by itself.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// All that a request shows of who sends it.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The certificate that was shown on its connection.
    pub certificate: Option<&'a Arc<ClientCertificate>>,
}

/// The credential of a request, by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// None at all.
    None,
    /// In a header of its own: a key, and nothing else.
    Key(&'a [u8]),
    /// After `Bearer`: a key or a token, by its form.
    Bearer(&'a [u8]),
}

impl<'a> Presented<'a> {
    /// The one credential, if there is any.
    pub(super) fn credential(self) -> Result<Credential<'a>, AuthError> {
        let mut keys = self.headers.get_all(API_KEY).iter();
        let mut tokens = self.headers.get_all(AUTHORIZATION).iter();
        match (keys.next(), tokens.next(), keys.next(), tokens.next()) {
            (None, None, None, None) => Ok(Credential::None),
            (Some(key), None, None, None) => Ok(Credential::Key(key.as_bytes())),
            (None, Some(token), None, None) => bearer(token).map(Credential::Bearer),
            _ => Err(AuthError::Several),
        }
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
