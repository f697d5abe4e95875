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

impl Moment {
    /// By how many microseconds the calendar was put forward since then, or back, where that is less than none.
    pub fn put_forward_since(self, earlier: Self) -> i64 {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let passed = match self.wall.duration_since(earlier.wall) {
            Ok(passed) => micros(passed),
            Err(back) => -micros(back.duration()),
        };
        passed.saturating_sub(micros(self.monotonic.saturating_duration_since(earlier.monotonic)))
    }
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
