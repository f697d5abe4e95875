//! When a server is left alone because it fails, as written.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::build::{Span, number, span};
use super::source::BreakerSource;
use crate::breaker::BreakerSettings;
use crate::diagnostic::{Diagnostics, SourceFile};

/// Beyond this nobody waits for a server.
pub(super) const MAX_FAILURES: u64 = 1_000;
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);

/// What is said, and the rest as it is by default.
pub(super) fn build(file: &SourceFile, source: &BreakerSource, found: &mut Diagnostics) -> Option<BreakerSettings> {
    let BreakerSettings { failures, percent, pause } = BreakerSettings::default();
    let mut within = |written, default: u32, most| {
        let number = number(file, written, usize::try_from(default).unwrap_or_default(), most, found);
        number.and_then(|number| u32::try_from(number).ok())
    };
    let failures = within(source.failures.as_ref(), failures, MAX_FAILURES);
    let percent = within(source.percent.as_ref(), percent, 100);
    let pause = span(file, source.pause.as_ref(), Span(pause, PAUSE), found);
    Some(BreakerSettings { failures: failures?, percent: percent?, pause: pause? })
}
