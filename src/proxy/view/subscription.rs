//! What a client of 2026-07-28 is to hear of single resources and tasks, and of what a server has for it alone: each by a
//! subscription at the server that has it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};

use super::super::body::Relay;
use super::super::{Asking, Caller, Gateway, Peer};
use super::here::Here;
use crate::federation::Kind;
use crate::json::{self, Bounds};
use crate::mcp::{self, Call, Method, ServerName};
use crate::sse::{Event, Splitter};
use crate::state::{Place, Stream};

/// A client that has subscribed.
#[derive(Clone)]
pub(super) struct Subscriber {
    gateway: Arc<Gateway>,
    pub(super) caller: Caller,
    pub(super) peer: Arc<Peer>,
    view: ServerName,
    /// As it said it.
    pub(super) call: Arc<Call>,
    /// The capabilities of whose lists it wants to hear that others are shown.
    pub(super) lists: Vec<&'static str>,
    /// Of which server it wants to hear what.
    pub(super) wanted: BTreeMap<ServerName, Things>,
}

/// Single resources and tasks of a server, by the names that its client has for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Things {
    /// And of its lists, on which stands what is each caller's own, by their capabilities.
    lists: Vec<&'static str>,
    uris: Vec<String>,
    /// Each with the name that its server has for it.
    tasks: Vec<(String, Box<str>)>,
}

/// A stream that a server has opened.
pub(super) struct Opened {
    pub(super) relay: Box<Relay>,
    /// What it has said already.
    pub(super) said: Bytes,
    /// What it brings.
    pub(super) honoured: Things,
}

const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 100_000, number: 4096 };

impl Subscriber {
    /// Who has subscribed by this.
    pub(super) fn new(here: &Here<'_>, (gateway, peer): (&Arc<Gateway>, &Arc<Peer>), call: &Arc<Call>) -> Self {
        let asked = json::value(call.body(), &BOUNDS).unwrap_or_default();
        let mut wanted = BTreeMap::<ServerName, Things>::new();
        for uri in texts(&asked, "resourceSubscriptions") {
            if let Some(server) = here.listing().owner(&uri) {
                wanted.entry(server.clone()).or_default().uris.push(uri);
            }
        }
        for task in texts(&asked, "taskIds").filter(|_| call.declared().has_tasks()) {
            if let Some((route, theirs)) = here.meant(&task) {
                wanted.entry(route.served.name.clone()).or_default().tasks.push((task, theirs));
            }
        }
        let lists = lists(&asked);
        let each = here.listing().each().iter().filter(|_| !lists.is_empty());
        for server in each.filter(|it| here.may_use_at(it, Method::SubscriptionsListen)) {
            wanted.entry(server.clone()).or_default().lists.clone_from(&lists);
        }
        Self {
            gateway: Arc::clone(gateway),
            caller: here.caller.clone(),
            peer: Arc::clone(peer),
            view: here.view.name.clone(),
            call: Arc::clone(call),
            lists,
            wanted,
        }
    }

    /// Subscribes at a server; decided, limited and recorded like whatever its client says itself.
    pub(super) async fn listen(&self, server: &ServerName, things: &Things) -> Option<Opened> {
        let route = self.gateway.routes.route(server)?;
        let call = Arc::new(mcp::listening(&self.call, &things.as_theirs()).ok()?);
        let mut seen = self.caller.record(&self.gateway, &self.peer, server.clone());
        seen.asks(&call, &self.caller.now.policy);
        let mut caller = self.caller.clone();
        caller.place = Place::Several(self.view.clone(), Stream::Shared);
        let asking = Asking { caller, route: Arc::clone(route), call, room: route.served.capacity.take().ok()? };
        let scope = seen.scope();
        let answer = scope.scope(Box::pin(self.gateway.answer_one(asking, &self.peer, seen))).await;
        let mut relay = answer.into_body().into_stream().ok()?;
        let (first, said) = first_word(&mut relay).await?;
        let honoured = things.among(&first);
        Some(Opened { relay, said, honoured })
    }
}

impl Things {
    /// The filter of a subscription to them, as their server calls them.
    fn as_theirs(&self) -> String {
        let tasks: Vec<_> = self.tasks.iter().map(|(_, theirs)| theirs).collect();
        let mut filter = filter(&self.uris, &tasks);
        filter.extend(self.lists.iter().map(|list| (flag(list), true.into())));
        Value::Object(filter).to_string()
    }

    /// Those that are acknowledged.
    fn among(&self, acknowledged: &Value) -> Self {
        let of = |list: &str| texts(acknowledged, list).collect::<Vec<_>>();
        let (uris, tasks) = (of("resourceSubscriptions"), of("taskIds"));
        Self {
            lists: lists(acknowledged).into_iter().filter(|list| self.lists.contains(list)).collect(),
            uris: self.uris.iter().filter(|uri| uris.contains(uri)).cloned().collect(),
            tasks: self.tasks.iter().filter(|(ours, _)| tasks.contains(ours)).cloned().collect(),
        }
    }
}

/// Of which resources and tasks of all these a client hears.
pub(super) fn acknowledged<'t>(honoured: impl Iterator<Item = &'t Things>) -> Map<String, Value> {
    let (mut uris, mut tasks) = (Vec::new(), Vec::new());
    for things in honoured {
        uris.extend(&things.uris);
        tasks.extend(things.tasks.iter().map(|(ours, _)| ours));
    }
    filter(&uris, &tasks)
}

/// What is not asked for is not there.
fn filter(uris: &[impl AsRef<str>], tasks: &[impl AsRef<str>]) -> Map<String, Value> {
    let mut filter = Map::new();
    if !uris.is_empty() {
        filter.insert("resourceSubscriptions".to_owned(), uris.iter().map(AsRef::as_ref).collect());
    }
    if !tasks.is_empty() {
        filter.insert("taskIds".to_owned(), tasks.iter().map(AsRef::as_ref).collect());
    }
    filter
}

/// The capabilities of whose lists it is, or is to be, heard that others are shown.
fn lists(message: &Value) -> Vec<&'static str> {
    let heard = |list: &&str| {
        message.pointer(&format!("/params/notifications/{}", flag(list))).and_then(Value::as_bool) == Some(true)
    };
    Kind::CAPABILITIES.into_iter().filter(heard).collect()
}

/// The member of a subscription that is for such a list.
pub(super) fn flag(list: &str) -> String {
    format!("{list}ListChanged")
}

/// The texts of a list of what a subscription is for.
fn texts(message: &Value, list: &str) -> impl Iterator<Item = String> {
    let list = message.pointer(&format!("/params/notifications/{list}")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// The first message on a stream, which says what the stream is for, and what stands behind it.
async fn first_word(relay: &mut Relay) -> Option<(Value, Bytes)> {
    let (mut splitter, mut come) = (Splitter::default(), BytesMut::new());
    loop {
        let piece = poll_fn(|cx| relay.poll(cx)).await?.ok()?;
        let mut rest = piece;
        while let Some(end) = splitter.next(&rest) {
            come.extend_from_slice(&rest.split_to(end));
            let event = come.split();
            if let Some(data) = Event::read(&event).data {
                let first = json::value(&data, &BOUNDS).ok()?;
                let acknowledges =
                    first.get("method").is_some_and(|it| it == "notifications/subscriptions/acknowledged");
                // Whole events pass, if anything does.
                return acknowledges.then_some((first, rest)).filter(|_| relay.is_between_events());
            }
        }
        come.extend_from_slice(&rest);
    }
}
