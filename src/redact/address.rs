//! Mail addresses, and what stands before the host of a URL.

use std::ops::Range;

use super::{BLOT, Place, run};

/// The longest part before the `@`, and the longest of all, in bytes (RFC 5321, 4.5.3.1).
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;
/// The longest user and password that are looked for, in bytes.
const LONGEST_USERINFO: usize = 512;

/// A mail address: here stands its `@`. Quoted local parts and addresses in numbers are not looked for.
pub(super) fn email(place: Place<'_>) -> Option<Range<usize>> {
    let from = [place.from, place.behind_escape].into_iter().filter(|from| *from <= place.at).max()?;
    let before = place.text.get(from..place.at)?;
    let near = before.get(before.len().saturating_sub(LONGEST_LOCAL)..)?;
    let local = near.iter().rev().take_while(|byte| is_local(**byte)).count();
    let local = near.get(near.len() - local..)?;
    // Characters of more bytes are not cut, and nothing begins with a mark.
    let marks = local.iter().take_while(|byte| !byte.is_ascii_alphanumeric() && **byte < 0xc0).count();
    let local = local.len() - marks;
    let domain = domain(place.text.get(place.at + 1..)?)?;
    (local > 0).then_some(place.at - local..place.at + 1 + domain)
}

/// How long the domain is that stands here: labels between dots, of which the last has letters only.
fn domain(text: &[u8]) -> Option<usize> {
    let length = run(text.get(..LONGEST_DOMAIN.min(text.len()))?, is_domain);
    let text = text.get(..length)?;
    let mut end = None;
    let mut from = 0;
    while let Some(label) = text.get(from..) {
        let length = run(label, |byte| byte != b'.');
        if length == 0 {
            break;
        }
        let letters = run(label, |byte| byte.is_ascii_alphabetic());
        if from > 0 && letters >= 2 {
            end = Some(from + letters);
        }
        from += length + 1;
    }
    end
}

/// User and password: here stands the `:` before the slashes, and they stand before the `@`.
pub(super) fn url_password(place: Place<'_>) -> Option<Range<usize>> {
    if !place.before()?.is_ascii_alphanumeric() {
        return None;
    }
    let behind = place.rest().strip_prefix(b"://")?;
    let behind = behind.get(..LONGEST_USERINFO.min(behind.len()))?;
    let length = run(behind, is_userinfo);
    let userinfo = behind.get(..length)?;
    let password = userinfo.iter().position(|byte| *byte == b':')? + 1;
    let from = place.at + b"://".len();
    (behind.get(length) == Some(&b'@') && password < length).then_some(from..from + length)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || (0x80..BLOT).contains(&byte)
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || (0x80..BLOT).contains(&byte) || matches!(byte, b'.' | b'-')
}

fn is_userinfo(byte: u8) -> bool {
    (b'!'..BLOT).contains(&byte) && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'"' | b'<' | b'>' | b'\\')
}
