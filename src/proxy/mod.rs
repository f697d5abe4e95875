//! The request's way. Read `Gateway::read` first.

mod batch;
mod body;
mod capacity;
mod elsewhere;
mod endless;
mod guard;
mod joined;
mod keep_alive;
mod patience;
mod peer;
mod receive;
mod respond;
mod route;
mod snapshot;
mod stack;
mod stop;
mod taken;
mod view;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Request, Response, request, response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::{Cache, Found, Question, Turn};
use crate::exchange::{Exchange, HttpRefusal, Outcome, Refusal};
use crate::federation::{Cursors, News, View};
use crate::identity::{AuthError, Presented, Principal, PublicUrl};
use crate::inspect::{self, Watch, Watcher};
use crate::limits::{Admission, QuotaHeader};
use crate::mcp::{Call, Method, ServerName};
use crate::policy::PolicySet;
use crate::state::{Conversation, Place, Session, Sessions, Stream, UnderWay};
use crate::telemetry::{Recorder, Telemetry};
use crate::upstream::{Carried, InFlight, REQUEST_ID, Reply, ReplyBody, UpstreamError, VERSION};

pub use body::{Broken, GateBody};
pub use capacity::{Bodies, Capacity, Memory};
pub use guard::Guard;
pub use peer::Peer;
pub use receive::Door;
pub use respond::heard;
pub use route::{Routes, Served, Transports};
pub use snapshot::{Snapshot, Terms};
use stack::boxed;
pub use stack::service;
pub use taken::Streams;

use body::{LastPiece, Relay};
use capacity::Slot;
use elsewhere::Elsewhere;
use endless::Endless;
use keep_alive::KeepAlive;
use patience::Patience;
use receive::{Calls, For};
use route::Route;
use view::Viewing;

/// The gate, and the servers behind it.
#[derive(Debug)]
pub struct Gateway {
    /// The judgement in force; swapped whole on reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// Held by whoever swaps it.
    pub judging: Mutex<()>,
    /// Tells whatever is under way of a swap.
    pub judged: watch::Sender<()>,
    /// The servers, and the ways to them.
    pub routes: Routes,
    /// Counts what changes of what they have.
    pub news: News,
    /// The legacy sessions of clients with views.
    pub sessions: Arc<Sessions>,
    /// Where a page of a view begins.
    pub cursors: Cursors,
    /// How many messages to views may be under way at once that no server has yet.
    pub capacity: Capacity,
    /// Their answers that are given again.
    pub cache: Arc<Cache>,
    /// The books.
    pub telemetry: Arc<Telemetry>,
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

    /// Finds the server or view that a request is for, by its head alone.
    fn find(&self, now: &Snapshot, head: &request::Parts, peer: &Peer) -> Result<For, HttpRefusal> {
        peer.sound()?; // can the connection's bytes be trusted?
        receive::head(head, &now.terms.door, (&self.routes, &now.views)) // it is for us, and has one reading
    }

    /// Reads what a request asks for, and who asks.
    ///
    /// Every line here and in `carry` consumes what an earlier one proved: only the authenticators make a principal,
    /// only the policy a permit, only the limits an admission, and `send` takes nothing less. A step left out or moved
    /// does not compile.
    async fn read(
        &self,
        now: Arc<Snapshot>,
        (arrived, body): (Arrived<'_>, &mut Incoming),
        peer: &Peer,
        seen: &mut Recorder,
    ) -> Result<Read, Refusal> {
        let Arrived { head, place, capacity } = arrived;
        let mut room = capacity.take()?; // is there room for it?
        let presented = Presented { headers: &head.headers, certificate: peer.certificate() };
        let principal = now.authenticators.identify(presented).await?; // who is asking?
        seen.principal = Some(Arc::clone(&principal));
        let keep = |bytes| capacity.keep(&mut room, bytes);
        let calls = receive::calls((&head, &place), body, &now.terms.door, keep).await?; // what do they ask for?
        peer.sound()?; // its body's bytes too?
        let (now, principal) = self.still(now, principal)?; // does that hold still?
        seen.policy = Arc::clone(now.policy.digest());
        Ok(Read { caller: Caller { now, head, place, principal }, calls, room })
    }

    /// Carries one message to the server and brings the reply back, or says why not.
    async fn carry(&self, asking: Asking, peer: &Peer, seen: &mut Recorder) -> Result<Carriage, Refusal> {
        let Asking { caller: Caller { now, mut head, place, principal }, route, call, room } = asking;
        let served = &route.served;
        seen.asks(&call, &now.policy);
        seen.in_trace();
        let learnt = served.state.learnt(principal.account());
        receive::agree(&head, &call, learnt.mirrors())?; // do the headers say the same?
        let context = peer.context().showing(learnt.shown().of(call.target()));
        let permit = now.policy.permit(&principal, &call, &served.name, context)?; // may they?
        let permit = served.state.about(permit, &now.policy)?; // to that task, too?
        seen.permitted(&permit);
        let entered = served.state.enter(&permit, &place, &head.headers, &now.policy);
        let conversation = entered.await?; // is what it names theirs?
        seen.belongs(conversation.ours());
        let admission = now.limits.admit(permit).await?; // is there room for it?
        seen.admitted(&admission);
        seen.allowed().await?; // is it written down?
        let under_way = conversation.begin(&call);
        let asked = Asked { admission: &admission, conversation: &conversation, headers: &head.headers, peer };
        let (reply, turn) = tokio::select! {
            reply = self.reply(served, &asked, &now.policy, seen) => reply, // was it asked before? if not, ask the server
            stopped = stop::stopped(self, admission.permit().query()) => Err(stopped), // unless an operator ends it
        }?;
        let watcher = Watcher {
            permit: admission.permit(),
            policy: &now.policy,
            state: &served.state,
            base: &route.base,
            place: &place,
            max_reply_bytes: served.max_reply_bytes,
        };
        let (mut watch, reply) = watcher.watch(conversation, reply, turn)?; // and watch what comes back
        seen.saw(watch.sightings());
        seen.belongs(watch.conversation().ours());
        let Reply { head: replied, body, from } = reply;
        Ok(Carriage {
            head: replied,
            body,
            watch,
            under_way,
            served: Arc::clone(served),
            room: Room { admission, server: from, _gate: room },
            version: head.headers.remove(VERSION),
        })
    }

    /// What the cache has of this, or else what the server says. Whoever asks the server may ask for others, too.
    async fn reply(
        &self,
        served: &Served,
        asked: &Asked<'_>,
        policy: &PolicySet,
        seen: &mut Recorder,
    ) -> Result<(Reply, Option<Turn>), UpstreamError> {
        let Asked { admission, conversation, headers, peer } = *asked;
        let (permit, upstream) = (admission.permit(), &*served.upstream);
        let (policy, lists) = (policy.digest(), served.state.lists());
        let question = Question { permit, conversation, headers, upstream, policy, lists };
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
            forwarded_for: peer.forwarded_for(),
            home: served.state.home(permit.call().target(), conversation),
            attempts: seen,
            held: inspect::held(permit),
        };
        let reply = upstream.send(admission, conversation, carried).await;
        if let Err(UpstreamError::SessionLost) = reply {
            conversation.end(served.state.sessions()); // its client begins a new one
        }
        let reply = reply?;
        seen.answered(reply.head.status.as_u16());
        Ok((reply, turn))
    }

    /// Answers one request. Whatever happens, every message in it is recorded once.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: &Arc<Peer>) -> Response<GateBody> {
        let now = self.snapshot.load_full(); // one request, one judgement
        let exchange =
            Exchange::begin(peer.address(), self.routes.before_any().clone(), Arc::clone(now.policy.digest()));
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
        let (at, place) = match self.find(&now, &head, peer) {
            Ok(For::Server(route, place)) => (At::Server(route), place),
            Ok(For::View(view)) => {
                let place = Place::Several(view.name.clone(), Stream::Own);
                (At::View(view), place)
            }
            Ok(For::Metadata(at)) => return metadata(&now, &at, seen),
            Err(refusal) => {
                if !respond::closes(&refusal.into()) {
                    rest.passed_over(body).await;
                }
                return refused(&refusal.into(), (&now, None), seen, None);
            }
        };
        let (server, public, capacity) = self.about(&at);
        seen.server = server.unwrap_or(seen.server.clone());
        let arrived = Arrived { head, place, capacity };
        match self.read(Arc::clone(&now), (arrived, &mut body), peer, &mut seen).await {
            Ok(Read { caller, calls, room }) => match (at, calls) {
                (At::Server(route), Calls::One(call)) => {
                    self.answer_one(Asking { caller, route, call, room }, peer, seen).await
                }
                // In boxes of their own: they are larger, and whatever this future holds is moved once for each request.
                (at, Calls::Batch(calls)) => boxed(|| batch::answer(self, (&caller, &at), calls, peer, seen)).await,
                (At::View(view), Calls::One(call)) => {
                    boxed(|| view::answer(self, Viewing { view, caller, call, room }, peer, seen)).await
                }
            },
            Err(refusal) => {
                if !respond::closes(&refusal) {
                    rest.passed_over(body).await;
                }
                refused(&refusal, (&now, public.as_ref()), seen, None)
            }
        }
    }

    /// What a place is called in records, where clients reach it, and who has room for what comes there.
    fn about<'a>(&'a self, at: &'a At) -> (Option<ServerName>, Option<PublicUrl>, &'a Capacity) {
        match at {
            At::Server(route) => (Some(route.served.name.clone()), route.public.clone(), &route.served.capacity),
            At::View(view) => (None, self.routes.view_url(view), &self.capacity),
        }
    }

    async fn answer_one(self: &Arc<Self>, asking: Asking, peer: &Peer, mut seen: Recorder) -> Response<GateBody> {
        let (now, route) = (Arc::clone(&asking.caller.now), Arc::clone(&asking.route));
        let stream = asking.caller.stream(&route.served);
        match self.carry(asking, peer, &mut seen).await {
            Ok(carriage) => self.relay(carriage, seen),
            Err(refusal) => refused(&refusal, (&now, route.public.as_ref()), seen, stream.as_deref()),
        }
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

    fn relay(self: &Arc<Self>, carriage: Carriage, mut seen: Recorder) -> Response<GateBody> {
        let terms = Arc::clone(&self.snapshot.load().terms);
        let Carriage { mut head, body, mut watch, served, under_way, room, version } = carriage;
        if let Some(quota) = room.admission.quota().filter(|_| terms.quota_header == QuotaHeader::Sent) {
            respond::quota(quota, &mut head.headers);
        }
        let permit = room.admission.permit();
        let method = permit.call().method();
        let elsewhere = Elsewhere { gateway: Arc::clone(self), served, version };
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
                if seen.tells_answers() {
                    watch.keep();
                }
                let endless = matches!(method, Method::OpenStream | Method::SubscriptionsListen);
                let patience = (!endless).then(|| patience(&elsewhere.served, &room, &watch));
                let endless = endless.then(|| Endless::new(self, &elsewhere.served, permit.principal().expires()));
                let stop = endless.is_none().then(|| stop::stop(self, permit));
                let keep_alive = watch.is_stream().then(|| KeepAlive::new(terms.keep_alive));
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
                    last_piece: LastPiece::Written,
                })
            }
        };
        Response::from_parts(head, body)
    }
}

/// Says how to log in there, which is asked before one can.
fn metadata(now: &Snapshot, at: &PublicUrl, seen: Recorder) -> Response<GateBody> {
    let Some(resource) = now.resource(Some(at)) else {
        return refused(&HttpRefusal::NoSuchPath.into(), (now, None), seen, None);
    };
    seen.close(Outcome::Ok);
    respond::metadata(resource.metadata().clone())
}

/// How long the server may take for the rest of an answer that has an end of its own.
fn patience(served: &Served, room: &Room, watch: &Watch) -> Patience {
    let timeouts = served.upstream.timeouts();
    let silence = room.admission.permit().tool().map_or(timeouts.stream_idle, |tool| tool.timeout);
    let patience = Patience::new(silence, &timeouts);
    // A stream lasts as long as it says something.
    if watch.is_stream() { patience } else { patience.ending(room.server.since(), timeouts.total) }
}

/// Says no, and records that.
fn refused(
    refusal: &Refusal,
    (now, at): (&Snapshot, Option<&PublicUrl>),
    mut seen: Recorder,
    stream: Option<&Session>,
) -> Response<GateBody> {
    let resource = || now.resource(at);
    let (response, code) = respond::refusal(refusal, resource, &seen, stream);
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

impl Caller {
    /// The books of another message that came with the same request, or comes of it.
    fn record(&self, gateway: &Gateway, peer: &Peer, server: ServerName) -> Recorder {
        let exchange = Exchange::begin(peer.address(), server, Arc::clone(self.now.policy.digest()));
        let exchange = exchange.brought_by(self.head.version, &self.head.headers);
        let mut seen = gateway.telemetry.open(exchange, &self.head.headers);
        seen.principal = Some(Arc::clone(&self.principal));
        seen
    }

    /// The stream where its answers go, if they do not go back as replies (2024-11-05).
    fn stream(&self, served: &Served) -> Option<Arc<Session>> {
        let Place::Messages(ours) = &self.place else {
            return None;
        };
        let conversation = served.state.sessions().find(ours, &self.principal).ok()?;
        conversation.session().cloned()
    }
}

/// What a request is for.
#[derive(Clone)]
enum At {
    Server(Arc<Route>),
    View(Arc<View>),
}

impl At {
    /// The way to the one server that it is for.
    fn route(&self) -> Option<&Arc<Route>> {
        match self {
            Self::Server(route) => Some(route),
            Self::View(_) => None,
        }
    }
}

/// A request of which it is known what it is for.
struct Arrived<'a> {
    head: request::Parts,
    place: Place,
    capacity: &'a Capacity,
}

/// A request that was read.
struct Read {
    caller: Caller,
    calls: Calls,
    room: Slot,
}

/// One message that was read.
struct Asking {
    caller: Caller,
    route: Arc<Route>,
    call: Arc<Call>,
    room: Slot,
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
    served: Arc<Served>,
    under_way: Option<UnderWay>,
    room: Room,
    version: Option<HeaderValue>,
}

/// The room that a call takes until its answer has come: under the limits of its tool, at the server, and in the gate.
struct Room {
    admission: Admission,
    server: InFlight,
    _gate: Slot,
}
