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

/// What a server says on a stream, message by message, until it ends.
#[derive(Debug)]
pub struct Hearing {
    body: ReplyStream,
    splitter: Splitter,
    /// What has come of an event.
    event: BytesMut,
    /// What has come behind the last event that was read.
    rest: Bytes,
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
        let (mut head, body) = self.own(to, post(message, headers)).await?.into_parts();
        let bytes = match media_type(&head.headers) {
            MediaType::EventStream => Hearing::of(body).answer().await?,
            MediaType::Json | MediaType::Other => whole(body).await?,
        };
        Ok(Inquired { status: head.status.as_u16(), session: head.headers.remove(&SESSION_ID), bytes })
    }

    /// Listens to the server there in the gate's own name: to what answers this message, or else to what it says to a session.
    ///
    /// # Errors
    /// There is no stream to listen to.
    pub async fn hear(
        &self,
        to: &Arc<Endpoint>,
        message: Option<Bytes>,
        headers: HeaderMap,
    ) -> Result<Hearing, UpstreamError> {
        let request = message.map_or_else(|| get(headers.clone()), |message| post(message, headers.clone()));
        let (head, body) = self.own(to, request).await?.into_parts();
        match media_type(&head.headers) {
            MediaType::EventStream if head.status.is_success() => Ok(Hearing::of(body)),
            _ => Err(UpstreamError::Unacceptable(head.status.as_u16())),
        }
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

fn post(message: Bytes, headers: HeaderMap) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(message));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    let own = [(header::CONTENT_TYPE, "application/json"), (header::ACCEPT, "application/json, text/event-stream")];
    request.headers_mut().extend(own.map(|(name, value)| (name, HeaderValue::from_static(value))));
    request
}

fn get(headers: HeaderMap) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    request
}

impl Hearing {
    fn of(body: ReplyStream) -> Self {
        Self { body, splitter: Splitter::default(), event: BytesMut::new(), rest: Bytes::new() }
    }

    /// The next message; `None` if the stream has ended.
    ///
    /// # Errors
    /// It broke off, or the message does not end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            while let Some(end) = self.splitter.next(&self.rest) {
                self.event.extend_from_slice(&self.rest.split_to(end));
                let whole = self.event.split();
                if let Some(data) = Event::read(&whole).data {
                    return Ok(Some(Bytes::from(data.into_owned())));
                }
            }
            self.event.extend_from_slice(&std::mem::take(&mut self.rest));
            if self.event.len() > LONGEST {
                return Err(UpstreamError::Unsound(Unsound::TooLong(LONGEST)));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Err(UpstreamError::BrokeOff(chain(&error))),
            }
        }
    }

    /// The first message that answers: nothing but an answer has a result or an error at its top, and nothing else that is
    /// asked for so has an id.
    async fn answer(mut self) -> Result<Bytes, UpstreamError> {
        let mut read = 0;
        while let Some(message) = self.next().await? {
            read += message.len();
            if is_answer(&message) {
                return Ok(message);
            }
            if read > LONGEST {
                return Err(UpstreamError::Unsound(Unsound::TooLong(LONGEST)));
            }
        }
        Err(UpstreamError::Unsound(Unsound::NoAnswer))
    }
}

fn is_answer(message: &[u8]) -> bool {
    let message = json::value(message, &BOUNDS);
    message.is_ok_and(|message| message.get("id").is_some() && message.get("method").is_none())
}
