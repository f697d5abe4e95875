//! How long a server may take for what.

use std::time::Duration;

/// How long a server may take for what. A tool's own timeout, by the policy, is in the place of `first_byte` and of the silence
/// within an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, its TLS too.
    pub connect: Duration,
    /// Until its answer begins.
    pub first_byte: Duration,
    /// For the next word of an answer that has begun, and while it waits for its client's user.
    pub stream_idle: Duration,
    /// Until all of an answer has come that is no stream.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_mins(1),
            stream_idle: Duration::from_mins(5),
            total: Duration::from_mins(5),
        }
    }
}

/// Which of them is over, where the call may have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// No answer has begun.
    FirstByte,
    /// No more of it has come.
    StreamIdle,
    /// Not all of it has.
    Total,
}
