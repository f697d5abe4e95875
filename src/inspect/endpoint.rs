//! HTTP+SSE (MCP 2024-11-05): the stream's first event says where the client's messages go. The client is told a place
//! of the gate's instead, and the server's is kept to itself: it is as good as a credential.

use reqwest::Url;

use crate::sse::Event;
use crate::state::{Conversation, Known, MESSAGES, Seat};
use crate::upstream::Unsound;

/// A stream that begins a session.
#[derive(Debug)]
pub(super) struct Opens {
    /// Where the server has it.
    pub(super) stream: http::Uri,
    /// What stands before the protocol's own paths where its client has it.
    pub(super) base: Box<str>,
}

/// Begins the session of a stream; returns where the client's messages go, and the conversation.
///
/// # Errors
/// The event is no endpoint, or one that is not of the stream's own origin.
pub(super) fn begin(seat: Seat, event: &Event<'_>, opens: &Opens) -> Result<(Vec<u8>, Conversation), Unsound> {
    let theirs = endpoint(event, &opens.stream).ok_or(Unsound::Endpoint)?;
    let (ours, session) = seat.begin(Known::Url(theirs), Some(&opens.stream)).ok_or(Unsound::Endpoint)?;
    let place = [opens.base.as_bytes(), MESSAGES.as_bytes(), ours.as_bytes()].concat();
    Ok((place, Conversation::Within { ours: Some(ours), session }))
}

fn endpoint(event: &Event<'_>, stream: &http::Uri) -> Option<http::Uri> {
    let place = std::str::from_utf8(event.data.as_ref().filter(|_| event.kind == Some(b"endpoint"))?).ok()?;
    let stream = Url::parse(&stream.to_string()).ok()?;
    let place = stream.join(place).ok()?;
    let sound = place.origin() == stream.origin() && place.username().is_empty() && place.password().is_none();
    place.as_str().split('#').next().filter(|_| sound)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_nowhere_but_to_the_server_itself() {
        let stream = "http://127.0.0.1:8000/sse".parse().unwrap();
        for (event, place) in [
            (
                "event: endpoint\ndata: /messages/?session_id=1\n\n",
                Some("http://127.0.0.1:8000/messages/?session_id=1"),
            ),
            ("event: endpoint\ndata: messages?s=1#x\n\n", Some("http://127.0.0.1:8000/messages?s=1")),
            ("event: endpoint\ndata: http://127.0.0.1:8000/m\n\n", Some("http://127.0.0.1:8000/m")),
            ("event: endpoint\ndata: http://127.0.0.1:8001/m\n\n", None),
            ("event: endpoint\ndata: https://127.0.0.1:8000/m\n\n", None),
            ("event: endpoint\ndata: //evil.test/m\n\n", None),
            ("event: endpoint\ndata: http://user@127.0.0.1:8000/m\n\n", None),
            ("event: endpoint\ndata: javascript:alert(1)\n\n", None),
            ("event: endpoint\n\n", None),
            ("data: /messages\n\n", None),
        ] {
            let found = endpoint(&Event::read(event.as_bytes()), &stream).map(|place| place.to_string());
            assert_eq!(found.as_deref(), place, "{event}");
        }
    }
}
