//! What is allowed. Pure and total: no IO, no clock, no await. Read [`PolicySet::decide`] first.

mod compile;
mod condition;
mod decision;
mod duration;
#[cfg(test)]
mod fixture;
mod inheritance;
mod lock;
mod lock_file;
mod names;
mod node;
mod permit;
mod pins;
mod query;
mod redundancy;
mod rules;
mod schema;
mod source;
mod sql_rule;
mod tool_rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::identity::Proof;
use crate::mcp::{self, ServerName, Subject, Target};

pub use compile::{Compiled, RolesElsewhere, compile};
pub use condition::{Condition, Unmet};
pub use decision::{Decision, Effect, Reason, RuleId};
pub use duration::parse_duration;
pub use lock::{LOCK_FILE, LockedServer, Pin, ToolLock};
pub use lock_file::MAX_LOCK_BYTES;
pub use permit::{Denial, Permit};
pub use pins::{Finding, Pinning, Pins, Shown, pins};
pub use query::Query;
pub use rules::{DEFAULT_TIMEOUT, Limit, LimitRule, ToolRules};
pub use source::{Entries, POLICY_KEYS, PolicyFile, PolicySource};

use rules::{Found, Grants, Names, Rules};

/// All rules in force, compiled once. Every command and the proxy ask this one type.
#[derive(Debug)]
pub struct PolicySet {
    servers: HashMap<ServerName, Rules>,
    digest: Arc<str>,
    protocol: RuleId,
    default: RuleId,
}

impl PolicySet {
    /// May they? What no rule grants is refused, and the answer always says which rule decided.
    ///
    /// Listing asks this too, once per listed thing, so that what is listed can be called and nothing else can.
    pub fn decide(&self, query: &Query<'_>) -> Decision {
        let Some(rules) = self.servers.get(query.server) else {
            return self.denied(Reason::NotGranted);
        };
        match query.method.subject() {
            // Whose a task is, the policy cannot know; who may not make its call any more is refused there, too.
            Subject::Protocol | Subject::Task => allowed(&self.protocol),
            Subject::Unknown => self.denied(Reason::UnknownMethod),
            Subject::Method => self.named(rules, query, |grants| &grants.methods, query.method.name()),
            Subject::PromptList => self.listed(rules, query, |grants| &grants.prompts),
            Subject::ResourceList => self.listed(rules, query, |grants| &grants.resources),
            Subject::Tool | Subject::Prompt | Subject::Resource | Subject::Reference => match query.target {
                Target::Tool(name) => self.as_shown(rules, query, name, self.tool(rules, query, name)),
                Target::Prompt(name) => self.named(rules, query, |grants| &grants.prompts, name),
                Target::Resource(uri) => self.named(rules, query, |grants| &grants.resources, uri),
                Target::None | Target::Task(_) => self.denied(Reason::NotGranted),
            },
        }
    }

    /// How this tool may be used, by whoever may use it.
    pub fn tool_rules(&self, server: &ServerName, tool: &str) -> Arc<ToolRules> {
        self.servers
            .get(server)
            .map(|rules| Arc::clone(rules.tools.get(tool).unwrap_or(&rules.other_tools)))
            .unwrap_or_default()
    }

    /// What must hold of this tool's arguments.
    fn condition(&self, server: &ServerName, tool: &str) -> Option<&Condition> {
        let rules = self.servers.get(server)?;
        rules.tools.get(tool).unwrap_or(&rules.other_tools).arguments.as_deref()
    }

    /// Every limit of every tool, so that each has a counter.
    pub fn limits(&self) -> impl Iterator<Item = &LimitRule> {
        self.servers
            .values()
            .flat_map(|rules| rules.tools.values().chain([&rules.other_tools]))
            .flat_map(|tool| tool.limits.iter())
    }

    /// The first 12 hexadecimal digits of the SHA-256 of all policy files: which policy decided.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Whether a tool is named by some rule, so that it may stand in a metric's label.
    pub fn names_tool(&self, server: &ServerName, tool: &str) -> bool {
        self.servers.get(server).is_some_and(|rules| rules.named_tools.contains(tool))
    }
}

/// The steps of `decide`, each total.
impl PolicySet {
    /// A tool may have an unusual name only where a rule spells that name: no pattern is read as meaning it.
    fn tool_found<'a>(rules: &'a Rules, query: &Query<'a>, name: &str) -> Option<Found<'a>> {
        grants(rules, query).find_map(|grants| match grants.tools.find(name) {
            Some(Found::Glob(_)) if !mcp::is_well_formed(name) => None,
            found => found,
        })
    }

    fn tool(&self, rules: &Rules, query: &Query<'_>, name: &str) -> Decision {
        match Self::tool_found(rules, query, name) {
            // Arguments that this principal can never have right are as good as no grant.
            Some(found) => match self.condition(query.server, name).filter(|it| !it.is_possible(query.principal)) {
                Some(impossible) => {
                    Decision { effect: Effect::Deny(Reason::NotGranted), rule: impossible.rule.clone() }
                }
                None => allowed(found.rule()),
            },
            None if mcp::is_well_formed(name) => self.denied(Reason::NotGranted),
            None => self.denied(Reason::IllFormedName),
        }
    }

    /// What is granted is a tool that somebody has looked at: as something else it is not there.
    fn as_shown(&self, rules: &Rules, query: &Query<'_>, name: &str, decision: Decision) -> Decision {
        if decision.effect != Effect::Allow {
            return decision;
        }
        match self.found(rules.pins.as_ref(), name, query.shown) {
            Some(Finding { reason, rule, pinning: Pinning::Enforce }) => {
                Decision { effect: Effect::Deny(reason), rule }
            }
            Some(Finding { pinning: Pinning::Warn, .. }) | None => decision,
        }
    }

    fn named(&self, rules: &Rules, query: &Query<'_>, kind: fn(&Grants) -> &Names, name: &str) -> Decision {
        match grants(rules, query).find_map(|grants| kind(grants).find(name)) {
            Some(found) => allowed(found.rule()),
            None => self.denied(Reason::NotGranted),
        }
    }

    fn listed(&self, rules: &Rules, query: &Query<'_>, kind: fn(&Grants) -> &Names) -> Decision {
        match grants(rules, query).find_map(|grants| kind(grants).any()) {
            Some(rule) => allowed(rule),
            None => self.denied(Reason::NotGranted),
        }
    }

    fn denied(&self, reason: Reason) -> Decision {
        Decision { effect: Effect::Deny(reason), rule: self.default.clone() }
    }
}

fn allowed(rule: &RuleId) -> Decision {
    Decision { effect: Effect::Allow, rule: rule.clone() }
}

/// What the principal's roles open, one after the other.
fn grants<'a>(rules: &'a Rules, query: &Query<'a>) -> impl Iterator<Item = &'a Grants> {
    let authenticated = match query.principal.proof() {
        Proof::ApiKey => Some(&rules.authenticated),
        Proof::Anonymous => None,
    };
    query.principal.roles().iter().filter_map(|role| rules.roles.get(role)).chain(authenticated)
}
