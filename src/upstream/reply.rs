//! What a server said: which answers are any, and how much of one is read before it passes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::{Instant, timeout_at};

use super::error::chain;
use super::{Deadline, InFlight, ReplyStream, UpstreamError};

/// What the server said.
#[derive(Debug)]
pub struct Reply {
    /// Status and headers, already fit for the caller.
    pub head: http::response::Parts,
    /// The body.
    pub body: ReplyBody,
    /// Who says it; it has the call as long as this is held.
    pub from: InFlight,
}

/// A reply's body: short JSON as a whole, anything else as it comes.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// What has come, and what is still to come.
    Stream(Bytes, ReplyStream),
}

/// Redirects are followed for nobody, demands for credentials are the operator's to answer, and no protocol but HTTP
/// is spoken; a failure without a message is told by the gate. Everything else passes, with its meaning.
pub(super) fn acceptable(head: &http::response::Parts) -> Result<(), UpstreamError> {
    let status = head.status;
    let encoded = head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let unspeaking = status.is_server_error() && media_type(&head.headers) != MediaType::Json;
    let foreign = status.is_redirection() || status.is_informational() || matches!(status.as_u16(), 401 | 407);
    if foreign || unspeaking || encoded {
        return Err(UpstreamError::Unacceptable(status.as_u16()));
    }
    Ok(())
}

/// Short JSON as a whole; anything else as it comes. A server may be silent for so long before each piece, and must
/// have said all by a moment that comes so long after it was asked.
pub(super) async fn whole(
    headers: &HeaderMap,
    mut body: ReplyStream,
    held: usize,
    silence: Duration,
    ends: (Instant, Duration),
) -> Result<ReplyBody, UpstreamError> {
    if body.is_end_stream() {
        return Ok(ReplyBody::Whole(Bytes::new()));
    }
    let long = body.size_hint().lower() > u64::try_from(held).unwrap_or(u64::MAX);
    if long || media_type(headers) != MediaType::Json {
        return Ok(ReplyBody::Stream(Bytes::new(), body));
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut read = 0;
    loop {
        let (until, total) = ends;
        let frame = timeout_at(until.min(Instant::now() + silence), body.frame()).await;
        let late = |_elapsed| {
            let over = Instant::now() >= until;
            let (deadline, after) = if over { (Deadline::Total, total) } else { (Deadline::StreamIdle, silence) };
            UpstreamError::TimedOut(deadline, after)
        };
        let frame = frame.map_err(late)?;
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| UpstreamError::BrokeOff(chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read += data.len();
        match first.take() {
            None if all.is_empty() => first = Some(data),
            before => {
                if all.is_empty() {
                    // All that is told to come, at once: to grow step by step would take it twice.
                    let rest = usize::try_from(body.size_hint().lower()).unwrap_or_default();
                    all.reserve(read + rest);
                }
                all.extend_from_slice(&before.unwrap_or_default());
                all.extend_from_slice(&data);
            }
        }
        if read > held {
            return Ok(ReplyBody::Stream(first.unwrap_or_else(|| all.freeze()), body));
        }
    }
    Ok(ReplyBody::Whole(first.unwrap_or_else(|| all.freeze())))
}

/// What a reply's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    EventStream,
    /// Anything else, or nothing.
    Other,
}

/// The media type, whatever its parameters and case.
pub fn media_type(headers: &HeaderMap) -> MediaType {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        MediaType::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        MediaType::EventStream
    } else {
        MediaType::Other
    }
}
