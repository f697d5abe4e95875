//! Peppers: secrets that go into the hashes of keys, so that whoever reads the policy cannot try keys against it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;

use super::hash::KeyHash;
use crate::secret::{Reference, Secret, Unreadable};

/// A shorter one could be guessed together with a weak key.
pub const MIN_PEPPER: usize = 16;

/// The peppers of a deployment, by the ids that policies call them by. One that is kept elsewhere is known by its id alone.
#[derive(Default)]
pub struct Peppers(BTreeMap<Arc<str>, Option<hmac::Key>>);

/// Why there is no pepper where one should be. Never quotes what is there.
#[derive(Debug)]
pub enum PepperError {
    /// There is no secret at all.
    Unreadable(Unreadable),
    /// It has fewer than [`MIN_PEPPER`] bytes.
    TooShort,
}

impl Peppers {
    /// Adds what is kept there.
    ///
    /// # Errors
    /// It is no pepper.
    pub fn read(&mut self, id: &str, kept: &Reference) -> Result<(), PepperError> {
        let secret = kept.read().map_err(PepperError::Unreadable)?;
        self.0.insert(Arc::from(id), Some(key(&secret)?));
        Ok(())
    }

    /// Adds one that is kept elsewhere.
    pub fn kept_elsewhere(&mut self, id: &str) {
        self.0.insert(Arc::from(id), None);
    }

    /// Whether there is one of this id.
    pub fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// All ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|id| &**id)
    }

    /// What a key comes to with each of them.
    pub(super) fn hashes(&self, key: &[u8]) -> impl Iterator<Item = KeyHash> {
        self.0.iter().filter_map(move |(id, pepper)| {
            let digest = hmac::sign(pepper.as_ref()?, key).as_ref().try_into().ok()?;
            Some(KeyHash::peppered(Arc::clone(id), digest))
        })
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, PepperError> {
    let bytes = secret.expose().as_bytes();
    if bytes.len() < MIN_PEPPER {
        return Err(PepperError::TooShort);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
}

/// What stands in the policy for a key: `hmac-sha256:`, the pepper's id, `:` and 64 hexadecimal digits.
///
/// # Errors
/// There is no pepper where one should be.
pub fn peppered_entry(key: &str, id: &str, kept: &Reference) -> Result<String, PepperError> {
    let mut peppers = Peppers::default();
    peppers.read(id, kept)?;
    Ok(peppers.hashes(key.as_bytes()).map(|hash| hash.to_string()).collect())
}

/// Whether a text can be what policies call a pepper.
pub fn is_pepper_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Display for PepperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::TooShort => write!(f, "it has fewer than {MIN_PEPPER} bytes"),
        }
    }
}

impl std::error::Error for PepperError {}
