//! What came of the cases, for a program: one JSON object. Its shape is documented in README.md and only ever grows.

use serde::Serialize;

use super::super::told::{Place, place};
use super::{Totals, Tried};
use crate::trial::{Ran, Sources};

#[derive(Serialize)]
struct Whole<'a> {
    cases: Vec<Case<'a>>,
    untested: Vec<Untested<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Case<'a> {
    name: &'a str,
    file: &'a str,
    line: u32,
    passed: bool,
    expected: Expected<'a>,
    actual: Actual<'a>,
}

#[derive(Serialize)]
struct Expected<'a> {
    outcome: &'static str,
    because: Option<&'a str>,
    would_deny: Option<&'a str>,
}

#[derive(Serialize)]
struct Actual<'a> {
    outcome: &'static str,
    reason: Option<&'static str>,
    rule: Option<Place<'a>>,
    would_deny: Option<Place<'a>>,
    detail: Option<String>,
}

#[derive(Serialize)]
struct Untested<'a> {
    #[serde(flatten)]
    rule: Place<'a>,
    says: &'a str,
}

#[derive(Serialize)]
struct Summary {
    cases: usize,
    failed: usize,
    clauses: usize,
    tested: usize,
    percent: usize,
    /// What the exit code says, too: `ok` for 0, `failed` for 1.
    outcome: &'static str,
}

pub(super) fn render(tried: &[Tried], totals: &Totals) -> String {
    let cases = tried.iter().flat_map(|tried| tried.trial.ran.iter().map(|ran| case(ran, &tried.policies.sources)));
    let untested = tried.iter().flat_map(|tried| {
        let place = |rule| place(rule, &tried.policies.sources);
        tried.trial.coverage.untested.iter().map(move |it| Untested { rule: place(&it.rule), says: &it.says })
    });
    let summary = Summary {
        cases: totals.cases,
        failed: totals.failed,
        clauses: totals.clauses,
        tested: totals.tested,
        percent: totals.percent(),
        outcome: if totals.fails() { "failed" } else { "ok" },
    };
    let whole = Whole { cases: cases.collect(), untested: untested.collect(), summary };
    // Text and numbers only: there is nothing that could fail to be written.
    serde_json::to_string_pretty(&whole).unwrap_or_default()
}

fn case<'a>(ran: &'a Ran, sources: &'a Sources) -> Case<'a> {
    let Ran { case, answer, wrong } = ran;
    Case {
        name: &case.name,
        file: &case.file,
        line: case.line,
        passed: wrong.is_none(),
        expected: Expected {
            outcome: case.expected.verdict.word(),
            because: case.expected.because.as_deref(),
            would_deny: case.expected.would_deny.as_deref(),
        },
        actual: Actual {
            outcome: answer.verdict().word(),
            reason: answer.reason(),
            rule: answer.rule().map(|rule| place(rule, sources)),
            would_deny: answer.would_deny().map(|(_, rule)| place(rule, sources)),
            detail: answer.detail(),
        },
    }
}
