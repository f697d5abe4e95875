//! The one source of "now", and how lines write it. Nothing else may ask the system for the time.

use std::ops::{Add, Range};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Writes RFC 3339 in UTC, with so many digits of a second's fraction, at most six. Years have four digits from 1970 to 9999;
/// nothing else is now.
pub fn write_utc(time: SystemTime, fraction: usize, into: &mut String) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second, micros) = (second / 3600, second / 60 % 60, second % 60, since.subsec_micros().into());
    let mut text = *b"0000-00-00T00:00:00.000000";
    let mut write = |mut value: u64, place: Range<usize>| {
        for at in place.rev() {
            if let Some(digit) = text.get_mut(at) {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
            }
            value /= 10;
        }
    };
    write(year, 0..4);
    write(month, 5..7);
    write(day, 8..10);
    write(hour, 11..13);
    write(minute, 14..16);
    write(second, 17..19);
    write(micros, 20..26);
    let text = str::from_utf8(&text).unwrap_or_default();
    into.push_str(text.get(..20 + fraction).unwrap_or(text));
    into.push('Z');
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from March, so that a leap day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_calendar_has_it() {
        for at in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59.999999Z",
            "2026-12-31T12:34:56.000789Z",
            "9999-12-30T21:59:59Z",
        ] {
            let moment = at.parse::<jiff::Timestamp>().unwrap();
            let (mut millis, mut micros) = (String::new(), String::new());
            write_utc(moment.into(), 3, &mut millis);
            write_utc(moment.into(), 6, &mut micros);
            assert_eq!((millis, micros), (format!("{moment:.3}"), format!("{moment:.6}")));
        }
    }
}
