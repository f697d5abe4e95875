//! What changes between two policies: who gains or loses what. Read [`PolicySet::diff`] first.
//!
//! Rules are compared, not calls. So that nothing is missed, each part of a policy is compared by itself, and a part
//! that cannot be compared counts as wider. If no part is wider, no call is allowed that was refused before; the other
//! way round there are false alarms, where two rules together say what one said before.

mod conditions;
mod grants;
mod issuers;
mod keys;
mod limits;
mod opened;
mod pins;
mod redactions;
mod restrictions;
#[cfg(test)]
mod tests;
mod tools;
mod upstream_headers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use opened::{Side, diff_callers};

use super::names::Kind;
use super::rules::Rules;
use super::{Mode, PolicySet, RuleId};
use crate::mcp::{Question, ServerName};

/// One thing that is different, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Whether it is more or less.
    pub direction: Direction,
    /// Of which server; keys are for all.
    pub server: Option<ServerName>,
    /// What it is about.
    pub what: What,
    /// In words, one line each.
    pub details: Vec<String>,
    /// For whom.
    pub who: BTreeSet<Who>,
    /// Where it is written before.
    pub old: Option<RuleId>,
    /// Where it is written now.
    pub new: Option<RuleId>,
}

/// Whether there is more access or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// It could not be used at all.
    Gained,
    /// It can be used in more ways; or nobody can say that it cannot.
    Widened,
    /// It is different, and neither more nor less.
    Changed,
    /// It can be used in fewer ways.
    Narrowed,
    /// It cannot be used any more.
    Lost,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The server as a whole.
    Server,
    /// Names of this kind, or a pattern of them: `tool`, `prompt`, `resource`, `method`.
    Named(&'static str, Arc<str>),
    /// All tools that have no entry of their own.
    OtherTools,
    /// The key of this id.
    Key(Arc<str>),
    /// The certificates that go by this name.
    Certificate(Arc<str>),
    /// The tokens of this issuer.
    Tokens(Arc<str>),
    /// Callers without a credential.
    Anonymous,
    /// A view of this name: what it shows, which grants nothing.
    View(Arc<str>),
}

/// Whose access changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Whoever may use it.
    Everyone,
    /// Every caller that proved who it is.
    Authenticated,
    /// Whoever holds this role.
    Role(Arc<str>),
}

impl Direction {
    /// Whether somebody may do more by it.
    pub fn widens(self) -> bool {
        matches!(self, Self::Gained | Self::Widened)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gained => "gained",
            Self::Widened => "widened",
            Self::Changed => "changed",
            Self::Narrowed => "narrowed",
            Self::Lost => "lost",
        }
    }
}

impl PolicySet {
    /// What is different in `new`, most access first. Nothing, if nothing is.
    pub fn diff(&self, new: &Self) -> Vec<Change> {
        let none = Rules::default();
        let servers: BTreeSet<&ServerName> = self.servers.keys().chain(new.servers.keys()).collect();
        let mut found = Vec::new();
        for server in servers {
            let [old, new] = [self, new].map(|policy| policy.servers.get(server).map_or(&none, |rules| &**rules));
            let both = Both { server, old, new };
            both.ungranted(&mut found);
            both.questions(&mut found);
            both.grants(&mut found);
            both.tools(&mut found);
            both.limits(&mut found);
            both.redactions(&mut found);
            both.pins(&mut found);
            both.upstream_headers(&mut found);
        }
        joined(found)
    }
}

/// The same server before and now.
#[derive(Clone, Copy)]
struct Both<'a> {
    server: &'a ServerName,
    old: &'a Rules,
    new: &'a Rules,
}

impl Both<'_> {
    /// What becomes of what no rule grants.
    fn ungranted(&self, found: &mut Vec<Change>) {
        let (direction, detail) = match (self.old.ungranted.mode, self.new.ungranted.mode) {
            (Mode::Enforce, Mode::Shadow) => {
                (Direction::Widened, "mode: enforce → shadow; what no rule grants is recorded and not refused")
            }
            (Mode::Shadow, Mode::Enforce) => {
                (Direction::Narrowed, "mode: shadow → enforce; what no rule grants is refused")
            }
            (Mode::Enforce, Mode::Enforce) | (Mode::Shadow, Mode::Shadow) => return,
        };
        let place = |rules: &Rules| Some(rules.ungranted.rule.clone()).filter(|rule| rule.file().is_some());
        let change = self.change(direction, What::Server, vec![detail.to_owned()]);
        found.push(Change { old: place(self.old), new: place(self.new), ..change });
    }

    /// What the server may ask of its clients.
    fn questions(&self, found: &mut Vec<Change>) {
        let [old, new] = [self.old, self.new].map(|rules| {
            let may = Question::ALL.into_iter().filter(|it| (rules.server_may | rules.in_shadow).has(*it));
            may.map(Question::name).collect::<Vec<_>>()
        });
        let direction = match new.iter().all(|question| old.contains(question)) {
            _ if old == new => return,
            true => Direction::Narrowed,
            false => Direction::Widened,
        };
        let [old, new] = [old, new].map(|all| if all.is_empty() { "nothing".to_owned() } else { all.join(", ") });
        found.push(self.change(direction, What::Server, vec![format!("server_may: {old} → {new}")]));
    }

    /// Limits over all that the server offers.
    fn limits(&self, found: &mut Vec<Change>) {
        let [old, new] = [self.old, self.new].map(|rules| {
            let enforced = rules.limits.iter().filter(|rule| rule.mode == Mode::Enforce);
            enforced.cloned().collect::<Vec<_>>()
        });
        let [before, now] = [&old, &new].map(|side| side.first().map(|rule| rule.rule.clone()));
        for (direction, detail) in limits::compare(&old, &new) {
            let change = self.change(direction, What::Server, vec![detail]);
            found.push(Change { old: before.clone(), new: now.clone(), ..change });
        }
    }

    /// A change for everyone whom it concerns.
    fn change(&self, direction: Direction, what: What, details: Vec<String>) -> Change {
        let who = BTreeSet::from([Who::Everyone]);
        Change { direction, server: Some(self.server.clone()), what, details, who, old: None, new: None }
    }
}

impl What {
    fn named(kind: Kind, name: &Arc<str>) -> Self {
        let kind = match kind {
            Kind::Tools => "tool",
            Kind::Prompts => "prompt",
            Kind::Resources => "resource",
            Kind::Methods => "method",
        };
        Self::Named(kind, Arc::clone(name))
    }
}

/// The same change of several roles is one, and stands in the order of importance.
fn joined(found: Vec<Change>) -> Vec<Change> {
    let mut whom: BTreeMap<Change, BTreeSet<Who>> = BTreeMap::new();
    for mut change in found {
        let who = std::mem::take(&mut change.who);
        whom.entry(change).or_default().extend(who);
    }
    whom.into_iter().map(|(change, who)| Change { who, ..change }).collect()
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the whole server"),
            Self::Named(kind, name) if name.contains('*') => write!(f, "{kind}s {name}"),
            Self::Named(kind, name) => write!(f, "{kind} {name}"),
            Self::OtherTools => f.write_str("tools without an entry of their own"),
            Self::Key(id) => write!(f, "key {id}"),
            Self::Certificate(name) => write!(f, "certificate with {name}"),
            Self::Tokens(issuer) => write!(f, "tokens of {issuer}"),
            Self::Anonymous => f.write_str("callers without a credential"),
            Self::View(name) => write!(f, "view {name}"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("whoever may use it"),
            Self::Authenticated => f.write_str("every authenticated caller"),
            Self::Role(role) => write!(f, "role {role}"),
        }
    }
}
