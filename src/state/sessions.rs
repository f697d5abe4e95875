//! Our session ids ↔ sessions. The server's id is never shown, and a session is only ever its principal's.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Uri};

use super::{Conversation, Known, Session, StateError};
use crate::clock;
use crate::identity::Principal;

/// `Mcp-Session-Id`.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Where clients of 2024-11-05 open their stream.
pub const STREAM: &str = "/sse";
/// Where they post the messages of a session; its name follows.
pub const MESSAGES: &str = "/messages/";

/// The legacy sessions that are alive.
#[derive(Debug)]
pub struct Sessions {
    table: Mutex<Table>,
    bounds: SessionBounds,
}

/// How many sessions, and for how long without use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    /// In all.
    pub most: usize,
    /// Of one principal.
    pub most_per_principal: usize,
    /// One that nobody has used for so long is over.
    pub idle: Duration,
}

/// Who is told, of every session that has ended, how long it was there.
#[derive(Default)]
pub struct Ended(Option<Box<dyn Fn(Duration) + Send + Sync>>);

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<HeaderValue, Arc<Session>>,
    /// How many each principal has, those that are only beginning too.
    counts: HashMap<Arc<str>, usize>,
    /// How many there are in all, those too.
    count: usize,
    /// What principals do outside of any session, while they do.
    outside: HashMap<Arc<str>, Weak<Session>>,
    ended: Ended,
}

/// A session in the making: its place is kept until it has begun, or this is dropped.
#[derive(Debug)]
pub struct Seat {
    sessions: Arc<Sessions>,
    principal: Arc<str>,
}

/// Where there is no room, a session unused for so long makes some: its client has most likely gone without a word.
const STALE: Duration = Duration::from_mins(5);

impl Sessions {
    /// None yet.
    pub fn new(bounds: SessionBounds, ended: Ended) -> Self {
        Self { table: Mutex::new(Table { ended, ..Table::default() }), bounds }
    }

    /// Keeps a place for a new session of this principal.
    ///
    /// # Errors
    /// There is none.
    pub fn reserve(self: &Arc<Self>, principal: &Principal) -> Result<Seat, StateError> {
        let now = clock::monotonic();
        let mut table = self.table();
        let own = |table: &Table| table.counts.get(principal.account()).copied().unwrap_or_default();
        if own(&table) >= self.bounds.most_per_principal {
            table.make_room(now, self.bounds.idle, |session| session.principal() == principal.account());
        }
        if table.count >= self.bounds.most {
            table.make_room(now, self.bounds.idle, |_anyone| true);
        }
        if own(&table) >= self.bounds.most_per_principal || table.count >= self.bounds.most {
            return Err(StateError::TooManySessions);
        }
        *table.counts.entry(Arc::clone(principal.account())).or_default() += 1;
        table.count += 1;
        Ok(Seat { sessions: Arc::clone(self), principal: Arc::clone(principal.account()) })
    }

    /// The session that the client calls so, if it is alive and this principal's.
    ///
    /// # Errors
    /// It is not.
    pub fn find(&self, ours: &HeaderValue, principal: &Principal) -> Result<Conversation, StateError> {
        let now = clock::monotonic();
        let mut table = self.table();
        let session = table.sessions.get(ours).filter(|session| session.principal() == principal.account());
        let session = Arc::clone(session.ok_or(StateError::NoSession)?);
        if is_unused(&session, 2, now, self.bounds.idle) {
            table.remove(ours, session.used());
            return Err(StateError::NoSession);
        }
        session.touch();
        Ok(Conversation::Within { ours: Some(ours.clone()), session })
    }

    /// What this principal does outside of any session.
    pub(super) fn outside(&self, principal: &Principal) -> Conversation {
        let mut table = self.table();
        let known = table.outside.get(principal.account()).and_then(Weak::upgrade);
        let session = known.unwrap_or_else(|| {
            table.outside.retain(|_, session| session.strong_count() > 0);
            let session = Arc::new(Session::new(Arc::clone(principal.account()), Known::Nowhere, None));
            table.outside.insert(Arc::clone(principal.account()), Arc::downgrade(&session));
            session
        });
        Conversation::Within { ours: None, session }
    }

    /// Forgets a session that its client or its server ended.
    pub fn end(&self, ours: &HeaderValue) {
        self.table().remove(ours, clock::monotonic());
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table().sessions.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic within leaves at worst a count too high by one: the table is still safe to use.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends a session, which was there until then.
    fn remove(&mut self, ours: &HeaderValue, until: Instant) {
        if let Some(session) = self.sessions.remove(ours) {
            self.give_back(session.principal());
            session.end();
            self.ended.tell(until.saturating_duration_since(session.begun()));
        }
    }

    /// Removes what is over, or else the one of these that has been unused for longest, if that is long.
    fn make_room(&mut self, now: Instant, idle: Duration, of: impl Fn(&Session) -> bool) {
        let unused = |after| {
            let found = self.sessions.iter().filter(|(_, session)| of(session) && is_unused(session, 1, now, after));
            found.map(|(ours, session)| (session.used(), ours.clone())).collect::<Vec<_>>()
        };
        let mut over = unused(idle);
        if over.is_empty() {
            over = unused(STALE).into_iter().min_by_key(|(used, _)| *used).into_iter().collect();
        }
        for (used, ours) in over {
            self.remove(&ours, used);
        }
    }

    fn give_back(&mut self, principal: &Arc<str>) {
        self.count = self.count.saturating_sub(1);
        if let Some(count) = self.counts.get_mut(principal) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(principal);
            }
        }
    }
}

impl Ended {
    /// Tells it so.
    pub fn telling(tell: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    fn tell(&self, lived: Duration) {
        if let Some(tell) = &self.0 {
            tell(lived);
        }
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").finish_non_exhaustive()
    }
}

/// Whether nobody has used a session for so long. One that is held by more than its table, and whoever asks, is in use:
/// a stream is open, or a call under way.
fn is_unused(session: &Arc<Session>, holders: usize, now: Instant, after: Duration) -> bool {
    Arc::strong_count(session) <= holders && now.saturating_duration_since(session.used()) >= after
}

impl Seat {
    /// Begins the session that the server knows so, at this endpoint; returns what the client may call it: 128 random bits.
    pub fn begin(self, known: Known, home: Option<&Uri>) -> Option<(HeaderValue, Arc<Session>)> {
        let ours = HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>())).ok()?;
        let session = Arc::new(Session::new(Arc::clone(&self.principal), known, home.cloned()));
        let mut table = self.sessions.table();
        table.sessions.insert(ours.clone(), Arc::clone(&session));
        // Dropping the seat gives its place back; the session has taken it.
        *table.counts.entry(Arc::clone(&self.principal)).or_default() += 1;
        table.count += 1;
        drop(table);
        Some((ours, session))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.table().give_back(&self.principal);
    }
}
