//! So much in any span of time of some length, by key: counted in slots of that time.
//!
//! What was taken counts for the whole span, and for up to one slot longer: never is more let through than a file says. A
//! bucket that fills evenly (GCRA) would let through twice as much after a pause, could not be charged for what is only
//! known afterwards, and could not be shared: `shared.lua` counts in the same slots.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::policy::Window;

/// One window, counted for every key apart.
#[derive(Debug)]
pub(super) struct Counts {
    window: Window,
    first: Shard,
    others: Box<[Shard]>,
    taken: AtomicUsize,
    crowded: AtomicBool,
}

/// Some of the keys, under a lock of their own.
type Shard = Mutex<HashMap<u64, Slots>>;

/// What one key has taken.
#[derive(Clone, Debug, Default)]
struct Slots {
    /// The newest slot in which something was taken.
    newest: u64,
    /// By slot, modulo their number.
    taken: [u64; SLOTS],
}

/// What is left for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// How much.
    pub(crate) amount: u64,
    /// If that is too little: when there is enough.
    pub(crate) after: Duration,
}

/// A span has so many whole slots, and parts of two more at its ends, of which one is the newest.
const WHOLE: u64 = 16;
const SLOTS: usize = 17;
/// Locks, so that calls rarely wait for each other.
const SHARDS: usize = 32;
/// So many keys are told apart: some 15 MiB.
const MOST_KEYS: usize = 65_536;
/// So many more when there are too many to tell apart.
const BUCKETS: u64 = 16_384;
/// After so many calls keys are forgotten that have taken nothing for long.
const SWEEP: usize = 4096;

impl Counts {
    pub(super) fn new(window: Window) -> Self {
        let others = (1..SHARDS).map(|_| Shard::default()).collect();
        Self { window, first: Shard::default(), others, taken: AtomicUsize::new(0), crowded: AtomicBool::new(false) }
    }

    /// Takes so much, if that is left of a share of the whole: of as many as there are, `one_of`.
    pub(super) fn take(&self, key: u64, amount: u64, now: Duration, one_of: u64) -> Result<Left, Left> {
        self.sweep(now);
        let share = (self.window.most / one_of.max(1)).max(1);
        // A share is never less than one call that fits into the whole.
        let (most, slot) = (share.max(amount.min(self.window.most)), self.slot(now));
        let key = self.bucket(key);
        let mut keys = self.shard(key);
        let slots = keys.entry(key).or_default();
        slots.advance(slot);
        let taken: u64 = slots.taken.iter().fold(0, |sum, taken| sum.saturating_add(*taken));
        let left = Left { amount: most.saturating_sub(taken), after: Duration::ZERO };
        if left.amount < amount.max(1) {
            return Err(Left { after: self.until(slots, slot, now, (amount, most)), ..left });
        }
        slots.add(slot, amount);
        Ok(Left { amount: left.amount.saturating_sub(amount), ..left })
    }

    /// Takes what is known only now, whether or not so much is left.
    pub(super) fn charge(&self, key: u64, amount: u64, now: Duration) {
        let (key, slot) = (self.bucket(key), self.slot(now));
        let mut keys = self.shard(key);
        let slots = keys.entry(key).or_default();
        slots.advance(slot);
        slots.add(slot, amount);
    }

    /// Gives back what was just taken.
    pub(super) fn give_back(&self, key: u64, amount: u64, now: Duration) {
        let key = self.bucket(key);
        if let Some(slots) = self.shard(key).get_mut(&key) {
            slots.give_back(self.slot(now), amount);
        }
    }

    /// How long until so much more is left: when enough of the oldest slots are over.
    fn until(&self, slots: &Slots, slot: u64, now: Duration, (amount, most): (u64, u64)) -> Duration {
        let mut taken: u64 = slots.taken.iter().fold(0, |sum, taken| sum.saturating_add(*taken));
        for oldest in slot.saturating_sub(WHOLE)..=slot {
            taken = taken.saturating_sub(slots.at(oldest));
            if taken.saturating_add(amount.max(1)) <= most {
                let over = u128::from(oldest + 1) * self.length();
                return Duration::from_nanos(u64::try_from(over.saturating_sub(now.as_nanos())).unwrap_or(u64::MAX));
            }
        }
        self.window.every
    }

    /// How long a slot is, in nanoseconds.
    fn length(&self) -> u128 {
        (self.window.every.as_nanos() / u128::from(WHOLE)).max(1)
    }

    fn slot(&self, now: Duration) -> u64 {
        // The first slots have others before them, too.
        u64::try_from(now.as_nanos() / self.length()).unwrap_or(u64::MAX).saturating_add(WHOLE)
    }

    /// Where a key is counted: by itself, or with others while there are too many.
    fn bucket(&self, key: u64) -> u64 {
        if self.crowded.load(Ordering::Relaxed) { key % BUCKETS } else { key }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Slots>> {
        let index = usize::try_from(key).unwrap_or_default() % SHARDS;
        self.others.get(index).unwrap_or(&self.first).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now and then, forgets keys whose slots are over. If that does not help, keys share buckets until it does: to forget
    /// a key that has taken something would give it a fresh quota.
    fn sweep(&self, now: Duration) {
        if self.taken.fetch_add(1, Ordering::Relaxed) % SWEEP != SWEEP - 1 {
            return;
        }
        let slot = self.slot(now);
        let mut keys = 0;
        for shard in self.others.iter().chain([&self.first]) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, slots| slots.newest + WHOLE >= slot);
            let left = shard.len();
            shard.shrink_to(left * 2);
            keys += left;
        }
        self.crowded.store(keys > MOST_KEYS, Ordering::Relaxed);
    }
}

impl Slots {
    /// Begins this slot, if it is a new one. What is in those that are over counts no more.
    fn advance(&mut self, slot: u64) {
        if slot.saturating_sub(self.newest) > WHOLE {
            self.taken = [0; SLOTS];
        } else {
            for begun in self.newest + 1..=slot {
                if let Some(taken) = self.of(begun) {
                    *taken = 0;
                }
            }
        }
        self.newest = self.newest.max(slot);
    }

    fn at(&self, slot: u64) -> u64 {
        usize::try_from(slot).ok().and_then(|slot| self.taken.get(slot % SLOTS)).copied().unwrap_or_default()
    }

    fn of(&mut self, slot: u64) -> Option<&mut u64> {
        usize::try_from(slot).ok().and_then(|slot| self.taken.get_mut(slot % SLOTS))
    }

    fn add(&mut self, slot: u64, amount: u64) {
        if let Some(taken) = self.of(slot) {
            *taken = taken.saturating_add(amount);
        }
    }

    fn give_back(&mut self, slot: u64, amount: u64) {
        if let Some(taken) = self.of(slot) {
            *taken = taken.saturating_sub(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn counts(most: u64, every: Duration) -> Counts {
        Counts::new(Window { most, every })
    }

    #[test]
    fn what_was_taken_counts_for_its_span_and_one_slot_more() {
        let counts = counts(3, SECOND * 16);
        let take = |at: Duration| counts.take(1, 1, at, 1);
        assert_eq!((0..3).map(|_| take(SECOND / 2).unwrap().amount).collect::<Vec<_>>(), [2, 1, 0]);
        let refused = take(SECOND).unwrap_err();
        assert_eq!(refused, Left { amount: 0, after: SECOND * 16 });
        assert!(counts.take(2, 1, SECOND, 1).is_ok(), "another key has a quota of its own");
        assert!(take(Duration::from_nanos(16_999_999_999)).is_err());
        assert!(take(SECOND * 17).is_ok(), "when it was told there is room");
    }

    #[test]
    fn what_costs_more_than_is_left_waits_and_what_costs_more_than_all_never_passes() {
        let counts = counts(10, SECOND * 16);
        assert!(counts.take(1, 7, Duration::ZERO, 1).is_ok());
        assert_eq!(counts.take(1, 4, SECOND * 8, 1).unwrap_err().after, SECOND * 9);
        assert!(counts.take(1, 3, SECOND * 8, 1).is_ok());
        assert!(counts.take(2, 11, Duration::ZERO, 1).is_err());
    }

    #[test]
    fn what_is_charged_afterwards_may_be_more_than_is_left_and_is_waited_for() {
        let counts = counts(100, SECOND * 16);
        assert!(counts.take(1, 0, Duration::ZERO, 1).is_ok());
        counts.charge(1, 1_000, Duration::ZERO);
        assert_eq!(counts.take(1, 0, SECOND, 1).unwrap_err().after, SECOND * 16);
        assert!(counts.take(1, 0, SECOND * 17, 1).is_ok());
    }

    #[test]
    fn a_share_is_a_part_of_the_whole_and_what_was_given_back_is_there_again() {
        let counts = counts(10, SECOND);
        assert_eq!((0..10).filter(|_| counts.take(1, 1, Duration::ZERO, 2).is_ok()).count(), 5);
        counts.give_back(1, 1, Duration::ZERO);
        assert!(counts.take(1, 1, Duration::ZERO, 2).is_ok());
        assert!(counts.take(1, 1, Duration::ZERO, 2).is_err());
    }

    #[test]
    fn memory_is_bounded_when_every_key_is_fresh() {
        let counts = counts(1, Duration::from_hours(1));
        let refused = (0..200_000).filter(|key| counts.take(*key, 1, Duration::ZERO, 1).is_err()).count();
        assert!(refused > 0, "what shares a bucket shares its quota");
        let keys =
            || counts.others.iter().chain([&counts.first]).map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        assert!(keys() <= MOST_KEYS + SWEEP + 16_384, "{}", keys());
        for key in 0..(SWEEP as u64) {
            let _ = counts.take(key, 1, Duration::from_hours(3), 1);
        }
        assert!(keys() <= SWEEP, "what is over is forgotten");
    }

    proptest! {
        #[test]
        fn never_is_more_let_through_in_any_span_than_was_said(
            most in 1u64..20,
            asked in prop::collection::vec((0u64..3_000, 1u64..5), 1..200),
        ) {
            let every = SECOND;
            let counts = counts(most, every);
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for (pause, amount) in asked {
                now += Duration::from_micros(pause * pause / 100);
                if let Err(left) = counts.take(7, amount, now, 1) {
                    if amount > most {
                        continue;
                    }
                    now += left.after;
                    prop_assert!(counts.take(7, amount, now, 1).is_ok(), "there is room when it was told");
                }
                taken.push((now, amount));
                let within = taken.iter().filter(|(at, _)| *at + every > now).map(|(_, amount)| amount).sum::<u64>();
                prop_assert!(within <= most, "{within} of {most} at {now:?}");
            }
        }
    }
}
