//! A token for each caller, in exchange for the one that it came with (RFC 8693).

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use http::HeaderValue;
use tokio_util::task::TaskTracker;

use super::CredentialError;
use super::cell::Cell;
use super::endpoint::Endpoint;
use super::token::Token;
use crate::clock::{self, Moment};
use crate::identity::{Principal, Proof};
use crate::secret::Secret;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// So many callers' tokens in each half of what is kept.
const HALF: usize = 5_000;

/// The exchange of one server.
#[derive(Debug)]
pub(super) struct Exchange {
    endpoint: Arc<Endpoint>,
    /// Callers' tokens are known by hashes with a key of this process's own: what is kept says nothing of them.
    key: hmac::Key,
    kept: Mutex<Halves>,
}

type Hash = [u8; 32];

/// When the younger half is full, it becomes the older one, and what nobody asked for since is forgotten.
#[derive(Debug, Default)]
struct Halves {
    younger: HashMap<Hash, Arc<Cell>>,
    older: HashMap<Hash, Arc<Cell>>,
}

impl Exchange {
    pub(super) fn new(endpoint: Endpoint) -> std::io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_unspecified| std::io::Error::other("the system gives no random numbers"))?;
        Ok(Self { endpoint: Arc::new(endpoint), key, kept: Mutex::default() })
    }

    /// The token that this caller's is exchanged for. It counts no longer than either of them.
    pub(super) async fn token(
        &self,
        caller: &Principal,
        now: Moment,
        tasks: &TaskTracker,
    ) -> Result<Arc<Token>, CredentialError> {
        let subject = token_of(caller)?;
        let (endpoint, shown, expires) = (Arc::clone(&self.endpoint), subject.clone(), caller.expires());
        let left = expires.map(|end| end.duration_since(now.wall).unwrap_or_default());
        self.cell(subject)
            .token(now.monotonic, tasks, || async move {
                let grant = [
                    ("grant_type", GRANT),
                    ("subject_token", shown.expose()),
                    ("subject_token_type", ACCESS_TOKEN),
                    ("requested_token_type", ACCESS_TOKEN),
                ];
                let token = endpoint.token(&grant).await?;
                Ok(match left {
                    Some(left) => token.until(now.monotonic + left),
                    None => token,
                })
            })
            .await
    }

    /// The server has refused this token of that caller's.
    pub(super) fn rejected(&self, caller: &Principal, shown: &HeaderValue) {
        if let Ok(subject) = token_of(caller) {
            self.cell(subject).rejected(shown, clock::monotonic());
        }
    }

    /// Looks whether what is kept in files has changed.
    pub(super) fn renew(&self) {
        self.endpoint.renew();
    }

    fn cell(&self, subject: &Secret) -> Arc<Cell> {
        let tag = hmac::sign(&self.key, subject.expose().as_bytes());
        let mut hash = Hash::default();
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Halves { younger, older } = &mut *kept;
        if let Some(cell) = younger.get(&hash) {
            return Arc::clone(cell);
        }
        let cell = older.remove(&hash).unwrap_or_default();
        if younger.len() >= HALF {
            *older = mem::take(younger);
        }
        younger.insert(hash, Arc::clone(&cell));
        cell
    }
}

/// The token that a caller came with.
pub(super) fn token_of(caller: &Principal) -> Result<&Secret, CredentialError> {
    match caller.proof() {
        Proof::Token(bearer) => Ok(&bearer.token),
        Proof::ApiKey(_) | Proof::Certificate(_) | Proof::Anonymous => Err(CredentialError::NoToken),
    }
}
