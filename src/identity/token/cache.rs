//! What is known of tokens, so that the next call with one costs a hash.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

/// Bytes of tokens in each half: what is remembered of one is about as long as it is.
const HALF: usize = 4 << 20;
/// What every entry takes besides.
const ENTRY: usize = 512;

/// What is known of tokens, by their SHA-256. When the younger half is full, it becomes the older one, and what was
/// not asked for since is forgotten.
#[derive(Debug)]
pub(super) struct Remembered<T>(Mutex<Halves<T>>);

#[derive(Debug)]
struct Halves<T> {
    younger: HashMap<TokenHash, Arc<Entry<T>>>,
    older: HashMap<TokenHash, Arc<Entry<T>>>,
    weight: usize,
}

/// What is known of a token.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) known: T,
    /// From then on this does not count.
    pub(super) until: SystemTime,
    /// How long the token is.
    pub(super) length: usize,
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl<T> Entry<T> {
    fn weight(&self) -> usize {
        self.length + ENTRY
    }
}

impl TokenHash {
    pub(super) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl<T> Remembered<T> {
    /// What is known of this token.
    pub(super) fn get(&self, hash: TokenHash, now: SystemTime) -> Option<Arc<Entry<T>>> {
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

    /// Remembers what a token is worth.
    pub(super) fn insert(&self, hash: TokenHash, entry: Entry<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, Arc::new(entry));
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::new(Halves { younger: HashMap::new(), older: HashMap::new(), weight: 0 }))
    }
}

impl<T> Halves<T> {
    fn insert(&mut self, hash: TokenHash, entry: Arc<Entry<T>>) {
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
