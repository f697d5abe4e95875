//! Sealing: what the gate gives away and takes back, so that nobody reads it, makes it up or puts it elsewhere.
//!
//! AES-256-GCM with random nonces, so a key is good for 2^32 texts (NIST SP 800-38D, 8.3) and changed before; for names,
//! AES-256-GCM-SIV. Each purpose has a key of its own, derived from the one that is given: what is sealed for one opens for
//! no other.

use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey,
};
use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::secret::Secret;

/// A key from which the keys of all purposes come.
#[derive(Debug)]
pub struct SealingKey(hmac::Key);

/// A key that can be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakKey;

/// Seals for one purpose: the first key does, and each opens what it has sealed.
#[derive(Debug)]
pub struct Seal(Vec<RandomizedNonceKey>);

/// Seals names for one purpose: the same, about the same, always looks the same, and that is all that anybody sees of it
/// (RFC 8452, 1: what nonces that repeat give away).
#[derive(Debug)]
pub struct NameSeal(Vec<LessSafeKey>);

/// A key has so many bytes at least. What `openssl rand -base64 32` makes is longer.
pub const SHORTEST_KEY: usize = 32;
/// What is sealed is longer by so much.
pub const OVERHEAD: usize = NONCE_LEN + MAX_TAG_LEN;

impl SealingKey {
    /// The key that this secret is.
    ///
    /// # Errors
    /// It is too short.
    pub fn new(secret: &Secret) -> Result<Self, WeakKey> {
        let key = Some(secret.expose().as_bytes()).filter(|key| key.len() >= SHORTEST_KEY).ok_or(WeakKey)?;
        Ok(Self(hmac::Key::new(HMAC_SHA256, key)))
    }

    /// A key that no other process has, nor this one after a restart.
    pub fn of_this_process() -> Self {
        Self(hmac::Key::new(HMAC_SHA256, &rand::random::<[u8; SHORTEST_KEY]>()))
    }

    /// The key of one purpose: 256 bits.
    pub fn derived(&self, purpose: &str) -> hmac::Tag {
        hmac::sign(&self.0, purpose.as_bytes())
    }
}

impl Seal {
    /// A seal for this purpose. Without keys it seals and opens nothing.
    pub fn new(keys: &[SealingKey], purpose: &str) -> Self {
        // A derived key is as long as the algorithm's.
        Self(keys.iter().filter_map(|key| of(&key.derived(purpose))).collect())
    }

    /// Seals this. It opens only where the same is said of what it is about.
    pub fn seal(&self, about: &str, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.0.first()?.seal_in_place_append_tag(Aad::from(about), &mut plain).ok()?;
        Some([&nonce.as_ref()[..], &plain].concat())
    }

    /// What is sealed; `None` if no key here has sealed it, or not about this.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        self.0.iter().find_map(|key| {
            let mut text = text.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let plain = key.open_in_place(nonce, Aad::from(about), &mut text).ok()?.len();
            text.truncate(plain);
            Some(text)
        })
    }
}

impl NameSeal {
    /// A seal for this purpose. Without keys it seals and opens nothing.
    pub fn new(keys: &[SealingKey], purpose: &str) -> Self {
        let of = |key: &SealingKey| UnboundKey::new(&AES_256_GCM_SIV, key.derived(purpose).as_ref()).ok();
        Self(keys.iter().filter_map(of).map(LessSafeKey::new).collect())
    }

    /// Seals this. It opens only where the same is said of what it is about.
    pub fn seal(&self, about: &str, mut plain: Vec<u8>) -> Option<Vec<u8>> {
        let key = self.0.first()?;
        key.seal_in_place_append_tag(always(), Aad::from(about), &mut plain).ok().map(|()| plain)
    }

    /// What is sealed; `None` if no key here has sealed it, or not about this.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().find_map(|key| {
            let mut text = sealed.to_vec();
            let plain = key.open_in_place(always(), Aad::from(about), &mut text).ok()?.len();
            text.truncate(plain);
            Some(text)
        })
    }
}

/// The nonce of every name: what differs is the name.
fn always() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn of(key: &hmac::Tag) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &[&str]) -> Vec<SealingKey> {
        of.iter().map(|text| SealingKey::new(&Secret::new(text.repeat(SHORTEST_KEY))).unwrap()).collect()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_for_the_same_and_nothing_else() {
        let seal = Seal::new(&keys(&["a"]), "one");
        let mut sealed = seal.seal("alice", b"plain words".to_vec()).unwrap();
        assert_eq!(sealed.len(), "plain words".len() + OVERHEAD);
        assert!(!sealed.windows(5).any(|text| text == b"words"));
        assert_eq!(seal.open("alice", &sealed).as_deref(), Some(&b"plain words"[..]));
        assert_eq!(seal.open("bob", &sealed), None);
        assert_eq!(Seal::new(&keys(&["a"]), "other").open("alice", &sealed), None);
        assert_eq!(Seal::new(&[SealingKey::of_this_process()], "one").open("alice", &sealed), None);
        for at in 0..sealed.len() {
            sealed[at] ^= 1;
            assert_eq!(seal.open("alice", &sealed), None, "{at}");
            sealed[at] ^= 1;
            assert_eq!(seal.open("alice", &sealed[..at]), None, "{at}");
        }
    }

    #[test]
    fn a_name_is_always_the_same_and_opens_like_any_other() {
        let seal = NameSeal::new(&keys(&["b", "a"]), "one");
        let sealed = seal.seal("alice", b"plain words".to_vec()).unwrap();
        assert_eq!(seal.seal("alice", b"plain words".to_vec()).as_ref(), Some(&sealed));
        for (about, plain) in [("bob", "plain words"), ("alice", "plain word"), ("alice", "plain wordt")] {
            let other = seal.seal(about, plain.into()).unwrap();
            let alike = sealed.iter().zip(&other).filter(|(one, other)| one == other).count();
            assert!(alike < 6, "{about} {plain}: {alike} bytes are the same");
        }
        assert!(!sealed.windows(5).any(|text| text == b"words"));
        assert_eq!(seal.open("alice", &sealed).as_deref(), Some(&b"plain words"[..]));
        assert_eq!(NameSeal::new(&keys(&["a", "b"]), "one").open("alice", &sealed), seal.open("alice", &sealed));
        assert_eq!(seal.open("bob", &sealed), None);
        assert_eq!(NameSeal::new(&keys(&["a"]), "one").open("alice", &sealed), None);
        assert_eq!(NameSeal::new(&keys(&["b"]), "other").open("alice", &sealed), None);
        assert_eq!(NameSeal::new(&[], "one").seal("it", Vec::new()), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!((seal.open("alice", &changed), seal.open("alice", &sealed[..at])), (None, None), "{at}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        for (seals, opens, good) in [
            (&["a"][..], &["b"][..], false),
            (&["a"], &["b", "a"], true),
            (&["b", "a"], &["a", "b"], true),
            (&["b", "a"], &["a"], false),
        ] {
            let sealed = Seal::new(&keys(seals), "one").seal("it", b"plain".to_vec()).unwrap();
            assert_eq!(Seal::new(&keys(opens), "one").open("it", &sealed).is_some(), good, "{seals:?} {opens:?}");
        }
    }

    #[test]
    fn a_short_key_is_refused_and_without_keys_nothing_is_sealed() {
        assert_eq!(SealingKey::new(&Secret::new("a".repeat(SHORTEST_KEY - 1))).map(drop), Err(WeakKey));
        assert_eq!(Seal::new(&[], "one").seal("it", Vec::new()), None);
    }
}
