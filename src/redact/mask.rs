//! What stands in the place of what was found, and how it is known again: nothing is looked for in it, or no end would
//! come of masking.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;

const OPEN: &str = "[redacted: ";
/// The longest name that a policy may give.
const LONGEST_NAME: usize = 32;
/// More masks than this has digits stand in no message.
const MOST_DIGITS: usize = 6;

/// A mask in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mask {
    pub(super) span: Range<usize>,
    /// Which one it is, in the name of a member.
    pub(super) number: usize,
}

/// What stands in a string.
pub(super) fn in_string(name: &str) -> String {
    format!("{OPEN}{name}]")
}

/// What stands in the name of a member: no other in its object may come to have it, too.
pub(super) fn in_name(name: &str, number: usize) -> String {
    format!("{OPEN}{name} {number}]")
}

/// The masks in this text, in its order.
pub(super) fn each(text: &[u8]) -> impl Iterator<Item = Mask> {
    /// Made once: a message has many texts, and most are short.
    static OPENS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(OPEN));
    OPENS.find_iter(text).filter_map(|at| read(text, at))
}

fn read(text: &[u8], at: usize) -> Option<Mask> {
    let behind = text.get(at + OPEN.len()..)?;
    let name = super::run(behind, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let behind = behind.get(name..)?;
    let digits = behind.strip_prefix(b" ").map(|digits| super::run(digits, |byte| byte.is_ascii_digit()));
    let (length, number) = match digits {
        None => (0, 0),
        Some(digits) => {
            let digits = behind.get(1..=digits).filter(|digits| digits.len() <= MOST_DIGITS)?;
            (1 + digits.len(), std::str::from_utf8(digits).ok()?.parse().ok()?)
        }
    };
    let whole = (1..=LONGEST_NAME).contains(&name) && behind.get(length) == Some(&b']');
    whole.then(|| Mask { span: at..at + OPEN.len() + name + length + 1, number })
}
