//! Keys of the gate's own that sign JSON Web Tokens (RFC 7515): ES256 and `EdDSA`. Not those of the audit log.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A key that signs.
pub struct SigningKey {
    pair: Pair,
    /// Its name: the thumbprint of its public half (RFC 7638).
    id: String,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// A fresh one for ES256, in PEM.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Secret, &'static str> {
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let made = made.and_then(|pair| pair.to_pkcs8v1()).map_err(|_unspecified| "no key can be made")?;
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(made.as_ref()));
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for (at, character) in encoded.char_indices() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PRIVATE KEY-----");
        Ok(Secret::new(pem))
    }

    /// Reads one: a private key in PEM, P-256 or Ed25519.
    ///
    /// # Errors
    /// It is something else. Nothing of it is quoted.
    pub fn read(pem: &Secret) -> Result<Self, &'static str> {
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_may_quote| "it is no private key in PEM; `tollgate keys signing` makes one")?;
        let der = der.secret_der();
        let ecdsa = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        let pair = match (ecdsa, Ed25519KeyPair::from_pkcs8(der)) {
            (Ok(pair), _) => Pair::Es256(pair),
            (Err(_), Ok(pair)) => Pair::EdDsa(pair),
            (Err(_), Err(_)) => {
                return Err("it is neither a P-256 nor an Ed25519 key; `tollgate keys signing` makes one");
            }
        };
        let id = thumbprint(&pair);
        Ok(Self { pair, id })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public half (RFC 7517).
    pub fn jwk(&self) -> Value {
        let mut jwk = public(&self.pair);
        if let Some(members) = jwk.as_object_mut() {
            let more = [("alg", self.algorithm()), ("kid", &self.id), ("use", "sig")];
            members.extend(more.map(|(name, value)| (name.to_owned(), value.into())));
        }
        jwk
    }

    /// A JWT of this type with these claims.
    ///
    /// # Errors
    /// It cannot sign now.
    pub fn sign(&self, kind: &str, claims: &Value) -> Result<String, &'static str> {
        let header = json!({ "alg": self.algorithm(), "kid": self.id, "typ": kind });
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = match &self.pair {
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), token.as_bytes())
                .map_err(|_unspecified| "the key cannot sign")?
                .as_ref()
                .to_vec(),
            Pair::EdDsa(pair) => pair.sign(token.as_bytes()).as_ref().to_vec(),
        };
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::EdDsa(_) => "EdDSA",
        }
    }
}

/// The members that a public key is made of, and no others.
fn public(pair: &Pair) -> Value {
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    match pair {
        Pair::Es256(pair) => {
            // An uncompressed point: a byte that says so, x and y (SEC 1, 2.3.3).
            let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "crv": "P-256", "kty": "EC", "x": part(x), "y": part(y) })
        }
        Pair::EdDsa(pair) => json!({ "crv": "Ed25519", "kty": "OKP", "x": part(pair.public_key().as_ref()) }),
    }
}

/// The hash of the public members in their order (RFC 7638, 3).
fn thumbprint(pair: &Pair) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(public(pair).to_string()))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};

    use super::*;

    const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    fn verifies(key: &SigningKey, algorithm: &'static dyn VerificationAlgorithm) {
        let token = key.sign("JWT", &json!({ "sub": "alice" })).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = match &key.pair {
            Pair::Es256(pair) => pair.public_key().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.public_key().as_ref().to_vec(),
        };
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(algorithm, public).verify(signed.as_bytes(), &signature).unwrap();
        let header = BASE64_URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
        let header: Value = crate::json::value(&header, &crate::json::Bounds::default()).unwrap();
        assert_eq!(header["kid"], key.jwk()["kid"]);
        assert_eq!(header["alg"], key.jwk()["alg"]);
    }

    #[test]
    fn what_is_made_is_read_and_signs() {
        let made = SigningKey::generate().unwrap();
        assert!(made.expose().lines().all(|line| line.len() <= 64), "as PEM has it (RFC 7468)");
        verifies(&SigningKey::read(&made).unwrap(), &ECDSA_P256_SHA256_FIXED);
        verifies(&SigningKey::read(&Secret::new(ED25519_PEM.to_owned())).unwrap(), &ED25519);
        assert_ne!(
            SigningKey::read(&SigningKey::generate().unwrap()).unwrap().id(),
            SigningKey::read(&made).unwrap().id()
        );
    }

    #[test]
    fn the_name_is_the_thumbprint_of_the_standard() {
        // RFC 8037, A.3 has the thumbprint of this key.
        let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let seed = BASE64_URL_SAFE_NO_PAD.decode(seed).unwrap();
        let pair = Pair::EdDsa(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
        assert_eq!(thumbprint(&pair), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        for text in ["hunter2", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"] {
            let said = SigningKey::read(&Secret::new(text.to_owned())).unwrap_err();
            assert!(said.contains("tollgate keys signing") && !said.contains("unter"), "{said}");
        }
    }
}
