//! What is allowed. Pure and total: no IO, no clock, no await. Read [`PolicySet::decide`] first.

mod bearing;
mod clause;
mod compile;
mod condition;
mod decide;
mod decision;
mod duration;
#[cfg(test)]
mod fixture;
mod inheritance;
mod names;
mod node;
mod permit;
mod query;
mod redundancy;
mod restriction;
mod rule_id;
mod rules;
mod schema;
mod source;
mod sql_rule;
mod targets;
mod tool_rules;
mod when;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::mcp::ServerName;

pub use bearing::Bearing;
pub use clause::{Clause, Shown};
pub use compile::{Compiled, RolesElsewhere, compile};
pub use condition::{Condition, Unmet};
pub use decide::{Finding, Look};
pub use decision::{Decision, Effect, Mode, Reason, Shadowed};
pub use duration::parse_duration;
pub use permit::{Denial, Permit};
pub use query::{Context, Query};
pub use rule_id::RuleId;
pub use rules::{DEFAULT_TIMEOUT, Limit, LimitRule, ToolRules};
pub use source::{Entries, POLICY_KEYS, PolicyFile, PolicySource};

use rules::Rules;

/// All rules in force, compiled once. Every command and the proxy ask this one type.
#[derive(Debug)]
pub struct PolicySet {
    servers: HashMap<ServerName, Rules>,
    digest: Arc<str>,
    protocol: RuleId,
    default: RuleId,
}

impl PolicySet {
    /// How this tool may be used, by whoever may use it.
    pub fn tool_rules(&self, server: &ServerName, tool: &str) -> Arc<ToolRules> {
        self.servers.get(server).map(|rules| Arc::clone(rules.tool(tool))).unwrap_or_default()
    }

    /// Every limit of every tool, so that each has a counter.
    pub fn limits(&self) -> impl Iterator<Item = &LimitRule> {
        self.servers
            .values()
            .flat_map(|rules| rules.tools.values().chain([&rules.other_tools]))
            .flat_map(|tool| tool.limits.iter())
    }

    /// The roles that the files of this server define.
    pub fn roles(&self, server: &ServerName) -> impl Iterator<Item = &str> {
        self.servers.get(server).into_iter().flat_map(|rules| rules.roles.keys().map(|role| &**role))
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
