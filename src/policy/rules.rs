//! The rules of one server, compiled: grants by role, settings by tool. Built by `compile`, read by `decide`.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::names::Kind;
use super::{Condition, Pins, RuleId};

/// What one server's policy says.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// By role, inheritance already followed.
    pub(super) roles: HashMap<Arc<str>, Grants>,
    /// What every authenticated caller may use: the `allowed_tools` form.
    pub(super) authenticated: Grants,
    /// Settings of the tools that have an entry of their own.
    pub(super) tools: HashMap<Box<str>, Arc<ToolRules>>,
    /// Settings of all others: the entry `"*"`, or the defaults.
    pub(super) other_tools: Arc<ToolRules>,
    /// Every tool that some rule spells out.
    pub(super) named_tools: HashSet<Box<str>>,
    /// What its tools are, if it is in the lock.
    pub(super) pins: Option<Pins>,
}

/// What a role opens.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    pub(super) tools: Names,
    pub(super) prompts: Names,
    pub(super) resources: Names,
    pub(super) methods: Names,
}

/// A set of names: exact ones found by hash, and globs.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, RuleId>,
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

/// How a tool may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRules {
    /// What must hold of the arguments.
    pub arguments: Option<Arc<Condition>>,
    /// All must have room.
    pub limits: Vec<LimitRule>,
    /// How long the server may stay silent about a call.
    pub timeout: Duration,
}

/// One limit, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRule {
    /// What is counted.
    pub limit: Limit,
    /// Where it is written.
    pub rule: RuleId,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At most so many calls in any such period, per principal and tool.
    Calls {
        /// How many.
        calls: NonZeroU32,
        /// In how long.
        every: Duration,
    },
    /// At most so many calls of the tool at once.
    InFlight(NonZeroU32),
}

/// The timeout of a tool that no policy gives one.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

impl Default for ToolRules {
    fn default() -> Self {
        Self { arguments: None, limits: Vec::new(), timeout: DEFAULT_TIMEOUT }
    }
}

impl Rules {
    /// The rules of one server, with what is looked up at every call looked up once.
    pub(super) fn new(
        roles: HashMap<Arc<str>, Grants>,
        authenticated: Grants,
        tools: HashMap<Box<str>, Arc<ToolRules>>,
        other_tools: Arc<ToolRules>,
    ) -> Self {
        let granted = roles.values().chain([&authenticated]).flat_map(|grants| grants.tools.spelt_out());
        let named_tools = granted.chain(tools.keys().map(|name| &**name)).map(Box::from).collect();
        Self { roles, authenticated, tools, other_tools, named_tools, pins: None }
    }
}

impl Names {
    /// Adds a name or a pattern. The first rule that grants a name is the one that is told.
    pub(super) fn add(&mut self, pattern: &str, rule: &RuleId) {
        self.first.get_or_insert_with(|| rule.clone());
        match pattern.split_once('*') {
            None => {
                self.exact.entry(pattern.into()).or_insert_with(|| rule.clone());
            }
            Some((head, tail)) => {
                let glob = Glob { head: head.into(), tail: tail.into() };
                if !self.globs.iter().any(|(known, _)| *known == glob) {
                    self.globs.push((glob, rule.clone()));
                }
            }
        }
    }

    /// Adds all that another set has.
    pub(super) fn extend(&mut self, other: &Self) {
        self.first = self.first.take().or_else(|| other.first.clone());
        for (name, rule) in &other.exact {
            self.exact.entry(name.clone()).or_insert_with(|| rule.clone());
        }
        for (glob, rule) in &other.globs {
            if !self.globs.iter().any(|(known, _)| known == glob) {
                self.globs.push((glob.clone(), rule.clone()));
            }
        }
    }

    /// The rule that grants this name.
    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(rule) = self.exact.get(name) {
            return Some(Found::Exact(rule));
        }
        self.globs.iter().find(|(glob, _)| glob.matches(name)).map(|(_, rule)| Found::Glob(rule))
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
        Some((format!("{}*{}", glob.head, glob.tail), rule))
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
    pub(super) fn spelt_out(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(|name| &**name)
    }

    /// How many names and patterns there are.
    pub(super) fn len(&self) -> usize {
        self.exact.len() + self.globs.len()
    }

    /// Any rule at all: who may use something of a kind may ask for the list of it.
    pub(super) fn any(&self) -> Option<&RuleId> {
        self.first.as_ref()
    }
}

impl Grants {
    /// Adds all that another role grants.
    pub(super) fn inherit(&mut self, other: &Self) {
        self.tools.extend(&other.tools);
        self.prompts.extend(&other.prompts);
        self.resources.extend(&other.resources);
        self.methods.extend(&other.methods);
    }
}

impl Grants {
    /// What is granted of this kind.
    pub(super) fn of(&self, kind: Kind) -> &Names {
        match kind {
            Kind::Tools => &self.tools,
            Kind::Prompts => &self.prompts,
            Kind::Resources => &self.resources,
            Kind::Methods => &self.methods,
        }
    }

    /// How many names and patterns there are of all kinds.
    pub(super) fn len(&self) -> usize {
        self.tools.len() + self.prompts.len() + self.resources.len() + self.methods.len()
    }
}

impl Glob {
    fn matches(&self, name: &str) -> bool {
        name.len() >= self.head.len() + self.tail.len() && name.starts_with(&*self.head) && name.ends_with(&*self.tail)
    }
}

impl<'a> Found<'a> {
    pub(super) fn rule(self) -> &'a RuleId {
        match self {
            Self::Exact(rule) | Self::Glob(rule) => rule,
        }
    }
}
