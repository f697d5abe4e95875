//! Why there is no reply, and whether the call may have run.

use std::fmt;
use std::time::Duration;

use super::{CredentialError, Deadline};
use crate::breaker::Ended;
use crate::mcp::Problem;
use crate::policy::{RuleId, Sighting};

/// Why the server gave no proper reply.
#[derive(Debug)]
pub enum UpstreamError {
    /// No connection: nothing ran.
    Unreachable(String),
    /// A kept connection was closed before any of the request was written: nothing ran.
    Unwritten(String),
    /// The connection broke after the request was sent: it may have run.
    BrokeOff(String),
    /// No connection stood within this: nothing ran.
    NotConnected(Duration),
    /// This deadline is over, so long it was: it may have run.
    TimedOut(Deadline, Duration),
    /// The server answered with this status: a redirect, a demand for credentials, an upgrade, or a failure without a
    /// message.
    Unacceptable(u16),
    /// What it said is not what it may say.
    Unsound(Unsound),
    /// What the server must be shown cannot be had: nothing was sent.
    Credential(CredentialError),
    /// The server fails, so it is left alone for so long: nothing ran.
    LeftAlone(Duration),
    /// The server has as many calls under way as it may: nothing ran.
    Busy,
    /// Where the session was nobody answers; it cannot go on elsewhere, but a new one can. Nothing ran.
    SessionLost,
    /// It does not take the handshake of a session: nothing ran.
    Ungreeted(String),
    /// An operator has ended the call while it was under way (kill switch): it may have run.
    Stopped(RuleId),
}

/// What is wrong with a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// Not one message with one reading.
    Message(Problem),
    /// A list that is none.
    List,
    /// It answers another request.
    WrongId,
    /// It answers twice.
    SecondAnswer,
    /// It ended without an answer.
    NoAnswer,
    /// A message, or all of them, longer than this many bytes.
    TooLong(usize),
    /// It asks what it may not, or what the client cannot do or could not answer.
    Asks,
    /// It asks the client's user to open an address that is not safe.
    Address,
    /// It gives out a task that another principal began.
    Task,
    /// The first event of a 2024-11-05 stream does not say where messages go.
    Endpoint,
    /// It holds what the policy does not let out: the call ran.
    Withheld(Box<Sighting>),
}

impl UpstreamError {
    /// A word for logs and labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Unwritten(_) => "unwritten",
            Self::BrokeOff(_) => "broke_off",
            Self::NotConnected(_) => "connect_timed_out",
            Self::TimedOut(..) => "timed_out",
            Self::Unacceptable(_) => "unacceptable",
            Self::Unsound(unsound) => unsound.reason(),
            Self::Credential(error) => error.reason(),
            Self::LeftAlone(_) => "circuit_open",
            Self::Busy => "upstream_busy",
            Self::SessionLost => "session_lost",
            Self::Ungreeted(_) => "ungreeted",
            Self::Stopped(_) => "killed",
        }
    }
}

impl UpstreamError {
    /// The rule that ended the call or withheld its answer, where one did.
    pub fn rule(&self) -> Option<&RuleId> {
        match self {
            Self::Stopped(rule) => Some(rule),
            Self::Unsound(Unsound::Withheld(found)) => Some(&found.rule),
            Self::Unreachable(_)
            | Self::Unwritten(_)
            | Self::BrokeOff(_)
            | Self::NotConnected(_)
            | Self::TimedOut(..)
            | Self::Unacceptable(_)
            | Self::Unsound(_)
            | Self::LeftAlone(_)
            | Self::Busy
            | Self::SessionLost
            | Self::Ungreeted(_)
            | Self::Credential(_) => None,
        }
    }
}

impl From<CredentialError> for UpstreamError {
    fn from(error: CredentialError) -> Self {
        Self::Credential(error)
    }
}

/// The operator's text.
impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server cannot be reached: {why}"),
            Self::Unwritten(why) => write!(f, "the server closed the connection before it was asked: {why}"),
            Self::BrokeOff(why) => write!(f, "the server broke off: {why}"),
            Self::NotConnected(after) => write!(f, "no connection to the server stood within {after:?}"),
            Self::TimedOut(Deadline::FirstByte | Deadline::StreamIdle, after) => {
                write!(f, "the server was silent for {after:?}")
            }
            Self::TimedOut(Deadline::Total, after) => {
                write!(f, "the server's answer was not all there after {after:?}")
            }
            Self::Unacceptable(status) => {
                write!(f, "the server answered with HTTP status {status}")
            }
            Self::Unsound(unsound) => unsound.fmt(f),
            Self::Credential(error) => error.fmt(f),
            Self::LeftAlone(pause) => write!(f, "the server fails; it is left alone for {pause:?} (circuit open)"),
            Self::Busy => f.write_str("the server has as many calls under way as it may (max_in_flight)"),
            Self::SessionLost => f.write_str("the endpoint that had the session does not answer, and others do"),
            Self::Ungreeted(why) => write!(f, "the server does not take the handshake of a session: {why}"),
            Self::Stopped(rule) => write!(f, "an operator has ended the call ({rule})"),
        }
    }
}

impl Unsound {
    /// A word for logs, labels and `error.data.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Message(_) => "reply_malformed",
            Self::List => "reply_list",
            Self::WrongId => "reply_wrong_id",
            Self::SecondAnswer => "reply_second_answer",
            Self::NoAnswer => "reply_missing",
            Self::TooLong(_) => "reply_too_long",
            Self::Asks => "reply_asks",
            Self::Address => "reply_address",
            Self::Task => "reply_task",
            Self::Endpoint => "reply_endpoint",
            Self::Withheld(_) => "withheld",
        }
    }
}

/// The operator's text.
impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(problem) => write!(f, "the server's reply is not one message: {problem}"),
            Self::List => f.write_str("the server's list cannot be read, so it cannot be filtered"),
            Self::WrongId => f.write_str("the server answers another request than the one it was asked"),
            Self::SecondAnswer => f.write_str("the server answers a second time"),
            Self::NoAnswer => f.write_str("the server's reply ended without an answer"),
            Self::TooLong(most) => write!(f, "the server's reply is longer than {most} bytes"),
            Self::Asks => f.write_str(
                "the server asks what it may not (server_may), or what its client did not declare or cannot answer",
            ),
            Self::Address => f.write_str("the server asks its client's user to open an address that is not https"),
            Self::Task => f.write_str("the server gives out a task that another principal began"),
            Self::Endpoint => f.write_str("the server's stream does not begin with an endpoint of its own"),
            Self::Withheld(found) => {
                write!(f, "the server's reply holds {}, which must not pass ({})", found.name, found.rule)
            }
        }
    }
}

/// All causes of an error in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What the end of a call says of the server that ended so, if not with a reply; `None`: nothing.
pub(super) fn says(error: Option<&UpstreamError>) -> Option<Ended> {
    Some(match error {
        Some(UpstreamError::Unwritten(_)) => return None,
        // What stands before it cannot reach it, or it takes nothing more.
        Some(
            UpstreamError::Unreachable(_) | UpstreamError::NotConnected(_) | UpstreamError::Unacceptable(502..=504),
        ) => Ended::Unreached,
        Some(UpstreamError::BrokeOff(_) | UpstreamError::TimedOut(..)) => Ended::Failed,
        None
        | Some(
            UpstreamError::Unacceptable(_)
            | UpstreamError::Unsound(_)
            | UpstreamError::Stopped(_)
            | UpstreamError::LeftAlone(_)
            | UpstreamError::Busy
            | UpstreamError::SessionLost
            | UpstreamError::Ungreeted(_)
            | UpstreamError::Credential(_),
        ) => Ended::Answered,
    })
}
