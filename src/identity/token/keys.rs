//! The keys that an issuer signs with (RFC 7517): those that can be used, and which of them a token means.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::verify;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::TokenError;
use super::algorithm::{Algorithm, Family};
use super::jws::Jws;
use crate::json::{self, Bounds};

/// No issuer signs with more.
const MOST_KEYS: usize = 100;
const BOUNDS: Bounds = Bounds { depth: 8, members: 64, values: 4096, number: 32 };
/// Bytes of an RSA modulus: shorter ones can be broken, longer ones cost a caller nothing and the gate much.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// What an issuer publishes, as far as it can verify anything.
pub(super) struct KeySet {
    keys: Vec<Key>,
    digest: [u8; 32],
}

struct Key {
    id: Option<Box<str>>,
    family: Family,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: DecodingKey,
}

impl KeySet {
    /// Reads a set. Keys that are not for signatures, or not public, are left out.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let set = json::value(bytes, &BOUNDS).map_err(|fault| format!("not JSON in one reading: {:?}", fault.flaw))?;
        let Some(Value::Array(written)) = set.get("keys") else {
            return Err("no set of keys: it has no list `keys`".to_owned());
        };
        if written.len() > MOST_KEYS {
            return Err(format!("more than {MOST_KEYS} keys"));
        }
        let keys: Vec<_> = written.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("no key in it can verify a signature".to_owned());
        }
        Ok(Self { keys, digest: Sha256::digest(bytes).into() })
    }

    /// Whether both were read from the same bytes.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether the key that a token means signed it. Keys are never tried one after the other.
    pub(super) fn verify(&self, token: &Jws<'_>) -> Result<(), TokenError> {
        let wanted = token.algorithm;
        let fits = |key: &&Key| key.family == wanted.family() && key.algorithm.is_none_or(|only| only == wanted);
        let named = |key: &&Key| token.key_id.is_none() || key.id.as_deref() == token.key_id.as_deref();
        let mut meant = self.keys.iter().filter(named).filter(fits);
        let (Some(key), None) = (meant.next(), meant.next()) else {
            return Err(TokenError::UnknownKey);
        };
        match verify(token.signature, token.signed.as_bytes(), &key.material, wanted.crypto()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig")
            && jwk
                .get("key_ops")
                .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        // Whoever publishes a private key has lost it.
        if !for_signatures || jwk.contains_key("d") || jwk.contains_key("k") {
            return None;
        }
        let (family, key) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (text("n")?, text("e")?);
                let length = URL_SAFE_NO_PAD.decode(modulus).ok()?.iter().skip_while(|byte| **byte == 0).count();
                MODULUS.contains(&length).then_some(())?;
                (Family::Rsa, DecodingKey::from_rsa_components(modulus, exponent))
            }
            ("EC", Some("P-256")) => (Family::P256, DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("EC", Some("P-384")) => (Family::P384, DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("OKP", Some("Ed25519")) => (Family::Ed25519, DecodingKey::from_ed_components(text("x")?)),
            _ => return None,
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::of(name.as_str()?)?),
        };
        let id = text("kid").map(Into::into);
        Some(Self { id, family, algorithm, material: key.ok()? })
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_deref().unwrap_or("")).collect();
        f.debug_struct("KeySet").field("ids", &ids).finish_non_exhaustive()
    }
}
