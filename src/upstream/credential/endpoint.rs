//! A token endpoint (RFC 6749, 3.2), and how the gate proves there which client it is.

use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use form_urlencoded::{Serializer, byte_serialize};
use reqwest::Url;
use serde_json::{Value, json};

use super::CredentialError;
use super::token::Token;
use crate::clock;
use crate::fetch::Fetcher;
use crate::json::{self, Bounds};
use crate::secret::Secret;
use crate::upstream::kept::Kept;
use crate::upstream::settings::{ClientProof, TokenEndpoint};
use crate::upstream::signing::SigningKey;

/// A token endpoint that is asked.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: Url,
    client_id: String,
    proof: Proof,
    /// What is wanted, whoever asks.
    wanted: Vec<(&'static str, String)>,
    fetcher: Fetcher,
}

/// What proves which client the gate is.
#[derive(Debug)]
enum Proof {
    Basic(Kept<Secret>),
    Post(Kept<Secret>),
    Key(Kept<SigningKey>),
}

/// What stands in `Authorization: Basic`, if anything does.
type Basic = Option<(String, Secret)>;

/// The kind of assertion that proves a client (RFC 7523, 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long such an assertion counts.
const ASSERTION: Duration = Duration::from_mins(1);

/// Errors that the standards name (RFC 6749, 4.1.2.1 and 5.2; RFC 8693, 2.2.2). Nothing else of an answer is repeated.
const ERRORS: [&str; 10] = [
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];
/// Those of them that are about the token that was shown, and not about the gate.
const ABOUT_THE_TOKEN: [&str; 4] = ["access_denied", "invalid_grant", "invalid_request", "invalid_target"];

impl Endpoint {
    /// Reads what it needs.
    pub(super) fn new(what: &'static str, settings: &TokenEndpoint) -> io::Result<Self> {
        let secret = |secrets: &[Secret]| secrets.first().cloned().ok_or_else(|| "there is none".to_owned());
        let key =
            |secrets: &[Secret]| secrets.first().ok_or("there is none").and_then(SigningKey::read).map_err(Into::into);
        let proof = match &settings.proof {
            ClientProof::Basic(reference) => Proof::Basic(Kept::read(what, [reference.clone()], secret)?),
            ClientProof::Post(reference) => Proof::Post(Kept::read(what, [reference.clone()], secret)?),
            ClientProof::Key(reference) => Proof::Key(Kept::read(what, [reference.clone()], key)?),
        };
        let fetcher = Fetcher::new(Arc::clone(&settings.listed), settings.authorities.as_deref());
        let wanted = [("scope", &settings.scope), ("audience", &settings.audience), ("resource", &settings.resource)];
        Ok(Self {
            url: settings.url.clone(),
            client_id: settings.client_id.clone(),
            proof,
            wanted: wanted.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect(),
            fetcher: fetcher
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {error}")))?,
        })
    }

    /// Looks whether what is kept in files has changed.
    pub(super) fn renew(&self) {
        match &self.proof {
            Proof::Basic(secret) | Proof::Post(secret) => secret.renew(),
            Proof::Key(key) => key.renew(),
        }
    }

    /// Asks for a token by this grant.
    ///
    /// # Errors
    /// There is none. [`CredentialError::Refused`] if that is because of the token that the grant shows.
    pub(super) async fn token(&self, grant: &[(&str, &str)]) -> Result<Token, CredentialError> {
        let asked = clock::monotonic();
        let unavailable = |why: String| CredentialError::Unavailable(why.into());
        let (form, basic) = self.request(grant).map_err(|why| unavailable(why.to_owned()))?;
        let basic = basic.as_ref().map(|(id, secret)| (id.as_str(), secret));
        let answer = self.fetcher.submit(&self.url, form, basic).await;
        let (status, body) = answer.map_err(|error| unavailable(error.to_string()))?;
        if status == 200 {
            return Token::read(&body, asked).map_err(|why| unavailable(format!("{}: {why}", self.url)));
        }
        let error = error_of(&body);
        let said = error.map(|error| format!(" ({error})")).unwrap_or_default();
        let why = format!("{} answered with {status}{said}", self.url);
        match error {
            Some(error) if ABOUT_THE_TOKEN.contains(&error) => Err(CredentialError::Refused(why.into())),
            _ => Err(unavailable(why)),
        }
    }

    /// The form, and what stands in `Authorization: Basic`.
    fn request(&self, grant: &[(&str, &str)]) -> Result<(Secret, Basic), &'static str> {
        let mut form = Serializer::new(String::new());
        form.extend_pairs(grant).extend_pairs(&self.wanted);
        let basic = match &self.proof {
            // Both are encoded as in a form before they are put together (RFC 6749, 2.3.1).
            Proof::Basic(secret) => Some((encoded(&self.client_id), Secret::new(encoded(secret.now().expose())))),
            Proof::Post(secret) => {
                form.append_pair("client_id", &self.client_id).append_pair("client_secret", secret.now().expose());
                None
            }
            Proof::Key(key) => {
                let assertion = self.assertion(&key.now())?;
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_assertion_type", JWT_BEARER).append_pair("client_assertion", &assertion);
                None
            }
        };
        Ok((Secret::new(form.finish()), basic))
    }

    /// A JWT that proves which client the gate is (RFC 7523, 3).
    fn assertion(&self, key: &SigningKey) -> Result<String, &'static str> {
        let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.url.as_str(),
            "iat": now.as_secs(),
            "exp": (now + ASSERTION).as_secs(),
            "jti": format!("{:032x}", rand::random::<u128>()),
        });
        key.sign("JWT", &claims)
    }
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// The error that an answer names, if it is one of the standards'.
fn error_of(body: &[u8]) -> Option<&'static str> {
    let answer = json::value(body, &Bounds::default()).ok()?;
    let named = answer.get("error").and_then(Value::as_str)?;
    ERRORS.into_iter().find(|error| *error == named)
}
