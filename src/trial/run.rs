//! The run: every case asked, compared with what it expects, and what all of them show of the policy.

use super::case::{Case, Expected};
use super::coverage::Coverage;
use super::question::{Answer, Question};
use crate::limits::Limits;
use crate::policy::PolicySet;

/// All cases of one policy, with what came of them.
#[derive(Debug)]
pub struct Trial {
    /// In the order of the files.
    pub ran: Vec<Ran>,
    /// How much of the policy they show.
    pub coverage: Coverage,
}

/// A case, and what came of it.
#[derive(Debug)]
pub struct Ran {
    /// The case.
    pub case: Case,
    /// What came of it.
    pub answer: Answer,
    /// Where that is not what is expected.
    pub wrong: Option<Wrong>,
}

/// What is not as expected: the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The answer.
    Verdict,
    /// What decided.
    Because,
    /// What would say no if it were enforced.
    WouldDeny,
}

impl Trial {
    /// Runs all cases, each from a fresh beginning.
    pub fn run(cases: Vec<Case>, policy: &PolicySet) -> Self {
        let ran: Vec<_> = cases.into_iter().map(|case| Ran::of(case, policy)).collect();
        let coverage = Coverage::of(policy, &ran);
        Self { ran, coverage }
    }

    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = (&Ran, Wrong)> {
        self.ran.iter().filter_map(|ran| Some((ran, ran.wrong?)))
    }
}

impl Ran {
    fn of(case: Case, policy: &PolicySet) -> Self {
        let limits = Limits::in_one_moment(policy);
        let ask = |question: &Question| question.put(policy, &limits);
        (0..case.after).for_each(|_| drop(ask(&case.question)));
        let under_way: Vec<Answer> = (0..case.during).map(|_| ask(&case.question)).collect();
        let answer = ask(&case.question);
        drop(under_way);
        let wrong = case.expected.differs(&answer);
        Self { case, answer, wrong }
    }
}

impl Expected {
    fn differs(&self, answer: &Answer) -> Option<Wrong> {
        let Self { verdict, because, would_deny } = self;
        let because_other = |because: &String| because != answer.because();
        let would_other = |rule: &String| answer.would_deny().is_none_or(|(_, would)| would.path() != rule);
        if *verdict != answer.verdict() {
            Some(Wrong::Verdict)
        } else if because.as_ref().is_some_and(because_other) {
            Some(Wrong::Because)
        } else {
            would_deny.as_ref().is_some_and(would_other).then_some(Wrong::WouldDeny)
        }
    }
}
