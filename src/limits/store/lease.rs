//! Calls in flight, as a store knows them: each has a lease, which is renewed while it lasts and ends with it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The leases of this gate.
#[derive(Debug, Default)]
pub(super) struct Leases {
    all: Mutex<All>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct All {
    next: u64,
    open: HashMap<u64, Open>,
    ended: Vec<(u64, Box<[String]>)>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    /// The counters that it is in.
    keys: Box<[String]>,
}

/// The lease of one call. Dropping it ends it.
#[derive(Debug)]
pub(in super::super) struct Lease {
    leases: Arc<Leases>,
    id: u64,
}

/// A lease that is younger need not be renewed; and whether it is had at all may not be known yet.
const YOUNG: Duration = Duration::from_secs(1);
/// So many that have ended wait to be told. The others end by themselves.
const MOST_ENDED: usize = 65_536;

impl Leases {
    /// A lease in these counters.
    pub(super) fn open(self: &Arc<Self>, keys: Box<[String]>, now: Instant) -> Lease {
        let mut all = self.lock();
        let id = all.next;
        all.next += 1;
        all.open.insert(id, Open { since: now, keys });
        Lease { leases: Arc::clone(self), id }
    }

    /// What is to be renewed: each lease, with each of its counters.
    pub(super) fn old(&self, now: Instant) -> Vec<(u64, String)> {
        let all = self.lock();
        let old = all.open.iter().filter(|(_, open)| now.saturating_duration_since(open.since) >= YOUNG);
        old.flat_map(|(id, open)| open.keys.iter().map(|key| (*id, key.clone()))).collect()
    }

    /// What has ended since somebody asked.
    pub(super) fn ended(&self) -> Vec<(u64, Box<[String]>)> {
        mem::take(&mut self.lock().ended)
    }

    /// Somebody asked, and could not tell. Those for which there is no room end by themselves.
    pub(super) fn untold(&self, mut ended: Vec<(u64, Box<[String]>)>) {
        let mut all = self.lock();
        ended.truncate(MOST_ENDED.saturating_sub(all.ended.len()));
        all.ended.append(&mut ended);
    }

    /// Waits until something has ended.
    pub(super) async fn end(&self) {
        self.ended.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The store has refused the call: it has no such lease.
    pub(in super::super) fn forget(&self) {
        self.leases.lock().open.remove(&self.id);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut all = self.leases.lock();
        if let Some(open) = all.open.remove(&self.id)
            && all.ended.len() < MOST_ENDED
        {
            all.ended.push((self.id, open.keys));
            self.leases.ended.notify_one();
        }
    }
}
