//! Refusal: every way we say no, by the step that said it. What the caller hears of it is `proxy::respond`'s matter.

use std::fmt;

use crate::identity::AuthError;
use crate::limits::LimitError;
use crate::mcp::{CallError, Mismatch};
use crate::policy::{Denial, RuleId};
use crate::state::StateError;
use crate::upstream::{CredentialError, Unsound, UpstreamError};

use super::{Outcome, TimeoutKind, Unrecorded};

/// Why a message was not carried, or its answer not brought back.
#[derive(Debug)]
pub enum Refusal {
    /// The HTTP request is not one that the gate takes.
    Http(HttpRefusal),
    /// Nobody knows who asks.
    Identity(AuthError),
    /// The body is not one unambiguous message.
    Message(CallError),
    /// Headers and body disagree.
    Header(Mismatch),
    /// The policy refused it.
    Policy(Denial),
    /// The session, task or request that it names is not the caller's.
    State(StateError),
    /// A limit has no room, or nobody can say whether it has.
    Limit(LimitError),
    /// It cannot be recorded.
    Audit(Unrecorded),
    /// The server did not answer as it should.
    Upstream(UpstreamError),
}

/// What is wrong with an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpRefusal {
    /// Its framing or head is ambiguous; the connection must go, too.
    Malformed(&'static str),
    /// `Host` is missing, doubled, malformed or not one of ours.
    ForeignHost,
    /// `Origin` is not one of ours.
    ForeignOrigin,
    /// Nothing is there.
    NoSuchPath,
    /// The target has a query; credentials and parameters do not belong there.
    Query,
    /// Only POST, GET for a stream, and DELETE for a session that is named.
    MethodNotAllowed,
    /// Not `application/json`.
    ContentType,
    /// A body in a coding that is not decoded here.
    ContentCoding,
    /// The caller must take both JSON and event streams.
    NotAcceptable,
    /// The body is longer than this many bytes.
    TooLarge(usize),
    /// The body did not come in time.
    TooSlow,
    /// The body broke off.
    Incomplete,
    /// Too many messages are under way.
    Overloaded,
    /// Bodies that are long take all the memory that is theirs.
    LongBodies,
}

impl Refusal {
    /// How such a message ended.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Http(HttpRefusal::Overloaded | HttpRefusal::LongBodies)
            | Self::Limit(_)
            | Self::State(StateError::TooManySessions)
            | Self::Upstream(UpstreamError::Busy) => Outcome::Limited,
            Self::Http(_)
            | Self::Message(_)
            | Self::Header(_)
            | Self::State(
                StateError::NoSession
                | StateError::SessionMissing
                | StateError::NoTasks
                | StateError::NothingToCancel
                | StateError::NothingAsked
                | StateError::NoCursor,
            )
            | Self::Upstream(UpstreamError::SessionLost) => Outcome::Invalid,
            Self::Identity(_) => Outcome::Unauthenticated,
            Self::Policy(_)
            | Self::State(StateError::NoTask)
            | Self::Upstream(
                UpstreamError::Stopped(_)
                | UpstreamError::Unsound(Unsound::Withheld(_))
                | UpstreamError::Credential(CredentialError::NoToken | CredentialError::Refused(_)),
            ) => Outcome::Denied,
            Self::Audit(Unrecorded) => Outcome::Unrecorded,
            Self::Upstream(UpstreamError::TimedOut(..)) => Outcome::Timeout,
            Self::Upstream(
                UpstreamError::Unreachable(_)
                | UpstreamError::Unwritten(_)
                | UpstreamError::NotConnected(_)
                | UpstreamError::Credential(CredentialError::Unavailable(_) | CredentialError::Untold(_))
                | UpstreamError::LeftAlone(_)
                | UpstreamError::BrokeOff(_)
                | UpstreamError::Ungreeted(_)
                | UpstreamError::Unacceptable(_)
                | UpstreamError::Unsound(_),
            ) => Outcome::UpstreamError,
        }
    }

    /// A word for logs and labels: one of a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Http(refusal) => refusal.reason(),
            Self::Identity(error) => error.reason(),
            Self::Message(error) => error.problem.reason(),
            Self::Header(mismatch) => mismatch.reason(),
            Self::Policy(denial) => denial.reason.word(),
            Self::State(error) => error.reason(),
            Self::Limit(LimitError::Exceeded(_)) => "limited",
            Self::Limit(LimitError::Uncounted) => "limits_unavailable",
            Self::Audit(Unrecorded) => "audit_unavailable",
            Self::Upstream(error) => error.reason(),
        }
    }

    /// The deadline that was over, where one was.
    pub fn timeout(&self) -> Option<TimeoutKind> {
        match self {
            Self::Http(HttpRefusal::TooSlow) => Some(TimeoutKind::RequestBody),
            Self::Upstream(error) => TimeoutKind::of(error),
            Self::Http(_)
            | Self::Identity(_)
            | Self::Message(_)
            | Self::Header(_)
            | Self::Policy(_)
            | Self::State(_)
            | Self::Limit(_)
            | Self::Audit(_) => None,
        }
    }

    /// The rule that said no, where one did.
    pub fn rule(&self) -> Option<&RuleId> {
        match self {
            Self::Policy(denial) => Some(&denial.rule),
            Self::Limit(LimitError::Exceeded(exceeded)) => Some(&exceeded.rule),
            Self::Upstream(error) => error.rule(),
            Self::Http(_)
            | Self::Identity(_)
            | Self::Message(_)
            | Self::Header(_)
            | Self::State(_)
            | Self::Limit(LimitError::Uncounted)
            | Self::Audit(_) => None,
        }
    }
}

impl HttpRefusal {
    /// A word for logs and labels.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(_) => "http",
            Self::ForeignHost => "host",
            Self::ForeignOrigin => "origin",
            Self::NoSuchPath => "path",
            Self::Query => "query",
            Self::MethodNotAllowed => "http_method",
            Self::ContentType => "content_type",
            Self::ContentCoding => "content_coding",
            Self::NotAcceptable => "accept",
            Self::TooLarge(_) => "too_large",
            Self::TooSlow => "too_slow",
            Self::Incomplete => "incomplete",
            Self::Overloaded => "overloaded",
            Self::LongBodies => "long_bodies",
        }
    }
}

/// The operator's text.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(refusal) => refusal.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::Message(error) => error.problem.fmt(f),
            Self::Header(mismatch) => mismatch.fmt(f),
            Self::Policy(denial) => denial.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::Audit(unrecorded) => unrecorded.fmt(f),
            Self::Upstream(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for HttpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => f.write_str(what),
            Self::ForeignHost => f.write_str("Host is not one that this gateway answers to (listen.hosts)"),
            Self::ForeignOrigin => f.write_str("Origin is not allowed (listen.origins)"),
            Self::NoSuchPath => f.write_str("nothing is here; the MCP endpoint is /mcp"),
            Self::Query => f.write_str("the target must have no query; credentials go into headers"),
            Self::MethodNotAllowed => {
                f.write_str("use POST; GET opens a stream, DELETE ends the session that it names")
            }
            Self::ContentType => f.write_str("Content-Type must be application/json, in UTF-8"),
            Self::ContentCoding => f.write_str("Content-Encoding is not accepted"),
            Self::NotAcceptable => {
                f.write_str("Accept must list application/json and text/event-stream; for a stream by GET the latter")
            }
            Self::TooLarge(most) => write!(f, "the body is longer than {most} bytes"),
            Self::TooSlow => f.write_str("the body did not arrive in time"),
            Self::Incomplete => f.write_str("the body broke off"),
            Self::Overloaded => f.write_str("too many messages are under way"),
            Self::LongBodies => f.write_str("too many long bodies are under way"),
        }
    }
}

impl From<Unsound> for Refusal {
    fn from(unsound: Unsound) -> Self {
        Self::Upstream(UpstreamError::Unsound(unsound))
    }
}

macro_rules! from {
    ($($step:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::$step(error)
            }
        })*
    };
}
from! {
    Http(HttpRefusal), Identity(AuthError), Message(CallError), Header(Mismatch), Policy(Denial),
    State(StateError), Limit(LimitError), Audit(Unrecorded), Upstream(UpstreamError),
}
