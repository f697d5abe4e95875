//! Whether a call that failed is sent again: why, and how often.
//!
//! What has run, or may have, is never sent twice; but for tools of which the policy says that it does no harm. A server that
//! fails gets no more than a share of calls on top, however many fail: repeats must not be what keeps it down.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::UpstreamError;
use crate::mcp::IdempotencyKey;
use crate::policy::Permit;

/// Why a call is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No connection could be made: nothing ran, and another endpoint may be there.
    Unreached,
    /// A kept connection was closed before any of it was written: nothing ran.
    Unwritten,
    /// It may have run, and may run twice: so says the policy.
    Idempotent,
}

/// The repeats of calls to one server.
#[derive(Debug)]
pub struct Retries {
    /// What is left of the budget, in parts of a repeat.
    left: AtomicU32,
    made: [AtomicU64; Again::ALL.len()],
    exhausted: AtomicU64,
}

/// So many calls buy one repeat: 20 of a hundred.
const PRICE: u32 = 5;
/// So many repeats are kept for later.
const SAVED: u32 = 10;
/// A call is sent so often in all.
pub(super) const MOST: usize = 3;
/// The longest pause before the first repeat; it is twice as long before each one more.
const PAUSE: Duration = Duration::from_millis(20);

impl Again {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Unreached, Self::Unwritten, Self::Idempotent];

    /// Why this call may be sent again that ended so, if it may.
    pub(super) fn of(error: &UpstreamError, permit: &Permit) -> Option<Self> {
        match error {
            UpstreamError::Unreachable(_) | UpstreamError::NotConnected(_) => Some(Self::Unreached),
            UpstreamError::Unwritten(_) => Some(Self::Unwritten),
            UpstreamError::BrokeOff(_) | UpstreamError::Unacceptable(502..=504) => {
                permit.may_run_twice().then_some(Self::Idempotent)
            }
            // Whoever waits has waited long enough.
            UpstreamError::TimedOut(..)
            | UpstreamError::Unacceptable(_)
            | UpstreamError::Unsound(_)
            | UpstreamError::Credential(_)
            | UpstreamError::LeftAlone(_)
            | UpstreamError::Busy
            | UpstreamError::SessionLost
            | UpstreamError::Ungreeted(_)
            | UpstreamError::Stopped(_) => None,
        }
    }

    /// The label: one of a closed set.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreached => "unreachable",
            Self::Unwritten => "unwritten",
            Self::Idempotent => "idempotent",
        }
    }
}

impl Default for Retries {
    /// The budget is empty at first, so that it holds from the first call on.
    fn default() -> Self {
        Self { left: AtomicU32::new(0), made: Default::default(), exhausted: AtomicU64::default() }
    }
}

impl Retries {
    /// How many were made for this reason.
    pub fn made(&self, why: Again) -> u64 {
        self.count(why).load(Ordering::Relaxed)
    }

    /// How many were not made because there were too many.
    pub fn exhausted(&self) -> u64 {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// A call is sent for the first time.
    pub(super) fn earn(&self) {
        let more = |left: u32| (left < SAVED * PRICE).then_some(left + 1);
        // Full is full.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether one may be sent again.
    pub(super) fn take(&self, why: Again) -> bool {
        let less = |left: u32| left.checked_sub(PRICE);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if taken { self.count(why) } else { &self.exhausted }.fetch_add(1, Ordering::Relaxed);
        taken
    }

    fn count(&self, why: Again) -> &AtomicU64 {
        let [unreached, unwritten, idempotent] = &self.made;
        match why {
            Again::Unreached => unreached,
            Again::Unwritten => unwritten,
            Again::Idempotent => idempotent,
        }
    }
}

/// The key that a call lacks, by which its server knows it again; the same each time it is sent.
pub(super) fn key(permit: &Permit) -> Option<IdempotencyKey> {
    permit.lacks_key().map(|name| IdempotencyKey { name: name.clone(), key: uuid(rand::random()) })
}

/// A random UUID (RFC 9562, 5.4).
fn uuid(random: u128) -> String {
    let (version, variant) = (0xf << 76, 0b11 << 62);
    let bits = random & !version & !variant | 4 << 76 | 0b10 << 62;
    let part = |shift: u32, bits_of: u32| bits >> shift & ((1 << bits_of) - 1);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(96, 32), part(80, 16), part(64, 16), part(48, 16), part(0, 48))
}

/// How long to wait before a call is sent again that was sent so often: by chance, so that many do not come back at once.
pub(super) fn pause(sent: usize) -> Duration {
    let longest = PAUSE * if sent < 2 { 1 } else { 2 };
    longest.mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_costs_five_calls_and_ten_are_kept() {
        let retries = Retries::default();
        let calls = |n: u32| (0..n).for_each(|_| retries.earn());
        let repeats = || (0..100).filter(|_| retries.take(Again::Unwritten)).count();
        assert_eq!(repeats(), 0, "nothing is given in advance");
        calls(4);
        assert_eq!(repeats(), 0);
        calls(1);
        assert_eq!(repeats(), 1);
        calls(1000);
        assert_eq!(repeats(), 10);
        assert_eq!((retries.made(Again::Unwritten), retries.exhausted()), (11, 389));
    }

    #[test]
    fn a_key_is_a_random_uuid() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn pauses_grow_and_are_short() {
        for (sent, most) in [(1, 20), (2, 40)] {
            assert!((0..100).all(|_| pause(sent) <= Duration::from_millis(most)));
        }
    }
}
