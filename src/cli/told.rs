//! How an answer of the policy is told to a person: the same in `test`, `explain` and `replay`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::diagnostic::Style;
use crate::policy::RuleId;
use crate::trial::{Answer, Sources, Step};

/// The colours of a text for people.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    pub(super) good: &'static str,
    pub(super) bad: &'static str,
    pub(super) bold: &'static str,
    pub(super) blue: &'static str,
    pub(super) plain: &'static str,
}

impl Paint {
    pub(super) fn of(style: Style) -> Self {
        match style {
            Style::Plain => Self { good: "", bad: "", bold: "", blue: "", plain: "" },
            Style::Ansi => {
                Self { good: "\x1b[1;32m", bad: "\x1b[1;31m", bold: "\x1b[1m", blue: "\x1b[1;34m", plain: "\x1b[0m" }
            }
        }
    }
}

/// `deny: not_granted, by default`.
pub(super) fn answer(answer: &Answer) -> String {
    let mut told = answer.verdict().word().to_owned();
    // Writing to a String cannot fail, here and below.
    if let Some(reason) = answer.reason().filter(|reason| *reason != told) {
        let _ = write!(told, ": {reason}");
    }
    if let Some(rule) = answer.rule() {
        let _ = write!(told, ", by {}", rule.path());
    }
    told
}

/// Where a rule stands and what it is called: `policies/records.yaml:4 roles.reader.tools`.
pub(super) fn rule(rule: &RuleId, sources: &Sources) -> String {
    match sources.place(rule) {
        Some((file, line)) => format!("{file}:{line} {}", rule.path()),
        None => rule.path().to_owned(),
    }
}

/// A rule for programs, and where it is written; of no file where none says so.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    path: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

pub(super) fn place<'a>(rule: &'a RuleId, sources: &'a Sources) -> Place<'a> {
    let (file, line) = sources.place(rule).unzip();
    Place { path: rule.path(), file, line }
}

/// Every step with its place, what it said, and its line.
pub(super) fn steps(steps: &[Step], sources: &Sources, paint: Paint) -> String {
    let Paint { blue, plain, .. } = paint;
    let mut told = String::new();
    for step in steps {
        let _ = writeln!(told, "    {}: {}", rule(&step.rule, sources), step.says);
        if let (Some(line), Some(number)) = (sources.line(&step.rule), step.rule.line()) {
            let _ = writeln!(told, "      {blue}{number} |{plain} {line}");
        }
    }
    told
}
