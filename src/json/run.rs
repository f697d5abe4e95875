//! How far a string goes on: told for 32 bytes at once and without branches, which compilers make vectors of. What they
//! cannot tell so is looked at byte by byte.

/// So many bytes at once,
const PIECE: usize = 32;
/// each with the two before it, by which a backslash that escapes is known from one that is escaped.
const WINDOW: usize = PIECE + 2;

/// How many bytes from this place of a string on are surely nothing but characters and whole escapes. All before the place was
/// read, so no escape is cut by it.
pub(super) fn sound(text: &[u8], at: usize) -> usize {
    let windows = at.checked_sub(WINDOW - PIECE).and_then(|from| text.get(from..)).unwrap_or_default();
    let mut run = 0;
    while let Some(window) = windows.get(run..).and_then(<[u8]>::first_chunk)
        && is_sound(window)
    {
        run += PIECE;
    }
    // Only whole escapes: what this one escapes has not been looked at.
    let torn = run > 0 && windows.get(run + 1) == Some(&b'\\');
    run - usize::from(torn)
}

/// Whether a string goes on at each byte, and every escape is one of the frequent ones. Behind two backslashes it is not told.
fn is_sound(window: &[u8; WINDOW]) -> bool {
    let unsound = |[second, first, byte]: [u8; 3]| {
        let escaped = u8::from(first == b'\\');
        let frequent =
            u8::from(byte == b'"') | u8::from(byte == b'n') | u8::from(byte == b't') | u8::from(byte == b'r');
        let escape = frequent | u8::from(byte == b'/');
        let plain = u8::from(byte != b'"') & u8::from(byte >= 0x20);
        (escaped & (u8::from(second == b'\\') | (escape ^ 1))) | ((escaped ^ 1) & (plain ^ 1))
    };
    any(window, unsound) == 0
}

/// Where the string ends of whose inside this is the rest: at the first quotation mark that is not escaped.
pub fn string_end(rest: &[u8]) -> Option<usize> {
    let is_end = |at: &usize| rest.get(..*at).is_some_and(|before| !ends_in_escape(before));
    let find = |from: usize, to: usize| {
        let marks = memchr::memchr_iter(b'"', rest.get(from..to).unwrap_or_default());
        marks.map(|mark| from + mark).find(is_end)
    };
    let mut at = 0;
    let first = find(at, rest.len().min(WINDOW - PIECE));
    if first.is_some() {
        return first;
    }
    while let Some(window) = rest.get(at..).and_then(<[u8]>::first_chunk) {
        if let Some(end) = may_end(window).then(|| find(at, at + WINDOW)).flatten() {
            return Some(end);
        }
        at += PIECE;
    }
    find(at, rest.len())
}

/// Whether the last of these bytes is a backslash that escapes what follows.
pub fn ends_in_escape(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Whether there is a quotation mark which no backslash stands before, or two.
fn may_end(window: &[u8; WINDOW]) -> bool {
    let end = |[second, first, byte]: [u8; 3]| {
        u8::from(byte == b'"') & (u8::from(first != b'\\') | u8::from(second == b'\\'))
    };
    any(window, end) != 0
}

/// What this says of any byte of a window, told the two before it.
fn any(window: &[u8; WINDOW], says: impl Fn([u8; 3]) -> u8) -> u8 {
    let [second, first, byte] = [0, 1, 2].map(|from| window.get(from..from + PIECE).unwrap_or_default());
    second.iter().zip(first).zip(byte).fold(0, |any, ((second, first), byte)| any | says([*second, *first, *byte]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::value::Blind;
    use crate::json::{Bounds, scan};

    /// Byte by byte.
    fn end_by_definition(rest: &str) -> Option<usize> {
        let mut chars = rest.bytes().enumerate();
        while let Some((at, byte)) = chars.next() {
            match byte {
                b'"' => return Some(at),
                b'\\' => drop(chars.next()),
                _ => {}
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_string_ends_where_it_does(text in r#"([ -~]{0,40}|\\{1,3}"?|\\u00e9|é){0,8}"#) {
            prop_assert_eq!(string_end(text.as_bytes()), end_by_definition(&text));
        }

        #[test]
        fn what_is_sound_is_whole_characters_and_escapes(text in r#"([a-z ]{0,40}|\\["nrt/\\bux]|["\n]|é){0,12}"#) {
            let quoted = format!("{{\"{text}");
            let run = sound(quoted.as_bytes(), 2);
            let mut bytes = text.bytes().take(run);
            while let Some(byte) = bytes.next() {
                prop_assert!(byte >= 0x20 && byte != b'"', "{} of {:?}", run, text);
                let escape = byte != b'\\' || bytes.next().is_some_and(|it| br#""nrt/"#.contains(&it));
                prop_assert!(escape, "{} of {:?}", run, text);
            }
        }
    }

    proptest! {
        #[test]
        fn long_strings_with_escapes_are_read_as_serde_json_reads_them(
            text in r#"([a-z ]{0,40}|\\["nrt/\\bux]|\\u00e9|["\n]|é){0,12}"#,
        ) {
            for text in [format!("\"{text}\""), format!("[\"{text}\",1]")] {
                let read = scan(text.as_bytes(), (), &Bounds::default(), &mut Blind);
                prop_assert_eq!(read.is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn long_texts_go_on_piece_by_piece() {
        let line = r#"A line of a document: \"quoted\", with a few words\n"#.repeat(9);
        let text = format!(r#""{line}"}}"#);
        let run = sound(text.as_bytes(), 2);
        assert!(run + 2 * PIECE > line.len(), "{run} of {}", line.len());
        assert_eq!(string_end(&text.as_bytes()[1..]), Some(line.len()));
    }
}
