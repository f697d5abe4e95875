//! `redact`: what of calls and answers is not for everyone's eyes, and what becomes of it. It decides what data leaves, so
//! it stands where it is reviewed.

mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub(super) use source::{Redactions, compile};

use super::{Mode, RuleId};
use crate::json;
use crate::redact::{self, Finder, Hit, Part, What};

/// What becomes of what is found. The greater one is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is recorded.
    Alert,
    /// Something else stands in its place.
    Mask,
    /// The call is refused, or the answer withheld.
    Block,
}

/// Where something is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// In what a caller sends.
    Arguments,
    /// In what a server says.
    Results,
}

/// What is looked for in one list, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Redactors {
    arguments: Option<Arc<Redactor>>,
    results: Option<Arc<Redactor>>,
    mode: Mode,
}

/// What is looked for in one direction.
#[derive(Debug)]
struct Redactor {
    /// What becomes of what is found, by its name.
    handled: BTreeMap<Box<str>, Handled>,
    /// What is masked or blocked.
    hidden: Option<Look>,
    /// What is only recorded. It is looked for apart, or whoever writes it could keep with it what must be hidden.
    told: Option<Look>,
}

/// What is looked for at once.
#[derive(Debug)]
struct Look {
    finder: Finder,
    /// The names of the finder's patterns.
    patterns: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Handled {
    action: Action,
    /// As it is written, if it is a pattern.
    pattern: Option<Box<str>>,
    rule: RuleId,
}

/// Something that was found, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What: a detector or pattern, by its name.
    pub name: Box<str>,
    /// Where.
    pub flow: Flow,
    /// What came of it: in shadow no more than that it is recorded.
    pub action: Action,
    /// Where that is written.
    pub rule: RuleId,
    /// What would have come of it, in shadow.
    pub would: Option<Action>,
}

/// What is left of a text.
#[derive(Debug, Default)]
pub struct Redacted {
    /// All that was found, once by name.
    pub sightings: Vec<Sighting>,
    /// The text, if something else stands in it now.
    pub masked: Option<Vec<u8>>,
}

/// The lists that apply to one thing: its server's, and its own.
#[derive(Clone, Debug, Default)]
pub struct Redaction(pub(super) Vec<Arc<Redactors>>);

impl Action {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Alert, Self::Mask, Self::Block];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

impl Flow {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Arguments, Self::Results];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Results => "results",
        }
    }
}

impl Redactors {
    fn of(&self, flow: Flow) -> Option<&Arc<Redactor>> {
        match flow {
            Flow::Arguments => self.arguments.as_ref(),
            Flow::Results => self.results.as_ref(),
        }
    }

    /// What is enforced: what becomes of each thing in each direction, with what tells apart what has the same name.
    pub(super) fn enforced(&self) -> impl Iterator<Item = ((Flow, Looked), Action)> {
        let enforced = Flow::ALL.into_iter().filter(|_| self.mode == Mode::Enforce);
        enforced.flat_map(|flow| {
            let handled = self.of(flow).into_iter().flat_map(|redactor| &redactor.handled);
            handled.map(move |(name, handled)| {
                ((flow, Looked { name: name.clone(), pattern: handled.pattern.clone() }), handled.action)
            })
        })
    }

    /// Where it is written that arguments are refused.
    pub(super) fn refusing(&self) -> Vec<&RuleId> {
        let handled = self.arguments.iter().flat_map(|redactor| redactor.handled.values());
        let mut rules: Vec<&RuleId> =
            handled.filter(|handled| handled.action == Action::Block).map(|handled| &handled.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }

    /// Where it is written.
    pub(super) fn rule(&self) -> Option<&RuleId> {
        let first = |redactor: &'_ &Arc<Redactor>| !redactor.handled.is_empty();
        let redactor = Flow::ALL.into_iter().filter_map(|flow| self.of(flow)).find(first)?;
        redactor.handled.values().map(|handled| &handled.rule).min()
    }
}

/// What is looked for, as `diff` compares it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Looked {
    name: Box<str>,
    pattern: Option<Box<str>>,
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            None => f.write_str(&self.name),
            Some(pattern) => write!(f, "{} ({pattern})", self.name),
        }
    }
}

/// What finds the same.
impl PartialEq for Redactor {
    fn eq(&self, other: &Self) -> bool {
        self.handled == other.handled
    }
}

impl Eq for Redactor {}

/// A list's look for something, and what it makes of it.
#[derive(Clone, Copy)]
struct Looking<'a> {
    look: &'a Look,
    handled: &'a BTreeMap<Box<str>, Handled>,
    mode: Mode,
}

impl<'a> Looking<'a> {
    fn handled(self, what: What) -> Option<(&'a str, &'a Handled)> {
        let name = match what {
            What::Detector(detector) => detector.name(),
            What::Pattern(index) => self.look.patterns.get(index)?,
        };
        self.handled.get_key_value(name).map(|(name, handled)| (&**name, handled))
    }

    /// What came of something that was found.
    fn sighting(self, name: &str, handled: &Handled, flow: Flow) -> Sighting {
        let (action, would) = match self.mode {
            Mode::Enforce => (handled.action, None),
            Mode::Shadow => (Action::Alert, Some(handled.action)),
        };
        Sighting { name: name.into(), flow, action, rule: handled.rule.clone(), would }
    }
}

impl Redaction {
    /// Whether nothing is looked for there.
    pub fn is_idle(&self, flow: Flow) -> bool {
        self.0.iter().all(|list| list.of(flow).is_none())
    }

    /// What refuses calls for something in their arguments.
    pub fn refuses(&self) -> Option<&RuleId> {
        let enforced = self.0.iter().filter(|list| list.mode == Mode::Enforce);
        enforced.flat_map(|list| list.refusing()).next()
    }

    /// A text by itself, as it would stand in arguments.
    pub fn masked(&self, text: &str) -> String {
        let mut quoted = String::new();
        json::quote(text, &mut quoted);
        let masked = self.redact(quoted.as_bytes(), Flow::Arguments, Part::Whole).masked;
        let masked = masked.and_then(|masked| String::from_utf8(masked).ok());
        let inner = masked.as_deref().and_then(|masked| masked.strip_prefix('"')?.strip_suffix('"'));
        inner.map_or_else(|| text.to_owned(), |inner| json::decode(inner).into_owned())
    }

    /// Looks through this part of a JSON text that is on this way. It has been proved to have one reading.
    pub fn redact(&self, text: &[u8], flow: Flow, part: Part) -> Redacted {
        let mut redacted = Redacted::default();
        let (hiding, telling) = self.lookings(flow);
        // All at once: each mask of one list is an end of a word to the others.
        let hits = redacted.find(&hiding, (text, part), flow);
        if !hits.is_empty() {
            redacted.masked = Some(redact::masked(text, hits.iter().map(|(hit, name)| (hit, *name))));
        }
        for looking in &telling {
            redacted.find(std::slice::from_ref(looking), (text, part), flow);
        }
        redacted
    }

    /// Who hides what it finds, and who only tells it: in shadow everybody.
    fn lookings(&self, flow: Flow) -> (Vec<Looking<'_>>, Vec<Looking<'_>>) {
        let (mut hiding, mut telling) = (Vec::new(), Vec::new());
        for list in &self.0 {
            let Some(Redactor { handled, hidden, told }) = list.of(flow).map(|redactor| &**redactor) else { continue };
            let looking = |look| Looking { look, handled, mode: list.mode };
            match list.mode {
                Mode::Enforce => hiding.extend(hidden.as_ref().map(looking)),
                Mode::Shadow => telling.extend(hidden.as_ref().map(looking)),
            }
            telling.extend(told.as_ref().map(looking));
        }
        (hiding, telling)
    }
}

impl Redacted {
    /// What these find, each by its name; it is noted.
    fn find<'a>(&mut self, lookings: &[Looking<'a>], (text, part): (&[u8], Part), flow: Flow) -> Vec<(Hit, &'a str)> {
        let finders: Vec<&Finder> = lookings.iter().map(|looking| &looking.look.finder).collect();
        let hits = redact::search(&finders, text, part).into_iter().filter_map(|hit| {
            let looking = lookings.get(hit.by)?;
            let (name, handled) = looking.handled(hit.what)?;
            if !self.sightings.iter().any(|known| &*known.name == name && known.rule == handled.rule) {
                self.sightings.push(looking.sighting(name, handled, flow));
            }
            Some((hit, name))
        });
        hits.collect()
    }

    /// What must not pass at all, if something must not.
    pub fn blocked(&self) -> Option<&Sighting> {
        self.sightings.iter().find(|sighting| sighting.action == Action::Block)
    }

    /// What would not pass if it were enforced.
    pub fn would_block(&self) -> Option<&Sighting> {
        self.sightings.iter().find(|sighting| sighting.would == Some(Action::Block))
    }
}
