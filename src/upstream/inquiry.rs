//! What the gate asks a server in its own name, and the whole of the answer.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};

use super::error::chain;
use super::reply::{MediaType, media_type};
use super::{Endpoint, ReplyStream, Unsound, Upstream, UpstreamError, VERSION};
use crate::json::{self, Bounds};
use crate::sse::{Event, Splitter};
use crate::state::SESSION_ID;

/// The whole of an answer.
#[derive(Debug)]
pub struct Inquired {
    /// Its HTTP status.
    pub status: u16,
    /// The session that it began.
    pub session: Option<HeaderValue>,
    /// The message.
    pub bytes: Bytes,
}

/// The longest answer that is read.
const LONGEST: usize = 16 << 20;
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };

impl Upstream {
    /// Asks the server something there in the gate's own name: only what runs nothing. Whoever asks sets the time.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn inquire(
        &self,
        to: &Arc<Endpoint>,
        message: Bytes,
        headers: HeaderMap,
    ) -> Result<Inquired, UpstreamError> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        let own = [(header::CONTENT_TYPE, "application/json"), (header::ACCEPT, "application/json, text/event-stream")];
        request.headers_mut().extend(own.map(|(name, value)| (name, HeaderValue::from_static(value))));
        let (mut head, body) = self.own(to, request).await?.into_parts();
        let bytes = match media_type(&head.headers) {
            MediaType::EventStream => answer(body).await?,
            MediaType::Json | MediaType::Other => whole(body).await?,
        };
        Ok(Inquired { status: head.status.as_u16(), session: head.headers.remove(&SESSION_ID), bytes })
    }

    /// Ends a session that was begun so. Nothing depends on it.
    pub async fn forget(&self, to: &Arc<Endpoint>, session: &HeaderValue, version: Option<&HeaderValue>) {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::DELETE;
        request.headers_mut().insert(SESSION_ID, session.clone());
        request.headers_mut().extend(version.map(|version| (VERSION, version.clone())));
        drop(self.own(to, request).await);
    }
}

async fn whole(mut body: ReplyStream) -> Result<Bytes, UpstreamError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::BrokeOff(chain(&error)))?;
        all.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
        if all.len() > LONGEST {
            return Err(UpstreamError::Unsound(Unsound::TooLong(LONGEST)));
        }
    }
    Ok(all.freeze())
}

/// The last message that a stream says before it ends, or the first that answers: nothing but an answer has a result or
/// an error at its top, and nothing else that is asked for so has an id.
async fn answer(mut body: ReplyStream) -> Result<Bytes, UpstreamError> {
    let (mut splitter, mut event, mut read) = (Splitter::default(), BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::BrokeOff(chain(&error)))?;
        let mut rest = frame.into_data().unwrap_or_default();
        read += rest.len();
        if read > LONGEST {
            return Err(UpstreamError::Unsound(Unsound::TooLong(LONGEST)));
        }
        while let Some(end) = splitter.next(&rest) {
            event.extend_from_slice(&rest.split_to(end));
            let whole = event.split();
            let data = Event::read(&whole).data.map(|data| Bytes::from(data.into_owned()));
            if let Some(data) = data.filter(|data| is_answer(data)) {
                return Ok(data);
            }
        }
        event.extend_from_slice(&rest);
    }
    Err(UpstreamError::Unsound(Unsound::NoAnswer))
}

fn is_answer(message: &[u8]) -> bool {
    let message = json::value(message, &BOUNDS);
    message.is_ok_and(|message| message.get("id").is_some() && message.get("method").is_none())
}
