//! Legacy clients of a view: one session of theirs is one at each server that they use, begun when they first do. The gate
//! greets a server with their own words; from then on each message goes the way of any other, to the one server that it is for.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::body::Relay;
use super::super::route::Route;
use super::super::{Asking, Caller, GateBody, Gateway, Peer, Slot, refused, respond};
use super::callers::{Asker, Need, Shown};
use super::here::Here;
use super::stream::{Hears, Shared};
use super::{Directed, Viewing, latest, tasks, unspoken};
use crate::exchange::Refusal;
use crate::federation::{Kind, Listing, View};
use crate::json::{self, Bounds};
use crate::mcp::{self, Call, Method, ProtocolVersion, ServerName};
use crate::sse::{Event, Splitter};
use crate::state::{Begun, Known, Place, SESSION_ID, Session, Several, StateError, Stream};
use crate::telemetry::Recorder;
use crate::upstream::{UpstreamError, VERSION};

/// A message in a client's session, and whose it is.
#[derive(Clone)]
pub(super) struct Within {
    pub(super) gateway: Arc<Gateway>,
    pub(super) caller: Caller,
    pub(super) peer: Arc<Peer>,
    /// What its client calls the session.
    pub(super) ours: HeaderValue,
    pub(super) several: Arc<Several>,
    /// Held until all is said: a session in use is not over.
    _in_use: Arc<Session>,
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What a server says when it is greeted is short.
const LONGEST: usize = 1 << 20;
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };

/// Where a message of such a client goes.
pub(super) async fn directed(
    gateway: &Arc<Gateway>,
    (viewing, all): (Viewing, Arc<Listing>),
    peer: &Arc<Peer>,
    seen: &mut Recorder,
) -> Result<Directed, Refusal> {
    if viewing.call.method() == Method::Initialize {
        return begin(gateway, (viewing, all), peer, seen).await;
    }
    let Viewing { view, caller, call, room } = viewing;
    let within = Within::found((gateway, peer), &view, &caller).await?;
    seen.session = Some(within.ours.clone());
    let shown = match all.each() {
        [] => Shown::to_all(all),
        _ => Asker::of_session(&within, &view).shown(all, Need::of(&call)).await,
    };
    let here = Here { gateway, caller: &caller, view: &view, shown: &shown, context: peer.context() };
    match call.method() {
        Method::ToolsCall
        | Method::PromptsGet
        | Method::ResourcesRead
        | Method::ResourcesSubscribe
        | Method::ResourcesUnsubscribe
        | Method::CompletionComplete
        | Method::TasksGet
        | Method::TasksResult
        | Method::TasksUpdate
        | Method::TasksCancel => {
            let (route, own) = here.one(&call, seen)?;
            let asking = within.asking((&route, room), own).await?;
            return Ok(Directed::Within(Box::new(within), Box::new(asking)));
        }
        Method::Cancelled | Method::Answer => return Ok(Directed::To(Box::new(within.about_one(&call)?))),
        _ => {}
    }
    if let Some(asking) = within.missed(&call)? {
        return Ok(Directed::To(Box::new(asking)));
    }
    here.may(&call)?;
    seen.allowed().await?;
    if call.method() == Method::OpenStream {
        let to = (Arc::clone(gateway), caller.clone(), room);
        let of = (Arc::clone(&view), Arc::clone(&shown.all));
        return Ok(Directed::Stream(Box::new(Shared::new(to, of, Hears::Session(Box::new(within))))));
    }
    told(&here, &within, &call).await
}

/// What is answered here.
async fn told(here: &Here<'_>, within: &Within, call: &Arc<Call>) -> Result<Directed, Refusal> {
    if let Some(kind) = Kind::listed_by(call.method()) {
        return Ok(Directed::Here(here.list(kind, call)?));
    }
    match call.method() {
        Method::Ping => Ok(Directed::Here(here.result(call, ""))),
        // No server waits for either: each was told that its client is there, and none hears how far an answer is.
        Method::Initialized | Method::Progress => Ok(Directed::Heard),
        Method::RootsListChanged => {
            within.tell_all(call).await;
            Ok(Directed::Heard)
        }
        Method::TasksList => Ok(Directed::Here(tasks::page(here, within, call).await?)),
        Method::LoggingSetLevel if here.logs() => {
            within.several.set_level(Arc::clone(call));
            within.tell_all(call).await;
            Ok(Directed::Here(here.result(call, "")))
        }
        Method::EndSession => {
            within.tell_all(call).await;
            here.gateway.sessions.end(&within.ours);
            Ok(Directed::Over)
        }
        _ => Err(here.unknown(call)),
    }
}

/// Begins a session: no server hears of it yet, but those that have something else for each caller.
async fn begin(
    gateway: &Arc<Gateway>,
    (Viewing { view, caller, call, .. }, all): (Viewing, Arc<Listing>),
    peer: &Arc<Peer>,
    seen: &mut Recorder,
) -> Result<Directed, Refusal> {
    let shown = Shown::to_all(all);
    let here = Here { gateway, caller: &caller, view: &view, shown: &shown, context: peer.context() };
    here.may(&call)?;
    seen.allowed().await?; // is it written down?
    let asked = mcp::revision(&call).filter(|version| !version.is_modern());
    let asked = asked.unwrap_or(ProtocolVersion::V2025_11_25);
    // What every server speaks: one that agreed to less would be greeted in vain.
    let mut version = latest(gateway, &shown.all).map_or(asked, |latest| latest.min(asked));
    loop {
        let within = Within::begun((gateway, peer), &view, &caller, mcp::of_revision(&call, version)?)?;
        if shown.all.each().is_empty() {
            return Ok(Directed::Begun(within.ours, here.initialized(&call, version)));
        }
        let own = Asker::of_session(&within, &view).shown(Arc::clone(&shown.all), Need::Now).await;
        let Some(less) = latest(gateway, &own.listing).filter(|latest| *latest < version) else {
            let spoken = unspoken(gateway, (&view, &own), (&caller, &call)).await;
            spoken.inspect_err(|_| gateway.sessions.end(&within.ours))?;
            let here = Here { shown: &own, ..here };
            return Ok(Directed::Begun(within.ours, here.initialized(&call, version)));
        };
        // Nobody knew that of the server before it was greeted.
        version = less;
        within.tell_all(&Arc::new(Call::without_message(Method::EndSession))).await;
        gateway.sessions.end(&within.ours);
    }
}

impl Within {
    /// A session that begins by this.
    fn begun(
        (gateway, peer): (&Arc<Gateway>, &Arc<Peer>),
        view: &View,
        caller: &Caller,
        hello: Call,
    ) -> Result<Self, StateError> {
        let seat = gateway.sessions.reserve(&caller.principal)?;
        let several = Arc::new(Several::new(view.name.clone(), Arc::new(hello)));
        let (ours, session) = seat.begin(Known::Several(Arc::clone(&several)), None).ok_or(StateError::NoSession)?;
        let (gateway, peer, caller) = (Arc::clone(gateway), Arc::clone(peer), caller.clone());
        Ok(Self { gateway, caller, peer, ours, several, _in_use: session })
    }

    /// The session that a message names: its caller's own, with this view.
    async fn found(
        (gateway, peer): (&Arc<Gateway>, &Arc<Peer>),
        view: &View,
        caller: &Caller,
    ) -> Result<Self, StateError> {
        let ours = caller.head.headers.get(&SESSION_ID).ok_or(StateError::SessionMissing)?;
        let conversation = gateway.sessions.enter(ours, &caller.principal).await?;
        let several = conversation.several().filter(|several| *several.name() == view.name);
        let (several, session) = several.zip(conversation.session()).ok_or(StateError::NoSession)?;
        Ok(Self {
            gateway: Arc::clone(gateway),
            caller: caller.clone(),
            peer: Arc::clone(peer),
            ours: ours.clone(),
            several: Arc::clone(several),
            _in_use: Arc::clone(session),
        })
    }

    /// The answer of a server to a call. If it knows the session no more, nothing ran: another one begins, once.
    pub(super) async fn answer(self, asking: Asking, seen: Recorder) -> Response<GateBody> {
        let (route, call) = (Arc::clone(&asking.route), Arc::clone(&asking.call));
        let called = seen.called.clone();
        let mut response = self.gateway.answer_one(asking, &self.peer, seen).await;
        if respond::is_of_no_session(&response) {
            let mut seen = self.recorder(&route.served.name);
            seen.called = called;
            seen.asks(&call, &self.caller.now.policy);
            let now = Arc::clone(&self.caller.now);
            let scope = seen.scope();
            let again = async { self.asking((&route, route.served.capacity.take()?), call).await };
            response = match scope.clone().scope(again).await {
                Ok(asking) => scope.scope(self.gateway.answer_one(asking, &self.peer, seen)).await,
                Err(refusal) => refused(&refusal, (&now, route.public.as_ref()), seen, None),
            };
        }
        named(response, Some(self.ours))
    }

    /// The call, in the session at this server, which begins now if it has not yet.
    async fn asking(&self, (route, room): (&Arc<Route>, Slot), call: Arc<Call>) -> Result<Asking, Refusal> {
        let begun = self.leg(route, &call).await?;
        let room = route.served.capacity.take_over(room)?; // that server's room is another
        Ok(self.asks((route, room), call, &begun))
    }

    /// The same in a session that has begun.
    pub(super) fn to(&self, route: &Arc<Route>, call: Arc<Call>, begun: &Begun) -> Result<Asking, Refusal> {
        Ok(self.asks((route, route.served.capacity.take()?), call, begun))
    }

    fn asks(&self, (route, room): (&Arc<Route>, Slot), call: Arc<Call>, begun: &Begun) -> Asking {
        let mut caller = self.caller.clone();
        caller.head.headers.remove(&SESSION_ID);
        caller.head.headers.extend(begun.header().map(|ours| (SESSION_ID, ours.clone())));
        Asking { caller, route: Arc::clone(route), call, room }
    }

    /// Where something goes that names a request: a cancellation to the server that has the request, an answer to the one
    /// that has asked.
    fn about_one(&self, call: &Arc<Call>) -> Result<Asking, Refusal> {
        let route = |server: &ServerName| self.gateway.routes.route(server);
        let mut begun = self.several.begun().into_iter().filter_map(|(server, begun)| Some((route(&server)?, begun)));
        if let Some(id) = call.cancels() {
            let has = |route: &Route, begun: &Begun| {
                route.served.state.has_under_way(begun.header(), &self.caller.principal, id)
            };
            let owner = begun.find(|(route, begun)| has(route, begun));
            let (route, begun) = owner.ok_or(StateError::NothingToCancel)?;
            return self.to(route, Arc::clone(call), &begun);
        }
        let (server, theirs) = call.id().and_then(mcp::whose).ok_or(StateError::NothingAsked)?;
        let owner = begun.find(|(route, _)| route.served.name == server);
        let (route, begun) = owner.ok_or(StateError::NothingAsked)?;
        let tasks = route.served.state.tasks();
        let meant = |task: &str| tasks.meant(task, self.several.name(), &self.caller.principal);
        self.to(route, Arc::new(mcp::answering(call, &theirs, meant)?), &begun)
    }

    /// The one server's stream that its client asks for the rest of, if it does.
    fn missed(&self, call: &Call) -> Result<Option<Asking>, Refusal> {
        let last = self.caller.head.headers.get(&LAST_EVENT_ID);
        let Some(last) = last.filter(|_| call.method() == Method::OpenStream) else {
            return Ok(None);
        };
        let last = last.to_str().ok().and_then(|last| last.split_once(' '));
        let begun = self.several.begun();
        let found = last.and_then(|(server, theirs)| {
            let (name, begun) = begun.iter().find(|(name, _)| name.as_str() == server)?;
            Some((self.gateway.routes.route(name)?, begun, HeaderValue::from_str(theirs).ok()?))
        });
        let Some((route, begun, theirs)) = found else {
            return Ok(None);
        };
        let mut asking = self.to(route, Arc::new(Call::without_message(Method::OpenStream)), begun)?;
        asking.caller.head.headers.insert(LAST_EVENT_ID, theirs);
        Ok(Some(asking))
    }

    /// Says something to every server with which a session has begun. What they answer is nothing to their client.
    async fn tell_all(&self, call: &Arc<Call>) {
        let mut told = JoinSet::new();
        for (server, begun) in self.several.begun() {
            // What has no name cannot be ended.
            let nothing = call.method() == Method::EndSession && begun == Begun::Nameless;
            let Some(route) = self.gateway.routes.route(&server).filter(|_| !nothing) else {
                continue;
            };
            let (within, route, call) = (self.clone(), Arc::clone(route), Arc::clone(call));
            told.spawn(async move { within.tell(&route, call, &begun).await });
        }
        told.join_all().await;
    }

    /// The session at this server, which begins now if it has not yet, or is over.
    ///
    /// # Errors
    /// It cannot begin: nothing ran.
    pub(super) async fn leg(&self, route: &Arc<Route>, call: &Arc<Call>) -> Result<Begun, Refusal> {
        let server = &route.served.name;
        let leg = self.several.leg(server);
        let _one_begins_it = leg.beginning.lock().await;
        if let Some(begun) = leg.begun().filter(|begun| self.lives(route, begun)) {
            return Ok(begun);
        }
        // Nobody is greeted for who may not call.
        let shown = self
            .peer
            .context()
            .showing(route.served.state.learnt(self.caller.principal.account()).shown().of(call.target()));
        self.caller.now.policy.permit(&self.caller.principal, call, server, shown)?;
        let (begun, told) = self.greet(route).await?;
        self.several.begin(&leg, begun.clone(), told);
        Ok(begun)
    }

    /// Whether a session goes on at its server, as far as the gate knows.
    fn lives(&self, route: &Route, begun: &Begun) -> bool {
        match begun {
            Begun::Named(ours) => route.served.state.sessions().find(ours, &self.caller.principal).is_ok(),
            Begun::Nameless => true,
        }
    }

    /// Greets a server as this client would; returns what it says of itself, too.
    async fn greet(&self, route: &Arc<Route>) -> Result<(Begun, Value), Refusal> {
        let hello = self.several.hello();
        let mut answer = self.say(route, Arc::clone(hello), &Begun::Nameless).await;
        let session = answer.headers_mut().remove(&SESSION_ID);
        let begun = session.map_or(Begun::Nameless, Begun::Named);
        let told = spoken(answer, LONGEST).await.map(|(_, told)| told).unwrap_or_default();
        let agreed = told.pointer("/result/protocolVersion").and_then(Value::as_str).and_then(ProtocolVersion::named);
        if let Some(callers) = route.served.catalogue.callers() {
            callers.agrees(mcp::revision(hello), agreed);
        }
        if agreed.is_none() || agreed != mcp::revision(hello) {
            let error = told.pointer("/error/message").and_then(Value::as_str);
            let why = match (agreed, error) {
                (Some(agreed), _) => format!("it agrees to {agreed} only, which its client does not speak here"),
                (None, Some(error)) => error.to_owned(),
                (None, None) => "it did not answer as it should".to_owned(),
            };
            return Err(UpstreamError::Ungreeted(why).into());
        }
        let done = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let done = Arc::new(mcp::read(&done, &Bounds::default())?);
        self.tell(route, done, &begun).await;
        if let Some(level) = self.several.level() {
            self.tell(route, level, &begun).await;
        }
        Ok((begun, told))
    }

    /// Says something to a server, and hears it out: whoever leaves before the end has cancelled.
    async fn tell(&self, route: &Arc<Route>, call: Arc<Call>, begun: &Begun) {
        let answer = self.say(route, call, begun).await;
        drop(spoken(answer, LONGEST).await);
    }

    /// Says something to a server in its client's name; decided, limited and recorded like whatever it says itself.
    pub(super) async fn say(&self, route: &Arc<Route>, call: Arc<Call>, begun: &Begun) -> Response<GateBody> {
        let mut seen = self.recorder(&route.served.name);
        seen.asks(&call, &self.caller.now.policy);
        let is_hello = call.method() == Method::Initialize;
        match self.to(route, call, begun) {
            Ok(mut asking) => {
                mcp::unmirrored(&mut asking.caller.head.headers);
                if is_hello {
                    asking.caller.head.headers.remove(VERSION);
                }
                let scope = seen.scope();
                scope.scope(Box::pin(self.gateway.answer_one(asking, &self.peer, seen))).await
            }
            Err(refusal) => refused(&refusal, (&self.caller.now, route.public.as_ref()), seen, None),
        }
    }

    /// What a server says in its session beside answers, if it says anything so.
    pub(super) async fn listen(&self, server: &ServerName, begun: &Begun) -> Option<Box<Relay>> {
        let route = self.gateway.routes.route(server)?;
        let call = Arc::new(Call::without_message(Method::OpenStream));
        let mut seen = self.recorder(server);
        seen.asks(&call, &self.caller.now.policy);
        let mut asking = self.to(route, call, begun).ok()?;
        asking.caller.place = Place::Several(self.several.name().clone(), Stream::Shared);
        asking.caller.head.headers.remove(&LAST_EVENT_ID);
        let scope = seen.scope();
        let answer = scope.scope(self.gateway.answer_one(asking, &self.peer, seen)).await;
        answer.into_body().into_stream().ok()
    }

    /// The books of something more that is said for this client.
    fn recorder(&self, server: &ServerName) -> Recorder {
        let mut seen = self.caller.record(&self.gateway, &self.peer, server.clone());
        seen.session = Some(self.ours.clone());
        seen
    }
}

/// What a server answers, with its client's name for the session in the place of the one that is with this server alone.
pub(super) fn named(mut response: Response<GateBody>, ours: Option<HeaderValue>) -> Response<GateBody> {
    if response.headers_mut().remove(&SESSION_ID).is_some() {
        response.headers_mut().extend(ours.map(|ours| (SESSION_ID, ours)));
    }
    response
}

/// The message that answers, as a whole or as the last of a stream: its bytes and what they mean.
#[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
pub(super) async fn spoken(answer: Response<GateBody>, longest: usize) -> Option<(Bytes, Value)> {
    let whole = Limited::new(answer.into_body(), longest).collect().await.ok()?.to_bytes();
    if let Ok(message) = json::value(&whole, &BOUNDS) {
        return Some((whole, message));
    }
    let (mut splitter, mut rest, mut last) = (Splitter::default(), whole, None);
    while let Some(end) = splitter.next(&rest) {
        let event = rest.split_to(end);
        let data = Event::read(&event).data.map(|data| Bytes::copy_from_slice(&data));
        let message = data.and_then(|data| json::value(&data, &BOUNDS).ok().map(|message| (data, message)));
        last = message.filter(|(_, message)| message.get("method").is_none()).or(last);
    }
    last
}
