//! The name of one decision, and what its caller calls the request.

use std::fmt;

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue};

use crate::upstream::REQUEST_ID;

/// The longest name that a caller may give, in bytes.
const LONGEST: usize = 128;

/// 64 random bits, written as 16 hexadecimal digits. It names a decision; it proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// A fresh one.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The bits, the first ones first.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// As a header's value.
    pub fn header(self) -> HeaderValue {
        // Sixteen hexadecimal digits are always a header's value.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 16];
        f.write_str(HEXLOWER.encode_mut_str(&self.to_bytes(), &mut digits))
    }
}

/// What the caller calls its request: one name, of characters that mean nothing anywhere. Any other is none; it is no
/// reason to refuse a call.
pub(super) fn of_caller(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut names = headers.get_all(REQUEST_ID).iter();
    let (Some(name), None) = (names.next(), names.next()) else {
        return None;
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let sound = (1..=LONGEST).contains(&name.len()) && name.as_bytes().iter().all(plain);
    sound.then(|| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_one_name_wherever_it_is_written() {
        for id in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX].map(DecisionId) {
            assert_eq!(id.header(), id.to_string());
        }
    }

    #[test]
    fn only_a_plain_name_of_a_request_is_one() {
        let named = |names: &[&str]| {
            let names = names.iter().map(|name| (REQUEST_ID, HeaderValue::from_str(name).unwrap()));
            of_caller(&names.collect()).map(|name| name.to_str().unwrap().to_owned())
        };
        let longest = "x".repeat(LONGEST);
        for sound in ["1", "4f6c-9a:b_c.d", &longest] {
            assert_eq!(named(&[sound]).as_deref(), Some(sound));
        }
        for unsound in ["", "a b", "a\"b", "a=b", "<script>", "a%0a", &format!("{longest}x")] {
            assert_eq!(named(&[unsound]), None, "{unsound}");
        }
        assert_eq!(named(&["a", "b"]), None);
    }
}
