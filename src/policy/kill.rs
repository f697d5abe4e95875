//! The kill switch: what an operator has stopped, whatever grants it. It only ever denies, and holds in shadow, too.

use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rules::Names;
use super::{PolicySet, Query, RuleId};
use crate::identity::Proof;
use crate::mcp::Target;

/// All that is stopped.
#[derive(Clone, Debug, Default)]
pub struct Kills(pub(super) Arc<[Kill]>);

/// Something that is stopped: what all that is named here have in common; everything, if nothing is.
#[derive(Clone, Debug)]
pub struct Kill {
    pub(super) server: Option<Box<str>>,
    pub(super) tool: Option<(Box<str>, Names)>,
    pub(super) principal: Option<Box<str>>,
    pub(super) key: Option<Box<str>>,
    pub(super) reason: Box<str>,
    pub(super) by: Box<str>,
    pub(super) at: Option<SystemTime>,
    pub(super) expires: Option<SystemTime>,
    pub(super) in_flight: InFlight,
    pub(super) rule: RuleId,
}

/// What becomes of calls that are under way when something is stopped.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum InFlight {
    /// They end by themselves.
    #[default]
    Drain,
    /// They are ended.
    Abort,
}

/// What a [`Kill`] is about, by the narrowest thing that it names: the label `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillScope {
    /// Everything.
    All,
    /// A server.
    Server,
    /// A tool.
    Tool,
    /// A principal.
    Principal,
    /// A key.
    Key,
}

/// How far what was refused reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// A tool, which is then not there.
    Tool,
    /// Whatever the caller could ask.
    Everything,
}

impl PolicySet {
    /// The same rules, beside which this is stopped, and nothing else.
    #[must_use]
    pub fn stopping(&self, kills: Kills) -> Self {
        Self { kills, ..self.clone() }
    }

    /// What is stopped.
    pub fn kills(&self) -> &Kills {
        &self.kills
    }
}

impl Kills {
    /// These, and those of another source.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self(self.iter().chain(others.iter()).cloned().collect())
    }

    /// Those that are not over.
    #[must_use]
    pub fn at(&self, now: SystemTime) -> Self {
        Self(self.iter().filter(|kill| !kill.is_over(now)).cloned().collect())
    }

    /// Those about something else than this one is.
    #[must_use]
    pub fn without(&self, other: &Kill) -> Self {
        Self(self.iter().filter(|kill| !kill.is_about_the_same(other)).cloned().collect())
    }

    /// The one about the same thing as this is.
    pub fn about_the_same(&self, other: &Kill) -> Option<&Kill> {
        self.iter().find(|kill| kill.is_about_the_same(other))
    }

    /// These and one more.
    #[must_use]
    pub fn with(&self, kill: Kill) -> Self {
        Self(self.iter().cloned().chain([kill]).collect())
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Kill> {
        self.0.iter()
    }

    /// What stops this.
    pub(super) fn stopping(&self, query: &Query<'_>) -> Option<&Kill> {
        self.iter().find(|kill| kill.stops(query))
    }

    /// What ends this, if it is under way.
    pub fn aborting(&self, query: &Query<'_>) -> Option<&Kill> {
        self.iter().find(|kill| kill.in_flight == InFlight::Abort && kill.stops(query))
    }

    /// Whether both are of the same words.
    pub fn are(&self, others: &Self) -> bool {
        self.0.len() == others.0.len() && self.iter().zip(others.iter()).all(|(one, other)| one.told() == other.told())
    }
}

impl Kill {
    fn stops(&self, query: &Query<'_>) -> bool {
        let tool = |names: &Names| matches!(query.target, Target::Tool(name) if names.find(name).is_some());
        let is = |named: &Option<Box<str>>, known: &str| named.as_deref().is_none_or(|named| named == known);
        let key = match query.principal.proof() {
            Proof::ApiKey(_) => is(&self.key, query.principal.id()),
            Proof::Certificate(_) | Proof::Token(_) | Proof::Anonymous => self.key.is_none(),
        };
        key && is(&self.principal, query.principal.id())
            && is(&self.server, query.server.as_str())
            && self.tool.as_ref().is_none_or(|(_, names)| tool(names))
            && !self.is_over(query.context.at)
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        self.named() == other.named()
    }

    /// The names that it is about, by their keys in the file.
    pub fn named(&self) -> Vec<(&'static str, &str)> {
        let tool = self.tool.as_ref().map(|(pattern, _)| pattern);
        let keys = [("server", self.server.as_ref()), ("tool", tool), ("principal", self.principal.as_ref())];
        let keys = keys.into_iter().chain([("key", self.key.as_ref())]);
        keys.filter_map(|(key, name)| Some((key, &**name?))).collect()
    }

    /// What it is about, in a word.
    pub fn scope(&self) -> KillScope {
        match self {
            Self { tool: Some(_), .. } => KillScope::Tool,
            Self { key: Some(_), .. } => KillScope::Key,
            Self { principal: Some(_), .. } => KillScope::Principal,
            Self { server: Some(_), .. } => KillScope::Server,
            _ => KillScope::All,
        }
    }

    pub(super) fn stopped(&self) -> Stopped {
        if self.tool.is_some() { Stopped::Tool } else { Stopped::Everything }
    }

    /// Where it is written.
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// The server that it names.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }
}

impl KillScope {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::All, Self::Server, Self::Tool, Self::Principal, Self::Key];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Principal => "principal",
            Self::Key => "key",
        }
    }
}
