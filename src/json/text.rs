//! JSON strings: from the wire and to it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The text of a JSON string, given what stands between its quotation marks.
///
/// Only for strings that [`scan`](super::scan) accepted: their escapes are complete and their surrogates paired.
pub fn decode(inner: &str) -> Cow<'_, str> {
    if !inner.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        text.push(if next == '\\' { escaped(&mut chars) } else { next });
    }
    Cow::Owned(text)
}

/// The character that an escape stands for; the backslash is already read.
fn escaped(chars: &mut std::str::Chars<'_>) -> char {
    match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let high = hex4(&mut *chars);
            if !(0xd800..0xdc00).contains(&high) {
                return char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
            let low = hex4(chars.by_ref().skip(2));
            let scalar = 0x1_0000 + ((high - 0xd800) << 10) + (low & 0x3ff);
            char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        Some(itself) => itself,
        None => char::REPLACEMENT_CHARACTER,
    }
}

fn hex4(digits: impl Iterator<Item = char>) -> u32 {
    digits.take(4).fold(0, |value, digit| (value << 4) | digit.to_digit(16).unwrap_or(0))
}

/// Writes a text as a JSON string, quotation marks included.
///
/// Beside what RFC 8259 demands, line separators and invisible format characters are escaped, so that a line stays a
/// line in every log viewer.
pub fn quote(text: &str, into: &mut String) {
    into.push('"');
    escape(text, into);
    into.push('"');
}

/// The same of whatever can be shown.
pub fn quote_shown(shown: &impl fmt::Display, into: &mut String) {
    into.push('"');
    // Writing to a String cannot fail.
    let _ = write!(Escaping(into), "{shown}");
    into.push('"');
}

struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, self.0);
        Ok(())
    }
}

fn escape(text: &str, into: &mut String) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        into.push_str(text);
        return;
    }
    for next in text.chars() {
        match next {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
            {
                // Writing to a String cannot fail; all of these stand in the basic plane.
                let _ = write!(into, "\\u{:04x}", u32::from(c));
            }
            plain => into.push(plain),
        }
    }
}
