//! The request's way. Read `Gateway::carry` first.

mod body;
mod guard;
mod joined;
mod receive;
mod respond;
mod snapshot;
mod stack;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::exchange::{Exchange, HttpRefusal, Refusal};
use crate::inspect::{self, Watch};
use crate::limits::Admission;
use crate::mcp::{Call, Method, ServerName};
use crate::telemetry::{Recorder, Telemetry};
use crate::upstream::{Carried, Reply, ReplyBody, Upstream};

pub use body::{Broken, GateBody};
pub use guard::{Guard, Peer};
pub use receive::Door;
pub use snapshot::Snapshot;
pub use stack::service;

use body::{Endless, Patience, Relay};

/// The gate before one server.
#[derive(Debug)]
pub struct Gateway {
    /// The judgement in force; swapped whole on reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// What is taken over HTTP.
    pub door: Door,
    /// What the server is called.
    pub server: ServerName,
    /// The server.
    pub upstream: Arc<Upstream>,
    /// The books.
    pub telemetry: Arc<Telemetry>,
    /// How many messages may be under way at once, streams included.
    pub room: Arc<Semaphore>,
    /// Cancelled when the gate goes away.
    pub draining: CancellationToken,
}

impl Gateway {
    /// Carries one message to the server and brings the reply back, or says why not.
    ///
    /// Every line consumes what an earlier one proved: only the authenticators make a principal, only the policy a
    /// permit, only the limits an admission, and `send` takes nothing less. A step left out or moved does not compile.
    async fn carry(&self, request: Request<Incoming>, peer: &Peer, seen: &mut Recorder) -> Result<Carriage, Refusal> {
        let now = self.snapshot.load_full(); // one message, one judgement
        seen.policy = Arc::clone(now.policy.digest());
        let (mut head, body) = request.into_parts();

        peer.sound()?; // can the connection's bytes be trusted?
        receive::head(&head, &self.door)?; // is it for us, and does it have one reading?
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_full| HttpRefusal::Overloaded)?;
        let principal = now.authenticators.identify(&head.headers)?; // who is asking?
        seen.principal = Some(Arc::clone(&principal));
        let call = receive::call(&head, body, &self.door).await?; // what do they ask for?
        peer.sound()?; // its body's bytes too?
        seen.asks(&call, &now.policy);
        receive::agree(&head, &call)?; // do the headers say the same?
        let permit = now.policy.permit(&principal, &call, &self.server)?; // may they?
        seen.rule = Some(permit.rule().clone());
        let admission = now.limits.admit(permit)?; // is there room for it?
        seen.begin_attempt().apply(&mut head.headers);
        let carried = Carried { headers: &head.headers, peer: peer.address().ip(), request_id: seen.id.header() };
        let reply = self.upstream.send(&admission, carried).await?; // ask the server
        seen.answered(reply.head.status.as_u16());
        self.count_sessions(&call);
        let (watch, reply) = inspect::watch(reply, admission.permit(), &now.policy)?; // and watch what comes back
        Ok(Carriage { reply, watch, admission, headers: head.headers, room })
    }

    /// Answers one message. Whatever happens, it is recorded once.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<GateBody> {
        let policy = Arc::clone(self.snapshot.load().policy.digest());
        let exchange = Exchange::begin(peer.address(), self.server.clone(), policy);
        let mut seen = self.telemetry.open(exchange, request.headers());
        match self.carry(request, peer, &mut seen).await {
            Ok(carriage) => self.relay(carriage, seen),
            Err(refusal) => {
                let (response, code) = respond::refusal(&refusal, &seen);
                tracing::debug!(decision = %seen.id, %refusal, "refused");
                seen.refused = Some(refusal.reason());
                seen.code = Some(code);
                seen.rule = refusal.rule().cloned().or(seen.rule.take());
                seen.close(refusal.outcome());
                response
            }
        }
    }

    /// Sessions only begin and end with these.
    fn count_sessions(&self, call: &Call) {
        if matches!(call.method(), Method::Initialize | Method::EndSession) {
            let count = self.upstream.sessions().count();
            self.telemetry.sessions().set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn relay(&self, carriage: Carriage, seen: Recorder) -> Response<GateBody> {
        let Carriage { reply, watch, admission, headers, room } = carriage;
        let mut head = reply.head;
        if watch.edits() {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let body = match reply.body {
            ReplyBody::Whole(bytes) => {
                seen.close(body::outcome(watch.answer(), None));
                GateBody::whole(bytes)
            }
            ReplyBody::Stream(stream) => {
                let method = admission.permit().call().method();
                let endless = matches!(method, Method::OpenStream | Method::SubscriptionsListen);
                let endless = endless.then(|| Endless::new(self.telemetry.streams(), &self.draining));
                let patience = admission.permit().tool().map(|tool| Patience::of(tool.timeout));
                let upstream = Arc::clone(&self.upstream);
                let (stream, recorder) = (Some(stream), Some(seen));
                GateBody::relay(Relay {
                    stream,
                    watch,
                    admission,
                    upstream,
                    headers,
                    recorder,
                    patience,
                    endless,
                    joined: None,
                    broken: None,
                    _room: room,
                })
            }
        };
        Response::from_parts(head, body)
    }
}

/// A reply, with everything that must last as long as it flows.
struct Carriage {
    reply: Reply,
    watch: Watch,
    admission: Admission,
    headers: HeaderMap,
    room: OwnedSemaphorePermit,
}
