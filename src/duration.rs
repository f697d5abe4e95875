//! Spans of time as they stand in files: `500ms`, `5s`, `1m`, `2h`, `1d`.

use std::ops::RangeInclusive;
use std::time::Duration;

const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The form of one, for editors.
pub const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";

/// What people write for a unit.
const MISSPELT: &[(&str, &[&str])] = &[
    ("ms", &["msec", "msecs", "millis", "millisecond", "milliseconds"]),
    ("s", &["sec", "secs", "second", "seconds"]),
    ("m", &["min", "mins", "minute", "minutes"]),
    ("h", &["hr", "hrs", "hour", "hours"]),
    ("d", &["day", "days"]),
];

/// Reads a span of time that lies within these bounds, or says what is wrong with it.
pub fn parse_duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let Some((_, millis)) = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0) else {
        return Err(meant(number, unit));
    };
    let duration = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*millis)).map(Duration::from_millis);
    match duration {
        Some(duration) if bounds.contains(&duration) => Ok(duration),
        _ => Err(format!("write a span from {} to {}", written(*bounds.start()), written(*bounds.end()))),
    }
}

/// What was probably meant.
fn meant(number: &str, unit: &str) -> String {
    let unit = unit.trim().to_ascii_lowercase();
    let known = MISSPELT.iter().find(|(name, words)| *name == unit || words.contains(&&*unit));
    match known.filter(|_| (1..=9).contains(&number.len())) {
        Some((name, _)) => format!("did you mean `{number}{name}`?"),
        None => "write a whole number and a unit (ms, s, m, h, d), such as `500ms`, `5s` or `1m`".to_owned(),
    }
}

/// The same the other way round, in the largest unit that fits.
pub(crate) fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fitting = UNITS.iter().rev().find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit)));
    match fitting {
        Some((name, unit)) => format!("{}{name}", millis / u128::from(*unit)),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_with_a_unit_and_nothing_else() {
        let bounds = Duration::from_millis(1)..=Duration::from_hours(24);
        for (text, millis) in [("500ms", 500), ("5s", 5_000), ("1m", 60_000), ("2h", 7_200_000), ("1d", 86_400_000)] {
            assert_eq!(parse_duration(text, bounds.clone()), Ok(Duration::from_millis(millis)));
            assert_eq!(written(Duration::from_millis(millis)), text);
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            " 5s",
            "1.5s",
            "-1s",
            "+1s",
            "5S",
            "5sec",
            "1m30s",
            "0s",
            "25h",
            "2d",
            "٥s",
            "5м",
            "99999999999999999999s",
            "18446744073709551615d",
            "1e3s",
            "0x5s",
        ] {
            assert!(parse_duration(text, bounds.clone()).is_err(), "{text:?}");
        }
    }
}
