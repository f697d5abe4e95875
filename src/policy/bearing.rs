//! What a decision depends on beside who asks for what: for whoever asks without all of it.

use super::decide::brought;
use super::names::Kind;
use super::restriction::Restriction;
use super::rules::Brought;
use super::{PolicySet, Query, RuleId};
use crate::mcp::{Subject, Target};

/// Rules that look at more than who asks for what. `None` where none does: any time, or any address, will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bearing {
    /// A `when`: it depends on the time.
    pub time: Option<RuleId>,
    /// A `networks`: it depends on from where it is asked.
    pub address: Option<RuleId>,
}

impl PolicySet {
    /// What bears on this, whatever the time and address in it are.
    pub fn bearing(&self, query: &Query<'_>) -> Bearing {
        let mut bearing = Bearing::default();
        let Some(rules) = self.servers.get(query.server) else {
            return bearing;
        };
        for granting in brought(rules, query).filter(|it| grants(it, query)) {
            for restriction in &granting.restrictions {
                bearing.add(restriction);
            }
        }
        if let Target::Tool(name) = query.target
            && let Some(restriction) = &rules.tool(name).restriction
        {
            bearing.add(restriction);
        }
        bearing
    }
}

impl Bearing {
    fn add(&mut self, restriction: &Restriction) {
        let Restriction { when, networks, .. } = restriction;
        self.time = self.time.take().or_else(|| when.as_ref().map(|it| it.rule.clone()));
        self.address = self.address.take().or_else(|| networks.as_ref().map(|it| it.rule.clone()));
    }
}

/// Whether the role would grant it at some time from somewhere.
fn grants(brought: &Brought, query: &Query<'_>) -> bool {
    let grants = &brought.role.grants;
    match (query.method.subject(), query.target) {
        (Subject::PromptList, _) => grants.prompts.any().is_some(),
        (Subject::ResourceList, _) => grants.resources.any().is_some(),
        (Subject::Method, _) => grants.methods.find(query.method.name()).is_some(),
        (_, target) => {
            Kind::of(target).zip(target.name()).is_some_and(|(kind, name)| grants.of(kind).find(name).is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::identity::Principal;
    use crate::mcp::{Method, ServerName, Target};
    use crate::policy::{Context, PolicySet, Query};

    #[test]
    fn time_and_address_bear_on_what_a_restricted_rule_grants_and_on_nothing_else() {
        let policy = PolicySet::for_test(
            "roles:\n  reader: { tools: [a], networks: [10.0.0.0/8] }\n  late: { tools: [b], when: [{ days: [fri] }] }\n  \
             both: { inherits: [reader], tools: [c], when: [{ days: [sat] }] }\n\
             tools: { d: { networks: [10.0.0.0/8], timeout: 1s } }\n",
        );
        let server = ServerName::new("records").unwrap();
        for (role, tool, time, address) in [
            ("reader", "a", None, Some("roles.reader.networks")),
            ("reader", "b", None, None),
            ("late", "b", Some("roles.late.when"), None),
            ("both", "a", Some("roles.both.when"), Some("roles.reader.networks")),
            ("both", "c", Some("roles.both.when"), None),
            ("late", "d", None, Some("tools.d.networks")),
        ] {
            let principal = Principal::for_test("alice", &[role]);
            let (method, target) = (Method::ToolsCall, Target::Tool(tool));
            let context = Context::for_test();
            let bearing = policy.bearing(&Query { principal: &principal, server: &server, method, target, context });
            let path = |rule: &Option<crate::policy::RuleId>| rule.as_ref().map(|rule| rule.path().to_owned());
            let found = (path(&bearing.time), path(&bearing.address));
            assert_eq!((found.0.as_deref(), found.1.as_deref()), (time, address), "{role} {tool}");
        }
    }
}
