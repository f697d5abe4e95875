//! API keys: known by their hash, made here.

mod compile;
mod form;
mod hash;
mod pepper;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashMap;

use super::{AuthError, Principal};

pub use compile::EXPIRES_SOON;
pub(super) use compile::{Seen, compile};
pub use form::{NewKey, looks_like_key, new_key};
pub(super) use form::{PREFIX, has_key_form};
pub use hash::{KeyHash, hash_entry};
pub use pepper::{MIN_PEPPER, PepperError, Peppers, is_pepper_id, peppered_entry};
pub(super) use source::KeySource;

use form::has_wrong_checksum;

/// Shorter ones could be guessed.
const MIN_LENGTH: usize = 16;
/// Longer ones are not read.
const MAX_LENGTH: usize = 512;

/// The keys of the policy, by hash. The map's hasher is keyed anew in each process.
#[derive(Debug, Default)]
pub(super) struct ApiKeys {
    known: HashMap<KeyHash, Arc<Principal>>,
    peppers: Arc<Peppers>,
}

/// All keys of one id: while one replaces another, both are good.
#[derive(Debug)]
pub struct KeysOf<'a> {
    /// Whom they prove.
    pub principal: &'a Arc<Principal>,
    /// When each ends, by its hash.
    pub ends: BTreeMap<String, Option<SystemTime>>,
}

impl KeysOf<'_> {
    /// When the last of them ends; `None` if one never does.
    pub fn end(&self) -> Option<SystemTime> {
        self.ends.values().copied().collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

impl ApiKeys {
    /// Adds a key.
    pub(super) fn insert(&mut self, hash: KeyHash, principal: Arc<Principal>) {
        self.known.insert(hash, principal);
    }

    /// From now on keys are known by hashes with these peppers, too.
    pub(super) fn pepper(&mut self, peppers: Arc<Peppers>) {
        self.peppers = peppers;
    }

    /// All keys, by id.
    pub(super) fn by_id(&self) -> BTreeMap<&str, KeysOf<'_>> {
        let mut all: BTreeMap<&str, KeysOf<'_>> = BTreeMap::new();
        for (hash, principal) in &self.known {
            let keys = all.entry(principal.id()).or_insert_with(|| KeysOf { principal, ends: BTreeMap::new() });
            keys.ends.insert(hash.to_string(), principal.expires());
        }
        all
    }

    /// Whom the key of this hash proves, if it still does.
    pub(super) fn still(&self, hash: &KeyHash, now: SystemTime) -> Option<Arc<Principal>> {
        self.known.get(hash).filter(|principal| principal.expires().is_none_or(|end| now < end)).map(Arc::clone)
    }

    /// Whose key this is.
    pub(super) fn identify(&self, key: &[u8], now: SystemTime) -> Result<Arc<Principal>, AuthError> {
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
            return Err(if is_jwt(key) { AuthError::LooksLikeJwt } else { AuthError::Malformed });
        }
        let by_pepper = || self.peppers.hashes(key).find_map(|hash| self.known.get(&hash));
        let Some(known) = self.known.get(&KeyHash::of(key)).or_else(by_pepper) else {
            return Err(why_unknown(key));
        };
        match known.expires() {
            Some(end) if now >= end => Err(AuthError::Expired { id: Arc::clone(known.id()) }),
            _ => Ok(Arc::clone(known)),
        }
    }
}

/// What is probably the matter with a key that the policy does not list.
fn why_unknown(key: &[u8]) -> AuthError {
    if is_jwt(key) {
        AuthError::LooksLikeJwt
    } else if has_wrong_checksum(key) {
        AuthError::Malformed
    } else {
        AuthError::Unknown
    }
}

fn is_jwt(credential: &[u8]) -> bool {
    const LONGEST: usize = 16 << 10;
    credential.len() <= LONGEST && credential.starts_with(b"eyJ") && jsonwebtoken::decode_header(credential).is_ok()
}
