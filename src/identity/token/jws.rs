//! A signed token in its compact form (RFC 7515, 7519), read in one way or not at all. Nothing here is proved yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::TokenError;
use super::algorithm::Algorithm;
use crate::json::{self, Bounds};

/// Longer ones are not read.
pub(super) const MOST_BYTES: usize = 16 << 10;
const BOUNDS: Bounds = Bounds { depth: 16, members: 256, values: 2048, number: 32 };
/// Members of a header by which a token would bring its own key, or ask for what is not done here. A critical one must be
/// understood, and there is none that is.
const REFUSED: [&str; 9] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "cty"];

/// A token that was read, and says of itself what it says.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    /// What the signature is of.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Whether this is meant to be such a token: it begins with the object that its header is.
pub(super) fn looks_like_jws(token: &[u8]) -> bool {
    token.starts_with(b"eyJ") && token.contains(&b'.')
}

impl<'a> Jws<'a> {
    pub(super) fn read(token: &'a [u8]) -> Result<Self, TokenError> {
        if token.len() > MOST_BYTES {
            return Err(TokenError::Malformed("longer than 16 KiB"));
        }
        let token = str::from_utf8(token).map_err(|_not_shown| TokenError::Malformed("not text"))?;
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed("not three parts"));
        };
        let signed = token.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        let header = object(header)?;
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return Err(TokenError::Malformed("its header brings a key, or asks for what is not done here"));
        }
        let Some(Value::String(algorithm)) = header.get("alg") else {
            return Err(TokenError::Algorithm);
        };
        let algorithm = Algorithm::of(algorithm).ok_or(TokenError::Algorithm)?;
        let (key_id, kind) = (text(&header, "kid")?, text(&header, "typ")?);
        Ok(Self { signed, signature, algorithm, key_id, kind, claims: object(claims)? })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_not_shown| TokenError::Malformed("not base64url"))?;
    match json::value(&bytes, &BOUNDS) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(TokenError::Malformed("not an object")),
        Err(_not_shown) => Err(TokenError::Malformed("not JSON in one reading")),
    }
}

fn text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TokenError::Malformed("a part of its header is no text")),
    }
}
