//! A decision as the gate has written it down, in a decision line or in the audit log: what was decided then, and what can
//! be asked of it now.
//!
//! It names who asked for what. It holds neither arguments nor headers.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;

use super::told::Step;
use super::who::Against;
use crate::exchange::Outcome;
use crate::identity::{ANONYMOUS, AuthError, Principal};
use crate::mcp::{Method, ServerName, Target};
use crate::policy::{Context, Effect, Mode, PolicySet, Query, Reason, RuleId, Shown};
use crate::state::StateError;

/// Why an answer did not come back, as its line has it.
const WITHHELD: &str = "withheld";

/// A line as written, as far as it matters here. Lines may come to hold more.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    decision: String,
    principal: Option<String>,
    /// How that was proved; lines of before do not say it.
    auth: Option<String>,
    server: String,
    /// The audit log has none where no message was read.
    #[serde(default = "no_method")]
    method: String,
    tool: Option<String>,
    prompt: Option<String>,
    resource: Option<String>,
    task: Option<String>,
    /// The audit log has none where the call goes on: how that ends is a record of its own.
    #[serde(default = "allowed")]
    outcome: String,
    refused: Option<String>,
    rule: Option<String>,
    policy: String,
}

fn no_method() -> String {
    Method::Other.name().to_owned()
}

fn allowed() -> String {
    "allowed".to_owned()
}

/// What a line of ours is.
#[derive(Debug)]
pub enum Entry {
    /// A decision.
    Decision(Box<Record>),
    /// A record of the audit log that is none.
    Other,
}

/// What a record of the audit log is.
#[derive(Debug, Deserialize)]
struct Kind {
    kind: String,
}

impl Entry {
    /// Reads a line; `None` if it is not one of ours.
    pub fn read(line: &[u8]) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "it is a log of our own, and nothing is let through by it")]
        let kind = serde_json::from_slice(line).map_or_else(|_none| "decision".to_owned(), |Kind { kind }| kind);
        if kind == "decision" { Some(Self::Decision(Box::new(Record::read(line)?))) } else { Some(Self::Other) }
    }
}

/// A decision that was made.
#[derive(Debug)]
pub struct Record {
    line: Line,
    at: SystemTime,
    method: Method,
}

/// What the policy said, or would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It may go on, by this rule.
    Allow(String),
    /// It may not, for this reason, by this rule if one said so.
    Deny(String, Option<String>),
    /// It depends on something that a line does not hold.
    Unsure(String),
}

impl Said {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(..) => "deny",
            Self::Unsure(_) => "cannot say",
        }
    }
}

impl Said {
    /// Why not, in a word.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Deny(reason, _) => Some(reason),
            Self::Allow(_) | Self::Unsure(_) => None,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(rule) => write!(f, "allow, by {rule}"),
            Self::Deny(reason, Some(rule)) => write!(f, "deny: {reason}, by {rule}"),
            Self::Deny(reason, None) => write!(f, "deny: {reason}"),
            Self::Unsure(why) => write!(f, "cannot say: {why}"),
        }
    }
}

impl Record {
    /// Reads a line; `None` if it is not one of ours.
    fn read(line: &[u8]) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "it is a log of our own, and nothing is let through by it")]
        let line: Line = serde_json::from_slice(line).ok()?;
        // What is no method on the wire has a name in the log; and what a revision does not know is unknown to it.
        let unknown = line.refused.as_deref() == Some(Reason::UnknownMethod.word());
        let nameless = [Method::Answer, Method::OpenStream, Method::EndSession];
        let method = match nameless.into_iter().find(|method| method.name() == line.method) {
            _ if unknown => Method::Other,
            Some(method) => method,
            None => Method::named(&line.method),
        };
        let at = line.time.parse::<jiff::Timestamp>().ok()?.into();
        Some(Self { line, at, method })
    }

    /// The id that the caller saw.
    pub fn decision(&self) -> &str {
        &self.line.decision
    }

    /// Who asked; `None` if nobody knew.
    pub fn principal(&self) -> Option<&str> {
        self.line.principal.as_deref()
    }

    /// Which server.
    pub fn server(&self) -> &str {
        &self.line.server
    }

    /// What for.
    pub fn method(&self) -> &str {
        &self.line.method
    }

    /// About what.
    pub fn target(&self) -> Target<'_> {
        let Line { tool, prompt, resource, task, .. } = &self.line;
        match (tool, prompt, resource, task) {
            (Some(name), ..) => Target::Tool(name),
            (_, Some(name), ..) => Target::Prompt(name),
            (_, _, Some(uri), _) => Target::Resource(uri),
            (.., Some(id)) => Target::Task(id),
            (None, None, None, None) => Target::None,
        }
    }

    /// How the message ended.
    pub fn outcome(&self) -> &str {
        &self.line.outcome
    }

    /// Why the gate said no, if it did.
    pub fn refused(&self) -> Option<&str> {
        self.line.refused.as_deref()
    }

    /// When it came.
    pub fn time(&self) -> &str {
        &self.line.time
    }

    /// The digest of the policies that decided.
    pub fn policy(&self) -> &str {
        &self.line.policy
    }

    /// What the policy said then; `None` if it was not asked, because the message did not come so far.
    pub fn then(&self) -> Option<Said> {
        let rule = self.line.rule.clone()?;
        self.line.principal.as_ref()?;
        let refused = self.line.refused.as_deref().unwrap_or_default();
        // Whose a task is, the policy does not say.
        let denied = self.line.outcome == Outcome::Denied.label() && refused != StateError::NoTask.reason();
        // What came back was withheld: the call itself was allowed.
        let denied = denied && refused != WITHHELD;
        Some(match denied.then_some(refused) {
            Some(reason) => Said::Deny(reason.to_owned(), Some(rule)),
            // The line names the limit, not what granted it.
            None if ["limited", WITHHELD].contains(&refused) => {
                Said::Allow(format!("some rule, and {refused} by {rule}"))
            }
            None => Said::Allow(rule),
        })
    }

    /// Who asked, by the keys of now.
    ///
    /// # Errors
    /// Nobody would know today.
    pub fn supposed(&self, against: &Against<'_>) -> Result<Arc<Principal>, AuthError> {
        match self.line.principal.as_deref() {
            // Somebody else's key may have the id that an issuer calls this caller by.
            Some(_) if self.is_known_otherwise() => Err(AuthError::Unknown),
            Some(ANONYMOUS) => against.anonymous(),
            Some(id) => against.key(id).map_err(|_unknown| AuthError::Unknown),
            None => Err(AuthError::Missing),
        }
    }

    /// The id of the caller's key, if it came with one, or may have.
    pub fn key(&self) -> Option<&str> {
        self.principal().filter(|_| !self.is_known_otherwise())
    }

    /// Whether the caller came with something else than a key.
    fn is_known_otherwise(&self) -> bool {
        self.line.auth.as_deref().is_some_and(|auth| !["api_key", ANONYMOUS].contains(&auth))
    }

    /// Whether somebody whom no key of now proves could be proved in another way.
    fn may_be_known_otherwise(&self, against: &Against<'_>) -> bool {
        let by_token = || against.authenticators.issuers().next().is_some();
        match &self.line.auth {
            None => by_token(),
            Some(_) => self.is_known_otherwise() && (by_token() || !against.authenticators.certificates().is_empty()),
        }
    }

    /// What the policy would say now to this caller, at the time of then, and by which rule.
    pub fn now(&self, principal: &Result<Arc<Principal>, AuthError>, against: &Against<'_>) -> (Said, Option<RuleId>) {
        let principal = match principal {
            Ok(principal) => principal,
            // What a token gives, only the token says.
            Err(AuthError::Unknown) if self.may_be_known_otherwise(against) => {
                return (
                    Said::Unsure("no key has this id, and a line does not hold what a token says".to_owned()),
                    None,
                );
            }
            Err(AuthError::Unknown) if against.authenticators.keys().is_empty() => {
                return (Said::Unsure("no keys stand beside these policies".to_owned()), None);
            }
            Err(error) => return (Said::Deny(error.reason().to_owned(), None), None),
        };
        let Some(server) = self.server_in(against.servers) else {
            return (Said::Unsure("these policies are not for the server".to_owned()), None);
        };
        let query = self.query(principal, server);
        let decision = against.policy.decide(&query);
        let address = against.policy.bearing(&query).address;
        let shown = [Reason::PinChanged, Reason::HiddenCharacter].map(|reason| Some(reason.word()));
        if decision.effect == Effect::Allow && shown.contains(&self.refused()) {
            return (
                Said::Unsure("it was not as the server had shown it, and a line has no definitions".to_owned()),
                None,
            );
        }
        let unsure = match (decision.effect, address) {
            // Denied is denied from everywhere.
            (Effect::Deny(Reason::Denied), _) | (Effect::Deny(_), None) => None,
            (_, Some(rule)) => Some((rule, "the caller's address")),
            (Effect::Allow, None) => self.condition(against.policy, server).map(|rule| (rule, "the arguments")),
        };
        match (unsure, decision.effect) {
            (Some((rule, what)), _) => (Said::Unsure(format!("{} looks at {what}", rule.path())), Some(rule)),
            (None, Effect::Allow) => (Said::Allow(decision.rule.to_string()), Some(decision.rule)),
            (None, Effect::Deny(reason)) => {
                (Said::Deny(reason.word().to_owned(), Some(decision.rule.to_string())), Some(decision.rule))
            }
        }
    }

    /// All that is looked at now, as far as the line goes.
    pub fn explain(&self, principal: &Principal, against: &Against<'_>) -> Vec<Step> {
        let Some(server) = self.server_in(against.servers) else {
            return Vec::new();
        };
        let (_, findings) = against.policy.explain(&self.query(principal, server));
        findings.into_iter().map(Step::from).collect()
    }

    /// Policies that name no server are for the only one there is.
    fn server_in<'a>(&self, servers: &'a [ServerName]) -> Option<&'a ServerName> {
        let any = |server: &&ServerName| servers.len() == 1 && server.as_str() == "default";
        servers.iter().find(|server| server.as_str() == self.line.server || any(server))
    }

    fn query<'a>(&'a self, principal: &'a Principal, server: &'a ServerName) -> Query<'a> {
        let context = Context { at: self.at, from: Ipv4Addr::UNSPECIFIED.into(), shown: Shown::NotYet };
        Query { principal, server, method: self.method, target: self.target(), context }
    }

    /// What refuses the call for its arguments, if it is enforced.
    fn condition(&self, policy: &PolicySet, server: &ServerName) -> Option<RuleId> {
        let Target::Tool(name) = self.target() else {
            return None;
        };
        if let Some(rule) = policy.redaction(server, Some(name)).refuses().filter(|_| self.method == Method::ToolsCall)
        {
            return Some(rule.clone());
        }
        let tool = policy.tool_rules(server, name);
        let enforced = self.method == Method::ToolsCall && tool.mode == Mode::Enforce;
        tool.arguments.as_ref().filter(|_| enforced).map(|condition| condition.rule().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(rest: &str) -> Record {
        let line = format!(
            r#"{{"time":"2026-11-20T10:00:00.123Z","decision":"d","principal":"al","server":"s","policy":"p",{rest}}}"#
        );
        Record::read(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_line_says_what_the_policy_said_and_whether_it_was_asked() {
        let allow = || Some(Said::Allow("default".to_owned()));
        let deny = |reason: &str| Some(Said::Deny(reason.to_owned(), Some("default".to_owned())));
        for (rest, then) in [
            (r#""method":"tools/call","tool":"a","outcome":"ok","rule":"default""#, allow()),
            (
                r#""method":"tools/call","tool":"a","outcome":"denied","refused":"not_granted","rule":"default""#,
                deny("not_granted"),
            ),
            // The policy said yes, and something later no.
            (
                r#""method":"tools/call","tool":"a","outcome":"limited","refused":"limited","rule":"default""#,
                Some(Said::Allow("some rule, and limited by default".to_owned())),
            ),
            (
                r#""method":"tools/call","tool":"a","outcome":"upstream_error","refused":"reply_missing","rule":"default""#,
                allow(),
            ),
            (r#""method":"tasks/get","task":"t","outcome":"denied","refused":"no_task","rule":"default""#, allow()),
            (r#""method":"tools/call","tool":"a","outcome":"invalid","refused":"header_mismatch","rule":null"#, None),
            (r#""method":"_other","outcome":"invalid","refused":"syntax","rule":null"#, None),
        ] {
            assert_eq!(record(rest).then(), then, "{rest}");
        }
        assert!(Record::read(b"{\"level\":\"INFO\"}").is_none());
    }

    #[test]
    fn a_record_of_the_audit_log_is_a_decision_or_beside_the_point() {
        let entry = |rest: &str| {
            let line = format!(
                r#"{{"decision":"d","index":2,{rest},"policy":"p","prev":"00","principal":"al","rule":"default","server":"s","time":"2026-11-20T10:00:00.123456Z"}}"#
            );
            Entry::read(line.as_bytes())
        };
        let Some(Entry::Decision(allowed)) =
            entry(r#""effect":"allow","kind":"decision","method":"tools/call","tool":"a""#)
        else {
            panic!("a decision")
        };
        assert_eq!((allowed.outcome(), allowed.then()), ("allowed", Some(Said::Allow("default".to_owned()))));
        assert!(matches!(entry(r#""kind":"outcome","outcome":"ok""#), Some(Entry::Other)));
        assert!(Entry::read(b"{}").is_none());
    }

    #[test]
    fn a_method_is_the_one_that_was_decided() {
        let method = |name: &str, refused: &str| {
            record(&format!(r#""method":"{name}","outcome":"ok","refused":{refused},"rule":"protocol""#)).method
        };
        assert_eq!(method("tools/list", "null"), Method::ToolsList);
        assert_eq!(method("response", "null"), Method::Answer);
        assert_eq!(method("stream/open", "null"), Method::OpenStream);
        assert_eq!(method("ping", "\"unknown_method\""), Method::Other);
        assert_eq!(method("no/such", "null"), Method::Other);
    }
}
