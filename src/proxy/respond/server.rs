//! What the caller hears when the server's answer does not come, or must not pass.

use std::time::Duration;

use http::StatusCode;

use super::{EXECUTED, Saying, Status, later, misplaced};
use crate::jsonrpc::{ErrorObject, code};
use crate::policy::Sighting;
use crate::state::StateError;
use crate::upstream::{CredentialError, Unsound, UpstreamError};

/// After so long a server that has too much to do may have room again.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Why there is no answer of the server's, whether anything ran, and what to do.
pub(super) fn say(error: &UpstreamError) -> Saying {
    let bad_gateway = Status::InBand(StatusCode::BAD_GATEWAY);
    let unavailable = Status::InBand(StatusCode::SERVICE_UNAVAILABLE);
    let (status, code, text, executed) = match error {
        UpstreamError::Unreachable(_) | UpstreamError::NotConnected(_) | UpstreamError::Unwritten(_) => {
            (bad_gateway, code::UPSTREAM, "the server cannot be reached; nothing ran", "no")
        }
        UpstreamError::BrokeOff(_) => (
            bad_gateway,
            code::UPSTREAM,
            "the server broke off; the call may have run: look before you repeat it",
            "unknown",
        ),
        UpstreamError::TimedOut(..) => (
            Status::InBand(StatusCode::GATEWAY_TIMEOUT),
            code::TIMEOUT,
            "the server did not answer in time; outcome unknown: the call may have run, look before you repeat it",
            "unknown",
        ),
        UpstreamError::Credential(error) => (bad_gateway, code::UPSTREAM, uncredentialed(error), "no"),
        UpstreamError::LeftAlone(_) => {
            (unavailable, code::UNAVAILABLE, "the server fails and is left alone for a moment; nothing ran", "no")
        }
        UpstreamError::Stopped(_) => (
            unavailable,
            code::UNAVAILABLE,
            "ended by an operator; the call may have run: look before you repeat it",
            "unknown",
        ),
        UpstreamError::Busy => {
            (unavailable, code::UNAVAILABLE, "the server has as many calls under way as it may; nothing ran", "no")
        }
        UpstreamError::Ungreeted(_) => {
            (bad_gateway, code::UPSTREAM, "the server takes no session of yours now; nothing ran", "no")
        }
        UpstreamError::SessionLost => return misplaced(StateError::NoSession, None, None),
        UpstreamError::Unsound(Unsound::Withheld(found)) => return withheld(found),
        UpstreamError::Unacceptable(_) | UpstreamError::Unsound(_) => {
            (bad_gateway, code::UPSTREAM, "the server gave no proper answer; the call may have run", "unknown")
        }
    };
    let mut object = ErrorObject::new(code, text).with(EXECUTED, executed);
    match error {
        UpstreamError::Unacceptable(status) => object = object.with_number("upstreamStatus", u64::from(*status)),
        UpstreamError::Unsound(unsound) => object = object.with("reason", unsound.reason()),
        UpstreamError::LeftAlone(pause) => return later(status, object.with("reason", error.reason()), *pause),
        UpstreamError::Busy => return later(status, object.with("reason", error.reason()), A_MOMENT),
        UpstreamError::Stopped(_) | UpstreamError::Credential(_) | UpstreamError::Ungreeted(_) => {
            object = object.with("reason", error.reason());
        }
        UpstreamError::Unreachable(_)
        | UpstreamError::Unwritten(_)
        | UpstreamError::BrokeOff(_)
        | UpstreamError::NotConnected(_)
        | UpstreamError::TimedOut(..)
        | UpstreamError::SessionLost => {}
    }
    Saying::new(status, object)
}

/// The call ran, and what came of it must not be seen.
fn withheld(found: &Sighting) -> Saying {
    let text =
        format!("the answer is withheld: it holds {}; the call ran, so ask for less rather than again", found.name);
    let error = ErrorObject::new(code::WITHHELD, text).with("reason", "withheld").with(EXECUTED, "yes");
    Saying::new(Status::InBand(StatusCode::FORBIDDEN), error)
}

fn uncredentialed(error: &CredentialError) -> &'static str {
    match error {
        CredentialError::Unavailable(_) => "the gate cannot authenticate to the server now; nothing ran",
        CredentialError::Refused(_) => "your token gives no access to this server; nothing ran",
        CredentialError::NoToken => {
            "this server takes only callers who log in at an identity provider, not keys; nothing ran"
        }
        CredentialError::Untold(_) => "the server cannot be told who asks; nothing ran",
    }
}
