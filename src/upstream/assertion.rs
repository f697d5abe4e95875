//! Who asks, signed: a short-lived JWT that a server can verify, about one caller and one message.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderName};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::CredentialError;
use super::kept::Kept;
use super::settings::AssertionSettings;
use super::signing::SigningKey;
use crate::identity::Principal;
use crate::secret::Secret;

/// What an assertion says it is, so that it is never taken for another token (RFC 8725, 3.11).
const KIND: &str = "tollgate-assertion+jwt";

/// Claims that the gate says; none of the caller's is ever one of them.
pub const OWN_CLAIMS: [&str; 10] =
    ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "principal", "roles", "body_sha256"];

/// What signs who asks.
#[derive(Debug)]
pub struct Assertions {
    settings: AssertionSettings,
    keys: Kept<Keys>,
}

/// The keys as they are now.
struct Keys {
    signs: SigningKey,
    published: Vec<Value>,
}

impl Assertions {
    pub(super) fn new(settings: &AssertionSettings) -> io::Result<Self> {
        let keys = Kept::read("assertion.keys", settings.keys.clone(), Keys::read)?;
        Ok(Self { settings: settings.clone(), keys })
    }

    /// Says who asks for this, in a header. `id` names the decision.
    pub(super) fn header(
        &self,
        caller: &Principal,
        body: &[u8],
        id: &str,
        now: SystemTime,
    ) -> Result<HeaderValue, CredentialError> {
        let token = self.keys.now().signs.sign(KIND, &self.claims(caller, body, id, now));
        let token = token.map_err(CredentialError::Untold)?;
        let scheme = if self.settings.header == AUTHORIZATION { "Bearer " } else { "" };
        let mut value = HeaderValue::try_from(format!("{scheme}{token}"))
            .map_err(|_not_shown| CredentialError::Untold("the assertion is too long"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn claims(&self, caller: &Principal, body: &[u8], id: &str, now: SystemTime) -> Value {
        let AssertionSettings { issuer, audience, lifetime, claims, .. } = &self.settings;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let roles: Vec<&str> = caller.roles().iter().map(|role| &**role).collect();
        let listed = claims.iter().filter_map(|name| Some((name.clone(), caller.claim(name)?.to_json())));
        let mut all: Map<String, Value> = listed.collect();
        let own = json!({
            "iss": issuer,
            // Two issuers may call two people the same; no two callers have one account.
            "sub": &**caller.account(),
            "aud": audience,
            "iat": now.as_secs(),
            "exp": (now + *lifetime).as_secs(),
            "jti": id,
            "principal": &**caller.id(),
            "roles": roles,
            "body_sha256": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(body)),
        });
        // Last, so that no claim of the caller's stands in for one of them.
        all.extend(own.as_object().cloned().unwrap_or_default());
        Value::Object(all)
    }

    /// The header that says it.
    pub(super) fn name(&self) -> &HeaderName {
        &self.settings.header
    }

    /// What verifies these: the public keys, as a JWK Set (RFC 7517).
    pub fn jwks(all: &[&Self]) -> String {
        let mut keys: Vec<Value> = Vec::new();
        for key in all.iter().flat_map(|assertions| assertions.keys.now().published.clone()) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        json!({ "keys": keys }).to_string()
    }

    pub(super) fn renew(&self) {
        self.keys.renew();
    }
}

impl Keys {
    fn read(secrets: &[Secret]) -> Result<Self, String> {
        let mut keys = secrets.iter().map(SigningKey::read).collect::<Result<Vec<_>, _>>()?;
        let published = keys.iter().map(SigningKey::jwk).collect();
        if keys.is_empty() {
            return Err("there is none".to_owned());
        }
        Ok(Self { signs: keys.swap_remove(0), published })
    }
}
