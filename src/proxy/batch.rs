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
use super::route::Route;
use super::{Asking, Caller, Gateway, Peer, refused};
use crate::exchange::Exchange;
use crate::mcp::Call;
use crate::state::SESSION_ID;
use crate::telemetry::Recorder;

/// An answer that is no stream is put together whole, up to this length; beyond it the batch breaks off.
const LONGEST: usize = 8 * 1024 * 1024;

/// Answers all messages of a batch. What was seen of the request so far is the first one's.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    (caller, route): (&Caller, &Arc<Route>),
    calls: Vec<Arc<Call>>,
    peer: &Arc<Peer>,
    seen: Recorder,
) -> Response<GateBody> {
    let mut asked = JoinSet::new();
    let mut first = Some(seen);
    for (at, call) in calls.into_iter().enumerate() {
        let (gateway, peer, caller) = (Arc::clone(gateway), Arc::clone(peer), caller.clone());
        let route = Arc::clone(route);
        let seen = first.take().unwrap_or_else(|| {
            let policy = Arc::clone(caller.now.policy.digest());
            let exchange = Exchange::begin(peer.address(), route.served.name.clone(), policy);
            let exchange = exchange.brought_by(caller.head.version, &caller.head.headers);
            let mut seen = gateway.telemetry.open(exchange, &caller.head.headers);
            seen.principal = Some(Arc::clone(&caller.principal));
            seen
        });
        asked.spawn(seen.scope().scope(async move {
            let answer = match route.served.capacity.take() {
                Ok(room) => gateway.answer_one(Asking { caller, route, call, room }, &peer, seen).await,
                Err(full) => {
                    let at = (&*caller.now, route.public.as_ref());
                    refused(&full.into(), at, seen, caller.stream(&route.served).as_deref())
                }
            };
            (at, answer)
        }));
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable_by_key(|(at, _)| *at);
    together(answers.into_iter().map(|(_, answer)| answer)).await
}

/// One answer out of many: an array; or a stream, if one of them is.
#[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
async fn together(answers: impl Iterator<Item = Response<GateBody>>) -> Response<GateBody> {
    let (mut heads, mut messages, mut streams) = (Vec::new(), Vec::new(), VecDeque::new());
    for answer in answers {
        let (head, body) = answer.into_parts();
        match body.into_stream() {
            Ok(stream) => streams.push_back(stream),
            Err(body) => match Limited::new(body, LONGEST).collect().await {
                Ok(whole) => messages.extend(Some(whole.to_bytes()).filter(|message| !message.is_empty())),
                Err(error) => {
                    tracing::warn!(%error, "an answer in a batch broke off");
                    return broken();
                }
            },
        }
        heads.push(head);
    }
    let body = if streams.is_empty() {
        array(&messages)
    } else {
        GateBody::merged(Merged { first: events(&messages), streams })
    };
    Response::from_parts(head(&heads, &body), body)
}

/// The connection's end says that the answers are not all there.
fn broken() -> Response<GateBody> {
    Response::new(GateBody::broken())
}

/// What all heads say, or else that of an ordinary answer.
fn head(heads: &[response::Parts], body: &GateBody) -> response::Parts {
    let session = heads.iter().find_map(|head| head.headers.get(&SESSION_ID).cloned());
    let (mut head, ()) = Response::new(()).into_parts();
    if let Some(first) = heads.first().filter(|first| heads.iter().all(|head| head.status == first.status)) {
        head.status = first.status;
    }
    let media_type = if body.is_merged() { "text/event-stream" } else { "application/json" };
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

/// Several streams as one, event by event.
#[derive(Debug)]
pub(super) struct Merged {
    /// What goes first.
    first: Bytes,
    /// The one whose turn it is stands in front; it keeps it until it has ended an event.
    streams: VecDeque<Box<Relay>>,
}

impl Merged {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
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
        if self.streams.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}
