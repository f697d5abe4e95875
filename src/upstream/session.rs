//! Our session ids ↔ theirs. The upstream's id is never shown, and a session is only ever its principal's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};

use crate::clock;
use crate::identity::Principal;

/// `Mcp-Session-Id`.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// The legacy sessions that are alive.
#[derive(Debug)]
pub struct Sessions {
    sessions: Mutex<HashMap<HeaderValue, Session>>,
    bounds: Bounds,
}

/// One session.
#[derive(Debug)]
struct Session {
    principal: Arc<str>,
    theirs: HeaderValue,
    used: Instant,
}

/// How many, and for how long without use.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    sessions: usize,
    idle: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { sessions: Mutex::default(), bounds: Bounds { sessions: 10_000, idle: Duration::from_hours(24) } }
    }
}

impl Sessions {
    /// A new session of this principal; returns our id for it: 128 random bits.
    pub(super) fn begin(&self, principal: &Principal, theirs: HeaderValue) -> Option<HeaderValue> {
        let ours = HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>())).ok()?;
        let now = clock::monotonic();
        let mut sessions = self.lock();
        if sessions.len() >= self.bounds.sessions {
            sessions.retain(|_, session| now.saturating_duration_since(session.used) < self.bounds.idle);
        }
        if sessions.len() >= self.bounds.sessions {
            // The one unused for longest is the one that is missed least; its client begins a new one.
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone());
            oldest.and_then(|id| sessions.remove(&id));
        }
        sessions.insert(ours.clone(), Session { principal: Arc::clone(principal.id()), theirs, used: now });
        Some(ours)
    }

    /// Their id for ours, if the session is alive and this principal's.
    pub(super) fn find(&self, ours: &HeaderValue, principal: &Principal) -> Option<HeaderValue> {
        let now = clock::monotonic();
        let mut sessions = self.lock();
        let session = sessions.get_mut(ours).filter(|session| session.principal == *principal.id())?;
        if now.saturating_duration_since(session.used) >= self.bounds.idle {
            sessions.remove(ours);
            return None;
        }
        session.used = now;
        Some(session.theirs.clone())
    }

    /// Forgets a session that its client or its server ended.
    pub(super) fn end(&self, ours: &HeaderValue) {
        self.lock().remove(ours);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<HeaderValue, Session>> {
        // Every change is one insertion or removal, so a poisoned lock is as good as any.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_only_found_by_the_principal_who_began_it() {
        let sessions = Sessions::default();
        let (alice, bob) = (Principal::for_test("alice", &[]), Principal::for_test("bob", &[]));
        let ours = sessions.begin(&alice, HeaderValue::from_static("theirs")).unwrap();
        assert_ne!(ours, "theirs");
        assert_eq!(sessions.find(&ours, &alice).unwrap(), "theirs");
        assert_eq!(sessions.find(&ours, &bob), None);
        sessions.end(&ours);
        assert_eq!(sessions.find(&ours, &alice), None);
    }

    #[test]
    fn the_session_unused_for_longest_makes_room_for_a_new_one() {
        let bounds = Bounds { sessions: 2, idle: Duration::from_mins(1) };
        let sessions = Sessions { sessions: Mutex::default(), bounds };
        let alice = Principal::for_test("alice", &[]);
        let begin = || sessions.begin(&alice, HeaderValue::from_static("theirs")).unwrap();
        let (first, second) = (begin(), begin());
        sessions.find(&first, &alice).unwrap();
        begin();
        assert_eq!(sessions.count(), 2);
        assert!(sessions.find(&first, &alice).is_some());
        assert!(sessions.find(&second, &alice).is_none());
    }
}
