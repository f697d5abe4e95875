//! What is allowed. Pure and total: no IO, no clock, no await. Read [`PolicySet::decide`] first.

mod bearing;
mod caching;
mod clause;
mod compile;
mod condition;
mod decide;
mod decision;
mod diff;
mod fits;
#[cfg(test)]
mod fixture;
mod inheritance;
mod keywords;
mod kill;
mod kill_file;
mod limit;
mod limit_source;
mod list;
mod lock;
mod lock_file;
mod names;
mod node;
mod permit;
mod pins;
mod query;
mod redaction;
mod redundancy;
mod redundant_limits;
mod restriction;
mod rule_id;
mod rules;
mod schema;
mod scopes;
mod server_may;
mod source;
mod sql_rule;
mod targets;
mod tool_rules;
mod upstream_headers;
mod when;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::mcp::{Questions, ServerName};

pub use bearing::Bearing;
pub use caching::{Caching, SharedBy};
pub use clause::{Clause, Decided};
pub use compile::{Compiled, RolesElsewhere, compile};
pub use condition::{Condition, Unmet};
pub use decide::{Finding, Look};
pub use decision::{Decision, Effect, Mode, Reason, Shadowed};
pub use diff::{Change, Direction, Side, What, Who, diff_callers};
pub use fits::fits;
pub use kill::{InFlight, Kill, KillScope, Kills, Stopped};
pub use kill_file::{KillSource, KillsSource};
pub use limit::{Burst, Limit, LimitRule, Most, Per, Rate, Unit, Window};
pub use lock::{LOCK_FILE, LockedServer, Pin, ToolLock};
pub use lock_file::MAX_LOCK_BYTES;
pub use permit::{Denial, Permit};
pub use pins::{Deviation, Pinning, Pins, Shown, pins};
pub use query::{Context, Query};
pub use redaction::{Action, Flow, Redacted, Redaction, Sighting};
pub use redundant_limits::beyond;
pub use rule_id::RuleId;
pub use rules::{DEFAULT_TIMEOUT, ToolRules};
pub use scopes::Scopes;
pub use source::{Entries, POLICY_KEYS, PolicyFile, PolicySource};

use rules::Rules;

/// All rules in force, compiled once. Every command and the proxy ask this one type.
#[derive(Clone, Debug)]
pub struct PolicySet {
    servers: HashMap<ServerName, Arc<Rules>>,
    kills: Kills,
    digest: Arc<str>,
    protocol: RuleId,
    default: RuleId,
}

/// A policy that grants nothing.
impl Default for PolicySet {
    fn default() -> Self {
        let (protocol, default) = (RuleId::protocol(), RuleId::default_deny());
        Self { servers: HashMap::new(), kills: Kills::default(), digest: Arc::from(""), protocol, default }
    }
}

impl PolicySet {
    /// How this tool may be used, by whoever may use it.
    pub fn tool_rules(&self, server: &ServerName, tool: &str) -> Arc<ToolRules> {
        self.servers.get(server).map(|rules| Arc::clone(rules.tool(tool))).unwrap_or_default()
    }

    /// What is looked for in calls of this tool, or of anything else of the server's, and in what comes back.
    pub fn redaction(&self, server: &ServerName, tool: Option<&str>) -> Redaction {
        let Some(rules) = self.servers.get(server) else {
            return Redaction::default();
        };
        let own = tool.and_then(|tool| rules.tool(tool).redactors.as_ref());
        Redaction(rules.redactors.iter().chain(own).cloned().collect())
    }

    /// The same, as far as the tool's own rules say.
    fn tool_redaction(&self, server: &ServerName, tool: &str) -> Redaction {
        let own = self.servers.get(server).and_then(|rules| rules.tool(tool).redactors.as_ref());
        Redaction(own.cloned().into_iter().collect())
    }

    /// What this server may ask of its clients.
    pub fn server_may(&self, server: &ServerName) -> Questions {
        self.servers.get(server).map(|rules| rules.server_may | rules.in_shadow).unwrap_or_default()
    }

    /// What of that it could not ask if the policy were enforced.
    pub fn server_may_in_shadow(&self, server: &ServerName) -> Questions {
        self.servers.get(server).map(|rules| rules.in_shadow).unwrap_or_default()
    }

    /// Every limit, so that each has a counter.
    pub fn limits(&self) -> impl Iterator<Item = &LimitRule> {
        self.servers.values().flat_map(|rules| {
            let tools = rules.tools.values().chain([&rules.other_tools]);
            tools.flat_map(|tool| tool.limits.iter()).chain(rules.limits.iter())
        })
    }

    /// The roles that the files of this server define.
    pub fn roles(&self, server: &ServerName) -> impl Iterator<Item = &str> {
        self.servers.get(server).into_iter().flat_map(|rules| rules.roles.keys().map(|role| &**role))
    }

    /// Where it stands of tools of this server that their answers are given again, in the order of the files.
    pub fn cached(&self, server: &ServerName) -> BTreeSet<&RuleId> {
        let tools = self.servers.get(server).into_iter().flat_map(|rules| rules.tools.values());
        tools.filter_map(|tool| tool.caching.as_ref()).map(|caching| &caching.rule).collect()
    }

    /// The first 12 hexadecimal digits of the SHA-256 of all policy files: which policy decided.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// The servers of whose calls nothing is refused for want of a grant: all their files are in shadow.
    pub fn shadowed(&self) -> impl Iterator<Item = &ServerName> {
        self.servers.iter().filter(|(_, rules)| rules.ungranted.mode == Mode::Shadow).map(|(server, _)| server)
    }

    /// Whether a tool is named by some rule, so that it may stand in a metric's label.
    pub fn names_tool(&self, server: &ServerName, tool: &str) -> bool {
        self.servers.get(server).is_some_and(|rules| rules.named_tools.contains(tool))
    }
}
