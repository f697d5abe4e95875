//! What the tools of several servers are called in one list. Names are made from all that is there, not from the order in
//! which it came; and what a name leads to is looked up, never read from it.
//!
//! Vendors of models take function names of at most 64 characters of `[A-Za-z0-9_-]`, so every name is one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::mcp::ServerName;

/// The longest name.
pub(super) const LONGEST: usize = 64;
/// So many digits of a hash tell apart what would otherwise be called the same.
const DIGITS: usize = 10;

/// What one tool may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// This: a reviewer has written it.
    Given(&'a str),
    /// As its server calls it, while no other is called so.
    Bare,
    /// As its server calls it, behind the name of that.
    Prefixed,
}

/// A tool, prompt, resource or template of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The server.
    pub server: ServerName,
    /// What that calls it: its name or its URI.
    pub name: Box<str>,
}

/// What every tool is called, and whose every name is.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In the order of the servers' and tools' own names.
    called: BTreeMap<Origin, Arc<str>>,
    origins: HashMap<Arc<str>, Origin>,
}

impl Names {
    /// Names for all of these. What would be called the same is called otherwise, all of it: whoever comes first keeps
    /// nothing. What a reviewer has called so stays.
    pub(super) fn of<'a>(tools: impl IntoIterator<Item = (Origin, Wish<'a>)>) -> Self {
        let mut candidates: BTreeMap<Origin, Candidates<'a>> =
            tools.into_iter().map(|(origin, wish)| (origin, Candidates { wish, step: 0 })).collect();
        loop {
            let mut called: HashMap<Box<str>, Vec<Origin>> = HashMap::new();
            for (origin, candidate) in &candidates {
                called.entry(candidate.name(origin)).or_default().push(origin.clone());
            }
            let mut moved = false;
            for origin in called.into_values().filter(|origins| origins.len() > 1).flatten() {
                moved |= candidates.get_mut(&origin).is_some_and(Candidates::next);
            }
            if !moved {
                break;
            }
        }
        Self::settled(&candidates)
    }

    /// Names that several of these would have if all were called as is wished first, each with who.
    pub(super) fn wanted_twice(tools: &[(Origin, Wish<'_>)]) -> BTreeMap<Box<str>, Vec<Origin>> {
        let mut wanted: BTreeMap<Box<str>, Vec<Origin>> = BTreeMap::new();
        for (origin, wish) in tools {
            wanted.entry(Candidates { wish: *wish, step: 0 }.name(origin)).or_default().push(origin.clone());
        }
        wanted.retain(|_, origins| origins.len() > 1);
        wanted
    }

    /// What two are called by all the same, after hashes were tried, is nobody's.
    fn settled(candidates: &BTreeMap<Origin, Candidates<'_>>) -> Self {
        let mut count: HashMap<Box<str>, usize> = HashMap::new();
        let named: Vec<_> = candidates.iter().map(|(origin, candidate)| (origin, candidate.name(origin))).collect();
        for (_, name) in &named {
            *count.entry(name.clone()).or_default() += 1;
        }
        let mut settled = Self::default();
        for (origin, name) in named {
            if count.get(&name) != Some(&1) {
                tracing::warn!(server = %origin.server, tool = &*origin.name, name = &*name, "a tool, prompt or resource is not shown: it cannot be told from another one by any name");
                continue;
            }
            let name = Arc::<str>::from(name);
            settled.origins.insert(Arc::clone(&name), origin.clone());
            settled.called.insert(origin.clone(), name);
        }
        settled
    }

    /// What a tool is called.
    pub(super) fn name(&self, origin: &Origin) -> Option<&Arc<str>> {
        self.called.get(origin)
    }

    /// The tool that is called so.
    pub(super) fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.get(name)
    }

    /// All tools, in an order that does not change while they do not, each with its name.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Origin, &Arc<str>)> {
        self.called.iter()
    }
}

/// What a tool may be called, from what is wished for to what is certain.
struct Candidates<'a> {
    wish: Wish<'a>,
    step: usize,
}

impl Candidates<'_> {
    /// Goes on to the next; false if there is none.
    fn next(&mut self) -> bool {
        let last = match self.wish {
            Wish::Given(_) => 0,
            Wish::Bare => 2,
            Wish::Prefixed => 1,
        };
        let goes_on = self.step < last;
        self.step += usize::from(goes_on);
        goes_on
    }

    fn name(&self, origin: &Origin) -> Box<str> {
        match (self.wish, self.step) {
            (Wish::Given(name), _) => name.into(),
            (Wish::Bare, 0) => fitting(&origin.name, origin),
            (Wish::Bare, 1) | (Wish::Prefixed, 0) => fitting(&prefixed(origin), origin),
            (Wish::Bare | Wish::Prefixed, _) => hashed(&prefixed(origin), origin),
        }
    }
}

fn prefixed(origin: &Origin) -> String {
    format!("{}_{}", origin.server, origin.name)
}

/// Whether models' vendors take it.
pub(super) fn is_taken(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The text, if it can be a name; else what is left of it with a hash behind, so that two that leave the same differ.
fn fitting(text: &str, origin: &Origin) -> Box<str> {
    if is_taken(text) { text.into() } else { hashed(text, origin) }
}

fn hashed(text: &str, origin: &Origin) -> Box<str> {
    let plain = text.chars().map(|c| if c.is_ascii() && is_plain(c as u8) { c } else { '_' });
    let mut name: String = plain.take(LONGEST - DIGITS - 1).collect();
    name.push('_');
    let digits = HEXLOWER.encode(&Sha256::digest(format!("{}\0{}", origin.server, origin.name)));
    name.extend(digits.chars().take(DIGITS));
    name.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(server: &str, tool: &str) -> Origin {
        Origin { server: ServerName::new(server).unwrap(), name: tool.into() }
    }

    fn names(tools: &[(&str, &str, Wish<'static>)]) -> Vec<String> {
        let names = Names::of(tools.iter().map(|(server, tool, wish)| (origin(server, tool), *wish)));
        let called = |server: &str, tool: &str| names.name(&origin(server, tool)).map_or("-", |name| name).to_owned();
        tools.iter().map(|(server, tool, _)| called(server, tool)).collect()
    }

    #[test]
    fn a_name_is_as_short_as_it_can_be_and_no_shorter() {
        use Wish::{Bare, Given, Prefixed};
        assert_eq!(names(&[("a", "find", Bare), ("b", "push", Bare)]), ["find", "push"]);
        assert_eq!(
            names(&[("a", "find", Bare), ("b", "find", Bare), ("b", "push", Bare)]),
            ["a_find", "b_find", "push"]
        );
        assert_eq!(names(&[("a", "find", Prefixed), ("b", "find", Bare)]), ["a_find", "find"]);
        // A reviewer's name stays, whoever calls a tool so.
        assert_eq!(names(&[("a", "find", Given("seek")), ("b", "seek", Bare)]), ["seek", "b_seek"]);
    }

    #[test]
    fn no_server_takes_anothers_name() {
        use Wish::{Bare, Prefixed};
        // One pretends to be the other by its tools' names, or by an underscore in its own.
        for tools in
            [[("a", "find", Prefixed), ("b", "a_find", Bare)], [("a", "b_find", Prefixed), ("a_b", "find", Prefixed)]]
        {
            let called = names(&tools);
            assert!(called.iter().all(|name| name != "a_find" && name != "a_b_find"), "{called:?}");
            assert_ne!(called[0], called[1]);
        }
    }

    #[test]
    fn what_models_do_not_take_is_told_apart_by_a_hash() {
        let long = "x".repeat(70);
        let called = names(&[
            ("a", "find.it", Wish::Bare),
            ("a", "find/it", Wish::Bare),
            ("a", Box::leak(long.into_boxed_str()), Wish::Prefixed),
        ]);
        assert!(called[0].starts_with("find_it_") && called[1].starts_with("find_it_"), "{called:?}");
        assert_ne!(called[0], called[1]);
        assert_eq!(called[2].len(), LONGEST);
        // It must be the same after a restart, and in every replica.
        assert_eq!(called[0], "find_it_40300ec26b");
    }

    fn catalogues() -> impl Strategy<Value = Vec<(Origin, Wish<'static>)>> {
        let server = prop_oneof![Just("a"), Just("b"), Just("a_b"), Just("a-b")];
        let tool = prop_oneof!["[a-b_.]{1,4}", "[a-b_]{60,70}", "\\PC{1,6}"];
        let wish = prop_oneof![Just(Wish::Bare), Just(Wish::Prefixed)];
        prop::collection::vec((server, tool, wish), 0..40)
            .prop_map(|tools| tools.into_iter().map(|(server, tool, wish)| (origin(server, &tool), wish)).collect())
    }

    proptest! {
        #[test]
        fn no_tool_is_lost_and_no_name_leads_elsewhere(tools in catalogues()) {
            let names = Names::of(tools.clone());
            for (origin, _) in &tools {
                let name = names.name(origin).expect("none is lost");
                prop_assert!(is_taken(name), "{name}");
                prop_assert_eq!(names.origin(name), Some(origin));
            }
            prop_assert_eq!(names.iter().count(), names.origins.len());
        }

        #[test]
        fn names_do_not_depend_on_the_order_in_which_tools_came(tools in catalogues(), seed in any::<u64>()) {
            // The last wish for a tool counts, so there is one for each.
            let tools: BTreeMap<_, _> = tools.into_iter().collect();
            let mut shuffled: Vec<_> = tools.clone().into_iter().collect();
            let length = shuffled.len().max(1);
            shuffled.rotate_left(usize::try_from(seed % 1000).unwrap() % length);
            shuffled.reverse();
            let (one, other) = (Names::of(tools), Names::of(shuffled));
            prop_assert!(one.iter().eq(other.iter()));
        }
    }
}
