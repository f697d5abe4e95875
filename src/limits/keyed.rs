//! What is known by key, in bounded memory.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// Something for every key apart.
#[derive(Debug)]
pub(super) struct Keyed<V> {
    first: Shard<V>,
    others: Box<[Shard<V>]>,
    asked: AtomicUsize,
    crowded: AtomicBool,
    crowd: Crowd,
}

/// How often keys were counted together that have nothing to do with each other, because there were too many.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<AtomicU64>);

/// Some of the keys, under a lock of their own.
type Shard<V> = Mutex<HashMap<u64, V>>;

/// Locks, so that calls rarely wait for each other.
const SHARDS: usize = 32;
/// So many keys are told apart: some 15 MiB of slots.
pub(super) const MOST_KEYS: usize = 65_536;
/// So many more when there are too many to tell apart.
pub(super) const BUCKETS: u64 = 16_384;
/// After so many calls keys are forgotten of which nothing need be known any more.
pub(super) const SWEEP: usize = 4096;

impl<V: Default> Keyed<V> {
    pub(super) fn new(crowd: &Crowd) -> Self {
        let others = (1..SHARDS).map(|_| Shard::default()).collect();
        let (asked, crowded) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { first: Shard::default(), others, asked, crowded, crowd: crowd.clone() }
    }

    /// What is known of a key; nothing of a new one.
    pub(super) fn with<T>(&self, key: u64, look: impl FnOnce(&mut V) -> T) -> T {
        let key = self.bucket(key);
        look(self.shard(key).entry(key).or_default())
    }

    /// What is known of every key, one after the other.
    pub(super) fn each(&self, mut look: impl FnMut(u64, &mut V)) {
        for shard in self.shards() {
            lock(shard).iter_mut().for_each(|(key, value)| look(*key, value));
        }
    }

    /// Now and then, forgets keys of which nothing need be known. If that does not help, keys share buckets until it does:
    /// to forget a key that has taken something would give it a fresh quota.
    pub(super) fn sweep(&self, is_over: impl Fn(&V) -> bool) {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP != SWEEP - 1 {
            return;
        }
        let mut keys = 0;
        for shard in self.shards() {
            let mut shard = lock(shard);
            shard.retain(|_, value| !is_over(value));
            let left = shard.len();
            shard.shrink_to(left * 2);
            keys += left;
        }
        self.crowded.store(keys > MOST_KEYS, Ordering::Relaxed);
    }

    /// Where a key is known: by itself, or with others while there are too many.
    fn bucket(&self, key: u64) -> u64 {
        if !self.crowded.load(Ordering::Relaxed) {
            return key;
        }
        self.crowd.0.fetch_add(1, Ordering::Relaxed);
        key % BUCKETS
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, V>> {
        let index = usize::try_from(key).unwrap_or_default() % SHARDS;
        lock(self.others.get(index).unwrap_or(&self.first))
    }

    fn shards(&self) -> impl Iterator<Item = &Shard<V>> {
        self.others.iter().chain([&self.first])
    }
}

impl Crowd {
    /// How often.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn lock<V>(shard: &Shard<V>) -> MutexGuard<'_, HashMap<u64, V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
