//! API keys: known by their hash, compared in constant time, made here.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{AuthError, Principal};

/// Shorter ones could be guessed.
const MIN_LENGTH: usize = 16;
/// Longer ones are not read.
const MAX_LENGTH: usize = 512;
/// How keys of our own making begin: secret scanners find them by it.
pub(super) const PREFIX: &str = "tg_";
/// Random characters in a key of our own making: 190 bits.
const RANDOM: usize = 32;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The keys of the policy, by hash. The map's hasher is keyed anew in each process.
#[derive(Debug, Default)]
pub(super) struct ApiKeys(HashMap<KeyHash, ApiKey>);

/// One key, and whom it proves.
#[derive(Debug)]
pub(super) struct ApiKey {
    pub(super) principal: Arc<Principal>,
    pub(super) expires: Option<SystemTime>,
}

/// The SHA-256 of a key. Equality takes the same time wherever two differ.
#[derive(Clone, Copy, Eq)]
pub(super) struct KeyHash([u8; 32]);

/// A key that was just made. It is shown once and kept nowhere.
pub struct NewKey {
    /// The key itself.
    pub key: String,
    /// What stands in the policy: `sha256:` and 64 hexadecimal digits.
    pub hash: String,
}

impl ApiKeys {
    /// Adds a key. Returns the one that has this hash already.
    pub(super) fn insert(&mut self, hash: KeyHash, key: ApiKey) -> Option<ApiKey> {
        self.0.insert(hash, key)
    }

    /// All keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.values()
    }

    /// The hash of this id's key.
    pub(super) fn hash_of(&self, id: &str) -> Option<KeyHash> {
        self.0.iter().find(|(_, key)| &**key.principal.id() == id).map(|(hash, _)| *hash)
    }

    /// Who has a valid key and this id.
    pub(super) fn of(&self, id: &str, now: SystemTime) -> Option<Arc<Principal>> {
        let valid = |key: &&ApiKey| &**key.principal.id() == id && key.expires.is_none_or(|end| now < end);
        self.0.values().find(valid).map(|key| Arc::clone(&key.principal))
    }

    /// Whose key this is.
    pub(super) fn identify(&self, key: &[u8], now: SystemTime) -> Result<Arc<Principal>, AuthError> {
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
            return Err(if is_jwt(key) { AuthError::LooksLikeJwt } else { AuthError::Malformed });
        }
        let Some(known) = self.0.get(&KeyHash::of(key)) else {
            return Err(why_unknown(key));
        };
        match known.expires {
            Some(end) if now >= end => Err(AuthError::Expired { id: Arc::clone(known.principal.id()) }),
            _ => Ok(Arc::clone(&known.principal)),
        }
    }
}

/// Whether a text is likely a key itself, where its id was asked for.
pub fn looks_like_key(text: &str) -> bool {
    text.starts_with(PREFIX)
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

/// Whether this is a key of our own form that was mistyped or cut.
fn has_wrong_checksum(key: &[u8]) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX.as_bytes()) else {
        return false;
    };
    let (random, checksum) = rest.split_at(rest.len().min(RANDOM));
    random.iter().all(u8::is_ascii_alphanumeric) && checksum != format!("_{:08x}", crc32(random)).as_bytes()
}

impl KeyHash {
    /// The hash of a key.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(lower) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "sha256:{a:02x}{b:02x}…")
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Makes a key from the operating system's randomness: `tg_`, 32 characters, and their CRC-32 against typing errors.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn new_key() -> io::Result<NewKey> {
    let mut random = String::with_capacity(RANDOM);
    while random.len() < RANDOM {
        let mut byte = [0];
        OsRng.try_fill_bytes(&mut byte).map_err(io::Error::other)?;
        // 248 is the largest multiple of 62 in a byte: what lies above would make some characters likelier.
        let [byte] = byte;
        if byte < 248
            && let Some(character) = BASE62.get(usize::from(byte % 62))
        {
            random.push(char::from(*character));
        }
    }
    let key = format!("{PREFIX}{random}_{:08x}", crc32(random.as_bytes()));
    let hash = hash_entry(&key);
    Ok(NewKey { key, hash })
}

/// What stands in the policy for a key: `sha256:` and 64 hexadecimal digits.
pub fn hash_entry(key: &str) -> String {
    let mut entry = "sha256:".to_owned();
    for byte in KeyHash::of(key.as_bytes()).0 {
        for digit in [byte >> 4, byte & 15] {
            entry.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    entry
}

/// CRC-32 as in zip and PNG (ISO 3309): it finds typing errors, nothing more.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_gives_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_new_key_has_the_documented_form_and_no_other_is_like_it() {
        let key = new_key().unwrap();
        assert_eq!(key.key.len(), 3 + 32 + 1 + 8);
        assert!(!has_wrong_checksum(key.key.as_bytes()));
        assert!(has_wrong_checksum(format!("{}0", key.key).as_bytes()));
        assert_ne!(key.key, new_key().unwrap().key);
        assert!(KeyHash::from_hex(key.hash.strip_prefix("sha256:").unwrap()) == Some(KeyHash::of(key.key.as_bytes())));
        assert!(!format!("{key:?}").contains(&key.key));
    }

    #[test]
    fn a_hash_is_64_lower_case_digits() {
        let good = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(KeyHash::from_hex(good) == Some(KeyHash::of(b"")));
        for bad in ["", "e3", &good.to_uppercase(), &format!("{good}0"), &good.replacen('e', "g", 1), &"+1".repeat(32)]
        {
            assert!(KeyHash::from_hex(bad).is_none(), "{bad}");
        }
    }
}
