//! The request's way. Read `Gateway::read` first.

mod batch;
mod body;
mod elsewhere;
mod endless;
mod guard;
mod joined;
mod keep_alive;
mod receive;
mod respond;
mod snapshot;
mod stack;
mod stop;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, request, response};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::{Cache, Found, Question, Turn};
use crate::exchange::{Exchange, HttpRefusal, Outcome, Refusal};
use crate::identity::{AuthError, Presented, Principal};
use crate::inspect::{self, Watch, Watcher};
use crate::limits::{Admission, QuotaHeader};
use crate::mcp::{Call, Method, ServerName};
use crate::policy::PolicySet;
use crate::state::{Conversation, Place, Session, State, UnderWay};
use crate::telemetry::{Recorder, Telemetry};
use crate::upstream::{Carried, InFlight, REQUEST_ID, Reply, ReplyBody, Upstream, UpstreamError, VERSION};

pub use body::{Broken, GateBody};
pub use guard::{Guard, Peer};
pub use receive::{Door, Transports};
pub use respond::heard;
pub use snapshot::Snapshot;
pub use stack::service;

use body::{Patience, Relay};
use elsewhere::Elsewhere;
use endless::Endless;
use keep_alive::KeepAlive;
use receive::{Calls, For};

/// The gate before one server.
#[derive(Debug)]
pub struct Gateway {
    /// The judgement in force; swapped whole on reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// Held by whoever swaps it.
    pub judging: Mutex<()>,
    /// Tells whatever is under way of a swap.
    pub judged: watch::Sender<()>,
    /// What is taken over HTTP.
    pub door: Door,
    /// What the server is called.
    pub server: ServerName,
    /// The server.
    pub upstream: Arc<Upstream>,
    /// What is remembered of it between messages.
    pub state: Arc<State>,
    /// Its answers that are given again.
    pub cache: Arc<Cache>,
    /// How many bytes its reply to one request may have.
    pub max_reply_bytes: usize,
    /// A stream says something at least so often.
    pub keep_alive: Duration,
    /// Whether callers are told what is left for them.
    pub quota_header: QuotaHeader,
    /// The books.
    pub telemetry: Arc<Telemetry>,
    /// How many messages may be under way at once, streams included.
    pub room: Arc<Semaphore>,
    /// Cancelled when the gate goes away.
    pub draining: CancellationToken,
    /// Calls that wait for an answer without a connection of their own.
    pub waiting: TaskTracker,
}

impl Gateway {
    /// From now on what comes of `anew` decides; also about what is under way without an end. One at a time: of two that
    /// change different things, neither is lost.
    pub fn judge_by(&self, anew: impl FnOnce(&Snapshot) -> Snapshot) {
        let _one_at_a_time = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = anew(&self.snapshot.load());
        self.snapshot.store(Arc::new(snapshot));
        self.judged.send_replace(());
    }

    /// Reads what a request asks for, and who asks.
    ///
    /// Every line here and in `carry` consumes what an earlier one proved: only the authenticators make a principal,
    /// only the policy a permit, only the limits an admission, and `send` takes nothing less. A step left out or moved
    /// does not compile.
    async fn read(
        &self,
        now: Arc<Snapshot>,
        (head, body): (request::Parts, &mut Incoming),
        peer: &Peer,
        seen: &mut Recorder,
    ) -> Result<Read, Refusal> {
        peer.sound()?; // can the connection's bytes be trusted?
        let place = match receive::head(&head, &self.door, now.resource.as_deref())? {
            For::Mcp(place) => place, // it is for us, and has one reading
            For::Metadata(document) => return Ok(Read::Metadata(document)), // how to log in is asked before one can
        };
        let room = self.room()?;
        let presented = Presented { headers: &head.headers, certificate: peer.certificate() };
        let principal = now.authenticators.identify(presented).await?; // who is asking?
        seen.principal = Some(Arc::clone(&principal));
        let calls = receive::calls(&head, body, &self.door).await?; // what do they ask for?
        peer.sound()?; // its body's bytes too?
        let (now, principal) = self.still(now, principal)?; // does that hold still?
        seen.policy = Arc::clone(now.policy.digest());
        Ok(Read::Calls { caller: Caller { now, head, place, principal }, calls, room })
    }

    /// Carries one message to the server and brings the reply back, or says why not.
    async fn carry(&self, asking: Asking, peer: &Peer, seen: &mut Recorder) -> Result<Carriage, Refusal> {
        let Asking { caller: Caller { now, mut head, place, principal }, call, room } = asking;
        seen.asks(&call, &now.policy);
        seen.in_trace();
        receive::agree(&head, &call, self.state.mirrors())?; // do the headers say the same?
        let context = peer.context().showing(self.state.shown().of(call.target()));
        let permit = now.policy.permit(&principal, &call, &self.server, context)?; // may they?
        seen.permitted(&permit);
        let conversation = self.state.enter(&permit, &place, &head.headers, &now.policy)?; // is what it names theirs?
        seen.session = conversation.ours().cloned();
        let admission = now.limits.admit(permit).await?; // is there room for it?
        seen.admitted(&admission);
        seen.allowed().await?; // is it written down?
        let under_way = conversation.begin(&call);
        let asked = Asked { admission: &admission, conversation: &conversation, headers: &head.headers, peer };
        let (reply, turn) = tokio::select! {
            reply = self.reply(&asked, &now.policy, seen) => reply, // was it asked before? if not, ask the server
            stopped = stop::stopped(self, admission.permit().query()) => Err(stopped), // unless an operator ends it
        }?;
        let watcher = Watcher {
            permit: admission.permit(),
            policy: &now.policy,
            state: &self.state,
            max_reply_bytes: self.max_reply_bytes,
        };
        let (mut watch, reply) = watcher.watch(conversation, reply, turn)?; // and watch what comes back
        seen.saw(watch.sightings());
        seen.session = watch.conversation().ours().cloned();
        let Reply { head: replied, body, from } = reply;
        Ok(Carriage {
            head: replied,
            body,
            watch,
            under_way,
            room: Room { admission, server: from, _gate: room },
            version: head.headers.remove(VERSION),
        })
    }

    /// What the cache has of this, or else what the server says. Whoever asks the server may ask for others, too.
    async fn reply(
        &self,
        asked: &Asked<'_>,
        policy: &PolicySet,
        seen: &mut Recorder,
    ) -> Result<(Reply, Option<Turn>), UpstreamError> {
        let Asked { admission, conversation, headers, peer } = *asked;
        let (permit, upstream) = (admission.permit(), &*self.upstream);
        let question = Question { permit, conversation, headers, upstream, policy: policy.digest() };
        let found = self.cache.find(question).await;
        seen.cache = found.served();
        let turn = match found {
            Found::Answer(reply) => return Ok((reply, None)),
            Found::Nothing(turn) => Some(turn),
            Found::Uncached => None,
        };
        let carried = Carried {
            request_id: seen.request_name(),
            headers,
            peer: peer.address().ip(),
            home: self.state.home(permit.call().target(), conversation),
            attempts: seen,
            held: inspect::held(permit),
        };
        let reply = upstream.send(admission, conversation, carried).await;
        if let Err(UpstreamError::SessionLost) = reply {
            conversation.end(self.state.sessions()); // its client begins a new one
        }
        let reply = reply?;
        seen.answered(reply.head.status.as_u16());
        Ok((reply, turn))
    }

    /// Answers one request. Whatever happens, every message in it is recorded once.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: &Arc<Peer>) -> Response<GateBody> {
        let now = self.snapshot.load_full(); // one request, one judgement
        let exchange = Exchange::begin(peer.address(), self.server.clone(), Arc::clone(now.policy.digest()));
        let exchange = exchange.brought_by(request.version(), request.headers());
        let (request_id, seen) = (exchange.request_name(), self.telemetry.open(exchange, request.headers()));
        let mut answer = seen.scope().scope(self.answer_seen(now, request, peer, seen)).await;
        answer.headers_mut().insert(REQUEST_ID, request_id);
        answer
    }

    async fn answer_seen(
        self: &Arc<Self>,
        now: Arc<Snapshot>,
        request: Request<Incoming>,
        peer: &Arc<Peer>,
        mut seen: Recorder,
    ) -> Response<GateBody> {
        let (head, mut body) = request.into_parts();
        let rest = receive::Rest::of(&head);
        match self.read(Arc::clone(&now), (head, &mut body), peer, &mut seen).await {
            Ok(Read::Calls { caller, calls: Calls::One(call), room }) => {
                self.answer_one(Asking { caller, call, room }, peer, seen).await
            }
            Ok(Read::Calls { caller, calls: Calls::Batch(calls), .. }) => {
                batch::answer(self, &caller, calls, peer, seen).await
            }
            Ok(Read::Metadata(document)) => {
                seen.close(Outcome::Ok);
                respond::metadata(document)
            }
            Err(refusal) => {
                if !respond::closes(&refusal) {
                    rest.passed_over(body).await;
                }
                refused(&refusal, &now, seen, None)
            }
        }
    }

    async fn answer_one(self: &Arc<Self>, asking: Asking, peer: &Peer, mut seen: Recorder) -> Response<GateBody> {
        let (now, stream) = (Arc::clone(&asking.caller.now), self.stream_of(&asking.caller));
        match self.carry(asking, peer, &mut seen).await {
            Ok(carriage) => self.relay(carriage, seen),
            Err(refusal) => refused(&refusal, &now, seen, stream.as_deref()),
        }
    }

    /// The stream where the caller's answers go, if they do not go back as replies (2024-11-05).
    fn stream_of(&self, caller: &Caller) -> Option<Arc<Session>> {
        let Place::Messages(ours) = &caller.place else {
            return None;
        };
        let conversation = self.state.sessions().find(ours, &caller.principal).ok()?;
        conversation.session().cloned()
    }

    /// The judgement of now, and the caller by it: a body may have come slowly, and who was stopped meanwhile is.
    fn still(
        &self,
        then: Arc<Snapshot>,
        principal: Arc<Principal>,
    ) -> Result<(Arc<Snapshot>, Arc<Principal>), AuthError> {
        let now = self.snapshot.load_full();
        if Arc::ptr_eq(&then, &now) {
            return Ok((then, principal));
        }
        let principal = now.authenticators.still(&principal).ok_or(AuthError::Unknown)?;
        Ok((now, principal))
    }

    /// Room in the gate for one more message.
    fn room(&self) -> Result<OwnedSemaphorePermit, HttpRefusal> {
        Arc::clone(&self.room).try_acquire_owned().map_err(|_full| HttpRefusal::Overloaded)
    }

    fn relay(self: &Arc<Self>, carriage: Carriage, mut seen: Recorder) -> Response<GateBody> {
        let Carriage { mut head, body, watch, under_way, room, version } = carriage;
        if let Some(quota) = room.admission.quota().filter(|_| self.quota_header == QuotaHeader::Sent) {
            respond::quota(quota, &mut head.headers);
        }
        let permit = room.admission.permit();
        let (method, patience) = (permit.call().method(), permit.tool().map(|tool| Patience::of(tool.timeout)));
        let elsewhere = Elsewhere { gateway: Arc::clone(self), version };
        let body = match body {
            ReplyBody::Whole(bytes) => {
                let answered = watch.answer();
                room.admission.brings(bytes.len());
                seen.replied = bytes.len();
                seen.answer = Some(bytes.clone());
                match under_way.filter(|_| watch.conversation().url().is_some() && head.status.is_success()) {
                    Some(under_way) => elsewhere.wait(under_way, watch.conversation(), room, seen),
                    None => seen.close(body::outcome(answered, None)),
                }
                GateBody::whole(bytes)
            }
            ReplyBody::Stream(begun, stream) => {
                let endless = matches!(method, Method::OpenStream | Method::SubscriptionsListen);
                let endless = endless.then(|| Endless::new(self, permit.principal().expires()));
                let stop = endless.is_none().then(|| stop::stop(self, permit));
                let keep_alive = watch.is_stream().then(|| KeepAlive::new(self.keep_alive));
                GateBody::relay(Relay {
                    begun: Some(begun).filter(|begun| !begun.is_empty()),
                    stream: Some(stream),
                    watch,
                    room: Some(room),
                    under_way,
                    elsewhere,
                    scope: seen.scope(),
                    recorder: Some(seen),
                    patience,
                    stop,
                    endless,
                    keep_alive,
                    said: None,
                    joined: None,
                    queued: None,
                    broken: None,
                })
            }
        };
        Response::from_parts(head, body)
    }
}

/// Says no, and records that.
fn refused(refusal: &Refusal, now: &Snapshot, mut seen: Recorder, stream: Option<&Session>) -> Response<GateBody> {
    let (response, code) = respond::refusal(refusal, now.resource.as_deref(), &seen, stream);
    seen.in_trace();
    tracing::debug!(%refusal, "refused");
    if let Refusal::Identity(error) = refusal {
        seen.unauthenticated(error);
    }
    seen.refused = Some(refusal.reason());
    seen.code = code;
    seen.timeout = refusal.timeout();
    seen.rule = refusal.rule().cloned().or(seen.rule.take());
    seen.close(refusal.outcome());
    response
}

/// Who asks, where and how.
#[derive(Clone)]
struct Caller {
    now: Arc<Snapshot>,
    head: request::Parts,
    place: Place,
    principal: Arc<Principal>,
}

/// A request that was read.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
enum Read {
    /// Somebody asks for something.
    Calls { caller: Caller, calls: Calls, room: OwnedSemaphorePermit },
    /// Somebody asks how to log in; this is the answer.
    Metadata(Bytes),
}

/// One message that was read.
struct Asking {
    caller: Caller,
    call: Arc<Call>,
    room: OwnedSemaphorePermit,
}

/// A call that may be made.
#[derive(Clone, Copy)]
struct Asked<'a> {
    admission: &'a Admission,
    conversation: &'a Conversation,
    headers: &'a HeaderMap,
    peer: &'a Peer,
}

/// A reply, with everything that must last as long as it flows.
struct Carriage {
    head: response::Parts,
    body: ReplyBody,
    watch: Watch,
    under_way: Option<UnderWay>,
    room: Room,
    version: Option<HeaderValue>,
}

/// The room that a call takes until its answer has come: under the limits of its tool, at the server, and in the gate.
struct Room {
    admission: Admission,
    server: InFlight,
    _gate: OwnedSemaphorePermit,
}
