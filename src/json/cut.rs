//! Cutting members out of a text that was scanned: every other byte stays as it is.

use std::ops::Range;

/// What to cut so that the members with these values are gone, each with its comma. The values stand in the order of the
/// text, none within another.
pub fn cuts(text: &[u8], values: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> = Vec::new();
    for value in values {
        let Some(mut start) = opening(text, value.start) else {
            continue;
        };
        let comma = value.end + spaces(text.get(value.end..).unwrap_or_default().iter());
        if text.get(comma) == Some(&b',') {
            cuts.push(start..comma + 1);
            continue;
        }
        // The last member takes the comma before it along, which stands before whatever was cut right before it.
        loop {
            let before = start - spaces(text.get(..start).unwrap_or_default().iter().rev());
            match cuts.pop_if(|cut| cut.end == before) {
                Some(cut) => start = cut.start,
                None if before.checked_sub(1).and_then(|comma| text.get(comma)) == Some(&b',') => {
                    start = before - 1;
                    break;
                }
                None => break,
            }
        }
        cuts.push(start..value.end);
    }
    cuts
}

/// The text without these spans.
pub fn without(text: &[u8], cuts: &[Range<usize>]) -> Vec<u8> {
    let mut left = Vec::with_capacity(text.len());
    let mut from = 0;
    for cut in cuts {
        left.extend_from_slice(text.get(from..cut.start).unwrap_or_default());
        from = cut.end;
    }
    left.extend_from_slice(text.get(from..).unwrap_or_default());
    left
}

/// The text with something else where these spans are.
pub fn edited(text: &[u8], mut edits: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
    edits.sort_unstable_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    for (span, instead) in edits {
        out.extend_from_slice(text.get(copied..span.start).unwrap_or_default());
        out.extend_from_slice(&instead);
        copied = span.end;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    out
}

/// What stands between the quotation marks of the name whose value begins here.
pub fn name(text: &[u8], value: usize) -> Option<Range<usize>> {
    let end = memchr::memrchr(b'"', text.get(..value)?)?;
    Some(opening(text, value)? + 1..end)
}

/// Where the name begins whose value begins here: before it stand a colon and the name's last quotation mark.
fn opening(text: &[u8], value: usize) -> Option<usize> {
    let mut end = memchr::memrchr(b'"', text.get(..value)?)?;
    loop {
        end = memchr::memrchr(b'"', text.get(..end)?)?;
        let escapes = text.get(..end)?.iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(end);
        }
    }
}

fn spaces<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}
