//! Our session ids ↔ sessions. The server's id is never shown, and a session is only ever its principal's. An id that is a
//! ticket is good at every gate that has its key.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Uri};

use super::revocations::{RevocationList, Revoked};
use super::ticket::{self, Ticket, Tickets};
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
    tickets: Tickets,
    resumed: AtomicU64,
    unresumed: [AtomicU64; Unresumed::ALL.len()],
}

/// How many sessions, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    /// In all.
    pub most: usize,
    /// Of one principal.
    pub most_per_principal: usize,
    /// One that nobody has used for so long is over.
    pub idle: Duration,
    /// One that began so long ago is over, however much it is used.
    pub lifetime: Duration,
}

/// Why a session does not go on here that came with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresumed {
    /// It has ended, or is too old.
    Ended,
    /// Nobody says whether it has ended: the store that knows is away.
    Unasked,
    /// There is no room for it.
    NoRoom,
}

/// Who is told, of every session that has ended, how long it was there.
#[derive(Default)]
pub struct Ended(Option<Box<dyn Fn(Duration) + Send + Sync>>);

#[derive(Debug)]
struct Table {
    sessions: HashMap<HeaderValue, Arc<Session>>,
    /// How many each principal has, those that are only beginning too.
    counts: HashMap<Arc<str>, usize>,
    /// How many there are in all, those too.
    count: usize,
    /// What principals do outside of any session, while they do.
    outside: HashMap<Arc<str>, Weak<Session>>,
    revoked: Revoked,
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
    pub fn new(bounds: SessionBounds, tickets: Tickets, ended: Ended) -> Self {
        let table = Table {
            sessions: HashMap::new(),
            counts: HashMap::new(),
            count: 0,
            outside: HashMap::new(),
            revoked: Revoked::new(bounds, tickets.list().cloned()),
            ended,
        };
        Self { table: Mutex::new(table), bounds, tickets, resumed: AtomicU64::default(), unresumed: Default::default() }
    }

    /// Keeps a place for a new session of this principal.
    ///
    /// # Errors
    /// There is none.
    pub fn reserve(self: &Arc<Self>, principal: &Principal) -> Result<Seat, StateError> {
        self.table().take_place(principal.account(), self.bounds)?;
        Ok(Seat { sessions: Arc::clone(self), principal: Arc::clone(principal.account()) })
    }

    /// The session that the client calls so, if it is this principal's and alive, here or at another gate.
    ///
    /// # Errors
    /// It is not, or there is no room for it here.
    pub async fn enter(&self, ours: &HeaderValue, principal: &Principal) -> Result<Conversation, StateError> {
        match self.find(ours, principal) {
            Err(StateError::NoSession) => self.resume(ours, principal).await,
            found => found,
        }
    }

    /// The session that the client calls so, if it is alive here and this principal's.
    ///
    /// # Errors
    /// It is not.
    pub fn find(&self, ours: &HeaderValue, principal: &Principal) -> Result<Conversation, StateError> {
        let now = clock::monotonic();
        let mut table = self.table();
        let session = table.sessions.get(ours).filter(|session| session.principal() == principal.account());
        let session = Arc::clone(session.ok_or(StateError::NoSession)?);
        if is_unused(&session, 2, now, self.bounds.idle) || session.age(now) >= self.bounds.lifetime {
            table.end(ours, session.used());
            return Err(StateError::NoSession);
        }
        session.touch();
        Ok(Conversation::Within { ours: Some(ours.clone()), session })
    }

    /// Goes on with a session that is not here, as its ticket says.
    async fn resume(&self, ours: &HeaderValue, principal: &Principal) -> Result<Conversation, StateError> {
        let account = principal.account();
        let ticket = self.tickets.open(account, ours).ok_or(StateError::NoSession)?;
        let why = match self.go_on(ours, ticket, account).await {
            Ok(session) => return Ok(Conversation::Within { ours: Some(ours.clone()), session }),
            Err(why) => why,
        };
        tracing::debug!(why = why.word(), "a session does not go on here");
        for (count, _) in self.unresumed.iter().zip(Unresumed::ALL).filter(|(_, it)| *it == why) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Err(match why {
            Unresumed::NoRoom => StateError::TooManySessions,
            // Its client can do without: it begins anew.
            Unresumed::Ended | Unresumed::Unasked => StateError::NoSession,
        })
    }

    async fn go_on(&self, ours: &HeaderValue, ticket: Ticket, account: &Arc<str>) -> Result<Arc<Session>, Unresumed> {
        let name = ticket::name(ours);
        let may_have_ended = |table: &Table| table.revoked.may_have(ticket.begun, name);
        if may_have_ended(&self.table()) {
            return Err(Unresumed::Ended);
        }
        if let Some(list) = self.tickets.list() {
            match list.has(name).await {
                Ok(true) => return Err(Unresumed::Ended),
                Ok(false) => {}
                Err(_) => return Err(Unresumed::Unasked),
            }
        }
        let now = clock::now();
        let age = now.wall.duration_since(ticket.begun).unwrap_or_default();
        let begun = now.monotonic.checked_sub(age).filter(|_| age < self.bounds.lifetime).ok_or(Unresumed::Ended)?;
        let mut table = self.table();
        if may_have_ended(&table) {
            return Err(Unresumed::Ended);
        }
        // Others may have come with it at once.
        if let Some(session) = table.sessions.get(ours) {
            return Ok(Arc::clone(session));
        }
        table.take_place(account, self.bounds).map_err(|_full| Unresumed::NoRoom)?;
        let session = Session::new(Arc::clone(account), ticket.known, ticket.home);
        let session = Arc::new(session.ticketed(begun, ticket.begun));
        table.sessions.insert(ours.clone(), Arc::clone(&session));
        self.resumed.fetch_add(1, Ordering::Relaxed);
        Ok(session)
    }

    /// How many sessions have come with a ticket and go on here.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// How often one came that does not, for this reason.
    pub fn unresumed(&self, why: Unresumed) -> u64 {
        let counts = self.unresumed.iter().zip(Unresumed::ALL);
        counts.filter(|(_, it)| *it == why).map(|(count, _)| count.load(Ordering::Relaxed)).sum()
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
        self.table().end(ours, clock::monotonic());
    }

    /// Where it is noted which sessions have ended, if gates share that.
    pub fn list(&self) -> Option<&Arc<RevocationList>> {
        self.tickets.list()
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
    /// Takes a place for a session of this account, if there is one or can be.
    fn take_place(&mut self, account: &Arc<str>, bounds: SessionBounds) -> Result<(), StateError> {
        let now = clock::monotonic();
        let own = |table: &Self| table.counts.get(account).copied().unwrap_or_default();
        if own(self) >= bounds.most_per_principal {
            self.make_room(now, bounds.idle, |session| session.principal() == account);
        }
        if self.count >= bounds.most {
            self.make_room(now, bounds.idle, |_anyone| true);
        }
        if own(self) >= bounds.most_per_principal || self.count >= bounds.most {
            return Err(StateError::TooManySessions);
        }
        *self.counts.entry(Arc::clone(account)).or_default() += 1;
        self.count += 1;
        Ok(())
    }

    /// Ends a session, which was there until then. Nowhere does it go on.
    fn end(&mut self, ours: &HeaderValue, until: Instant) {
        if let Some(begun) = self.remove(ours, until).and_then(|session| session.ticket()) {
            self.revoked.add(begun, ticket::name(ours));
        }
    }

    /// Removes a session, which was there until then. With a ticket it may come again.
    fn remove(&mut self, ours: &HeaderValue, until: Instant) -> Option<Arc<Session>> {
        let session = self.sessions.remove(ours)?;
        self.give_back(session.principal());
        session.end();
        self.ended.tell(session.age(until));
        Some(session)
    }

    /// Ends what is over, or else removes the one of these that has been unused for longest, if that is long.
    fn make_room(&mut self, now: Instant, idle: Duration, of: impl Fn(&Session) -> bool) {
        let unused = |after| {
            let found = self.sessions.iter().filter(|(_, session)| of(session) && is_unused(session, 1, now, after));
            found.map(|(ours, session)| (session.used(), ours.clone())).collect::<Vec<_>>()
        };
        let (over, stale) = (unused(idle), unused(STALE).into_iter().min_by_key(|(used, _)| *used));
        if over.is_empty() {
            stale.and_then(|(used, ours)| self.remove(&ours, used));
        }
        for (used, ours) in over {
            self.end(&ours, used);
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

impl Unresumed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ended, Self::Unasked, Self::NoRoom];

    /// A word for labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Unasked => "unasked",
            Self::NoRoom => "no_room",
        }
    }
}

impl Seat {
    /// Begins the session that the server knows so, at this endpoint; returns what the client may call it: a ticket, or 128
    /// random bits if it cannot go on elsewhere.
    pub fn begin(self, known: Known, home: Option<&Uri>) -> Option<(HeaderValue, Arc<Session>)> {
        let ticket = Ticket::of(known, home.cloned());
        let (sealed, begun) = (self.sessions.tickets.seal(&self.principal, &ticket), ticket.begun);
        let session = Session::new(Arc::clone(&self.principal), ticket.known, ticket.home);
        let (ours, session) = match sealed {
            Some(ours) => (ours, session.ticketed(clock::monotonic(), begun)),
            None => (HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>())).ok()?, session),
        };
        let session = Arc::new(session);
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::mcp::ServerName;
    use crate::seal::SealingKey;
    use crate::secret::Secret;
    use crate::state::Sealing;

    const BOUNDS: SessionBounds = SessionBounds {
        most: 3,
        most_per_principal: 2,
        idle: Duration::from_mins(1),
        lifetime: Duration::from_hours(1),
    };

    fn home() -> Uri {
        Uri::from_static("http://127.0.0.1:8000/mcp")
    }

    fn principal(id: &str) -> Principal {
        Principal::for_test(id, &["reader"])
    }

    fn begun(sessions: &Arc<Sessions>, who: &str) -> HeaderValue {
        let seat = sessions.reserve(&principal(who)).unwrap();
        seat.begin(Known::Header(HeaderValue::from_static("theirs")), Some(&home())).unwrap().0
    }

    /// Gates with the same key before the same server, each with room for so many sessions.
    fn gate(bounds: SessionBounds) -> Arc<Sessions> {
        let key = SealingKey::new(&Secret::new("key".repeat(20))).unwrap();
        let sealing = Sealing { keys: &[key], list: None };
        let tickets = Tickets::of_server(sealing, &ServerName::new("records").unwrap(), [home()].into_iter());
        Arc::new(Sessions::new(bounds, tickets, Ended::default()))
    }

    fn entered(gate: &Sessions, ours: &HeaderValue, who: &str) -> Result<Conversation, StateError> {
        gate.enter(ours, &principal(who)).now_or_never().expect("nobody is asked")
    }

    #[test]
    fn a_session_goes_on_at_another_gate_for_its_principal_until_it_is_too_old() {
        let (one, other) = (gate(BOUNDS), gate(BOUNDS));
        let ours = begun(&one, "alice");
        assert_eq!(other.find(&ours, &principal("alice")).unwrap_err(), StateError::NoSession);
        assert_eq!(entered(&other, &ours, "bob").unwrap_err(), StateError::NoSession);
        assert_eq!(other.count(), 0);
        let there = entered(&other, &ours, "alice").unwrap();
        assert_eq!(
            (there.header().unwrap(), there.session().unwrap().home()),
            (&HeaderValue::from_static("theirs"), Some(&home()))
        );
        assert!(other.find(&ours, &principal("alice")).is_ok());
        assert_eq!((other.count(), other.resumed()), (1, 1));

        let strict = gate(SessionBounds { lifetime: Duration::ZERO, ..BOUNDS });
        assert_eq!(entered(&strict, &ours, "alice").unwrap_err(), StateError::NoSession);
        let own = begun(&strict, "alice");
        assert_eq!(entered(&strict, &own, "alice").unwrap_err(), StateError::NoSession, "it holds where it began, too");
    }

    #[test]
    fn what_has_ended_here_does_not_come_again_and_what_made_room_does() {
        let gate = gate(BOUNDS);
        let (first, second) = (begun(&gate, "alice"), begun(&gate, "alice"));
        gate.end(&first);
        assert_eq!(entered(&gate, &first, "alice").unwrap_err(), StateError::NoSession);
        assert_eq!(gate.unresumed(Unresumed::Ended), 1);
        gate.table().remove(&second, clock::monotonic());
        assert!(entered(&gate, &second, "alice").is_ok());
        assert_eq!(gate.count(), 1);
    }

    #[test]
    fn a_session_that_comes_from_elsewhere_takes_room_like_any_other() {
        let (one, other) = (gate(SessionBounds { most_per_principal: 3, ..BOUNDS }), gate(BOUNDS));
        let [a, b, c] = [(); 3].map(|()| begun(&one, "alice"));
        for ours in [&a, &b, &a] {
            assert!(entered(&other, ours, "alice").is_ok());
        }
        assert_eq!(entered(&other, &c, "alice").unwrap_err(), StateError::TooManySessions);
        assert_eq!(other.unresumed(Unresumed::NoRoom), 1);
        other.end(&b);
        assert!(entered(&other, &c, "alice").is_ok());
        assert_eq!((other.count(), other.resumed()), (2, 3));
    }
}
