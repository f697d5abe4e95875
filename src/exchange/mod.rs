//! One message's trip, from first byte to last: what was learnt, step by step.
//!
//! Steps write facts here; telemetry reads them. Nothing decides by what stands here.

mod id;
mod refusal;
mod unrecorded;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Version};

use crate::cache::Served;
use crate::clock;
use crate::identity::Principal;
use crate::limits::Admission;
use crate::mcp::{Call, ProtocolVersion, ServerName, Target};
use crate::policy::{Action, Flow, Permit, PolicySet, RuleId, Sighting};
use crate::upstream::VERSION;
use crate::upstream::{Deadline, UpstreamError};

pub use id::DecisionId;
pub use refusal::{HttpRefusal, Refusal};
pub use unrecorded::Unrecorded;

/// One message's trip.
#[derive(Debug)]
pub struct Exchange {
    /// Names this decision in logs, spans and error answers.
    pub id: DecisionId,
    /// When the first byte was read.
    pub started: Instant,
    /// The same, on the calendar.
    pub started_at: SystemTime,
    /// Who is at the other end of the connection.
    pub peer: SocketAddr,
    /// The version of HTTP that it came by.
    pub http: Version,
    /// What its caller calls the request (`x-request-id`), if that can stand anywhere.
    pub request_id: Option<HeaderValue>,
    /// The server that the message is for.
    pub server: ServerName,
    /// Which policy decides: the digest of its files.
    pub policy: Arc<str>,
    /// Who asks; once identified.
    pub principal: Option<Arc<Principal>>,
    /// What is asked; once read.
    pub call: Option<Arc<Call>>,
    /// What its caller calls the tool, where that is not what its server calls it.
    pub called: Option<Box<str>>,
    /// The protocol revision that it speaks, as far as it or its headers say.
    pub version: Option<ProtocolVersion>,
    /// What its client calls the session that it belongs to; once that is known to be its own. In a view that is another than
    /// at the server.
    pub session: Option<HeaderValue>,
    /// Whether the tool's name may stand in a metric's label; once looked up.
    pub tool: ToolLabel,
    /// The rule that decided, or the limit that had no room; once decided.
    pub rule: Option<RuleId>,
    /// What would have said no if it were enforced.
    pub would_deny: Option<WouldDeny>,
    /// What was found that is not for everyone's eyes, once by name and direction.
    pub sightings: Vec<Sighting>,
    /// How the cache served it, if its answers may be given again.
    pub cache: Option<Served>,
    /// The attempt at the upstream; once it was asked.
    pub attempt: Option<Attempt>,
    /// The server's answer, where it came as a whole.
    pub answer: Option<Bytes>,
    /// How many bytes of a reply its caller got.
    pub replied: usize,
    /// The deadline that ended it, if one did.
    pub timeout: Option<TimeoutKind>,
    /// Why the gate said no, in a word (`step.reason`), if it did.
    pub refused: Option<&'static str>,
    /// The code of the JSON-RPC error that the gate answered with, if it did.
    pub code: Option<i64>,
}

/// More than there are detectors, and patterns beside them that anybody would write.
const MOST_SIGHTINGS: usize = 128;

/// A no of a rule that is tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldDeny {
    /// Why not, in a word.
    pub reason: &'static str,
    /// What would have decided.
    pub rule: RuleId,
}

/// Whether a tool's name may stand in a metric's label. Callers choose names freely; labels must be few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolLabel {
    /// A rule names the tool, so its name may.
    Name,
    /// It stands for all others as `_other`.
    Other,
}

/// One attempt at an upstream.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it was begun.
    pub started_at: SystemTime,
    /// Where the server is.
    pub server: Option<Authority>,
    /// The HTTP status it answered with, if it did.
    pub status: Option<u16>,
}

/// A deadline. The label `timeout_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// A client's TLS handshake was not done in time.
    ListenerHandshake,
    /// A client asked for nothing for too long.
    KeepAliveIdle,
    /// The head did not come in time.
    RequestHeader,
    /// The body did not come in time.
    RequestBody,
    /// The caller took nothing of its answer in time.
    ResponseWrite,
    /// No connection to the server stood in time.
    UpstreamConnect,
    /// The server did not answer in time.
    UpstreamFirstByte,
    /// It was silent for too long within its answer.
    UpstreamStreamIdle,
    /// Its answer was not all there in time.
    UpstreamTotal,
}

impl TimeoutKind {
    /// The deadline that such an end was over, if it was one.
    pub fn of(error: &UpstreamError) -> Option<Self> {
        match error {
            UpstreamError::NotConnected(_) => Some(Self::UpstreamConnect),
            UpstreamError::TimedOut(Deadline::FirstByte, _) => Some(Self::UpstreamFirstByte),
            UpstreamError::TimedOut(Deadline::StreamIdle, _) => Some(Self::UpstreamStreamIdle),
            UpstreamError::TimedOut(Deadline::Total, _) => Some(Self::UpstreamTotal),
            UpstreamError::Unreachable(_)
            | UpstreamError::Unwritten(_)
            | UpstreamError::BrokeOff(_)
            | UpstreamError::Unacceptable(_)
            | UpstreamError::Unsound(_)
            | UpstreamError::Credential(_)
            | UpstreamError::LeftAlone(_)
            | UpstreamError::Busy
            | UpstreamError::SessionLost
            | UpstreamError::Ungreeted(_)
            | UpstreamError::Stopped(_) => None,
        }
    }

    /// The label: one of a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::ListenerHandshake => "listener.handshake",
            Self::KeepAliveIdle => "keepalive.idle",
            Self::RequestHeader => "request.header",
            Self::RequestBody => "request.body",
            Self::ResponseWrite => "response.write",
            Self::UpstreamConnect => "upstream.connect",
            Self::UpstreamFirstByte => "upstream.first_byte",
            Self::UpstreamStreamIdle => "upstream.stream_idle",
            Self::UpstreamTotal => "upstream.total",
        }
    }
}

/// How a message ended. The label `outcome` of metrics and log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// The tool ran and says that it failed (`isError`).
    ToolError,
    /// The server answered with a JSON-RPC error of this code.
    ServerError(i64),
    /// The policy refused it.
    Denied,
    /// A limit had no room.
    Limited,
    /// The server was silent for too long.
    Timeout,
    /// The server could not be reached, broke off or gave no proper answer.
    UpstreamError,
    /// Not one unambiguous message.
    Invalid,
    /// No or a bad credential.
    Unauthenticated,
    /// The audit log could not be written, so it was not carried.
    Unrecorded,
    /// The client went away.
    Cancelled,
}

impl Exchange {
    /// The JSON-RPC error code that the client was answered with, where it ended so.
    pub fn answered_code(&self, outcome: Outcome) -> Option<i64> {
        match outcome {
            Outcome::ServerError(code) => Some(code),
            Outcome::Ok
            | Outcome::ToolError
            | Outcome::Denied
            | Outcome::Limited
            | Outcome::Timeout
            | Outcome::UpstreamError
            | Outcome::Invalid
            | Outcome::Unauthenticated
            | Outcome::Unrecorded
            | Outcome::Cancelled => self.code,
        }
    }
}

impl Outcome {
    /// The label: one of a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Denied => "denied",
            Self::Limited => "limited",
            Self::Timeout => "timeout",
            Self::ServerError(_) | Self::UpstreamError => "upstream_error",
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Unrecorded => "unrecorded",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Exchange {
    /// Begins a trip.
    pub fn begin(peer: SocketAddr, server: ServerName, policy: Arc<str>) -> Self {
        Self {
            id: DecisionId::random(),
            started: clock::monotonic(),
            started_at: clock::wall(),
            peer,
            http: Version::HTTP_11,
            request_id: None,
            server,
            policy,
            principal: None,
            call: None,
            called: None,
            version: None,
            session: None,
            tool: ToolLabel::Other,
            rule: None,
            would_deny: None,
            sightings: Vec::new(),
            cache: None,
            attempt: None,
            answer: None,
            timeout: None,
            replied: 0,
            refused: None,
            code: None,
        }
    }

    /// It belongs to the session that its client calls so, unless that is known to be another.
    pub fn belongs(&mut self, session: Option<&HeaderValue>) {
        self.session = self.session.take().or_else(|| session.cloned());
    }

    /// The HTTP request that brought it.
    #[must_use]
    pub fn brought_by(self, http: Version, headers: &HeaderMap) -> Self {
        let version = headers.get(VERSION).and_then(|value| ProtocolVersion::named(value.to_str().ok()?));
        Self { http, request_id: id::of_caller(headers), version, ..self }
    }

    /// What the request is called in everybody's logs: as its caller calls it, else by the decision's id.
    pub fn request_name(&self) -> HeaderValue {
        self.request_id.clone().unwrap_or_else(|| self.id.header())
    }

    /// The policy permits it.
    pub fn permitted(&mut self, permit: &Permit) {
        self.rule = Some(permit.rule().clone());
        let would_deny = permit.would_deny().map(|no| WouldDeny { reason: no.reason.word(), rule: no.rule.clone() });
        self.would_deny = would_deny;
        self.saw(permit.sightings().to_vec());
        // What is told of it is what is carried.
        if permit.masked().is_some() {
            self.call = Some(Arc::clone(permit.call()));
        }
    }

    /// Something was found that is not for everyone's eyes.
    pub fn saw(&mut self, sightings: Vec<Sighting>) {
        for sighting in sightings {
            let known =
                |it: &Sighting| (&it.name, it.flow, it.action) == (&sighting.name, sighting.flow, sighting.action);
            if self.sightings.len() < MOST_SIGHTINGS && !self.sightings.iter().any(known) {
                self.sightings.push(sighting);
            }
        }
    }

    /// What was found, each name once, with the strictest that came of it.
    pub fn found(&self) -> BTreeMap<&str, Action> {
        let mut found = BTreeMap::new();
        for Sighting { name, action, .. } in &self.sightings {
            let known = found.entry(&**name).or_insert(*action);
            *known = (*known).max(*action);
        }
        found
    }

    /// What was found there and still stands there.
    pub fn unmasked(&self, flow: Flow) -> impl Iterator<Item = &Sighting> {
        self.sightings.iter().filter(move |it| it.flow == flow && it.action != Action::Mask)
    }

    /// The limits have room for it.
    pub fn admitted(&mut self, admission: &Admission) {
        let would_limit = admission.would_limit().map(|rule| WouldDeny { reason: "limited", rule: rule.clone() });
        self.would_deny = self.would_deny.take().or(would_limit);
    }

    /// What is asked was read.
    pub fn asks(&mut self, call: &Arc<Call>, policy: &PolicySet) {
        self.call = Some(Arc::clone(call));
        self.version = call.version().or(self.version);
        self.tool = match call.target() {
            Target::Tool(name) if policy.names_tool(&self.server, name) => ToolLabel::Name,
            Target::Tool(_) | Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_) => {
                ToolLabel::Other
            }
        };
    }
}
