//! A question: one message of one caller, and what becomes of it up to where the gate would ask the server.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::exchange::{Outcome, Refusal};
use crate::identity::{AuthError, Principal};
use crate::json::{self, Bounds};
use crate::limits::{Admission, LimitError, Limits};
use crate::mcp::{self, Call, Method, ProtocolVersion, ServerName};
use crate::policy::{Bearing, Context, Decided, PolicySet, Query, RuleId};

/// One message of one caller, as it would come.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks, or why nobody knows.
    pub principal: Result<Arc<Principal>, AuthError>,
    /// Which server.
    pub server: ServerName,
    /// What.
    pub asked: Asked,
    /// The headers that mirror it.
    pub headers: HeaderMap,
    /// When and from where.
    pub context: Context,
}

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A call of a tool.
    Call {
        /// Its name.
        tool: String,
        /// With these arguments, as JSON.
        arguments: Option<String>,
    },
    /// A prompt by name.
    Prompt(String),
    /// A resource by URI.
    Resource(String),
    /// A method that names nothing.
    Method(String),
}

/// What became of it.
#[derive(Debug)]
pub struct Answer {
    /// What was read.
    pub call: Option<Arc<Call>>,
    /// It may go on to the server, or not.
    pub result: Result<Admission, Refusal>,
}

/// An answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Allow,
    /// The policy refuses it, or does not know who asks.
    Deny,
    /// It may, but there is no room.
    Limited,
    /// It is not one message with one reading.
    Invalid,
}

impl Question {
    /// Takes the gate's steps in the gate's order, up to where it would ask the server.
    pub fn put(&self, policy: &PolicySet, limits: &Limits) -> Answer {
        let mut read = None;
        let result = self.steps(policy, limits, &mut read);
        Answer { call: read, result }
    }

    fn steps(&self, policy: &PolicySet, limits: &Limits, read: &mut Option<Arc<Call>>) -> Result<Admission, Refusal> {
        let principal = self.principal.as_ref().map_err(Clone::clone)?;
        let call = read.insert(Arc::new(mcp::read(&self.message(), &Bounds::default())?));
        mcp::agree(&self.headers, call)?;
        let permit = policy.permit(principal, call, &self.server, self.context)?;
        Ok(limits.admit_here(permit).map_err(LimitError::Exceeded)?)
    }

    /// What the answer depends on beside who asks for what.
    pub fn bearing(&self, policy: &PolicySet) -> Bearing {
        let call = mcp::read(&self.message(), &Bounds::default());
        match (&self.principal, &call) {
            (Ok(principal), Ok(call)) => policy.bearing(&self.query(principal, call)),
            _ => Bearing::default(),
        }
    }

    pub(super) fn query<'a>(&'a self, principal: &'a Principal, call: &'a Call) -> Query<'a> {
        let (method, target) = (call.method(), call.target());
        Query { principal, server: &self.server, method, target, context: self.context }
    }

    /// The message as a client would send it that speaks the revision in the headers.
    fn message(&self) -> Bytes {
        let version = self.headers.get("mcp-protocol-version").and_then(|version| version.to_str().ok());
        let version = version.and_then(ProtocolVersion::named).filter(|version| version.is_modern());
        let (method, mut params) = self.asked.parts();
        if let Some(version) = version {
            params.push(("_meta", format!("{{{VERSION}:\"{version}\",{CAPABILITIES}:{{}}}}")));
        }
        let params: Vec<_> = params.iter().map(|(member, value)| format!("\"{member}\":{value}")).collect();
        let id = if method.starts_with("notifications/") { "" } else { "\"id\":1," };
        let (method, params) = (text(method), params.join(","));
        Bytes::from(format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":{method},\"params\":{{{params}}}}}"))
    }
}

/// Members of `_meta` that a request of 2026-07-28 has.
const VERSION: &str = "\"io.modelcontextprotocol/protocolVersion\"";
const CAPABILITIES: &str = "\"io.modelcontextprotocol/clientCapabilities\"";

fn text(value: &str) -> String {
    let mut quoted = String::new();
    json::quote(value, &mut quoted);
    quoted
}

impl Asked {
    /// The method, and the members of its parameters as JSON.
    fn parts(&self) -> (&str, Vec<(&'static str, String)>) {
        match self {
            Self::Call { tool, arguments } => {
                let arguments = arguments.iter().map(|arguments| ("arguments", arguments.clone()));
                (Method::ToolsCall.name(), [("name", text(tool))].into_iter().chain(arguments).collect())
            }
            Self::Prompt(name) => (Method::PromptsGet.name(), vec![("name", text(name))]),
            Self::Resource(uri) => (Method::ResourcesRead.name(), vec![("uri", text(uri))]),
            Self::Method(name) => (name, Vec::new()),
        }
    }
}

/// In the words of a case.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { tool, .. } => write!(f, "call {tool}"),
            Self::Prompt(name) => write!(f, "prompt {name}"),
            Self::Resource(uri) => write!(f, "resource {uri}"),
            Self::Method(name) => write!(f, "method {name}"),
        }
    }
}

impl Answer {
    /// In a word.
    pub fn verdict(&self) -> Verdict {
        match self.result.as_ref().err().map(Refusal::outcome) {
            None => Verdict::Allow,
            Some(Outcome::Limited) => Verdict::Limited,
            Some(Outcome::Invalid) => Verdict::Invalid,
            Some(_) => Verdict::Deny,
        }
    }

    /// Why not, in a word.
    pub fn reason(&self) -> Option<&'static str> {
        self.result.as_ref().err().map(Refusal::reason)
    }

    /// What decided, if a rule did.
    pub fn rule(&self) -> Option<&RuleId> {
        match &self.result {
            Ok(admission) => Some(admission.permit().rule()),
            Err(refusal) => refusal.rule(),
        }
    }

    /// What is wrong with the message or its arguments, or what there is no room under.
    pub fn detail(&self) -> Option<String> {
        match self.result.as_ref().err()? {
            Refusal::Policy(denial) => denial.unmet.as_ref().map(|unmet| unmet.as_str().to_owned()),
            refusal => Some(refusal.to_string()),
        }
    }

    /// What a case calls that: the path of the rule, else the reason.
    pub fn because(&self) -> &str {
        self.rule().map(RuleId::path).or(self.reason()).unwrap_or_default()
    }

    /// What would have said no if it were enforced, and why.
    pub fn would_deny(&self) -> Option<(&'static str, &RuleId)> {
        let admission = self.result.as_ref().ok()?;
        let denied = admission.permit().would_deny().map(|no| (no.reason.word(), &no.rule));
        denied.or(admission.would_limit().map(|rule| ("limited", rule)))
    }

    /// What this shows of the policy.
    pub(super) fn shown<'a>(&'a self, server: &'a ServerName) -> Option<Decided<'a>> {
        let call = self.call.as_deref()?;
        let permit = self.result.as_ref().ok().map(Admission::permit);
        let (no, full) = match &self.result {
            Ok(_) => (self.would_deny().map(|(_, rule)| rule), None),
            Err(Refusal::Limit(LimitError::Exceeded(exceeded))) => (Some(&exceeded.rule), Some(exceeded.limit)),
            Err(refusal) => (refusal.rule(), None),
        };
        Some(Decided { server, call, permit, no, full })
    }
}

impl Verdict {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Deny, Self::Limited, Self::Invalid];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Limited => "limited",
            Self::Invalid => "invalid",
        }
    }
}
