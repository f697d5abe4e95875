//! Why there is no reply, and whether the call may have run.

use std::fmt;
use std::time::Duration;

/// Why the server gave no proper reply.
#[derive(Debug)]
pub enum UpstreamError {
    /// No connection: nothing ran.
    Unreachable(String),
    /// The connection broke after the request was sent: it may have run.
    BrokeOff(String),
    /// No word for this long: it may have run.
    TimedOut(Duration),
    /// The server answered with this status: a redirect, a demand for credentials, an upgrade, or a failure without a
    /// message.
    Unacceptable(u16),
    /// A list that the gate must filter, but cannot read.
    Unreadable,
    /// The session is not one of this principal's.
    NoSession,
}

impl UpstreamError {
    /// A word for logs and labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::BrokeOff(_) => "broke_off",
            Self::TimedOut(_) => "timed_out",
            Self::Unacceptable(_) => "unacceptable",
            Self::Unreadable => "unreadable",
            Self::NoSession => "no_session",
        }
    }
}

/// The operator's text.
impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server cannot be reached: {why}"),
            Self::BrokeOff(why) => write!(f, "the server broke off: {why}"),
            Self::TimedOut(after) => write!(f, "the server was silent for {after:?}"),
            Self::Unacceptable(status) => {
                write!(f, "the server answered with HTTP status {status}")
            }
            Self::Unreadable => f.write_str("the server's list cannot be read, so it cannot be filtered"),
            Self::NoSession => f.write_str("the session is unknown, ended or another principal's"),
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
