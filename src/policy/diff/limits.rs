//! Limits of one tool or server, before and now.

use super::Direction;
use crate::policy::{Limit, LimitRule};

/// What can be counted, in the words of the file.
const COUNTED: [&str; 4] = ["calls", "in_flight", "bytes", "cost"];

/// What is different, each with its direction.
pub(super) fn compare(old: &[LimitRule], new: &[LimitRule]) -> Vec<(Direction, String)> {
    // What one side bounds and the other does not as tightly.
    let loose = |side: &[LimitRule], other: &[LimitRule], word: &str| -> bool {
        let mut limits = side.iter().map(|rule| rule.limit).filter(|limit| limit.counts() == word);
        limits.any(|limit| !other.iter().any(|other| other.limit.implies(limit)))
    };
    let mut found = Vec::new();
    for word in COUNTED {
        let both = |side: &[LimitRule]| shown(side.iter().map(|rule| rule.limit).filter(|it| it.counts() == word));
        let direction = match (loose(old, new, word), loose(new, old, word)) {
            (true, _) => Direction::Widened,
            (false, true) => Direction::Narrowed,
            (false, false) => continue,
        };
        found.push((direction, format!("limits: {word} {} → {}", both(old), both(new))));
    }
    found
}

fn shown(limits: impl Iterator<Item = Limit>) -> String {
    let all: Vec<_> = limits.map(|limit| limit.to_string()).collect();
    if all.is_empty() { "unlimited".to_owned() } else { all.join(" and ") }
}
