//! Which sessions have ended whose tickets are still good: each gate remembers its own, and where gates share a store they
//! tell each other. It is looked at when a session is to go on elsewhere, and by nobody else.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::SessionBounds;
use super::ticket::Name;
use crate::clock;
use crate::store::{Failure, Link};

/// What has ended here.
#[derive(Debug)]
pub(super) struct Revoked {
    /// When each began, and what it is called.
    ended: BTreeSet<(SystemTime, Name)>,
    /// Of those that began so early nothing is known any more: none of them goes on.
    horizon: SystemTime,
    /// So many are remembered.
    most: usize,
    /// For so long after its beginning a session may go on.
    lifetime: Duration,
    list: Option<Arc<RevocationList>>,
}

/// What has ended at any of the gates that share a store.
#[derive(Debug)]
pub struct RevocationList {
    link: Arc<Link>,
    untold: Mutex<Untold>,
    noted: Notify,
}

/// What the store was not told yet.
#[derive(Debug, Default)]
struct Untold {
    ended: Vec<(Name, SystemTime)>,
    lost: usize,
}

/// So many wait to be told at most.
const MOST_UNTOLD: usize = 65_536;
/// So many are told at once.
const BATCH: usize = 200;

impl Revoked {
    pub(super) fn new(bounds: SessionBounds, list: Option<Arc<RevocationList>>) -> Self {
        let SessionBounds { most, lifetime, .. } = bounds;
        Self { ended: BTreeSet::new(), horizon: SystemTime::UNIX_EPOCH, most, lifetime, list }
    }

    /// What began then has ended.
    pub(super) fn add(&mut self, begun: SystemTime, name: Name) {
        let now = clock::wall();
        if let Some(list) = &self.list {
            list.add(name, begun + self.lifetime);
        }
        self.ended.insert((begun, name));
        while let Some((begun, _)) = self.ended.first().copied() {
            let is_over = begun + self.lifetime <= now;
            if !is_over && self.ended.len() <= self.most {
                return;
            }
            self.horizon = self.horizon.max(begun);
            self.ended.pop_first();
        }
    }

    /// Whether it may have ended here.
    pub(super) fn may_have(&self, begun: SystemTime, name: Name) -> bool {
        begun <= self.horizon || self.ended.contains(&(begun, name))
    }
}

impl RevocationList {
    /// What is at the other end of this.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, untold: Mutex::default(), noted: Notify::new() }
    }

    /// Whether a session has ended anywhere.
    ///
    /// # Errors
    /// The store does not say.
    pub(super) async fn has(&self, name: Name) -> Result<bool, Failure> {
        let mut call = redis::cmd("EXISTS");
        call.arg(self.key(name));
        self.link.ask(async |mut connection| Ok(call.query_async(&mut connection).await?)).await
    }

    fn add(&self, name: Name, until: SystemTime) {
        let mut untold = self.untold();
        if untold.ended.len() < MOST_UNTOLD {
            untold.ended.push((name, until));
        } else {
            untold.lost += 1;
        }
        self.noted.notify_one();
    }

    /// Waits until something has ended, of which [`RevocationList::tell`] tells.
    pub async fn noted(&self) {
        self.noted.notified().await;
    }

    /// Tells the store what has ended. What it does not take is told the next time.
    pub async fn tell(&self) {
        let Untold { mut ended, lost } = mem::take(&mut *self.untold());
        if lost > 0 {
            tracing::error!(
                lost,
                "sessions have ended here of which other gates were not told: the limits store is away"
            );
        }
        while !ended.is_empty() {
            let now = clock::wall();
            let mut calls = redis::pipe();
            for (name, until) in ended.iter().take(BATCH) {
                let left = until.duration_since(now).unwrap_or_default().as_millis();
                let left = u64::try_from(left).unwrap_or(u64::MAX).max(1);
                calls.cmd("SET").arg(self.key(*name)).arg("").arg("PX").arg(left).ignore();
            }
            let told = async |mut connection| Ok(calls.query_async::<()>(&mut connection).await?);
            if let Err(failure) = self.link.tell(told).await {
                tracing::debug!(%failure, "other gates are not told yet which sessions have ended");
                self.untold().ended.append(&mut ended);
                return;
            }
            ended.drain(..ended.len().min(BATCH));
        }
    }

    /// What a session is called there. It says nothing of the session, and nobody can ask in it by that.
    fn key(&self, name: Name) -> String {
        format!("{}:sessions:ended:{name:032x}", self.link.prefix())
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(most: usize, lifetime: Duration) -> Revoked {
        Revoked::new(SessionBounds { most, most_per_principal: 1, idle: lifetime, lifetime }, None)
    }

    #[test]
    fn what_has_ended_is_remembered_and_of_what_is_forgotten_nothing_goes_on() {
        let (mut revoked, begun) = (revoked(3, Duration::from_hours(1)), clock::wall());
        let at = |second: u64| begun + Duration::from_secs(second);
        for second in [5, 1, 4] {
            revoked.add(at(second), Name::from(second));
        }
        let may_have =
            |revoked: &Revoked| (0..8).filter(|it| revoked.may_have(at(*it), Name::from(*it))).collect::<Vec<_>>();
        assert_eq!(may_have(&revoked), [1, 4, 5]);
        revoked.add(at(3), 3);
        assert_eq!(may_have(&revoked), [0, 1, 3, 4, 5], "what began before something forgotten may have ended");
        revoked.add(at(7), 7);
        assert_eq!(may_have(&revoked), [0, 1, 2, 3, 4, 5, 7]);
        assert_eq!(revoked.ended.len(), 3);
    }

    #[test]
    fn what_is_too_old_to_go_on_is_forgotten() {
        let (mut revoked, now) = (revoked(100, Duration::from_mins(1)), clock::wall());
        let (old, new) = (now - Duration::from_mins(2), now);
        for (begun, name) in [(old, 1), (old, 2), (new, 3)] {
            revoked.add(begun, name);
        }
        assert_eq!(revoked.ended.iter().map(|(_, name)| *name).collect::<Vec<_>>(), [3]);
        assert!(!revoked.may_have(new, 4));
    }
}
