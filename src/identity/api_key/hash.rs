//! What a policy has of a key: its hash, with a pepper or without. Compared in constant time.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::pepper::is_pepper_id;

/// How a hash is written that needs no pepper: this and 64 hexadecimal digits.
const PLAIN: &str = "sha256:";
/// How one is written that does: this, the pepper's id, `:` and as many.
const PEPPERED: &str = "hmac-sha256:";

/// The hash of a key. Equality takes the same time wherever two differ.
#[derive(Clone, Eq)]
pub struct KeyHash {
    /// The pepper that it was made with; `None` for the key's SHA-256.
    pepper: Option<Arc<str>>,
    digest: [u8; 32],
}

impl KeyHash {
    /// The SHA-256 of a key.
    pub(in crate::identity) fn of(key: &[u8]) -> Self {
        Self { pepper: None, digest: Sha256::digest(key).into() }
    }

    /// What a key comes to with this pepper.
    pub(super) fn peppered(pepper: Arc<str>, digest: [u8; 32]) -> Self {
        Self { pepper: Some(pepper), digest }
    }

    /// Of no key at all: for callers who are only supposed.
    pub(in crate::identity) fn of_none() -> Self {
        Self { pepper: None, digest: [0; 32] }
    }

    /// Reads what a policy has.
    pub(in crate::identity) fn parse(text: &str) -> Option<Self> {
        if let Some(hex) = text.strip_prefix(PLAIN) {
            return Some(Self { pepper: None, digest: from_hex(hex)? });
        }
        let (pepper, hex) = text.strip_prefix(PEPPERED)?.split_once(':')?;
        is_pepper_id(pepper).then_some(())?;
        Some(Self { pepper: Some(Arc::from(pepper)), digest: from_hex(hex)? })
    }

    /// How it begins.
    pub(in crate::identity) fn beginning(&self) -> u32 {
        let [a, b, c, d, ..] = self.digest;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The pepper that it was made with.
    pub(in crate::identity) fn pepper(&self) -> Option<&str> {
        self.pepper.as_deref()
    }
}

/// Reads 64 lower-case hexadecimal digits.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// As it stands in a policy.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pepper {
            None => f.write_str(PLAIN)?,
            Some(pepper) => write!(f, "{PEPPERED}{pepper}:")?,
        }
        f.write_str(&HEXLOWER.encode(&self.digest))
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        let same: bool = self.digest.ct_eq(&other.digest).into();
        same && self.pepper == other.pepper
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.digest);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.digest;
        write!(f, "{a:02x}{b:02x}…")
    }
}

/// What stands in the policy for a key: `sha256:` and 64 hexadecimal digits.
pub fn hash_entry(key: &str) -> String {
    KeyHash::of(key.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_lower_case_digits_and_says_how_it_was_made() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(KeyHash::parse(&format!("sha256:{hex}")) == Some(KeyHash::of(b"")));
        let peppered = format!("hmac-sha256:p-1:{hex}");
        assert_eq!(KeyHash::parse(&peppered).map(|hash| hash.to_string()), Some(peppered));
        for bad in ["", "e3", &hex.to_uppercase(), &format!("{hex}0"), &hex.replacen('e', "g", 1), &"+1".repeat(32)] {
            for before in ["sha256:", "hmac-sha256:p:", ""] {
                assert!(KeyHash::parse(&format!("{before}{bad}")).is_none(), "{before}{bad}");
            }
        }
        for bad in ["hmac-sha256:", "hmac-sha256::", "hmac-sha256:P:", "hmac-sha256:a b:", "hmac-sha512:p:", "md5:"] {
            assert!(KeyHash::parse(&format!("{bad}{hex}")).is_none(), "{bad}");
        }
    }
}
