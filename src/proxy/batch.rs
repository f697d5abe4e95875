//! Batches (MCP 2025-03-26): each message is decided, limited, recorded and carried as if it came alone, and the
//! answers go back together. The server sees no batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::{Response, response};
use http_body_util::{BodyExt as _, Limited};
use tokio::task::JoinSet;

use super::body::{Broken, GateBody, Relay};
use super::view::{self, Viewing};
use super::{Asking, At, Caller, Gateway, Peer, refused};
use crate::mcp::{Call, ServerName};
use crate::state::SESSION_ID;
use crate::telemetry::Recorder;

/// An answer that is no stream is put together whole, up to this length; beyond it the batch breaks off.
const LONGEST: usize = 8 * 1024 * 1024;

/// Answers all messages of a batch. What was seen of the request so far is the first one's.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    (caller, at): (&Caller, &At),
    calls: Vec<Arc<Call>>,
    peer: &Arc<Peer>,
    seen: Recorder,
) -> Response<GateBody> {
    let mut asked = JoinSet::new();
    let mut first = Some(seen);
    for (nth, call) in calls.into_iter().enumerate() {
        let (gateway, peer, caller) = (Arc::clone(gateway), Arc::clone(peer), caller.clone());
        let at = at.clone();
        let seen = first.take().unwrap_or_else(|| {
            let server = gateway.about(&at).0.unwrap_or_else(|| gateway.routes.before_any().clone());
            caller.record(&gateway, &peer, server)
        });
        asked.spawn(seen.scope().scope(async move {
            let (_, public, capacity) = gateway.about(&at);
            let answer = match (capacity.take(), at) {
                (Ok(room), At::Server(route)) => {
                    gateway.answer_one(Asking { caller, route, call, room }, &peer, seen).await
                }
                (Ok(room), At::View(view)) => {
                    view::answer(&gateway, Viewing { view, caller, call, room }, &peer, seen).await
                }
                (Err(full), at) => {
                    let stream = at.route().and_then(|route| caller.stream(&route.served));
                    refused(&full.into(), (&*caller.now, public.as_ref()), seen, stream.as_deref())
                }
            };
            Answered::read(nth, answer).await
        }));
    }
    together(asked).await
}

/// The answer to one message of a batch.
struct Answered {
    /// Where the message stood in it.
    at: usize,
    head: response::Parts,
    body: Said,
}

/// What it says.
enum Said {
    Whole(Bytes),
    Stream(Box<Relay>),
    /// Not all of it came.
    Broken,
}

impl Answered {
    #[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
    async fn read(at: usize, answer: Response<GateBody>) -> Self {
        let (head, body) = answer.into_parts();
        let body = match body.into_stream() {
            Ok(stream) => Said::Stream(stream),
            Err(body) => match Limited::new(body, LONGEST).collect().await {
                Ok(whole) => Said::Whole(whole.to_bytes()),
                Err(error) => {
                    tracing::warn!(%error, "an answer in a batch broke off");
                    Said::Broken
                }
            },
        };
        Self { at, head, body }
    }
}

/// One answer out of many: an array; or a stream as soon as one of them is. That one is not held back until the others
/// are there: they may wait for what it brings.
async fn together(mut asked: JoinSet<Answered>) -> Response<GateBody> {
    let (mut heads, mut messages) = (Vec::new(), Vec::new());
    while let Some(answered) = asked.join_next().await {
        let Ok(Answered { at, head: replied, body }) = answered else {
            return broken();
        };
        heads.push(replied);
        match body {
            Said::Whole(message) => messages.push((at, message)),
            Said::Stream(stream) => {
                let said = events(&in_order(messages));
                let body = GateBody::merged(Merged { said, streams: VecDeque::from([stream]), asked });
                return Response::from_parts(head(&heads, "text/event-stream"), body);
            }
            Said::Broken => return broken(),
        }
    }
    let mut head = head(&heads, "application/json");
    if let Some(first) = heads.first().filter(|first| heads.iter().all(|head| head.status == first.status)) {
        head.status = first.status;
    }
    Response::from_parts(head, array(&in_order(messages)))
}

/// What answers something, in the order of what was asked.
fn in_order(mut messages: Vec<(usize, Bytes)>) -> Vec<Bytes> {
    messages.sort_unstable_by_key(|(at, _)| *at);
    messages.into_iter().map(|(_, message)| message).filter(|message| !message.is_empty()).collect()
}

/// The connection's end says that the answers are not all there.
fn broken() -> Response<GateBody> {
    Response::new(GateBody::broken())
}

/// The head of an ordinary answer, in the session that they are in.
fn head(heads: &[response::Parts], media_type: &'static str) -> response::Parts {
    let session = heads.iter().find_map(|head| head.headers.get(&SESSION_ID).cloned());
    let (mut head, ()) = Response::new(()).into_parts();
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    head.headers.extend(session.map(|session| (SESSION_ID, session)));
    head
}

fn array(messages: &[Bytes]) -> GateBody {
    if messages.is_empty() {
        return GateBody::whole(Bytes::new());
    }
    GateBody::whole(Bytes::from([&b"["[..], &messages.join(&b','), b"]"].concat()))
}

fn events(messages: &[Bytes]) -> Bytes {
    let mut events = BytesMut::new();
    for message in messages {
        events.put_slice(b"event: message\n");
        for line in message.split(|byte| *byte == b'\n') {
            events.put_slice(b"data: ");
            events.put_slice(line);
            events.put_u8(b'\n');
        }
        events.put_u8(b'\n');
    }
    events.freeze()
}

/// Several answers as one stream, event by event.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// What is no stream and goes next.
    said: Bytes,
    /// The one whose turn it is stands in front; it keeps it until it has ended an event.
    streams: VecDeque<Box<Relay>>,
    /// What is not answered yet.
    asked: JoinSet<Answered>,
}

impl Merged {
    /// One more of them.
    pub(super) fn add(&mut self, stream: Box<Relay>) {
        self.streams.push_back(stream);
    }

    /// Whether everything that has passed is whole events.
    pub(super) fn is_between(&self) -> bool {
        self.streams.front().is_none_or(|stream| stream.is_between_events())
    }

    /// Whose they are that go on.
    pub(super) fn servers(&self) -> impl Iterator<Item = &ServerName> {
        self.streams.iter().map(|stream| &stream.elsewhere.served.name)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        while let Poll::Ready(Some(answered)) = self.asked.poll_join_next(cx) {
            match answered.map(|answered| answered.body) {
                Ok(Said::Whole(message)) if message.is_empty() => {}
                Ok(Said::Whole(message)) => self.said = Bytes::from([&*self.said, &*events(&[message])].concat()),
                Ok(Said::Stream(stream)) => self.streams.push_back(stream),
                Ok(Said::Broken) | Err(_) => return Poll::Ready(Some(Err(Broken))),
            }
        }
        let within = self.streams.front().is_some_and(|stream| !stream.is_between_events());
        if !within && !self.said.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.said))));
        }
        for _ in 0..self.streams.len() {
            let Some(mut stream) = self.streams.pop_front() else {
                break;
            };
            let next = stream.poll(cx);
            let within = !stream.is_between_events();
            match next {
                Poll::Ready(None) => {}
                Poll::Ready(Some(Ok(bytes))) if within => {
                    self.streams.push_front(stream);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Poll::Ready(Some(passed)) => {
                    self.streams.push_back(stream);
                    return Poll::Ready(Some(passed));
                }
                Poll::Pending if within => {
                    self.streams.push_front(stream);
                    return Poll::Pending;
                }
                Poll::Pending => self.streams.push_back(stream),
            }
        }
        if self.streams.is_empty() && self.asked.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}
