//! Limits of one tool, before and now.

use super::Direction;
use crate::policy::duration::written;
use crate::policy::redundancy::implies;
use crate::policy::{Limit, LimitRule};

/// What is different, each with its direction.
pub(super) fn compare(old: &[LimitRule], new: &[LimitRule]) -> Vec<(Direction, String)> {
    // What one side bounds and the other does not as tightly.
    let loose = |side: &[LimitRule], other: &[LimitRule]| -> Vec<Limit> {
        let limits = side.iter().map(|rule| rule.limit);
        limits.filter(|limit| !other.iter().any(|other| implies(other.limit, *limit))).collect()
    };
    let (mut gone, mut fresh) = (loose(old, new), loose(new, old));
    let mut found = Vec::new();
    for (kind, word) in [(is_rate as fn(&Limit) -> bool, "calls"), (is_concurrency, "in_flight")] {
        let take = |limits: &mut Vec<Limit>| limits.extract_if(.., |limit| kind(limit)).collect::<Vec<_>>();
        let (gone, fresh) = (take(&mut gone), take(&mut fresh));
        let both = |side: &[LimitRule]| shown(side.iter().map(|rule| rule.limit).filter(kind));
        if !gone.is_empty() {
            found.push((Direction::Widened, format!("limits: {word} {} → {}", both(old), both(new))));
        } else if !fresh.is_empty() {
            found.push((Direction::Narrowed, format!("limits: {word} {} → {}", both(old), both(new))));
        }
    }
    found
}

fn is_rate(limit: &Limit) -> bool {
    matches!(limit, Limit::Calls { .. })
}

fn is_concurrency(limit: &Limit) -> bool {
    matches!(limit, Limit::InFlight(_))
}

fn shown(limits: impl Iterator<Item = Limit>) -> String {
    let shown = |limit| match limit {
        Limit::Calls { calls, every } => format!("{calls} in {}", written(every)),
        Limit::InFlight(most) => most.to_string(),
    };
    let all: Vec<_> = limits.map(shown).collect();
    if all.is_empty() { "unlimited".to_owned() } else { all.join(" and ") }
}
