//! So many calls at once, by key; the rest of them evenly spread over the time (GCRA).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::Time;
use super::keyed::{Crowd, Keyed};

/// The bursts of one limit, for every key apart.
#[derive(Debug)]
pub(super) struct Burst<C: Clock<Instant = Duration> = Time> {
    most: NonZeroU32,
    /// What one call takes of the time.
    each: Duration,
    due: Due,
    limiter: RateLimiter<u64, Due, C, NoOpMiddleware<Duration>>,
    /// Since when `due` is counted, or a moment later.
    since: Duration,
}

/// When each key would have used up what it took, had it taken that evenly (the theoretical arrival time).
#[derive(Clone, Debug)]
pub(super) struct Due(Arc<Keyed<Option<Nanos>>>);

impl<C: Clock<Instant = Duration> + Clone> Burst<C> {
    /// So many at once, and then one in each such time.
    pub(super) fn new(most: NonZeroU32, each: Duration, clock: C, crowd: &Crowd) -> Self {
        let each = each.max(Duration::from_nanos(1));
        let due = Due(Arc::new(Keyed::new(crowd)));
        let quota = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(most)).allow_burst(most);
        let limiter = RateLimiter::new(quota, due.clone(), clock);
        Self { most, each, due, since: limiter.clock().now(), limiter }
    }

    /// Takes a call; of a share of the whole, one of so many. Else says in how long there is room.
    pub(super) fn take(&self, key: u64, one_of: NonZeroU32) -> Result<(), Duration> {
        let now = self.limiter.clock().now();
        // A key that is due for nothing is as good as a new one.
        self.due.0.sweep(|due| due.is_none_or(|due| Duration::from(due) <= now.saturating_sub(self.since)));
        // More than the burst, which would never find room, is not asked for: a share is never less than one call.
        match self.limiter.check_key_n(&key, self.share(one_of)) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(now)),
        }
    }

    /// Gives back what was just taken.
    pub(super) fn give_back(&self, key: u64, one_of: NonZeroU32) {
        let taken = Nanos::from(self.each.saturating_mul(self.share(one_of).get()));
        self.due.0.with(key, |due| *due = due.map(|due| due.saturating_sub(taken)));
    }

    fn share(&self, one_of: NonZeroU32) -> NonZeroU32 {
        one_of.min(self.most)
    }
}

impl StateStore for Due {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.with(*key, |due| {
            let (measured, next) = measure(*due)?;
            *due = Some(next);
            Ok(measured)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// A clock that is turned by hand.
    #[derive(Clone, Debug, Default)]
    struct Hand(Arc<AtomicU64>);

    impl Hand {
        fn turn(&self, by: Duration) {
            self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::Relaxed);
        }
    }

    impl Clock for Hand {
        type Instant = Duration;

        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    const ALONE: NonZeroU32 = NonZeroU32::MIN;
    const SECOND: Duration = Duration::from_secs(1);

    fn burst(most: u32) -> (Burst<Hand>, Hand) {
        let hand = Hand::default();
        hand.turn(SECOND * 100);
        (Burst::new(NonZeroU32::new(most).unwrap(), SECOND, hand.clone(), &Crowd::default()), hand)
    }

    #[test]
    fn so_many_pass_at_once_and_then_one_each_time() {
        let (burst, hand) = burst(3);
        let take = || burst.take(1, ALONE);
        assert_eq!([take(), take(), take(), take()], [Ok(()), Ok(()), Ok(()), Err(SECOND)]);
        assert_eq!(burst.take(2, ALONE), Ok(()), "another key has a burst of its own");
        hand.turn(SECOND);
        assert_eq!([take(), take()], [Ok(()), Err(SECOND)]);
        burst.give_back(1, ALONE);
        assert_eq!([take(), take()], [Ok(()), Err(SECOND)], "what was given back is there again, once");
    }

    #[test]
    fn a_share_of_a_burst_is_a_part_of_it_and_never_less_than_a_call() {
        let (two, four) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(4).unwrap());
        let (burst, hand) = burst(3);
        assert_eq!([burst.take(1, two), burst.take(1, two)], [Ok(()), Err(SECOND)]);
        hand.turn(SECOND * 3);
        assert_eq!([burst.take(1, four), burst.take(1, four)], [Ok(()), Err(SECOND * 3)]);
    }

    #[test]
    fn no_key_gets_a_fresh_burst_because_there_are_many() {
        let (burst, hand) = burst(1);
        assert_eq!(burst.take(0, ALONE), Ok(()));
        for key in 1..200_000 {
            let _ = burst.take(key, ALONE);
        }
        assert!(burst.take(0, ALONE).is_err());
        hand.turn(SECOND * 2);
        for key in 0..5_000 {
            let _ = burst.take(key, ALONE);
        }
        let mut keys = 0;
        burst.due.0.each(|_, _| keys += 1);
        assert!(keys <= 5_000, "what is over is forgotten: {keys}");
    }

    proptest! {
        #[test]
        fn never_is_more_let_through_than_the_burst_and_what_the_time_brings(
            most in 1u32..20,
            pauses in prop::collection::vec(0u64..3_000, 1..200),
        ) {
            let ((burst, hand), mut taken) = (burst(most), Vec::new());
            for pause in pauses {
                hand.turn(Duration::from_millis(pause));
                if let Err(wait) = burst.take(7, ALONE) {
                    hand.turn(wait);
                    prop_assert_eq!(burst.take(7, ALONE), Ok(()), "there is room when it was told");
                }
                taken.push(hand.now());
                for (index, first) in taken.iter().enumerate() {
                    let within = u64::try_from(taken.len() - index).unwrap();
                    prop_assert!(within <= u64::from(most) + hand.now().saturating_sub(*first).as_secs());
                }
            }
        }
    }
}
