//! Checkpoints: how large the log is and its root, signed. They are signed notes (C2SP `signed-note`,
//! `tlog-checkpoint`), and keys are written as Go's `sumdb/note` writes them, so that other tools read both.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::chain::{Chain, Hash};
use crate::secret::Secret;

/// The kind of key: Ed25519.
const ED25519_KIND: u8 = 1;
/// What stands in a note in the place of a size where another key is told. No checkpoint can be read as one, nor the other
/// way round.
const HANDED_OVER: &str = "next key";
/// The longest note that is read, in bytes: sixteen signatures and some lines more than ours.
const LONGEST: usize = 64 << 10;

/// What signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifying: VerifyingKey,
}

/// What shows that a checkpoint was signed by its other half. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    key: [u8; 32],
}

/// The log at one moment, as its signer says it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many lines it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Why a note is no checkpoint of this log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadNote {
    /// It is not in the format.
    Malformed,
    /// It is of another log, or nobody signed it whose key is known.
    Unknown(String),
    /// The signature is not of this text.
    Forged,
}

/// The text is no key of the kind that is wanted. It is not quoted: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey(&'static str);

impl SigningKey {
    /// A fresh one for the log of this name, and its text, which is a secret.
    ///
    /// # Errors
    /// The system has no random numbers, or the name cannot be one.
    pub fn generate(name: &str) -> Result<(Self, Secret), BadKey> {
        let mut seed = Zeroizing::new([0; 32]);
        OsRng.try_fill_bytes(&mut *seed).map_err(|_none| BadKey("the system gives no random numbers"))?;
        let key = Self::from_seed(name, &*seed)?;
        let mut material = Zeroizing::new([ED25519_KIND; 33]);
        if let Some(rest) = material.get_mut(1..) {
            rest.copy_from_slice(&*seed);
        }
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(*material));
        let text = format!("PRIVATE+KEY+{name}+{:08x}+{}", key.verifying.id(), *encoded);
        Ok((key, Secret::new(text)))
    }

    /// Reads `PRIVATE+KEY+name+id+base64`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(secret: &Secret) -> Result<Self, BadKey> {
        let rest = secret.expose().strip_prefix("PRIVATE+KEY+");
        let rest = rest.ok_or(BadKey("it does not begin with PRIVATE+KEY+; `tollgate audit keys new` makes one"))?;
        let (name, id, material) = parts(rest)?;
        let key = Self::from_seed(name, material.as_slice())?;
        if key.verifying.id() == id { Ok(key) } else { Err(BadKey("its id is not that of its key: it was damaged")) }
    }

    fn from_seed(name: &str, seed: &[u8]) -> Result<Self, BadKey> {
        let name = named(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_rejected| BadKey("it is no Ed25519 key"))?;
        let public = pair.public_key().as_ref().try_into().map_err(|_length| BadKey("it is no Ed25519 key"))?;
        Ok(Self { pair, verifying: VerifyingKey { name, key: public } })
    }

    /// The other half.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Signs the log as it is now.
    pub fn sign(&self, chain: &Chain) -> String {
        self.note(&format!("{}\n{}", chain.size(), BASE64_STANDARD.encode(chain.root())))
    }

    /// Says that the other half of this key signs the log from now on.
    pub fn hand_over(&self, next: &VerifyingKey) -> String {
        self.note(&format!("{HANDED_OVER}\n{next}"))
    }

    /// What is said of the log, signed.
    fn note(&self, said: &str) -> String {
        let name = &self.verifying.name;
        let text = format!("{name}\n{said}\n");
        let mut signature = self.verifying.id().to_be_bytes().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {name} {}\n", BASE64_STANDARD.encode(signature))
    }
}

impl VerifyingKey {
    /// Reads `name+id+base64`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let (name, id, material) = parts(text.trim())?;
        let key = material.as_slice().try_into().map_err(|_length| BadKey("it is no Ed25519 key"))?;
        let key = Self { name: named(name)?, key };
        if key.id() == id { Ok(key) } else { Err(BadKey("its id is not that of its key: it was damaged")) }
    }

    /// The log that it is for.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        let digest = Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519_KIND]).chain_update(self.key);
        let hash: Hash = digest.finalize().into();
        let [a, b, c, d, ..] = hash;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Reads a checkpoint that this key has signed.
    ///
    /// # Errors
    /// The note is something else.
    pub fn open(&self, note: &str) -> Result<Checkpoint, BadNote> {
        self.opened(note, Checkpoint::parse)
    }

    /// Reads which key signs the log from then on, which this key has signed.
    ///
    /// # Errors
    /// The note is something else.
    pub fn open_next(&self, note: &str) -> Result<Self, BadNote> {
        self.opened(note, next)
    }

    /// Reads what this key has signed.
    fn opened<T>(&self, note: &str, parse: fn(&str) -> Option<T>) -> Result<T, BadNote> {
        let (text, signatures) = split(note).ok_or(BadNote::Malformed)?;
        let parsed = parse(text).ok_or(BadNote::Malformed)?;
        let origin = text.lines().next().unwrap_or_default();
        if origin != self.name {
            return Err(BadNote::Unknown(origin.to_owned()));
        }
        let mut ours = None;
        for line in signatures.lines() {
            let (name, signature) =
                line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or(BadNote::Malformed)?;
            let signature = BASE64_STANDARD.decode(signature).map_err(|_encoding| BadNote::Malformed)?;
            let (id, signature) = signature.split_first_chunk().ok_or(BadNote::Malformed)?;
            if name == self.name && u32::from_be_bytes(*id) == self.id() {
                ours = Some(signature.to_vec());
            }
        }
        let signature = ours.ok_or_else(|| BadNote::Unknown(self.name.clone()))?;
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        key.verify(text.as_bytes(), &signature).map_err(|_rejected| BadNote::Forged)?;
        Ok(parsed)
    }
}

impl Checkpoint {
    /// The first three lines; lines of extensions may follow.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let plain = size == "0" || !size.starts_with(['0', '+']);
        let root = BASE64_STANDARD.decode(root).ok()?.try_into().ok()?;
        Some(Self { origin: origin.to_owned(), size: size.parse().ok().filter(|_| plain)?, root })
    }
}

/// The key that signs the log from then on: of the same log, or nobody could follow.
fn next(text: &str) -> Option<VerifyingKey> {
    let mut lines = text.lines();
    let (origin, said, key) = (lines.next()?, lines.next()?, lines.next()?);
    VerifyingKey::parse(key).ok().filter(|key| said == HANDED_OVER && key.name == origin)
}

/// The text with its last line's end, and the lines of signatures behind the last empty line.
fn split(note: &str) -> Option<(&str, &str)> {
    let well_formed = note.len() <= LONGEST && note.ends_with('\n') && !note.chars().any(|c| c < ' ' && c != '\n');
    let at = note.rfind("\n\n").filter(|_| well_formed)?;
    let (text, rest) = note.split_at_checked(at + 1)?;
    rest.strip_prefix('\n').filter(|signatures| !signatures.is_empty()).map(|signatures| (text, signatures))
}

/// What a key is written of: its name, its id, and itself.
type Parts<'a> = (&'a str, u32, Zeroizing<Vec<u8>>);

/// `name+id+base64`, and of the last only what follows the kind. Only the last part may have a `+`.
fn parts(text: &str) -> Result<Parts<'_>, BadKey> {
    let odd = BadKey("it is not NAME+ID+KEY");
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(odd);
    };
    let id = Some(id).filter(|id| id.len() == 8).and_then(|id| u32::from_str_radix(id, 16).ok()).ok_or(odd)?;
    let material = Zeroizing::new(BASE64_STANDARD.decode(key).map_err(|_encoding| odd)?);
    match material.split_first() {
        Some((&ED25519_KIND, rest)) => Ok((name, id, Zeroizing::new(rest.to_vec()))),
        _ => Err(BadKey("it is no Ed25519 key")),
    }
}

fn named(name: &str) -> Result<String, BadKey> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > 128 || name.contains(odd) {
        return Err(BadKey(
            "a name has up to 128 characters, and no space and no `+`; such as gate-1.example.com/audit",
        ));
    }
    Ok(name.to_owned())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("verifying", &self.verifying).finish_non_exhaustive()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![ED25519_KIND];
        material.extend_from_slice(&self.key);
        write!(f, "{}+{:08x}+{}", self.name, self.id(), BASE64_STANDARD.encode(material))
    }
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadKey {}

impl fmt::Display for BadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("it is not a signed checkpoint"),
            Self::Unknown(name) => write!(f, "it is not of this log, or not signed by this key, but names {name}"),
            Self::Forged => f.write_str("its signature is not of its text"),
        }
    }
}

impl std::error::Error for BadNote {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_gos_own_documentation_is_read_and_its_note_opened() {
        // golang.org/x/mod/sumdb/note, Overview.
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let parsed = VerifyingKey::parse(key).unwrap();
        assert_eq!((parsed.name(), parsed.to_string().as_str()), ("PeterNeumann", key));
        let skey = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let signing = SigningKey::parse(&Secret::new(skey.to_owned())).unwrap();
        assert_eq!(*signing.verifying(), parsed);
    }

    #[test]
    fn a_checkpoint_is_opened_by_its_own_key_only_and_only_as_it_was_signed() {
        let (key, secret) = SigningKey::generate("gate.example.com/audit").unwrap();
        assert_eq!(SigningKey::parse(&secret).unwrap().verifying(), key.verifying());
        let mut chain = Chain::new();
        chain.push(b"a line");
        let note = key.sign(&chain);
        let expected = Checkpoint { origin: "gate.example.com/audit".to_owned(), size: 1, root: chain.root() };
        assert_eq!(key.verifying().open(&note), Ok(expected.clone()));
        let cosigned = format!("{note}\u{2014} witness.example.com AAAAAAAAAAAA\n");
        assert_eq!(key.verifying().open(&cosigned), Ok(expected));
        assert_eq!(key.verifying().open(&note.replace("\n1\n", "\n2\n")), Err(BadNote::Forged));
        assert_eq!(key.verifying().open(note.trim_end()), Err(BadNote::Malformed));
        assert_eq!(key.verifying().open(&note.replace("\n1\n", "\n01\n")), Err(BadNote::Malformed));
        let (other, _) = SigningKey::generate("gate.example.com/audit").unwrap();
        assert!(matches!(other.verifying().open(&note), Err(BadNote::Unknown(_))));
        let (elsewhere, _) = SigningKey::generate("elsewhere").unwrap();
        assert!(matches!(elsewhere.verifying().open(&note), Err(BadNote::Unknown(_))));
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_quoted() {
        let (_, secret) = SigningKey::generate("a").unwrap();
        let damaged = secret.expose().replace("KEY+a+", "KEY+b+");
        for odd in ["", "hunter2", "PRIVATE+KEY+a", "PRIVATE+KEY+a+00000000+AQ==", &damaged] {
            let told = SigningKey::parse(&Secret::new(odd.to_owned())).unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
        for name in ["", "a b", "a+b", "a\n"] {
            assert!(SigningKey::generate(name).is_err(), "{name:?}");
        }
    }
}
