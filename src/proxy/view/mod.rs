//! Several servers as one: a call goes the way of any other, to the server whose tool it names; what a view has of its own
//! is told here. Whatever is shown was decided by the function that decides calls.
//!
//! A view serves each era by the servers that speak it. What would let one speak for the other has its place in
//! `directed`: there the eras part.

mod callers;
mod here;
mod session;
mod stream;
mod subscription;
mod tasks;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, request};

use super::{Asking, Caller, GateBody, Gateway, Peer, Slot, refused, respond};
use crate::exchange::{Outcome, Refusal};
use crate::federation::{Kind, Listing, Spoken, View};
use crate::mcp::{self, Call, Era, Method, Mismatch, ServerName};
use crate::state::SESSION_ID;
use crate::telemetry::Recorder;

use callers::{Asker, Need, Shown};
use here::Here;
use session::Within;
use stream::Hears;
pub(super) use stream::Shared;
use subscription::Subscriber;

/// A message to a view.
pub(super) struct Viewing {
    pub(super) view: Arc<View>,
    pub(super) caller: Caller,
    pub(super) call: Arc<Call>,
    pub(super) room: Slot,
}

/// What becomes of it.
enum Directed {
    /// It is one server's to answer.
    To(Box<Asking>),
    /// The same, in a session: with what becomes of that if the server knows it no more.
    Within(Box<Within>, Box<Asking>),
    /// This answers it.
    Here(String),
    /// The same, and a session begins that is called so.
    Begun(HeaderValue, String),
    /// It is heard, and nothing answers it.
    Heard,
    /// Its session is over.
    Over,
    /// It opens a stream.
    Stream(Box<Shared>),
}

const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Answers a message to a view.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    viewing: Viewing,
    peer: &Arc<Peer>,
    mut seen: Recorder,
) -> Response<GateBody> {
    let now = Arc::clone(&viewing.caller.now);
    let at = gateway.routes.view_url(&viewing.view);
    let ours = viewing.caller.head.headers.get(&SESSION_ID).cloned();
    seen.asks(&viewing.call, &now.policy);
    seen.in_trace();
    let directed = match directed(gateway, viewing, peer, &mut seen).await {
        Ok(directed) => directed,
        Err(refusal) => return refused(&refusal, (&now, at.as_ref()), seen, None),
    };
    match directed {
        Directed::To(asking) => session::named(gateway.answer_one(*asking, peer, seen).await, ours),
        Directed::Within(within, asking) => within.answer(*asking, seen).await,
        Directed::Stream(shared) => respond::stream(GateBody::shared(shared.recorded(seen))),
        Directed::Here(answer) => {
            seen.close(Outcome::Ok);
            respond::result(answer)
        }
        Directed::Begun(session, answer) => {
            seen.close(Outcome::Ok);
            let mut answer = respond::result(answer);
            answer.headers_mut().insert(SESSION_ID, session);
            answer
        }
        Directed::Heard => {
            seen.close(Outcome::Ok);
            respond::accepted()
        }
        Directed::Over => {
            seen.close(Outcome::Ok);
            respond::done()
        }
    }
}

async fn directed(
    gateway: &Arc<Gateway>,
    viewing: Viewing,
    peer: &Arc<Peer>,
    seen: &mut Recorder,
) -> Result<Directed, Refusal> {
    if viewing.caller.head.method == http::Method::POST {
        mcp::agree(&viewing.caller.head.headers, &viewing.call)?; // do the headers say the same?
    }
    let call = &viewing.call;
    if call.era() == Era::Modern && call.id().is_some() && !call.declared().is_given() {
        return Err(Mismatch::NoCapabilities.into());
    }
    let Viewing { view, caller, call, .. } = &viewing;
    let all = listing(gateway, view, call.era()).await;
    let shown = match (call.era(), all.each()) {
        (_, []) | (Era::Legacy, _) => Shown::to_all(all),
        (Era::Modern, _) => Asker::of_request((gateway, peer), caller, view, call).shown(all, Need::of(call)).await,
    };
    unspoken(gateway, (view, &shown), (caller, call)).await?;
    match viewing.call.era() {
        Era::Legacy => session::directed(gateway, (viewing, shown.all), peer, seen).await,
        Era::Modern => modern(gateway, (viewing, shown), peer, seen).await,
    }
}

async fn modern(
    gateway: &Arc<Gateway>,
    (viewing, shown): (Viewing, Shown),
    peer: &Arc<Peer>,
    seen: &mut Recorder,
) -> Result<Directed, Refusal> {
    let Viewing { view, caller, call, room } = viewing;
    let here = Here { gateway, caller: &caller, view: &view, shown: &shown, context: peer.context() };
    if let Some(kind) = Kind::listed_by(call.method()) {
        here.may(&call)?;
        seen.allowed().await?; // is it written down?
        return Ok(Directed::Here(here.list(kind, &call)?));
    }
    match call.method() {
        Method::ToolsCall
        | Method::PromptsGet
        | Method::ResourcesRead
        | Method::CompletionComplete
        | Method::TasksGet
        | Method::TasksResult
        | Method::TasksUpdate
        | Method::TasksCancel => {
            let (route, own) = here.one(&call, seen)?;
            let mut caller = caller;
            if let Some(mirror) = caller.head.headers.get_mut(NAME)
                && let Some(Ok(name)) =
                    own.target().name().map(|name| HeaderValue::try_from(mcp::encode_sentinel(name)))
            {
                *mirror = name;
            }
            let room = route.served.capacity.take_over(room)?; // that server's room is another
            Ok(Directed::To(Box::new(Asking { caller, route, call: own, room })))
        }
        Method::ServerDiscover => {
            here.may(&call)?;
            seen.allowed().await?;
            Ok(Directed::Here(here.discovered(&call, &revisions(gateway, &view).await)))
        }
        Method::SubscriptionsListen => {
            here.may(&call)?;
            seen.allowed().await?;
            let subscriber = Subscriber::new(&here, (gateway, peer), &call);
            let hears = Hears::Subscription(Box::new(subscriber));
            let to = (Arc::clone(gateway), caller.clone(), room);
            Ok(Directed::Stream(Box::new(Shared::new(to, (Arc::clone(&view), Arc::clone(&shown.all)), hears))))
        }
        _ => Err(here.unknown(&call)),
    }
}

/// Whether the view has servers that speak to clients of the call's era, as far as is known.
///
/// # Errors
/// None of them speaks that, and some speak another.
async fn unspoken(
    gateway: &Gateway,
    (view, shown): (&View, &Shown),
    (caller, call): (&Caller, &Call),
) -> Result<(), Refusal> {
    let Shown { listing, all, .. } = shown;
    let refuse = |server| spoken(gateway, server, call.era()) == Some(None);
    let none = listing.has().is_empty() && all.each().iter().all(refuse);
    let revisions = if none { revisions(gateway, view).await } else { Vec::new() };
    if revisions.is_empty() {
        return Ok(());
    }
    let requested = call.claimed().map_or_else(|| named(&caller.head, call), str::to_owned);
    Err(Mismatch::Unspoken { requested, spoken: revisions }.into())
}

/// What a server that has something else for each caller speaks, as callers have heard.
fn spoken(gateway: &Gateway, server: &ServerName, era: Era) -> Option<Spoken> {
    gateway.routes.server(server)?.catalogue.callers()?.spoken(era)
}

/// The latest legacy revision that all servers speak of which that is known; `None` if none does.
fn latest(gateway: &Gateway, listing: &Listing) -> Option<mcp::ProtocolVersion> {
    let each = listing.each().iter().filter_map(|server| spoken(gateway, server, Era::Legacy).flatten());
    listing.latest_legacy().into_iter().chain(each).min()
}

/// What a legacy client says that it speaks.
fn named(head: &request::Parts, call: &Call) -> String {
    let header = head.headers.get(crate::upstream::VERSION).and_then(|version| version.to_str().ok());
    let version = mcp::revision(call).map(mcp::ProtocolVersion::name);
    version.or(header).unwrap_or("a revision with a handshake").to_owned()
}

/// The revisions that the view's servers speak, the latest first: of each era those that all of them speak.
async fn revisions(gateway: &Gateway, view: &View) -> Vec<mcp::ProtocolVersion> {
    let modern = listing(gateway, view, Era::Modern).await;
    let legacy = listing(gateway, view, Era::Legacy).await;
    let latest = latest(gateway, &legacy);
    let heard = |server| spoken(gateway, server, Era::Modern).flatten().is_some();
    let speaks = |version: &mcp::ProtocolVersion| match latest {
        _ if version.is_modern() => !modern.has().is_empty() || modern.each().iter().any(heard),
        latest => latest.is_some_and(|latest| *version <= latest),
    };
    let mut spoken: Vec<_> = mcp::ProtocolVersion::all().filter(speaks).collect();
    spoken.reverse();
    spoken
}

/// What a view shows to clients of this era. A server that does not tell what it has keeps nobody waiting.
async fn listing(gateway: &Gateway, view: &View, era: Era) -> Arc<Listing> {
    if let Some(made) = view.made(era, &gateway.news) {
        return made;
    }
    let served = || view.servers().filter_map(|name| gateway.routes.server(name));
    for served in served() {
        served.catalogue.asked().await;
    }
    made(gateway, view, era)
}

/// The same without waiting for anybody.
fn made(gateway: &Gateway, view: &View, era: Era) -> Arc<Listing> {
    let made = view.made(era, &gateway.news);
    let served = view.servers().filter_map(|name| gateway.routes.server(name));
    made.unwrap_or_else(|| view.make(era, served.map(|served| (&served.name, &*served.catalogue)), &gateway.news))
}
