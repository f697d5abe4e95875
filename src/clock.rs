//! The one source of "now". Nothing else may ask the system for the time.

use std::ops::Add;
use std::time::{Duration, Instant, SystemTime};

/// A moment by both clocks: what asks for one can be asked of a later one, which is how tests turn the clock.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the calendar.
    pub wall: SystemTime,
    /// By the clock that only goes forward.
    pub monotonic: Instant,
}

/// Now.
pub fn now() -> Moment {
    Moment { wall: wall(), monotonic: monotonic() }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self { wall: self.wall + later, monotonic: self.monotonic + later }
    }
}

/// Time that only goes forward: for durations, limits and deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Time as the calendar has it: for log lines, spans and expiry dates.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
