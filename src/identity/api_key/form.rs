//! The form of keys of our own making: `tg_`, 32 characters of randomness, `_`, and their CRC-32. Secret scanners find them
//! by it, and typing errors show.

use std::fmt;
use std::io;

use rand::TryRngCore;
use rand::rngs::OsRng;

/// How keys of our own making begin.
pub(in crate::identity) const PREFIX: &str = "tg_";
/// Random characters in a key of our own making: 190 bits.
const RANDOM: usize = 32;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made. It is shown once and kept nowhere.
pub struct NewKey(pub String);

/// Whether a text is likely a key itself, where its id was asked for.
pub fn looks_like_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whether this begins as keys of our own making do: whatever else it could be, it is never shown to anybody.
pub(in crate::identity) fn has_key_form(credential: &[u8]) -> bool {
    credential.starts_with(PREFIX.as_bytes())
}

/// Whether this is a key of our own form that was mistyped or cut.
pub(super) fn has_wrong_checksum(key: &[u8]) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX.as_bytes()) else {
        return false;
    };
    let (random, checksum) = rest.split_at(rest.len().min(RANDOM));
    random.iter().all(u8::is_ascii_alphanumeric) && checksum != format!("_{:08x}", crc32(random)).as_bytes()
}

/// Makes a key from the operating system's randomness.
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
    Ok(NewKey(format!("{PREFIX}{random}_{:08x}", crc32(random.as_bytes()))))
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

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(…)")
    }
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
        let NewKey(key) = new_key().unwrap();
        let rest = key.strip_prefix("tg_").unwrap();
        let (random, checksum) = rest.split_once('_').unwrap();
        assert!(random.len() == 32 && random.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
        assert!(checksum.len() == 8 && checksum.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{key}");
        assert!(!has_wrong_checksum(key.as_bytes()));
        assert!(has_wrong_checksum(format!("{key}0").as_bytes()));
        assert_ne!(key, new_key().unwrap().0);
        assert!(!format!("{:?}", NewKey(key.clone())).contains(&key));
    }

    #[test]
    fn the_example_of_the_documentation_is_a_key() {
        assert!(!has_wrong_checksum(b"tg_0123456789ABCDEFGHIJKLMNOPQRSTUV_5c339a43"));
    }
}
