//! Answers that are given again, to calls that ask the same: of tools that the policy says so of (`cache`), and lists of
//! modern servers for as long as those say.
//!
//! Nothing is decided here. A call that finds its answer was permitted, admitted and written down like any other, and
//! what it finds is judged and redacted like what comes from the server. Calls that ask the same at once are one call to
//! the server, made by whoever was first, for as long as that one waits for it.

mod kept;
mod key;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use moka::Expiry;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock;
use crate::policy::Permit;
use crate::state::{Conversation, Lists};
use crate::upstream::{Endpoint, InFlight, Reply, Upstream};

pub use settings::{CacheSettings, SharedSettings};
pub use store::{AnswerStore, Look, SharingError};

use kept::Kept;
use key::{Key, Keys, Terms, Wanted};

/// The answers that are kept, in bounded memory.
#[derive(Debug)]
pub struct Cache {
    kept: moka::sync::Cache<Key, Arc<Kept>>,
    /// What the server is being asked.
    asked: Mutex<HashMap<Key, watch::Receiver<Landed>>>,
    /// What other gates have kept.
    store: Option<Arc<AnswerStore>>,
    /// How long lists may last; they are not kept if not said.
    lists: Option<Duration>,
}

/// A call, with all that its answer may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The call, which is permitted.
    pub permit: &'a Permit,
    /// Where it belongs.
    pub conversation: &'a Conversation,
    /// Its caller's headers.
    pub headers: &'a HeaderMap,
    /// Whom it would be sent to.
    pub upstream: &'a Upstream,
    /// The digest of the policy in force: what was kept under another one is not given.
    pub policy: &'a str,
    /// Which lists the server shows.
    pub lists: &'a Lists,
}

/// What is known of a call.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
pub enum Found {
    /// Its answer.
    Answer(Reply),
    /// Nothing: whoever holds the turn asks the server.
    Nothing(Turn),
    /// Its answers are not kept.
    Uncached,
}

/// How the cache served a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Its answer was there, or came for another call meanwhile.
    Hit,
    /// The server was asked.
    Miss,
}

/// What has become of a call that others wait for.
#[derive(Clone, Debug)]
enum Landed {
    /// Nothing yet.
    Awaited,
    /// It was answered so.
    Kept(Arc<Kept>),
    /// It was answered, by something that is for nobody else.
    Unshared,
}

/// The right to ask the server for all who ask the same meanwhile. Dropped without an answer it goes to the next of them.
#[derive(Debug)]
pub struct Turn {
    cache: Arc<Cache>,
    wanted: Wanted,
    /// Tells those who wait; nobody does if this one waited in vain itself.
    tell: Option<watch::Sender<Landed>>,
}

impl Cache {
    /// Nothing yet; beside what gates share in this store.
    pub fn new(settings: &CacheSettings, store: Option<AnswerStore>) -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(u64::try_from(settings.max_bytes).unwrap_or(u64::MAX))
            .weigher(|_: &Key, kept: &Arc<Kept>| u32::try_from(kept.bytes()).unwrap_or(u32::MAX))
            .expire_after(Lasts)
            .build();
        Self { kept, asked: Mutex::default(), store: store.map(Arc::new), lists: settings.lists }
    }

    /// What gates share.
    pub fn store(&self) -> Option<&Arc<AnswerStore>> {
        self.store.as_ref()
    }

    /// The answer to a call, if it is there or another call is being answered by it.
    pub async fn find(self: &Arc<Self>, question: Question<'_>) -> Found {
        let Some(wanted) = Wanted::by(&question, self.lists) else {
            return Found::Uncached;
        };
        // Nobody waits longer for another call than it would for the server.
        let Question { permit, upstream, .. } = question;
        let patience = permit.tool().map_or(upstream.timeouts().first_byte, |tool| tool.timeout);
        let from = upstream.endpoints().next().map(Endpoint::idle);
        let found = timeout(patience, self.look(wanted, from.as_ref())).await;
        match (found.unwrap_or_else(|_elapsed| Err(self.turn(wanted, None))), permit.call().id()) {
            (Ok(kept), Some(id)) => Found::Answer(kept.reply(id, clock::monotonic())),
            (Ok(_), None) => Found::Uncached,
            (Err(turn), _) => Found::Nothing(turn),
        }
    }

    /// What is kept here or in the store, once nobody is asking for it; else the turn to ask. What lies in the store comes
    /// `from` there.
    async fn look(self: &Arc<Self>, wanted: Wanted, from: Option<&InFlight>) -> Result<Arc<Kept>, Turn> {
        loop {
            let mut flight = match self.join(wanted.keys) {
                Joined::There(kept) => return Ok(kept),
                Joined::First(tell) => return self.turn(wanted, Some(tell)).answered_elsewhere(from).await,
                Joined::Waits(flight) => flight,
            };
            let landed = flight.wait_for(|landed| !matches!(landed, Landed::Awaited)).await;
            match landed.map(|landed| landed.clone()) {
                Ok(Landed::Kept(kept)) if !kept.is_private() => return Ok(kept),
                // Others that wait would have to wait for each other, one after the other.
                Ok(_) => return self.fresh(wanted.keys).ok_or_else(|| self.turn(wanted, None)),
                // Whoever asked has gone. It is the next one's turn.
                Err(_gone) => {}
            }
        }
    }

    fn turn(self: &Arc<Self>, wanted: Wanted, tell: Option<watch::Sender<Landed>>) -> Turn {
        Turn { cache: Arc::clone(self), wanted, tell }
    }

    fn join(&self, keys: Keys) -> Joined {
        let mut asked = self.asked();
        if let Some(kept) = self.fresh(keys) {
            return Joined::There(kept);
        }
        if let Some(flight) = asked.get(&keys.shared) {
            return Joined::Waits(flight.clone());
        }
        let (tell, flight) = watch::channel(Landed::Awaited);
        asked.insert(keys.shared, flight);
        Joined::First(tell)
    }

    /// An answer that is young enough: one for everyone, or this caller's own.
    fn fresh(&self, keys: Keys) -> Option<Arc<Kept>> {
        let now = clock::monotonic();
        let kept = self.kept.get(&keys.shared).or_else(|| self.kept.get(&keys.own));
        kept.filter(|kept| kept.is_fresh(now))
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Landed>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what is kept.
    pub fn clear(&self) {
        self.kept.invalidate_all();
        self.kept.run_pending_tasks();
    }

    /// About how many bytes are kept.
    pub fn bytes(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.weighted_size()
    }

    /// How many answers are kept.
    pub fn count(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.entry_count()
    }
}

/// Where a call stands among those that ask the same.
enum Joined {
    /// The answer is there.
    There(Arc<Kept>),
    /// Nobody else asks. This tells those who will.
    First(watch::Sender<Landed>),
    /// Another one asks.
    Waits(watch::Receiver<Landed>),
}

impl Turn {
    /// What some other gate has kept of it, which is for all who wait, too.
    async fn answered_elsewhere(self, from: Option<&InFlight>) -> Result<Arc<Kept>, Self> {
        let Some((store, from)) = self.store().zip(from) else {
            return Err(self);
        };
        let Some(kept) = store.find(&self.wanted, from).await.map(Arc::new) else {
            return Err(self);
        };
        self.keep(&kept);
        self.land(Landed::Kept(Arc::clone(&kept)));
        Ok(kept)
    }

    /// The server has answered there with this message, which may pass. It is kept if it may be.
    pub fn answered(self, message: &[u8], from: InFlight) {
        let kept = Kept::read(message, from, self.wanted.terms, clock::monotonic()).map(Arc::new);
        if let Some(kept) = &kept {
            let key = self.keep(kept);
            self.store().into_iter().for_each(|store| store.put(key, message, kept.left()));
        }
        self.land(kept.map_or(Landed::Unshared, Landed::Kept));
    }

    /// Where it is shared. Lists are not: that one has changed, a gate hears that others do not.
    fn store(&self) -> Option<&Arc<AnswerStore>> {
        let shares = matches!(self.wanted.terms, Terms::Policy(_));
        self.cache.store.as_ref().filter(|_| shares)
    }

    fn keep(&self, kept: &Arc<Kept>) -> Key {
        let key = self.wanted.keys.of_answer(kept);
        self.cache.kept.insert(key, Arc::clone(kept));
        key
    }

    /// The server has answered with something that is for nobody else.
    pub fn unshared(self) {
        self.land(Landed::Unshared);
    }

    fn land(&self, landed: Landed) {
        if let Some(tell) = &self.tell {
            tell.send_replace(landed);
        }
    }
}

/// From now on whoever asks the same is the first one again.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.tell.is_some() {
            self.cache.asked().remove(&self.wanted.keys.shared);
        }
    }
}

impl Served {
    /// A word for spans, lines and labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// Each answer is there for as long as it may be given.
struct Lasts;

impl Expiry<Key, Arc<Kept>> for Lasts {
    fn expire_after_create(&self, _: &Key, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.left())
    }

    fn expire_after_update(&self, _: &Key, kept: &Arc<Kept>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.left())
    }
}

impl Found {
    /// How the call is served, if answers to it are kept at all.
    pub fn served(&self) -> Option<Served> {
        match self {
            Self::Answer(_) => Some(Served::Hit),
            Self::Nothing(_) => Some(Served::Miss),
            Self::Uncached => None,
        }
    }
}
