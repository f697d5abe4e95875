//! The stream by which a client of a view hears of changes: that other tools, prompts or resources are shown; and, in a session,
//! whatever its servers say of themselves, each on its own stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::super::batch::Merged;
use super::super::body::Broken;
use super::super::endless::over;
use super::super::keep_alive::KeepAlive;
use super::super::{Caller, Gateway, Slot};
use super::callers::Asker;
use super::made;
use super::session::Within;
use super::subscription::{Opened, Subscriber, Things, acknowledged, flag};
use crate::exchange::Outcome;
use crate::federation::{Kind, Listing, View};
use crate::mcp::{Call, Era, ServerName};
use crate::state::Begun;
use crate::telemetry::{Counted, Recorder};

/// Such a stream.
pub(in crate::proxy) struct Shared {
    gateway: Arc<Gateway>,
    caller: Caller,
    view: Arc<View>,
    hears: Hears,
    /// What its client was last told that is shown.
    listing: Arc<Listing>,
    /// How much of what is its client's own was told that it does not know of.
    late: u64,
    turn: Pin<Box<dyn Future<Output = Turn> + Send>>,
    /// What passes next.
    said: VecDeque<Bytes>,
    /// The capabilities of whose lists its client is still to hear that others are shown.
    changed: BTreeSet<&'static str>,
    streams: Merged,
    /// The servers whose streams are open, were not to be had, or are being opened, each in which session.
    asked: BTreeMap<ServerName, Begun>,
    /// Those whose streams are open, as far as was looked.
    flowing: Vec<ServerName>,
    opening: JoinSet<(ServerName, Option<Opened>)>,
    /// What a client has subscribed to that comes, by whose it is.
    honoured: BTreeMap<ServerName, Things>,
    /// A client that has subscribed waits so long to be told what comes.
    patience: Option<Pin<Box<Sleep>>>,
    keep_alive: KeepAlive,
    recorder: Option<Recorder>,
    _room: Slot,
    _counted: Counted,
}

/// Who hears, and of what.
pub(super) enum Hears {
    /// A client in a session, which is in use meanwhile.
    Session(Box<Within>),
    /// One that has subscribed (2026-07-28).
    Subscription(Box<Subscriber>),
}

/// What changes for such a stream.
enum Turn {
    /// The gate goes away, or its client has opened another.
    Over,
    /// Something is otherwise than before.
    Changed(Ears),
}

/// Where such a stream hears of changes.
struct Ears {
    judged: watch::Receiver<()>,
    news: watch::Receiver<u64>,
    /// Sessions that begin, and streams that take the place of this one.
    session: Option<(watch::Receiver<u64>, watch::Receiver<u64>)>,
}

/// A client that has subscribed is told what comes when all servers have answered, or after so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server that ends its stream is asked for another after so long.
const AGAIN: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) fn new(
        (gateway, caller, room): (Arc<Gateway>, Caller, Slot),
        (view, listing): (Arc<View>, Arc<Listing>),
        hears: Hears,
    ) -> Self {
        let session = match &hears {
            Hears::Session(within) => Some((within.several.beginnings(), within.several.open_stream())),
            Hears::Subscription(_) => None,
        };
        let late = hears.late((&gateway, &view), &listing);
        let ears = Ears { judged: gateway.judged.subscribe(), news: gateway.news.hear(), session };
        let mut shared = Self {
            turn: Box::pin(turn(gateway.draining.clone(), ears, caller.principal.expires())),
            said: VecDeque::new(),
            changed: BTreeSet::new(),
            streams: Merged::default(),
            asked: BTreeMap::new(),
            flowing: Vec::new(),
            opening: JoinSet::new(),
            honoured: BTreeMap::new(),
            patience: matches!(hears, Hears::Subscription(_)).then(|| Box::pin(sleep(PATIENCE))),
            keep_alive: KeepAlive::new(gateway.snapshot.load().terms.keep_alive),
            recorder: None,
            _room: room,
            _counted: gateway.telemetry.streams().count(),
            gateway,
            caller,
            view,
            hears,
            listing,
            late,
        };
        shared.open(Duration::ZERO);
        shared
    }

    /// The books of it are closed when it ends.
    pub(super) fn recorded(mut self, seen: Recorder) -> Self {
        self.recorder = Some(seen);
        self
    }

    /// The next bytes.
    pub(in crate::proxy) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        while let Poll::Ready(turn) = self.turn.as_mut().poll(cx) {
            match turn {
                Turn::Changed(ears) if self.goes_on() => self.hear(ears),
                Turn::Changed(_) | Turn::Over => return self.end(),
            }
        }
        while let Poll::Ready(Some(opened)) = self.opening.poll_join_next(cx) {
            if let Ok((server, Some(opened))) = opened {
                self.flow(server, opened);
            }
        }
        if let Some(patience) = &mut self.patience {
            if !self.opening.is_empty() && patience.as_mut().poll(cx).is_pending() {
                return self.keep_alive.poll(cx).map(|comment| Some(Ok(comment)));
            }
            self.patience = None;
            if let Some(first) = self.hears.acknowledged(&self.honoured) {
                self.said.push_front(first);
            }
        }
        // Nothing stands within an event of a server.
        if self.streams.is_between()
            && let Some(said) = self.said.pop_front().or_else(|| self.hears.of_change(&mut self.changed))
        {
            self.keep_alive.pass();
            return Poll::Ready(Some(Ok(said)));
        }
        if let Poll::Ready(Some(passed)) = self.streams.poll(cx) {
            self.keep_alive.pass();
            return Poll::Ready(Some(passed));
        }
        if self.streams.servers().count() < self.flowing.len() {
            self.reopen();
            cx.waker().wake_by_ref();
        }
        if self.streams.is_between() {
            self.keep_alive.poll(cx).map(|comment| Some(Ok(comment)))
        } else {
            Poll::Pending
        }
    }

    /// Whether its client may still hear of the view.
    fn goes_on(&mut self) -> bool {
        let now = self.gateway.snapshot.load_full();
        let (Some(principal), Some(view)) =
            (now.authenticators.still(&self.caller.principal), now.views.named(self.view.name.as_str()))
        else {
            return false;
        };
        if !Arc::ptr_eq(&now, &self.caller.now) {
            // Something else is shown, most likely.
            (self.view, self.caller.principal, self.caller.now) = (Arc::clone(view), principal, now);
            self.hears.judge_by(&self.caller);
            self.changed.extend(self.lists());
        }
        true
    }

    fn hear(&mut self, ears: Ears) {
        let era = self.hears.era();
        let listing = made(&self.gateway, &self.view, era);
        let late = self.hears.late((&self.gateway, &self.view), &listing);
        self.changed.extend(listing.changed_since(&self.listing));
        let its_own = late != self.late;
        (self.listing, self.late) = (listing, late);
        if its_own {
            self.changed.extend(self.lists());
        }
        self.turn = Box::pin(turn(self.gateway.draining.clone(), ears, self.caller.principal.expires()));
        self.open(Duration::ZERO);
    }

    /// The capabilities of lists on which something may stand: tools always may.
    fn lists(&self) -> Vec<&'static str> {
        let may = |kind: &Kind| {
            *kind == Kind::Tool || !self.listing.each().is_empty() || self.listing.shown(*kind).next().is_some()
        };
        Kind::ALL.into_iter().filter(may).map(Kind::capability).collect()
    }

    /// What a server says comes from now on. To a client that has subscribed only if it was told so.
    fn flow(&mut self, server: ServerName, Opened { relay, said, honoured }: Opened) {
        if self.patience.is_some() {
            self.honoured.insert(server.clone(), honoured);
        } else if self.hears.era() == Era::Modern && !self.honoured.contains_key(&server) {
            return;
        }
        self.said.extend(Some(said).filter(|said| !said.is_empty()));
        self.streams.add(relay);
        self.flowing.push(server);
    }

    /// Opens the streams of servers with which sessions have begun, or of which something is wanted.
    fn open(&mut self, pause: Duration) {
        let within = match &self.hears {
            Hears::Session(within) => within,
            Hears::Subscription(subscriber) => {
                for (server, things) in &subscriber.wanted {
                    if self.asked.insert(server.clone(), Begun::Nameless).is_some() {
                        continue;
                    }
                    let (subscriber, server, things) = (subscriber.clone(), server.clone(), things.clone());
                    self.opening.spawn(async move {
                        sleep(pause).await;
                        let opened = subscriber.listen(&server, &things).await;
                        (server, opened)
                    });
                }
                return;
            }
        };
        for (server, begun) in within.several.begun() {
            if self.asked.get(&server) == Some(&begun) {
                continue;
            }
            self.asked.insert(server.clone(), begun.clone());
            let within = within.as_ref().clone();
            self.opening.spawn(async move {
                sleep(pause).await;
                let relay = within.listen(&server, &begun).await;
                let opened = |relay| Opened { relay, said: Bytes::new(), honoured: Things::default() };
                (server, relay.map(opened))
            });
        }
    }

    /// A server that has ended its stream is asked for another, after a moment.
    fn reopen(&mut self) {
        let Self { streams, flowing, asked, gateway, caller, .. } = self;
        flowing.retain(|server| {
            let goes_on = streams.servers().any(|it| it == server);
            if !goes_on {
                asked.remove(server);
                // What changes until then nobody tells.
                let served = gateway.routes.server(server);
                if let Some(callers) = served.and_then(|served| served.catalogue.callers()) {
                    callers.outdate(caller.principal.account());
                }
            }
            goes_on
        });
        self.open(AGAIN);
    }

    fn end(&mut self) -> Poll<Option<Result<Bytes, Broken>>> {
        self.turn = Box::pin(pending());
        let Some(recorder) = self.recorder.take() else {
            return Poll::Ready(None);
        };
        recorder.close(Outcome::Ok);
        match self.hears.last() {
            Some(last) if self.streams.is_between() => Poll::Ready(Some(Ok(last))),
            _ => Poll::Ready(None),
        }
    }

    /// Whether nothing more comes.
    pub(in crate::proxy) fn has_ended(&self) -> bool {
        self.recorder.is_none()
    }
}

impl Hears {
    fn era(&self) -> Era {
        match self {
            Self::Session(_) => Era::Legacy,
            Self::Subscription(_) => Era::Modern,
        }
    }

    /// Counts what servers have told of what is its client's own that it does not know of.
    fn late(&self, of: (&Arc<Gateway>, &Arc<View>), all: &Listing) -> u64 {
        match (all.each(), self) {
            ([], _) => 0,
            (_, Self::Session(within)) => Asker::of_session(within, of.1).late(all),
            (_, Self::Subscription(subscriber)) => {
                let Subscriber { peer, caller, call, .. } = &**subscriber;
                Asker::of_request((of.0, peer), caller, of.1, call).late(all)
            }
        }
    }

    /// Streams that are opened from now on are its client's by the judgement of now.
    fn judge_by(&mut self, by: &Caller) {
        let caller = match self {
            Self::Session(within) => &mut within.caller,
            Self::Subscription(subscriber) => &mut subscriber.caller,
        };
        (caller.now, caller.principal) = (Arc::clone(&by.now), Arc::clone(&by.principal));
    }

    /// The first word: of what it hears.
    fn acknowledged(&self, honoured: &BTreeMap<ServerName, Things>) -> Option<Bytes> {
        let Self::Subscription(subscriber) = self else {
            return None;
        };
        let mut of = acknowledged(honoured.values());
        of.extend(subscriber.lists.iter().map(|list| (flag(list), true.into())));
        let params = format!(r#"{},"notifications":{}"#, subscription(&subscriber.call), Value::Object(of));
        Some(event(&format!(r#""method":"notifications/subscriptions/acknowledged","params":{{{params}}}"#)))
    }

    /// That others are shown on these lists, if its client hears of them. They are told of then.
    fn of_change(&self, lists: &mut BTreeSet<&'static str>) -> Option<Bytes> {
        if lists.is_empty() {
            return None;
        }
        let about = match self {
            Self::Session(_) => String::new(),
            Self::Subscription(subscriber) => {
                lists.retain(|list| subscriber.lists.contains(list));
                format!(r#","params":{{{}}}"#, subscription(&subscriber.call))
            }
        };
        let list = lists.pop_first()?;
        Some(event(&format!(r#""method":"notifications/{list}/list_changed"{about}"#)))
    }

    /// The last word.
    fn last(&self) -> Option<Bytes> {
        let Self::Subscription(subscriber) = self else {
            return None;
        };
        let (id, about) = (subscriber.call.id()?.as_json(), subscription(&subscriber.call));
        Some(event(&format!(r#""id":{id},"result":{{"resultType":"complete",{about}}}"#)))
    }
}

fn event(members: &str) -> Bytes {
    Bytes::from(format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",{members}}}\n\n"))
}

fn subscription(call: &Call) -> String {
    let id = call.id().map_or("null", |id| id.as_json());
    format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}"#)
}

async fn turn(draining: CancellationToken, mut ears: Ears, ends: Option<std::time::SystemTime>) -> Turn {
    let session = async {
        match &mut ears.session {
            None => pending().await,
            // The session has the other ends, and is held by whoever waits here.
            Some((begun, another)) => tokio::select! {
                _ = another.changed() => false,
                _ = begun.changed() => true,
            },
        }
    };
    tokio::select! {
        () = draining.cancelled() => return Turn::Over,
        goes_on = session => if !goes_on { return Turn::Over },
        _ = ears.judged.changed() => {}
        _ = ears.news.changed() => {}
        () = over(ends) => {}
    }
    Turn::Changed(ears)
}

/// Its client has gone: the books say so.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            recorder.close(Outcome::Ok);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("view", &self.view.name).finish_non_exhaustive()
    }
}
