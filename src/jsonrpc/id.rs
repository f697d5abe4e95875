//! `RequestId`: a string or an integer, exactly as it came.

use std::fmt;

/// The id of a request, as the bytes that stood in the message: `1` and `"1"` differ, and no digit is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
