//! The one source of "now". Nothing else may ask the system for the time.

use std::time::{Instant, SystemTime};

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
