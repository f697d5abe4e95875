//! Answers that are given again: of tools that the policy says so of (`cache`), to calls that ask the same.
//!
//! Nothing is decided here. A call that finds its answer was permitted, admitted and written down like any other, and
//! what it finds is judged and redacted like what comes from the server. Calls that ask the same at once are one call to
//! the server, made by whoever was first, for as long as that one waits for it.

mod kept;
mod key;
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
use crate::state::Conversation;
use crate::upstream::{InFlight, Reply, Upstream};

use kept::Kept;
use key::{Key, Keys};

/// The answers that are kept, in bounded memory.
#[derive(Debug)]
pub struct Cache {
    kept: moka::sync::Cache<Key, Arc<Kept>>,
    /// What the server is being asked.
    asked: Mutex<HashMap<Key, watch::Receiver<Landed>>>,
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
    keys: Keys,
    lasts: Duration,
    /// Tells those who wait; nobody does if this one waited in vain itself.
    tell: Option<watch::Sender<Landed>>,
}

impl Cache {
    /// Nothing yet, and never more than about so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(u64::try_from(max_bytes).unwrap_or(u64::MAX))
            .weigher(|_: &Key, kept: &Arc<Kept>| u32::try_from(kept.bytes()).unwrap_or(u32::MAX))
            .expire_after(Lasts)
            .build();
        Self { kept, asked: Mutex::default() }
    }

    /// The answer to a call, if it is there or another call is being answered by it.
    pub async fn find(self: &Arc<Self>, question: Question<'_>) -> Found {
        let Some((keys, lasts)) = Keys::of(&question).zip(key::lasts(question.permit)) else {
            return Found::Uncached;
        };
        let turn = |tell| Turn { cache: Arc::clone(self), keys, lasts, tell };
        // Nobody waits longer for another call than it would for the server.
        let patience = question.permit.tool().map_or(Duration::ZERO, |tool| tool.timeout);
        let found = timeout(patience, self.look(keys)).await.unwrap_or(Err(None));
        match (found, question.permit.call().id()) {
            (Ok(kept), Some(id)) => Found::Answer(kept.reply(id, clock::monotonic())),
            (Ok(_), None) => Found::Uncached,
            (Err(tell), _) => Found::Nothing(turn(tell)),
        }
    }

    /// What is kept, once nobody is asking for it; else what tells those who ask meanwhile, if they are to be told.
    async fn look(&self, keys: Keys) -> Result<Arc<Kept>, Option<watch::Sender<Landed>>> {
        loop {
            let mut flight = match self.join(keys) {
                Joined::There(kept) => return Ok(kept),
                Joined::First(tell) => return Err(Some(tell)),
                Joined::Waits(flight) => flight,
            };
            let landed = flight.wait_for(|landed| !matches!(landed, Landed::Awaited)).await;
            match landed.map(|landed| landed.clone()) {
                Ok(Landed::Kept(kept)) if !kept.is_private() => return Ok(kept),
                // Others that wait would have to wait for each other, one after the other.
                Ok(_) => return self.fresh(keys).ok_or(None),
                // Whoever asked has gone. It is the next one's turn.
                Err(_gone) => {}
            }
        }
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
    /// The server has answered there with this message, which may pass. It is kept if it may be.
    pub fn answered(self, message: &[u8], from: InFlight) {
        let kept = Kept::read(message, from, self.lasts, clock::monotonic()).map(Arc::new);
        if let Some(kept) = &kept {
            let key = if kept.is_private() { self.keys.own } else { self.keys.shared };
            self.cache.kept.insert(key, Arc::clone(kept));
        }
        self.land(kept.map_or(Landed::Unshared, Landed::Kept));
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
            self.cache.asked().remove(&self.keys.shared);
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
        Some(kept.lasts())
    }

    fn expire_after_update(&self, _: &Key, kept: &Arc<Kept>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.lasts())
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
