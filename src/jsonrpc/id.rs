//! `RequestId`: a string or an integer, exactly as it came.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::json;

/// The id of a request, as the bytes that stood in the message: `1` and `"1"` differ, and no digit is lost. Two are
/// equal if they read the same: `"é"` may come back as `"\u00e9"`.
#[derive(Clone, Debug)]
pub struct RequestId(Box<str>);

/// The longest string that may be an id, in bytes as written.
const LONGEST: usize = 256;
/// The largest integer that every language holds exactly: 2^53 - 1.
const LARGEST: u64 = (1 << 53) - 1;

impl RequestId {
    /// Reads an id from its JSON text: a string of at most 256 bytes, or an integer within ±(2^53-1) without
    /// fraction, exponent or negative zero.
    pub fn from_json(lexeme: &str) -> Option<Self> {
        let sound = if let Some(rest) = lexeme.strip_prefix('"') {
            rest.len() <= LONGEST + 1
        } else {
            let digits = lexeme.strip_prefix('-').unwrap_or(lexeme);
            lexeme != "-0"
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u64>().is_ok_and(|value| value <= LARGEST)
        };
        sound.then(|| Self(lexeme.into()))
    }

    /// The id as JSON, as it came.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// What it reads as; the quotation marks still tell a string from a number.
    fn text(&self) -> Cow<'_, str> {
        json::decode(&self.0)
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for RequestId {}

impl Hash for RequestId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

/// As logs and spans show it: a string without its quotation marks.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_matches('"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_equal_that_read_the_same() {
        let id = |lexeme| RequestId::from_json(lexeme).unwrap();
        assert_eq!(id("\"é/\""), id("\"\\u00e9\\/\""));
        assert_ne!(id("1"), id("\"1\""));
        assert_ne!(id("\"a\""), id("\"b\""));
    }

    #[test]
    fn an_id_is_a_short_string_or_an_exact_integer() {
        for good in ["1", "-7", "0", "\"\"", "\"a-1\"", "9007199254740991"] {
            assert_eq!(RequestId::from_json(good).unwrap().as_json(), good);
        }
        let long = format!("\"{}\"", "a".repeat(257));
        for bad in ["1.0", "1e2", "-0", "null", "true", "{}", "9007199254740992", long.as_str()] {
            assert_eq!(RequestId::from_json(bad), None, "{bad}");
        }
    }
}
