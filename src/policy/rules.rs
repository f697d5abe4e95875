//! The rules of one server, compiled: grants by role, settings by tool. Built by `compile`, read by `decide`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use super::limit::LimitRule;
use super::names::Kind;
use super::query::Context;
use super::redaction::Redactors;
use super::restriction::Restriction;
use super::upstream_headers::UpstreamHeader;
use super::{Caching, Condition, Mode, Pins, Reason, RuleId, Scopes};
use crate::mcp::{KeyName, Questions};

/// What one server's policy says.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// By role: what it brings, itself first, then what it inherits.
    pub(super) roles: HashMap<Arc<str>, Box<[Brought]>>,
    /// What every authenticated caller may use: the `allowed_tools` form.
    pub(super) authenticated: Option<Brought>,
    /// What nobody may use, whatever grants it.
    pub(super) denied: Vec<Denied>,
    /// What becomes of what no rule grants.
    pub(super) ungranted: Ungranted,
    /// Settings of the tools that have an entry of their own.
    pub(super) tools: HashMap<Box<str>, Arc<ToolRules>>,
    /// Settings of all others: the entry `"*"`, or the defaults.
    pub(super) other_tools: Arc<ToolRules>,
    /// Limits over all that the server offers.
    pub(super) limits: Arc<[LimitRule]>,
    /// What is looked for in all calls and answers, by file.
    pub(super) redactors: Vec<Arc<Redactors>>,
    /// Every tool that some rule spells out.
    pub(super) named_tools: HashSet<Arc<str>>,
    /// What its tools are, if it is in the lock.
    pub(super) pins: Option<Pins>,
    /// What the server may ask of its clients.
    pub(super) server_may: Questions,
    /// What it may ask only because all files of the server are in shadow.
    pub(super) in_shadow: Questions,
    /// What it is told of who asks.
    pub(super) upstream_headers: Vec<UpstreamHeader>,
}

/// A role, and what restricts it on the way to who holds it.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    pub(super) role: Arc<RoleRules>,
    /// Its own, and those of the roles that inherit it. All must hold.
    pub(super) restrictions: Box<[Arc<Restriction>]>,
}

/// What a role says by itself.
#[derive(Debug)]
pub(super) struct RoleRules {
    /// Where it is written.
    pub(super) rule: RuleId,
    pub(super) grants: Targets,
    /// Denied to whoever holds the role, at any time and from everywhere.
    pub(super) denied: Option<Denied>,
    pub(super) restriction: Option<Arc<Restriction>>,
}

/// Names that are denied.
#[derive(Clone, Debug)]
pub(super) struct Denied {
    pub(super) names: Targets,
    pub(super) mode: Mode,
}

/// Refused by default; recorded only where all files of the server are in shadow.
#[derive(Clone, Debug)]
pub(super) struct Ungranted {
    pub(super) mode: Mode,
    /// The default; in shadow, what says so.
    pub(super) rule: RuleId,
}

/// Names of all kinds: what a role grants, or what is denied.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub(super) tools: Names,
    pub(super) prompts: Names,
    pub(super) resources: Names,
    pub(super) methods: Names,
}

/// A set of names: exact ones found by hash, and globs.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Arc<str>, RuleId>,
    globs: Vec<(Glob, RuleId)>,
    /// The first rule of all: which one is told must not depend on the order of a map.
    first: Option<RuleId>,
}

/// A pattern with one `*`, which stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    head: Box<str>,
    tail: Box<str>,
}

/// So many patterns of one set are compared with others: nobody reads more.
const MAX_COMPARED: usize = 1_000;

/// How a name was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// Spelt out.
    Exact(&'a RuleId),
    /// By a pattern.
    Glob(&'a RuleId),
}

/// What it does if a call comes twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Harm, for all that is known.
    Harm,
    /// Nothing more than once: the tool is idempotent.
    Nothing,
    /// Nothing at all: the server knows a call again by its key of this name.
    Known(KeyName),
}

/// How a tool may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRules {
    /// What must hold of the arguments.
    pub arguments: Option<Arc<Condition>>,
    /// When and from where it can be used.
    pub(super) restriction: Option<Arc<Restriction>>,
    /// What the caller's credential must be good for.
    pub scopes: Option<Scopes>,
    /// What a call costs.
    pub cost: NonZeroU32,
    /// All must have room.
    pub limits: Vec<LimitRule>,
    /// What is looked for in its calls and their answers.
    pub(super) redactors: Option<Arc<Redactors>>,
    /// How long the server may stay silent about a call.
    pub timeout: Duration,
    /// Which of its answers are given again.
    pub caching: Option<Caching>,
    /// Whether a call may run twice.
    pub(super) repeats: Repeats,
    /// Whether all this is enforced. The timeout and the cache always are.
    pub mode: Mode,
}

/// The timeout of a tool that no policy gives one.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

impl Default for ToolRules {
    fn default() -> Self {
        Self {
            arguments: None,
            restriction: None,
            scopes: None,
            cost: NonZeroU32::MIN,
            limits: Vec::new(),
            redactors: None,
            timeout: DEFAULT_TIMEOUT,
            caching: None,
            repeats: Repeats::Harm,
            mode: Mode::Enforce,
        }
    }
}

impl Rules {
    /// How this tool may be used.
    pub(super) fn tool(&self, name: &str) -> &Arc<ToolRules> {
        self.tools.get(name).unwrap_or(&self.other_tools)
    }
}

impl Ungranted {
    /// Of several files, one that enforces decides: what it does not grant is refused.
    pub(super) fn both(known: Option<Self>, mode: Mode, rule: Option<RuleId>) -> Self {
        match (known, mode, rule) {
            (Some(Self { mode: Mode::Enforce, rule }), _, _) => Self { mode: Mode::Enforce, rule },
            (known, Mode::Shadow, rule) => {
                Self { mode, rule: rule.or(known.map(|it| it.rule)).unwrap_or_else(RuleId::default_deny) }
            }
            (_, Mode::Enforce, _) => Self::default(),
        }
    }
}

impl Default for Ungranted {
    fn default() -> Self {
        Self { mode: Mode::Enforce, rule: RuleId::default_deny() }
    }
}

impl Names {
    /// Adds a name or a pattern. The first rule that has a name is the one that is told.
    pub(super) fn add(&mut self, pattern: &Arc<str>, rule: &RuleId) {
        self.first.get_or_insert_with(|| rule.clone());
        match pattern.split_once('*') {
            None => {
                self.exact.entry(Arc::clone(pattern)).or_insert_with(|| rule.clone());
            }
            Some((head, tail)) => self.globs.push((Glob { head: head.into(), tail: tail.into() }, rule.clone())),
        }
    }

    /// Adds all that another set has.
    pub(super) fn extend(&mut self, other: &Self) {
        self.first = self.first.take().or_else(|| other.first.clone());
        for (name, rule) in &other.exact {
            self.exact.entry(Arc::clone(name)).or_insert_with(|| rule.clone());
        }
        self.globs.extend(other.globs.iter().cloned());
    }

    /// The rule that grants this name.
    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(rule) = self.exact.get(name) {
            return Some(Found::Exact(rule));
        }
        self.globs.iter().find(|(glob, _)| glob.matches(name)).map(|(_, rule)| Found::Glob(rule))
    }

    /// What [`Names::find`] finds this name by, as it is written.
    pub(super) fn pattern_of(&self, name: &str) -> Option<String> {
        match self.find(name)? {
            Found::Exact(_) => Some(name.to_owned()),
            Found::Glob(_) => self.globs.iter().find(|(glob, _)| glob.matches(name)).map(|(glob, _)| glob.to_string()),
        }
    }

    /// The rule that has all that this name or pattern means.
    pub(super) fn covering(&self, pattern: &str) -> Option<Found<'_>> {
        let Some((head, tail)) = pattern.split_once('*') else {
            return self.find(pattern);
        };
        let covers = |glob: &Glob| head.starts_with(&*glob.head) && tail.ends_with(&*glob.tail);
        self.globs.iter().find(|(glob, _)| covers(glob)).map(|(_, rule)| Found::Glob(rule))
    }

    /// Whether something that this name or pattern means could be among these.
    pub(super) fn touches(&self, pattern: &str) -> bool {
        let Some((head, tail)) = pattern.split_once('*') else {
            return self.find(pattern).is_some();
        };
        let sought = Glob { head: head.into(), tail: tail.into() };
        let one_way = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        let other_way = |a: &str, b: &str| a.ends_with(b) || b.ends_with(a);
        self.exact.keys().any(|name| sought.matches(name))
            || self.globs.iter().any(|(glob, _)| one_way(&glob.head, head) && other_way(&glob.tail, tail))
    }

    /// All names and patterns, each with its rule.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Arc<str>, &RuleId)> {
        let exact = self.exact.iter().map(|(name, rule)| (Arc::clone(name), rule));
        let globs = self.globs.iter().map(|(glob, rule)| (format!("{}*{}", glob.head, glob.tail).into(), rule));
        exact.chain(globs)
    }

    /// A pattern that grants all that this name or pattern does and more, and where it stands.
    pub(super) fn wider(&self, pattern: &str) -> Option<(String, &RuleId)> {
        let sought = pattern.split_once('*');
        let (glob, rule) = self.globs.iter().take(MAX_COMPARED).find(|(glob, _)| match sought {
            None => glob.matches(pattern),
            Some((head, tail)) => {
                (&*glob.head, &*glob.tail) != (head, tail)
                    && head.starts_with(&*glob.head)
                    && tail.ends_with(&*glob.tail)
            }
        })?;
        Some((glob.to_string(), rule))
    }

    /// Where the very same name or pattern stands.
    pub(super) fn same(&self, pattern: &str) -> Option<&RuleId> {
        match pattern.split_once('*') {
            None => self.exact.get(pattern),
            Some((head, tail)) => {
                let same = |glob: &Glob| (&*glob.head, &*glob.tail) == (head, tail);
                self.globs.iter().take(MAX_COMPARED).find(|(glob, _)| same(glob)).map(|(_, rule)| rule)
            }
        }
    }

    /// The names that are spelt out.
    pub(super) fn spelt_out(&self) -> impl Iterator<Item = &Arc<str>> {
        self.exact.keys()
    }

    /// Any rule at all: who may use something of a kind may ask for the list of it.
    pub(super) fn any(&self) -> Option<&RuleId> {
        self.first.as_ref()
    }
}

impl Targets {
    /// The names of this kind.
    pub(super) fn of(&self, kind: Kind) -> &Names {
        match kind {
            Kind::Tools => &self.tools,
            Kind::Prompts => &self.prompts,
            Kind::Resources => &self.resources,
            Kind::Methods => &self.methods,
        }
    }
}

impl Brought {
    /// Of nobody's but the role's own doing.
    pub(super) fn alone(role: RoleRules) -> Self {
        let restrictions = role.restriction.iter().cloned().collect();
        Self { role: Arc::new(role), restrictions }
    }

    /// What keeps the role from granting anything now and from there. What is enforced counts first.
    pub(super) fn broken(&self, context: &Context) -> Option<(Reason, &RuleId, Mode)> {
        let broken = |restriction: &'_ &Arc<Restriction>| restriction.broken(context).is_some();
        let enforced = self.restrictions.iter().filter(|it| it.mode == Mode::Enforce).find(broken);
        let restriction = enforced.or_else(|| self.restrictions.iter().find(broken))?;
        restriction.broken(context).map(|(reason, rule)| (reason, rule, restriction.mode))
    }
}

impl Glob {
    fn matches(&self, name: &str) -> bool {
        name.len() >= self.head.len() + self.tail.len() && name.starts_with(&*self.head) && name.ends_with(&*self.tail)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.head, self.tail)
    }
}

impl<'a> Found<'a> {
    pub(super) fn rule(self) -> &'a RuleId {
        match self {
            Self::Exact(rule) | Self::Glob(rule) => rule,
        }
    }
}
