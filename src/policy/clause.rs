//! What a policy says, piece by piece, and whether something that was decided shows a piece: the measure of its tests.

use std::fmt;
use std::sync::Arc;

use super::names::Kind;
use super::redaction::Redactors;
use super::restriction::Restriction;
use super::rules::{Denied, Names, RoleRules, Rules, Targets};
use super::{Limit, LimitRule, Most, Permit, PolicySet, Rate, RuleId, ToolRules, Unit};
use crate::diagnostic::quoted;
use crate::mcp::{Call, Method, ServerName, Target};

/// One thing that a policy says and that a decision can turn on.
#[derive(Debug)]
pub struct Clause<'a> {
    server: &'a ServerName,
    rule: &'a RuleId,
    says: Says<'a>,
}

#[derive(Debug)]
enum Says<'a> {
    /// This name or pattern of a list is granted.
    Grant(Kind, &'a Names, Arc<str>),
    /// It is denied.
    Deny(Kind, &'a Names, Arc<str>),
    /// A grant or a tool is restricted: to times, addresses or scopes.
    Restricts,
    /// Arguments that meet the condition pass.
    Met,
    /// Others do not.
    Unmet,
    /// There is only so much room.
    Limits(Limit),
}

/// How one call was decided.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// Of which server.
    pub server: &'a ServerName,
    /// What.
    pub call: &'a Call,
    /// The policy permitted it.
    pub permit: Option<&'a Permit>,
    /// This said no, or would have if it were enforced.
    pub no: Option<&'a RuleId>,
    /// This limit had no room.
    pub full: Option<Limit>,
}

impl PolicySet {
    /// All that the policy says, in the order of its files.
    pub fn clauses(&self) -> Vec<Clause<'_>> {
        let mut clauses = Vec::new();
        for (server, rules) in &self.servers {
            let mut found = Clauses { server, clauses: &mut clauses };
            let Rules {
                roles,
                authenticated,
                denied,
                limits,
                redactors,
                ungranted: _,
                tools,
                other_tools,
                named_tools: _,
                pins: _,
                server_may: _,
                in_shadow: _,
                upstream_headers,
            } = &**rules;
            for role in roles.values().filter_map(|brought| brought.first()).chain(authenticated) {
                found.role(&role.role);
            }
            for denied in denied {
                found.denied(denied);
            }
            found.limits(limits);
            found.redactors(redactors);
            for header in upstream_headers.iter().filter(|header| header.may_refuse()) {
                found.add(&header.rule, Says::Restricts);
            }
            for tool in tools.values().chain([other_tools]) {
                found.tool(tool);
            }
        }
        clauses.sort_by_cached_key(Clause::order);
        clauses
    }
}

/// Takes everything apart by name: what is added to a policy does not compile before it is said here what shows it.
struct Clauses<'a, 'b> {
    server: &'a ServerName,
    clauses: &'b mut Vec<Clause<'a>>,
}

impl<'a> Clauses<'a, '_> {
    fn role(&mut self, RoleRules { rule: _, grants, denied, restriction }: &'a RoleRules) {
        self.names(grants, Says::Grant);
        if let Some(denied) = denied {
            self.denied(denied);
        }
        if let Some(restriction) = restriction {
            self.restriction(restriction);
        }
    }

    fn denied(&mut self, Denied { names, mode: _ }: &'a Denied) {
        self.names(names, Says::Deny);
    }

    fn tool(&mut self, tool: &'a ToolRules) {
        let ToolRules {
            arguments,
            restriction,
            scopes,
            cost: _,
            limits,
            redactors,
            timeout: _,
            caching: _,
            repeats: _,
            mode: _,
        } = tool;
        if let Some(condition) = arguments {
            self.add(&condition.rule, Says::Met);
            self.add(&condition.rule, Says::Unmet);
        }
        if let Some(restriction) = restriction {
            self.restriction(restriction);
        }
        if let Some(scopes) = scopes {
            self.add(&scopes.rule, Says::Restricts);
        }
        self.limits(limits);
        self.redactors(redactors);
    }

    /// What comes back no case says either: only what refuses a call is asked for.
    fn redactors(&mut self, redactors: impl IntoIterator<Item = &'a Arc<Redactors>>) {
        for rule in redactors.into_iter().flat_map(|list| list.refusing()) {
            self.add(rule, Says::Restricts);
        }
    }

    /// What comes back no case says, so none is asked for of a limit of bytes.
    fn limits(&mut self, limits: &'a [LimitRule]) {
        for LimitRule { limit, mode: _, rule } in limits {
            if !matches!(limit.most, Most::Rate(Rate { unit: Unit::Bytes, .. })) {
                self.add(rule, Says::Limits(*limit));
            }
        }
    }

    fn restriction(&mut self, Restriction { when, networks, mode: _ }: &'a Restriction) {
        let when = when.as_ref().map(|it| &it.rule);
        for rule in when.into_iter().chain(networks.as_ref().map(|it| &it.rule)) {
            self.add(rule, Says::Restricts);
        }
    }

    fn names(&mut self, targets: &'a Targets, says: fn(Kind, &'a Names, Arc<str>) -> Says<'a>) {
        for kind in Kind::ALL {
            let names = targets.of(kind);
            for (pattern, rule) in names.entries() {
                self.add(rule, says(kind, names, pattern));
            }
        }
    }

    fn add(&mut self, rule: &'a RuleId, says: Says<'a>) {
        self.clauses.push(Clause { server: self.server, rule, says });
    }
}

impl Clause<'_> {
    /// Where it is written.
    pub fn rule(&self) -> &RuleId {
        self.rule
    }

    /// Whether the decision turned on it.
    pub fn is_shown(&self, by: &Decided<'_>) -> bool {
        if by.server != self.server {
            return false;
        }
        let said_no = by.no == Some(self.rule);
        match &self.says {
            Says::Grant(kind, names, pattern) => {
                let permitted = by.permit.is_some_and(|permit| permit.rule() == self.rule);
                permitted && is_found(*kind, names, pattern, by.call)
            }
            Says::Deny(kind, names, pattern) => said_no && is_found(*kind, names, pattern, by.call),
            Says::Restricts | Says::Unmet => said_no,
            Says::Met => {
                let condition = by.permit.and_then(Permit::tool).and_then(|tool| tool.arguments.as_deref());
                condition.is_some_and(|it| it.rule == *self.rule) && by.call.method() == Method::ToolsCall && !said_no
            }
            Says::Limits(limit) => said_no && by.full.is_none_or(|full| full == *limit),
        }
    }

    fn order(&self) -> impl Ord + use<> {
        let file = self.rule.file().unwrap_or_default().to_owned();
        (file, self.rule.line(), self.rule.path().to_owned(), self.to_string())
    }
}

/// Whether the list finds what is called by this pattern, not by another of its own.
fn is_found(kind: Kind, names: &Names, pattern: &str, call: &Call) -> bool {
    let name = match (Kind::of(call.target()), call.target()) {
        (Some(of), target) if of == kind => target.name(),
        (None, Target::None) if kind == Kind::Methods => Some(call.method().name()),
        _ => None,
    };
    name.and_then(|name| names.pattern_of(name)).is_some_and(|found| found == pattern)
}

/// What no decision has shown yet.
impl fmt::Display for Clause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Grant(_, _, pattern) => write!(f, "nothing is allowed by the grant of {}", quoted(pattern)),
            Says::Deny(_, _, pattern) => write!(f, "nothing is refused by the denial of {}", quoted(pattern)),
            Says::Restricts => f.write_str("nothing is refused by this restriction"),
            Says::Met => f.write_str("no arguments meet this condition"),
            Says::Unmet => f.write_str("no arguments are refused by this condition"),
            Says::Limits(limit) => write!(f, "nothing reaches the limit of {}: {limit}", limit.counts()),
        }
    }
}
