//! Servers that have something else for each caller: they are asked in the caller's name what they have, decided, limited and
//! recorded like whatever the caller says itself. One that fails or hangs keeps nobody from what the others have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{self, HeaderName};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::route::Route;
use super::super::{Asking, Caller, Gateway, Peer, respond};
use super::session::{Within, spoken};
use crate::federation::{Asks, CallerKey, Callers, Kind, Listing, Own, Telling, Turn, View};
use crate::mcp::{self, Call, Client, Era, Method, ProtocolVersion, ServerName, Target};
use crate::policy::Query;
use crate::state::{Begun, Place};

/// What a view shows to one caller.
pub(super) struct Shown {
    pub(super) listing: Arc<Listing>,
    /// What it was made of that is the caller's own, where it is known or not.
    pub(super) own: Vec<(ServerName, Arc<Own>)>,
    /// What the view shows to all.
    pub(super) all: Arc<Listing>,
}

/// What must be known of what servers have.
#[derive(Clone, Copy)]
pub(super) enum Need<'a> {
    /// What they have now: it is to be listed.
    Now,
    /// Whose this is.
    Whose(Target<'a>),
    /// Nothing that would have to be asked.
    Nothing,
}

/// A caller of a view, in whose name servers are asked.
#[derive(Clone)]
pub(super) struct Asker {
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
    caller: Caller,
    view: Arc<View>,
    by: By,
}

/// How the caller speaks.
#[derive(Clone)]
enum By {
    /// By itself in each request.
    Request(Client),
    /// In a session.
    Session(Box<Within>),
}

/// One server, as it is asked.
struct Leg<'a> {
    asker: &'a Asker,
    route: &'a Arc<Route>,
    /// The session, once it has begun.
    begun: Option<Begun>,
}

/// A server whose list this is.
struct Behind {
    route: Arc<Route>,
    callers: Arc<Callers>,
    kinds: Vec<Kind>,
    key: CallerKey,
    own: Arc<Own>,
}

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// An answer may be so long.
const LONGEST: usize = 8 << 20;
/// Whoever asks waits a little longer than the server may take.
const A_MOMENT: Duration = Duration::from_millis(100);

impl<'a> Need<'a> {
    /// What this needs.
    pub(super) fn of(call: &'a Call) -> Self {
        match call.method() {
            Method::Initialize | Method::ServerDiscover => Self::Now,
            method if Kind::listed_by(method).is_some() => Self::Now,
            Method::ToolsCall
            | Method::PromptsGet
            | Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::CompletionComplete
            | Method::SubscriptionsListen
            | Method::LoggingSetLevel
            | Method::TasksList => Self::Whose(call.target()),
            _ => Self::Nothing,
        }
    }
}

impl Shown {
    /// What is shown to all.
    pub(super) fn to_all(all: Arc<Listing>) -> Self {
        Self { listing: Arc::clone(&all), own: Vec::new(), all }
    }
}

impl Asker {
    /// Whoever makes this request, of 2026-07-28.
    pub(super) fn of_request(
        (gateway, peer): (&Arc<Gateway>, &Arc<Peer>),
        caller: &Caller,
        view: &Arc<View>,
        call: &Call,
    ) -> Self {
        let by = By::Request(Client::of(call));
        let (gateway, peer, caller) = (Arc::clone(gateway), Arc::clone(peer), caller.clone());
        Self { gateway, peer, caller, view: Arc::clone(view), by }
    }

    /// Whoever has this session.
    pub(super) fn of_session(within: &Within, view: &Arc<View>) -> Self {
        let (gateway, peer, caller) = (Arc::clone(&within.gateway), Arc::clone(&within.peer), within.caller.clone());
        Self { gateway, peer, caller, view: Arc::clone(view), by: By::Session(Box::new(within.clone())) }
    }

    /// What the view shows to the caller, beside what it shows to all.
    pub(super) async fn shown(&self, all: Arc<Listing>, need: Need<'_>) -> Shown {
        let behind: Vec<_> = all.each().iter().filter_map(|server| self.behind(server)).collect();
        match need {
            Need::Now => self.ask(&behind, |_| true).await,
            Need::Whose(_) => self.ask(&behind, |own| own.contents().is_none()).await,
            Need::Nothing => {}
        }
        let mut listing = self.listing(&all, &behind);
        // Another gate may have told it of something that is new to this one.
        if let Need::Whose(target) = need
            && !leads(&listing, target)
        {
            self.ask(&behind, |_| true).await;
            listing = self.listing(&all, &behind);
        }
        let own = behind.into_iter().map(|behind| (behind.route.served.name.clone(), behind.own)).collect();
        Shown { listing, own, all }
    }

    /// Counts what servers have told of this caller's own that it does not know of.
    pub(super) fn late(&self, all: &Listing) -> u64 {
        all.each().iter().filter_map(|server| self.behind(server)).map(|behind| behind.own.late()).sum()
    }

    /// The server, if it has anything that the caller could be shown.
    fn behind(&self, server: &ServerName) -> Option<Behind> {
        let Self { gateway, caller, by, .. } = self;
        let route = Arc::clone(gateway.routes.route(server)?);
        let callers = Arc::clone(route.served.catalogue.callers()?);
        let (policy, principal, context) = (&caller.now.policy, &caller.principal, self.peer.context());
        let query = |method| Query { principal, server, method, target: Target::None, context };
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| policy.lists(&query(kind.list()))).collect();
        if kinds.is_empty() {
            return None;
        }
        let (how, who) = match by {
            By::Request(client) => ("request", client.offers(policy.server_may(server)).into_bytes()),
            By::Session(within) => ("session", within.ours.as_bytes().to_vec()),
        };
        let lists = kinds.iter().map(|kind| kind.list().name().as_bytes());
        let by: Vec<_> = [how.as_bytes(), &who].into_iter().chain(lists).collect();
        let key = CallerKey::new(principal, &by);
        let own = callers.of(&key);
        Some(Behind { route, callers, kinds, key, own })
    }

    fn listing(&self, all: &Arc<Listing>, behind: &[Behind]) -> Arc<Listing> {
        let has = behind.iter().filter_map(|behind| Some((behind.route.served.name.clone(), behind.own.contents()?)));
        let has: Vec<_> = has.filter(|(_, contents)| contents.eras.speak(self.era())).collect();
        if has.is_empty() { Arc::clone(all) } else { self.view.make_own(all, has) }
    }

    fn era(&self) -> Era {
        match self.by {
            By::Request(_) => Era::Modern,
            By::Session(_) => Era::Legacy,
        }
    }

    /// Asks those of these servers what they have that it is time to ask, all at once. Nobody waits for one that has failed:
    /// it is asked all the same.
    async fn ask(&self, behind: &[Behind], of: impl Fn(&Own) -> bool) {
        let mut waits = Vec::new();
        for behind in behind.iter().filter(|behind| of(&behind.own)) {
            let failed = behind.own.known().fails();
            if let Some(turn) = behind.callers.turn(&behind.key, &behind.own) {
                let (asker, route, kinds) = (self.clone(), Arc::clone(&behind.route), behind.kinds.clone());
                let patience = behind.callers.timeout();
                // Whoever asked first may leave before it is told.
                self.gateway.waiting.spawn(async move {
                    let told = timeout(patience, Box::pin(asker.told(&route, &kinds))).await;
                    answered(turn, &route, told.unwrap_or_else(|_| Err(format!("no answer within {patience:?}"))));
                });
            }
            if !failed {
                waits.push(timeout(behind.callers.timeout() + A_MOMENT, behind.own.asked()));
            }
        }
        for wait in waits {
            drop(wait.await);
        }
    }

    /// What a server tells the caller that it has.
    async fn told(&self, route: &Arc<Route>, kinds: &[Kind]) -> Result<Telling, String> {
        let mut leg = Leg { asker: self, route, begun: None };
        let greeting = match &self.by {
            By::Request(_) => leg.discover().await?,
            By::Session(_) => leg.greet().await?,
        };
        Telling::of((&greeting, self.era()), kinds, &mut leg).await
    }
}

fn answered(turn: Turn, route: &Route, told: Result<Telling, String>) {
    match told {
        Ok(Telling { contents, ttl }) => turn.told(contents, ttl),
        Err(error) => {
            let server = &route.served.name;
            tracing::debug!(%server, error, "a server cannot be asked what it has for a caller");
        }
    }
}

/// Whether something of this view is called so.
fn leads(listing: &Listing, target: Target<'_>) -> bool {
    match target {
        Target::Tool(name) => listing.origin(Kind::Tool, name).is_some(),
        Target::Prompt(name) => listing.origin(Kind::Prompt, name).is_some(),
        Target::Resource(uri) => listing.owner(uri).is_some(),
        Target::Task(_) | Target::None => true,
    }
}

impl Leg<'_> {
    fn callers(&self) -> Option<&Arc<Callers>> {
        self.route.served.catalogue.callers()
    }

    fn asking(&self, call: Arc<Call>) -> Result<Asking, String> {
        if let (By::Session(within), Some(begun)) = (&self.asker.by, &self.begun) {
            return within.to(self.route, call, begun).map_err(|refusal| refusal.to_string());
        }
        let room = self.route.served.capacity.take().map_err(|full| full.to_string())?;
        Ok(Asking { caller: self.asker.caller.clone(), route: Arc::clone(self.route), call, room })
    }

    /// What the server says of itself to a client of 2026-07-28.
    async fn discover(&mut self) -> Result<Value, String> {
        let (told, _) = self.ask(Method::ServerDiscover.name(), json!({})).await?;
        let speaks = told.pointer("/result/supportedVersions").and_then(Value::as_array);
        let named: Vec<_> =
            speaks.into_iter().flatten().filter_map(Value::as_str).filter_map(ProtocolVersion::named).collect();
        let modern = named.iter().copied().find(|version| version.is_modern());
        let refused = told.get("error").is_some_and(|error| error.pointer("/data/io.tollgate~1origin").is_none());
        if let Some(callers) = self.callers().filter(|_| modern.is_some() || refused) {
            callers.speaks(Era::Modern, modern);
            // Who is there and does not speak that speaks what was before.
            let legacy = named.iter().copied().filter(|version| !version.is_modern()).max();
            let legacy = legacy.or(modern.is_none().then_some(ProtocolVersion::V2025_11_25));
            if callers.spoken(Era::Legacy).is_none() && legacy.is_some() {
                callers.speaks(Era::Legacy, legacy);
            }
        }
        modern.map(|_| told).ok_or_else(|| "it does not speak 2026-07-28 to this caller".to_owned())
    }

    /// What the server said of itself when it was greeted in the session, which it is now if it has not been.
    async fn greet(&mut self) -> Result<Value, String> {
        let By::Session(within) = &self.asker.by else {
            return Err("there is no session".to_owned());
        };
        let call = self.asker.message(Method::ToolsList.name(), json!({}))?;
        let begun = within.leg(self.route, &Arc::new(call)).await.map_err(|refusal| refusal.to_string())?;
        self.begun = Some(begun);
        let told = within.several.leg(&self.route.served.name).told();
        told.map(|told| Value::clone(&told)).ok_or_else(|| "it said nothing of itself".to_owned())
    }
}

impl Asker {
    fn message(&self, method: &str, params: Value) -> Result<Call, String> {
        let client = match &self.by {
            By::Request(client) => client.clone(),
            By::Session(_) => Client::default(),
        };
        // No client calls a request of its own so.
        let id = format!("tollgate {:032x}", rand::random::<u128>());
        client.asking(&id, method, params).map_err(|_unread| "its client cannot be spoken for".to_owned())
    }

    /// The answer of a server, and whether that does not know the session any more.
    async fn say(&self, asking: Asking) -> (Option<(Bytes, Value)>, bool) {
        let mut seen = self.caller.record(&self.gateway, &self.peer, asking.route.served.name.clone());
        seen.asks(&asking.call, &self.caller.now.policy);
        if let By::Session(within) = &self.by {
            seen.session = Some(within.ours.clone());
        }
        let scope = seen.scope();
        let answer = scope.scope(Box::pin(self.gateway.answer_one(asking, &self.peer, seen))).await;
        let lost = matches!(self.by, By::Session(_)) && respond::is_of_no_session(&answer);
        (spoken(answer, LONGEST).await, lost)
    }
}

impl Asks for Leg<'_> {
    async fn ask(&mut self, method: &'static str, params: Value) -> Result<(Value, Bytes), String> {
        for _ in 0..2 {
            let call = Arc::new(self.asker.message(method, params.clone())?);
            let mut asking = self.asking(call)?;
            asking.caller.place = Place::Catalogue;
            let headers = &mut asking.caller.head.headers;
            mcp::unmirrored(headers);
            headers.remove(LAST_EVENT_ID);
            headers.insert(header::ACCEPT, ACCEPTED);
            match self.asker.era() {
                Era::Legacy => {}
                Era::Modern => drop(headers.insert(METHOD, HeaderValue::from_static(method))),
            }
            let (answer, lost) = self.asker.say(asking).await;
            if !lost {
                let (bytes, told) = answer.ok_or("it does not answer as it should")?;
                return Ok((told, bytes));
            }
            // It knows the session no more: another begins, once.
            self.greet().await?;
        }
        Err("it does not keep its session".to_owned())
    }
}
