//! Dates in policy files: `2027-06-01`, or with a time `2027-06-01T12:00:00Z`. Always UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// The form of one, for editors.
pub const EXPIRY: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$";

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u64,
    month: u64,
    day: u64,
}

/// The moment from which on a key no longer counts: the begin of the day, if no time is given.
pub fn parse_expiry(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let seconds = match time {
        None => 0,
        Some(time) => {
            let [hours, minutes, seconds] = numbers(time.strip_suffix('Z')?, ':', [2, 2, 2])?;
            (hours < 24 && minutes < 60 && seconds < 60).then_some(hours * 3600 + minutes * 60 + seconds)?
        }
    };
    Some(UNIX_EPOCH + Duration::from_secs(Date::parse(date)?.days() * DAY + seconds))
}

impl Date {
    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
        let fits = year >= 1970 && (1..=12).contains(&month) && (1..=length(year, month)).contains(&day);
        fits.then_some(Self { year, month, day })
    }

    /// The day of a moment.
    pub fn of(moment: SystemTime) -> Self {
        let mut days = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY;
        let (mut year, mut month) = (1970, 1);
        while days >= length(year, month) {
            days -= length(year, month);
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        Self { year, month, day: days + 1 }
    }

    /// Days since 1970-01-01.
    fn days(self) -> u64 {
        let leap_years_before = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
        let years = (self.year - 1970) * 365 + leap_years_before(self.year) - leap_years_before(1970);
        let months: u64 = (1..self.month).map(|month| length(self.year, month)).sum();
        years + months + self.day - 1
    }
}

/// Days in a month.
fn length(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Three numbers of so many digits each.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written_alike() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-03-01", 951_868_800),
            ("2024-02-29", 1_709_164_800),
            ("2026-11-21", 1_795_219_200),
            ("2100-03-01", 4_107_542_400),
        ] {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse_expiry(text), Some(moment), "{text}");
            assert_eq!(Date::of(moment).to_string(), text);
            assert_eq!(Date::of(moment + Duration::from_secs(DAY - 1)).to_string(), text);
        }
        let noon = UNIX_EPOCH + Duration::from_secs(951_868_800 + DAY / 2);
        assert_eq!(parse_expiry("2000-03-01T12:00:00Z"), Some(noon));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2027",
            "2027-6-1",
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-01-00",
            "27-01-01",
            "2027/01/01",
            "2027-01-01T",
            "2027-01-01T00:00:00",
            "2027-01-01 00:00:00Z",
            "2027-01-01T24:00:00Z",
            "+027-01-01",
            "1969-12-31",
            "2027-01-01-01",
            "never",
        ] {
            assert_eq!(parse_expiry(text), None, "{text}");
        }
    }
}
