//! A log against policies: which of the calls that were decided would be decided otherwise now.
//!
//! However long the log, what is kept is bounded: calls that are alike are counted together.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::record::{Entry, Record, Said};
use super::who::Against;
use crate::identity::{AuthError, Principal};

/// So many groups of calls are told apart: nobody reads more. Those beyond are counted together.
pub const MOST_GROUPS: usize = 1_000;
/// So many lines that could not be read are told by their number.
const MOST_SKIPPED: usize = 10;

/// What became of the lines of a log.
#[derive(Debug)]
pub struct Replay<'a> {
    against: Against<'a>,
    keys: HashMap<&'a str, &'a Arc<Principal>>,
    /// Lines with the same decision.
    pub same: u64,
    /// Lines that the policy did not decide: the message did not come so far.
    pub undecided: u64,
    /// Lines that could not be read.
    pub skipped: u64,
    /// The first of them, by number.
    pub skipped_first: Vec<u64>,
    /// Calls that would be decided otherwise.
    pub changed: Groups<Change>,
    /// Calls of which nothing can be said, by the reason.
    pub unsure: Groups<String>,
}

/// Things that are alike, counted.
#[derive(Debug)]
pub struct Groups<K> {
    counts: HashMap<K, u64>,
    /// How many are of no group, since there were too many.
    pub beyond: u64,
}

/// Calls that are alike: the same caller, the same thing, the same change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Whether it opens or closes something.
    pub direction: Direction,
    /// Who asked.
    pub principal: String,
    /// Of which server.
    pub server: String,
    /// What for.
    pub method: String,
    /// About what.
    pub target: Option<String>,
    /// What was decided, in words.
    pub then: String,
    /// What would be.
    pub now: String,
}

/// Which way a decision changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It was refused and would pass.
    Opens,
    /// It passed and would be refused.
    Closes,
}

impl<'a> Replay<'a> {
    /// Nothing replayed yet.
    pub fn new(against: Against<'a>) -> Self {
        let keys = against.authenticators.keys().into_iter().map(|(id, keys)| (id, keys.principal)).collect();
        Self {
            against,
            keys,
            same: 0,
            undecided: 0,
            skipped: 0,
            skipped_first: Vec::new(),
            changed: Groups::default(),
            unsure: Groups::default(),
        }
    }

    /// Takes the next line.
    pub fn line(&mut self, number: u64, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let record = match Entry::read(line) {
            Some(Entry::Decision(record)) => record,
            Some(Entry::Other) => return,
            None => {
                self.skipped += 1;
                if self.skipped_first.len() < MOST_SKIPPED {
                    self.skipped_first.push(number);
                }
                return;
            }
        };
        let Some(then) = record.then() else {
            self.undecided += 1;
            return;
        };
        // The same files say the same at the same time.
        if record.policy() == &**self.against.policy.digest() {
            self.same += 1;
            return;
        }
        let (now, _) = record.now(&self.principal(&record), &self.against);
        let direction = match (&then, &now) {
            (Said::Deny(..), Said::Allow(_)) => Direction::Opens,
            (Said::Allow(_), Said::Deny(..)) => Direction::Closes,
            (_, Said::Unsure(why)) => return self.unsure.count(why.clone()),
            (Said::Allow(_), Said::Allow(_)) | (Said::Deny(..), Said::Deny(..)) | (Said::Unsure(_), _) => {
                self.same += 1;
                return;
            }
        };
        self.changed.count(Change {
            direction,
            principal: record.principal().unwrap_or_default().to_owned(),
            server: record.server().to_owned(),
            method: record.method().to_owned(),
            target: record.target().name().map(str::to_owned),
            then: then.to_string(),
            now: now.to_string(),
        });
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.same + self.undecided + self.skipped + self.changed.sum() + self.unsure.sum()
    }

    fn principal(&self, record: &Record) -> Result<Arc<Principal>, AuthError> {
        match record.key().and_then(|id| self.keys.get(id)) {
            Some(known) => Ok(Arc::clone(known)),
            None => record.supposed(&self.against),
        }
    }
}

impl<K: Eq + Hash + Ord> Groups<K> {
    fn count(&mut self, key: K) {
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
        } else if self.counts.len() < MOST_GROUPS {
            self.counts.insert(key, 1);
        } else {
            self.beyond += 1;
        }
    }

    /// How many there are in all.
    pub fn sum(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.beyond
    }

    /// The groups, the largest first.
    pub fn sorted(&self) -> Vec<(&K, u64)> {
        let mut groups: Vec<_> = self.counts.iter().map(|(key, count)| (key, *count)).collect();
        groups.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
        groups
    }
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self { counts: HashMap::new(), beyond: 0 }
    }
}

impl Direction {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::Closes => "closes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_groups_there_are_what_is_kept_is_bounded_and_nothing_is_lost() {
        let mut groups = Groups::default();
        for n in 0..3 * MOST_GROUPS {
            groups.count(n % (2 * MOST_GROUPS));
        }
        assert_eq!(groups.sorted().len(), MOST_GROUPS);
        assert_eq!(groups.sum(), 3 * MOST_GROUPS as u64);
        assert_eq!((groups.sorted()[0], groups.beyond), ((&0, 2), MOST_GROUPS as u64));
    }
}
