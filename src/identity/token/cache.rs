//! Tokens that were verified, so that the next call with one costs a hash.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::identity::Principal;

/// Bytes of tokens in each half: what is remembered of one is about as long as it is.
const HALF: usize = 4 << 20;
/// What every entry takes besides.
const ENTRY: usize = 512;

/// What is known of tokens, by their SHA-256. When the younger half is full, it becomes the older one, and what was
/// not asked for since is forgotten.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    younger: HashMap<TokenHash, Arc<Entry>>,
    older: HashMap<TokenHash, Arc<Entry>>,
    weight: usize,
}

/// By which issuer a token was verified, and with which of its keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) issuer: usize,
    pub(super) generation: u64,
}

/// Whom a token proves.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) principal: Arc<Principal>,
    /// From then on this does not count.
    pub(super) until: SystemTime,
    /// What it was verified by.
    pub(super) tag: Tag,
    /// How long the token is.
    pub(super) length: usize,
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl Entry {
    fn weight(&self) -> usize {
        self.length + ENTRY
    }
}

impl TokenHash {
    pub(super) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl Verified {
    /// What is known of this token.
    pub(super) fn get(&self, hash: TokenHash, now: SystemTime) -> Option<Arc<Entry>> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if let Some(known) = halves.younger.get(&hash) {
            Arc::clone(known)
        } else {
            let known = halves.older.remove(&hash)?;
            halves.insert(hash, Arc::clone(&known));
            known
        };
        (now < known.until).then_some(known)
    }

    /// Remembers whom a token proves.
    pub(super) fn insert(&self, hash: TokenHash, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, Arc::new(entry));
    }
}

impl Halves {
    fn insert(&mut self, hash: TokenHash, entry: Arc<Entry>) {
        if self.weight + entry.weight() > HALF {
            self.older = mem::take(&mut self.younger);
            self.weight = 0;
        }
        self.weight += entry.weight();
        if let Some(before) = self.younger.insert(hash, entry) {
            self.weight -= before.weight();
        }
    }
}
