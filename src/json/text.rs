//! JSON strings: from the wire and to it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

/// The text of a JSON string, given what stands between its quotation marks.
///
/// Only for strings that [`scan`](super::scan) accepted: their escapes are complete and their surrogates paired.
pub fn decode(inner: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else {
        return Cow::Borrowed(inner);
    };
    let (plain, escapes) = inner.split_at(first);
    let mut text = String::with_capacity(inner.len());
    text.push_str(plain);
    let mut chars = escapes.chars();
    while let Some(next) = chars.next() {
        text.push(if next == '\\' { escaped(&mut chars) } else { next });
    }
    Cow::Owned(text)
}

/// The same text, which knows where each part of it stands between the quotation marks.
#[derive(Debug)]
pub struct Decoded<'a> {
    text: Cow<'a, str>,
    /// Behind each escape: where that is in the text, and where between the quotation marks.
    escapes: Vec<(usize, usize)>,
}

impl<'a> Decoded<'a> {
    /// The text of a string that [`scan`](super::scan) accepted.
    pub fn of(inner: &'a str) -> Self {
        let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else {
            return Self { text: Cow::Borrowed(inner), escapes: Vec::new() };
        };
        let (plain, mut rest) = inner.split_at(first);
        let mut text = String::with_capacity(inner.len());
        text.push_str(plain);
        let mut escapes = Vec::new();
        while let Some(behind) = rest.strip_prefix('\\') {
            let mut chars = behind.chars();
            text.push(escaped(&mut chars));
            rest = chars.as_str();
            escapes.push((text.len(), inner.len() - rest.len()));
            let (plain, next) = rest.split_at(memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len()));
            text.push_str(plain);
            rest = next;
        }
        Self { text: Cow::Owned(text), escapes }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where this part of the text stands between the quotation marks.
    pub fn raw(&self, span: Range<usize>) -> Range<usize> {
        let raw = |at: usize| {
            let before = self.escapes.partition_point(|(text, _)| *text <= at).checked_sub(1);
            let (text, raw) = before.and_then(|before| self.escapes.get(before)).copied().unwrap_or_default();
            raw + (at - text)
        };
        raw(span.start)..raw(span.end)
    }
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
    let _ = write!(Escaping { into, escape }, "{shown}");
    into.push('"');
}

/// Writes a text as RFC 8785 (3.2.2.2) has it, quotation marks included: nothing is escaped that need not be.
pub fn quote_canonical(text: &str, into: &mut String) {
    into.push('"');
    escape_canonical(text, into);
    into.push('"');
}

/// The same of whatever can be shown.
pub fn quote_canonical_shown(shown: &impl fmt::Display, into: &mut String) {
    into.push('"');
    // Writing to a String cannot fail.
    let _ = write!(Escaping { into, escape: escape_canonical }, "{shown}");
    into.push('"');
}

struct Escaping<'a> {
    into: &'a mut String,
    escape: fn(&str, &mut String),
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        (self.escape)(text, self.into);
        Ok(())
    }
}

fn escape(text: &str, into: &mut String) {
    if none(text, |byte| byte.wrapping_sub(b' ') > b'~' - b' ' || byte == b'"' || byte == b'\\') {
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

fn escape_canonical(text: &str, into: &mut String) {
    if none(text, |byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        into.push_str(text);
        return;
    }
    let quoted = serde_json::Value::from(text).to_string();
    into.push_str(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default());
}

/// Whether no byte is such a one. Sixteen are looked at to the end of them: so they are looked at at once.
fn none(text: &str, special: impl Fn(u8) -> bool) -> bool {
    let (sixteens, rest) = text.as_bytes().as_chunks::<16>();
    let some = |bytes: &[u8; 16]| bytes.iter().fold(false, |any, byte| any | special(*byte));
    !sixteens.iter().any(some) && !rest.iter().any(|byte| special(*byte))
}
