//! Cursors: where in a list the next page begins, sealed, so that nobody makes one up or brings another's.
//!
//! The place is the last tool that was looked at, not a count: whatever comes or goes meanwhile, no tool that was there
//! all the time is left out or shown twice.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::kind::Kind;
use super::names::Origin;
use crate::mcp::ServerName;
use crate::seal::{Seal, SealingKey};

/// Makes cursors, and opens them. Nobody else reads one: the last tool that was looked at may be none that its caller
/// is shown.
#[derive(Debug)]
pub struct Cursors(Seal);

/// A list: of what, of which view, for which account.
type List<'a> = (Kind, &'a str, &'a str);

/// Where a page of all servers' tasks begins: at one of them, and there where that says, or at its first.
pub type TasksFrom = (ServerName, Option<String>);

const PURPOSE: &str = "cursors: seal";
/// A longer text is no cursor of ours: 63 characters of a server, 2048 bytes of a tool, what a server calls a page.
const LONGEST: usize = 8192;
/// What a list of tasks is of.
const TASKS: &str = "tasks";

impl Cursors {
    /// Those of this process alone: no other takes them, and none after a restart.
    pub fn of_this_process() -> Self {
        Self(Seal::new(&[SealingKey::of_this_process()], PURPOSE))
    }

    /// Those of all that have these keys; of this process alone, if there are none.
    pub fn shared(keys: &[SealingKey]) -> Self {
        if keys.is_empty() { Self::of_this_process() } else { Self(Seal::new(keys, PURPOSE)) }
    }

    /// A cursor behind this, in such a list of this view for this account.
    pub(super) fn seal(&self, list: List<'_>, behind: &Origin) -> Option<String> {
        let (kind, view, account) = list;
        self.sealed(&about(kind.member(), view, account), &behind.server, &behind.name)
    }

    /// What the page comes behind; `None` if the cursor is not one for this list and account.
    pub(super) fn open(&self, list: List<'_>, cursor: &str) -> Option<Origin> {
        let (kind, view, account) = list;
        let (server, name) = self.opened(&about(kind.member(), view, account), cursor)?;
        Some(Origin { server, name: name.into() })
    }

    /// A cursor of this account's tasks in this view; `None` if it would be too long.
    pub fn seal_tasks(&self, view: &ServerName, account: &str, (server, theirs): &TasksFrom) -> Option<String> {
        let place = theirs.as_ref().map(|theirs| format!("={theirs}")).unwrap_or_default();
        self.sealed(&about(TASKS, view.as_str(), account), server, &place).filter(|cursor| cursor.len() <= LONGEST)
    }

    /// Where the page begins; `None` if the cursor is not one of this account's tasks in this view.
    pub fn open_tasks(&self, view: &ServerName, account: &str, cursor: &str) -> Option<TasksFrom> {
        let (server, place) = self.opened(&about(TASKS, view.as_str(), account), cursor)?;
        Some((server, place.strip_prefix('=').map(str::to_owned)))
    }

    fn sealed(&self, about: &str, server: &ServerName, place: &str) -> Option<String> {
        let place = format!("{server}\0{place}");
        Some(BASE64_URL_SAFE_NO_PAD.encode(self.0.seal(about, place.into_bytes())?))
    }

    fn opened(&self, about: &str, cursor: &str) -> Option<(ServerName, String)> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(Some(cursor).filter(|text| text.len() <= LONGEST)?).ok()?;
        let place = String::from_utf8(self.0.open(about, &sealed)?).ok()?;
        let (server, place) = place.split_once('\0')?;
        Some((ServerName::new(server).ok()?, place.to_owned()))
    }
}

/// All that a cursor is good for. Lengths first: no part runs into another.
fn about(list: &str, view: &str, account: &str) -> String {
    format!("{list} {}:{view} {}:{account}", view.len(), account.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn gates_with_the_same_key_take_each_others_cursors_while_it_changes_too() {
        let key = |text: &&str| SealingKey::new(&Secret::new(text.repeat(32))).unwrap();
        let seal = |keys: &[&str]| Cursors::shared(&keys.iter().map(key).collect::<Vec<_>>());
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
    }

    #[test]
    fn a_cursor_of_tasks_has_what_the_server_said() {
        let (cursors, all) = (Cursors::of_this_process(), ServerName::new("all").unwrap());
        for theirs in [None, Some(String::new()), Some("=c\0".to_owned())] {
            let from = (ServerName::new("records").unwrap(), theirs);
            let cursor = cursors.seal_tasks(&all, "alice", &from).unwrap();
            assert_eq!(cursors.open_tasks(&all, "alice", &cursor), Some(from));
            assert_eq!(cursors.open_tasks(&all, "bob", &cursor), None);
            assert_eq!(cursors.open((Kind::Tool, "all", "alice"), &cursor), None);
        }
        assert_eq!(cursors.seal_tasks(&all, "alice", &(all.clone(), Some("c".repeat(LONGEST)))), None);
    }

    #[test]
    fn a_cursor_is_good_for_its_list_its_caller_and_its_gate() {
        let (seal, other) = (Cursors::of_this_process(), Cursors::of_this_process());
        let origin = Origin { server: ServerName::new("records").unwrap(), name: "find".into() };
        let cursor = seal.seal((Kind::Tool, "all", "alice"), &origin).unwrap();
        assert_eq!(seal.open((Kind::Tool, "all", "alice"), &cursor), Some(origin));
        assert_eq!(seal.open((Kind::Tool, "some", "alice"), &cursor), None);
        assert_eq!(seal.open((Kind::Tool, "all", "bob"), &cursor), None);
        assert_eq!(seal.open((Kind::Prompt, "all", "alice"), &cursor), None);
        assert_eq!(other.open((Kind::Tool, "all", "alice"), &cursor), None);
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for hidden in ["records", "find"] {
            assert!(!bytes.windows(hidden.len()).any(|text| text == hidden.as_bytes()), "{hidden}");
        }
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(seal.open((Kind::Tool, "all", "alice"), &BASE64_URL_SAFE_NO_PAD.encode(&bytes)), None, "{at}");
            bytes[at] ^= 1;
        }
        for none in ["", "AAAA", "null", &"A".repeat(10_000)] {
            assert_eq!(seal.open((Kind::Tool, "all", "alice"), none), None, "{none}");
        }
    }
}
