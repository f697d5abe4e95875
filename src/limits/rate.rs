//! Calls per time, by key (GCRA, by the `governor` crate).

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// The time, or one moment of it.
#[derive(Clone, Debug)]
pub(super) enum Time {
    Running(DefaultClock),
    Still(<DefaultClock as Clock>::Instant),
}

/// One quota, counted for every key apart.
pub(super) struct Rate<C: Clock = Time> {
    calls: NonZeroU32,
    every: Duration,
    clock: C,
    limiter: RateLimiter<u64, DashMapStateStore<u64>, C, NoOpMiddleware<C::Instant>>,
    spent: AtomicUsize,
    crowded: AtomicBool,
}

/// So many keys are remembered one by one, give or take a sweep: some 10 MiB.
const MOST_KEYS: usize = 100_000;
/// So many more when there are too many to tell apart.
const BUCKETS: u64 = 16_384;
/// After so many calls keys are forgotten whose quota is whole again.
const SWEEP: usize = 1024;

impl Rate {
    pub(super) fn new(calls: NonZeroU32, every: Duration, time: &Time) -> Self {
        Self::with_clock(calls, every, time.clone())
    }
}

impl Time {
    pub(super) fn running() -> Self {
        Self::Running(DefaultClock::default())
    }

    pub(super) fn still() -> Self {
        Self::Still(DefaultClock::default().now())
    }
}

impl Clock for Time {
    type Instant = <DefaultClock as Clock>::Instant;

    fn now(&self) -> Self::Instant {
        match self {
            Self::Running(clock) => clock.now(),
            Self::Still(moment) => *moment,
        }
    }
}

impl<C: Clock + Clone> Rate<C> {
    fn with_clock(calls: NonZeroU32, every: Duration, clock: C) -> Self {
        // One call's share of the period; a quota of no time at all cannot be written in a policy.
        let share = (every / calls.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(share).unwrap_or(Quota::per_second(calls)).allow_burst(calls);
        let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone());
        Self { calls, every, clock, limiter, spent: AtomicUsize::new(0), crowded: AtomicBool::new(false) }
    }

    /// Spends one call of the key's quota; else how long until there is one.
    pub(super) fn spend(&self, key: u64) -> Result<(), Duration> {
        if self.spent.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.sweep();
        }
        let key = if self.crowded.load(Ordering::Relaxed) { key % BUCKETS } else { key };
        self.limiter.check_key(&key).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets keys whose quota is whole again. If that does not help, keys share buckets until it does: to forget a
    /// key that has spent something would give it a fresh quota.
    fn sweep(&self) {
        if self.limiter.len() > MOST_KEYS / 2 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.crowded.store(self.limiter.len() > MOST_KEYS, Ordering::Relaxed);
    }

    pub(super) fn is(&self, calls: NonZeroU32, every: Duration) -> bool {
        self.calls == calls && self.every == every
    }
}

impl<C: Clock> fmt::Debug for Rate<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate").field("calls", &self.calls).field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_key_may_burst_once_and_then_gets_its_share_of_the_period() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with_clock(NonZeroU32::new(3).unwrap(), Duration::from_secs(3), clock.clone());
        assert!((0..3).all(|_| rate.spend(1).is_ok()));
        assert_eq!(rate.spend(1), Err(Duration::from_secs(1)));
        assert_eq!(rate.spend(2), Ok(()), "another key has a quota of its own");
        clock.advance(Duration::from_secs(1));
        assert_eq!(rate.spend(1), Ok(()));
        assert!(rate.spend(1).is_err());
    }

    #[test]
    fn keys_whose_quota_is_whole_again_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with_clock(NonZeroU32::new(1).unwrap(), Duration::from_secs(1), clock.clone());
        for key in 0..(MOST_KEYS as u64) {
            let _ = rate.spend(key);
            if key % 1000 == 0 {
                clock.advance(Duration::from_secs(1));
            }
        }
        assert!(rate.limiter.len() <= MOST_KEYS / 2 + SWEEP, "{}", rate.limiter.len());
    }

    #[test]
    fn memory_is_bounded_when_every_key_is_fresh() {
        let rate = Rate::with_clock(NonZeroU32::new(1).unwrap(), Duration::from_hours(1), FakeRelativeClock::default());
        let refused = (0..200_000).filter(|key| rate.spend(*key).is_err()).count();
        assert!(refused > 0, "what shares a bucket shares its quota");
        assert!(rate.limiter.len() <= MOST_KEYS + SWEEP + 16_384, "{}", rate.limiter.len());
    }
}
