//! Cursors: where in a list the next page begins, sealed, so that nobody makes one up or brings another's.
//!
//! The place is the last tool that was looked at, not a count: whatever comes or goes meanwhile, no tool that was there
//! all the time is left out or shown twice.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::kind::Kind;
use super::names::Origin;
use crate::mcp::ServerName;
use crate::secret::Secret;

/// Seals cursors: the first key does, and each opens what it has sealed.
#[derive(Debug)]
pub struct Seal(Vec<Key>);

/// A key that can be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakKey;

/// A key has so many characters at least.
const SHORTEST_KEY: usize = 32;

/// A list: of what, of which view, for which account.
type List<'a> = (Kind, &'a str, &'a str);

/// How long the seal is.
const TAG: usize = 32;
/// A longer text is no cursor of ours: 63 characters of a server, 2048 bytes of a tool.
const LONGEST: usize = 4096;

impl Seal {
    /// A seal of this process alone: no other takes its cursors, and none after a restart.
    pub fn of_this_process() -> Self {
        Self(vec![Key::new(HMAC_SHA256, &rand::random::<[u8; 32]>())])
    }

    /// A seal of all that have these keys; of this process alone, if there are none.
    ///
    /// # Errors
    /// One is too short.
    pub fn shared(keys: &[Secret]) -> Result<Self, WeakKey> {
        if keys.iter().any(|key| key.expose().len() < SHORTEST_KEY) {
            return Err(WeakKey);
        }
        let shared = keys.iter().map(|key| Key::new(HMAC_SHA256, key.expose().as_bytes()));
        Ok(if keys.is_empty() { Self::of_this_process() } else { Self(shared.collect()) })
    }

    /// A cursor behind this, in such a list of this view for this account.
    pub(super) fn seal(&self, list: List<'_>, behind: &Origin) -> Option<String> {
        let place = format!("{}\0{}", behind.server, behind.name);
        let tag = sign(self.0.first()?, about(list, &place).as_bytes());
        Some(BASE64_URL_SAFE_NO_PAD.encode([tag.as_ref(), place.as_bytes()].concat()))
    }

    /// What the page comes behind; `None` if the cursor is not one for this list and account.
    pub(super) fn open(&self, list: List<'_>, cursor: &str) -> Option<Origin> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(Some(cursor).filter(|text| text.len() <= LONGEST)?).ok()?;
        let (tag, place) = bytes.split_at_checked(TAG)?;
        let place = std::str::from_utf8(place).ok()?;
        let about = about(list, place);
        self.0.iter().find(|key| verify(key, about.as_bytes(), tag).is_ok())?;
        let (server, name) = place.split_once('\0')?;
        Some(Origin { server: ServerName::new(server).ok()?, name: name.into() })
    }
}

/// All that a cursor is good for. Lengths first: no part runs into another.
fn about((kind, view, account): List<'_>, place: &str) -> String {
    format!("{} {}:{view} {}:{account} {place}", kind.member(), view.len(), account.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_with_the_same_key_take_each_others_cursors_while_it_changes_too() {
        let key = |text: &str| Secret::new(text.repeat(32));
        let seal = |keys: &[&str]| Seal::shared(&keys.iter().map(|text| key(text)).collect::<Vec<_>>()).unwrap();
        let origin = Origin { server: ServerName::new("records").unwrap(), name: "find".into() };
        for (seals, opens, good) in [
            (&["a"][..], &["a"][..], true),
            (&["a"], &["b"], false),
            (&["a"], &["b", "a"], true),
            (&["b", "a"], &["a", "b"], true),
            (&["b", "a"], &["a"], false),
        ] {
            let cursor = seal(seals).seal((Kind::Tool, "all", "alice"), &origin).unwrap();
            assert_eq!(seal(opens).open((Kind::Tool, "all", "alice"), &cursor).is_some(), good, "{seals:?} {opens:?}");
        }
        assert_eq!(Seal::shared(&[Secret::new("a".repeat(31))]).map(drop), Err(WeakKey));
    }

    #[test]
    fn a_cursor_is_good_for_its_list_its_caller_and_its_gate() {
        let (seal, other) = (Seal::of_this_process(), Seal::of_this_process());
        let origin = Origin { server: ServerName::new("records").unwrap(), name: "find".into() };
        let cursor = seal.seal((Kind::Tool, "all", "alice"), &origin).unwrap();
        assert_eq!(seal.open((Kind::Tool, "all", "alice"), &cursor), Some(origin));
        assert_eq!(seal.open((Kind::Tool, "some", "alice"), &cursor), None);
        assert_eq!(seal.open((Kind::Tool, "all", "bob"), &cursor), None);
        assert_eq!(seal.open((Kind::Prompt, "all", "alice"), &cursor), None);
        assert_eq!(other.open((Kind::Tool, "all", "alice"), &cursor), None);
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(seal.open((Kind::Tool, "all", "alice"), &BASE64_URL_SAFE_NO_PAD.encode(&bytes)), None, "{at}");
            bytes[at] ^= 1;
        }
        for none in ["", "AAAA", "null", &"A".repeat(5000)] {
            assert_eq!(seal.open((Kind::Tool, "all", "alice"), none), None, "{none}");
        }
    }
}
