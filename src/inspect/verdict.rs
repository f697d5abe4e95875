//! What becomes of a message of a server, and what kind of message it was.

use crate::mcp::Form;

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes as it came.
    Pass,
    /// It passes so.
    Edit(Vec<u8>),
    /// It does not pass, and that is nobody's fault.
    Drop,
}

/// What kind of message it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Request,
    /// The same, of what the server may not ask.
    Declined,
    Notification,
    Answer(Form),
}
