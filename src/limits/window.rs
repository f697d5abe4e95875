//! So much in any span of time of some length, by key: counted in slots of that time.
//!
//! What was taken counts for the whole span, and for up to one slot longer: never is more let through than a file says. A
//! bucket that fills evenly (GCRA) would let through twice as much after a pause, could not be charged for what is only
//! known afterwards, and could not be shared: `shared.lua` counts in the same slots.

use std::num::NonZeroU32;
use std::time::Duration;

use super::keyed::{Crowd, Keyed};
use crate::policy::Window;

/// One window, counted for every key apart. Where a store counts for several gates, this is what the gate knows of that.
#[derive(Debug)]
pub(super) struct Counts {
    window: Window,
    keys: Keyed<Slots>,
}

/// What one key has taken.
#[derive(Clone, Debug, Default)]
struct Slots {
    /// The newest slot in which something was taken.
    newest: u64,
    /// By slot, modulo their number.
    taken: [u64; SLOTS],
    /// What was taken here and the store was not told.
    owed: u64,
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
pub(super) const SLOTS: usize = 17;

impl Counts {
    pub(super) fn new(window: Window, crowd: &Crowd) -> Self {
        Self { window, keys: Keyed::new(crowd) }
    }

    /// Takes so much, if that is left; of a share of the whole, one of so many.
    pub(super) fn take(&self, key: u64, amount: u64, now: Duration, one_of: NonZeroU32) -> Result<Left, Left> {
        let slot = self.slot(now);
        self.keys.sweep(|slots| slots.newest + WHOLE < slot);
        let most = self.window.most;
        let weight = self.weight(amount, one_of);
        self.keys.with(key, |slots| {
            slots.advance(slot);
            let room = most.saturating_sub(slots.sum());
            let left = |room: u64| Left { amount: room / u64::from(one_of.get()), after: Duration::ZERO };
            if room < weight.max(1) {
                return Err(Left { after: self.until(slots, slot, now, weight), ..left(room) });
            }
            slots.add(slot, weight);
            slots.owe(amount, most);
            Ok(left(room.saturating_sub(weight)))
        })
    }

    /// Takes what is known only now, whether or not so much is left.
    pub(super) fn charge(&self, key: u64, amount: u64, now: Duration) {
        let slot = self.slot(now);
        self.keys.with(key, |slots| {
            slots.advance(slot);
            slots.add(slot, amount);
            slots.owe(amount, self.window.most);
        });
    }

    /// Gives back what was just taken.
    pub(super) fn give_back(&self, key: u64, amount: u64, now: Duration, one_of: NonZeroU32) {
        let (slot, weight) = (self.slot(now), self.weight(amount, one_of));
        self.keys.with(key, |slots| {
            slots.give_back(slot, weight);
            slots.paid(amount);
        });
    }

    /// Knows from now on what the store knows: what was taken in each slot, the newest first. Returns what is left.
    pub(super) fn learn(&self, key: u64, taken: &[u64], now: Duration) -> u64 {
        let slot = self.slot(now);
        self.keys.sweep(|slots| slots.newest + WHOLE < slot);
        self.keys.with(key, |slots| {
            slots.taken = [0; SLOTS];
            slots.newest = slot;
            for (ago, taken) in (0..).zip(taken) {
                slots.add(slot.saturating_sub(ago), *taken);
            }
            slots.add(slot, slots.owed);
            self.window.most.saturating_sub(slots.sum())
        })
    }

    /// What the store is to be told, by key.
    pub(super) fn owed(&self, now: Duration) -> Vec<(u64, u64)> {
        let (mut owed, slot) = (Vec::new(), self.slot(now));
        self.keys.each(|key, slots| {
            if slots.owed > 0 && slots.newest + WHOLE >= slot {
                owed.push((key, slots.owed));
            }
        });
        owed
    }

    /// The store was told so much.
    pub(super) fn paid(&self, key: u64, amount: u64) {
        self.keys.with(key, |slots| slots.paid(amount));
    }

    /// Of how much, in how long.
    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// What an amount takes of the whole: as much as if every other gate took it, too. But a share is never less than
    /// one call that fits into the whole.
    fn weight(&self, amount: u64, one_of: NonZeroU32) -> u64 {
        amount.max(amount.saturating_mul(one_of.get().into()).min(self.window.most))
    }

    /// How long until so much more is left: when enough of the oldest slots are over.
    fn until(&self, slots: &Slots, slot: u64, now: Duration, weight: u64) -> Duration {
        let mut taken = slots.sum();
        for oldest in slot.saturating_sub(WHOLE)..=slot {
            taken = taken.saturating_sub(slots.at(oldest));
            if taken.saturating_add(weight.max(1)) <= self.window.most {
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
}

impl Slots {
    /// Begins this slot, if it is a new one. What is in those that are over counts no more.
    fn advance(&mut self, slot: u64) {
        if slot.saturating_sub(self.newest) > WHOLE {
            self.taken = [0; SLOTS];
            self.owed = 0;
        } else {
            for begun in self.newest + 1..=slot {
                if let Some(taken) = self.of(begun) {
                    *taken = 0;
                }
            }
        }
        self.newest = self.newest.max(slot);
    }

    fn sum(&self) -> u64 {
        self.taken.iter().fold(0, |sum, taken| sum.saturating_add(*taken))
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

    /// More than all there is would be waited for no longer than all.
    fn owe(&mut self, amount: u64, most: u64) {
        self.owed = self.owed.saturating_add(amount).min(most);
    }

    fn paid(&mut self, amount: u64) {
        self.owed = self.owed.saturating_sub(amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keyed::{BUCKETS, MOST_KEYS, SWEEP};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALONE: NonZeroU32 = NonZeroU32::MIN;
    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    fn counts(most: u64, every: Duration) -> Counts {
        Counts::new(Window { most, every }, &Crowd::default())
    }

    #[test]
    fn what_was_taken_counts_for_its_span_and_one_slot_more() {
        let counts = counts(3, SECOND * 16);
        let take = |at: Duration| counts.take(1, 1, at, ALONE);
        assert_eq!((0..3).map(|_| take(SECOND / 2).unwrap().amount).collect::<Vec<_>>(), [2, 1, 0]);
        let refused = take(SECOND).unwrap_err();
        assert_eq!(refused, Left { amount: 0, after: SECOND * 16 });
        assert!(counts.take(2, 1, SECOND, ALONE).is_ok(), "another key has a quota of its own");
        assert!(take(Duration::from_nanos(16_999_999_999)).is_err());
        assert!(take(SECOND * 17).is_ok(), "when it was told there is room");
    }

    #[test]
    fn what_costs_more_than_is_left_waits_and_what_costs_more_than_all_never_passes() {
        let counts = counts(10, SECOND * 16);
        assert!(counts.take(1, 7, Duration::ZERO, ALONE).is_ok());
        assert_eq!(counts.take(1, 4, SECOND * 8, ALONE).unwrap_err().after, SECOND * 9);
        assert!(counts.take(1, 3, SECOND * 8, ALONE).is_ok());
        assert!(counts.take(2, 11, Duration::ZERO, ALONE).is_err());
    }

    #[test]
    fn what_is_charged_afterwards_may_be_more_than_is_left_and_is_waited_for() {
        let counts = counts(100, SECOND * 16);
        assert!(counts.take(1, 0, Duration::ZERO, ALONE).is_ok());
        counts.charge(1, 1_000, Duration::ZERO);
        assert_eq!(counts.take(1, 0, SECOND, ALONE).unwrap_err().after, SECOND * 16);
        assert!(counts.take(1, 0, SECOND * 17, ALONE).is_ok());
    }

    #[test]
    fn a_share_is_a_part_of_the_whole_and_what_was_given_back_is_there_again() {
        let counts = counts(10, SECOND);
        assert_eq!((0..10).filter(|_| counts.take(1, 1, Duration::ZERO, TWO).is_ok()).count(), 5);
        counts.give_back(1, 1, Duration::ZERO, TWO);
        assert!(counts.take(1, 1, Duration::ZERO, TWO).is_ok());
        assert!(counts.take(1, 1, Duration::ZERO, TWO).is_err());
    }

    #[test]
    fn when_the_store_is_gone_its_last_word_counts_and_what_is_taken_since_is_owed() {
        let counts = counts(10, SECOND * 16);
        // Six in the newest slot and two in the one before, of whomever.
        assert_eq!(counts.learn(1, &[6, 2], SECOND * 20), 2);
        assert_eq!(counts.take(1, 1, SECOND * 20, TWO).map(|left| left.amount), Ok(0), "one is its share of two");
        assert_eq!(counts.take(1, 1, SECOND * 20, TWO).unwrap_err().after, SECOND * 16, "when the older slot is over");
        assert_eq!(counts.owed(SECOND * 20), [(1, 1)], "what it took itself");
        assert_eq!(counts.learn(1, &[6, 2], SECOND * 21), 1, "what the store was not told counts beside what it says");
        counts.paid(1, 1);
        assert_eq!(counts.owed(SECOND * 21), []);
        counts.charge(1, 1_000, SECOND * 21);
        assert_eq!(counts.owed(SECOND * 21), [(1, 10)], "more than all is waited for no longer than all");
        assert_eq!(counts.owed(SECOND * 60), [], "what is over is not owed");
    }

    #[test]
    fn memory_is_bounded_when_every_key_is_fresh() {
        let crowd = Crowd::default();
        let counts = Counts::new(Window { most: 1, every: Duration::from_hours(1) }, &crowd);
        for key in 0..SWEEP as u64 {
            counts.take(key, 1, Duration::ZERO, ALONE).unwrap();
        }
        assert_eq!(crowd.count(), 0, "each is counted by itself");
        let refused = (0..200_000).filter(|key| counts.take(*key, 1, Duration::ZERO, ALONE).is_err()).count();
        assert!(refused > SWEEP, "what shares a bucket shares its quota");
        assert!(crowd.count() > 0, "and that is told");
        let keys = || {
            let mut keys = 0;
            counts.keys.each(|_, _| keys += 1);
            keys
        };
        assert!(keys() <= MOST_KEYS + SWEEP + usize::try_from(BUCKETS).unwrap(), "{}", keys());
        for key in 0..(SWEEP as u64) {
            let _ = counts.take(key, 1, Duration::from_hours(3), ALONE);
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
                if let Err(left) = counts.take(7, amount, now, ALONE) {
                    if amount > most {
                        continue;
                    }
                    now += left.after;
                    prop_assert!(counts.take(7, amount, now, ALONE).is_ok(), "there is room when it was told");
                }
                taken.push((now, amount));
                let within = taken.iter().filter(|(at, _)| *at + every > now).map(|(_, amount)| amount).sum::<u64>();
                prop_assert!(within <= most, "{within} of {most} at {now:?}");
            }
        }
    }
}
