//! Coverage: which clauses of the policy no case turns on.

use super::run::Ran;
use crate::policy::{PolicySet, RuleId};

/// How much of a policy its cases show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many clauses there are.
    pub clauses: usize,
    /// Those that no case turns on, in the order of the files.
    pub untested: Vec<Untested>,
}

/// A clause that no case turns on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untested {
    /// Where it is written.
    pub rule: RuleId,
    /// What no case shows.
    pub says: String,
}

impl Coverage {
    /// What these cases show of the policy.
    pub(super) fn of(policy: &PolicySet, ran: &[Ran]) -> Self {
        let shown: Vec<_> = ran.iter().filter_map(|ran| ran.answer.shown(&ran.case.question.server)).collect();
        let clauses = policy.clauses();
        let untested = clauses.iter().filter(|clause| !shown.iter().any(|shown| clause.is_shown(shown)));
        let untested =
            untested.map(|clause| Untested { rule: clause.rule().clone(), says: clause.to_string() }).collect();
        Self { clauses: clauses.len(), untested }
    }

    /// How many clauses some case turns on.
    pub fn tested(&self) -> usize {
        self.clauses - self.untested.len()
    }
}
