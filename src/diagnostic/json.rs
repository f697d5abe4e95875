//! Problems for a program: one JSON object. Its shape is documented in README.md and only ever grows.

use serde::Serialize;

use super::report::{Renderer, Totals};
use super::{At, Diagnostic};

/// The problems so far.
#[derive(Default)]
pub(super) struct Json {
    diagnostics: Vec<Problem>,
}

/// One problem. What is not known is `null`, so that every key is always there.
#[derive(Serialize)]
struct Problem {
    severity: &'static str,
    code: &'static str,
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    /// The column after the last character.
    end_column: Option<u32>,
    message: String,
    help: Option<String>,
}

#[derive(Serialize)]
struct Whole {
    diagnostics: Vec<Problem>,
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
    /// What the exit code says, too: `ok` for 0, `problems` for 1.
    outcome: &'static str,
}

impl Renderer for Json {
    fn problem(&mut self, problem: &Diagnostic) {
        let at = problem.marked();
        self.diagnostics.push(Problem {
            severity: problem.severity.word(),
            code: problem.code.id(),
            file: problem.file.to_string(),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            end_column: at.map(At::end_column),
            message: problem.message.clone(),
            help: problem.help.clone(),
        });
    }

    fn end(self, totals: &Totals) -> String {
        let outcome = if totals.fails { "problems" } else { "ok" };
        let summary = Summary { errors: totals.errors, warnings: totals.warnings, outcome };
        // Text and numbers only: there is nothing that could fail to be written.
        serde_json::to_string_pretty(&Whole { diagnostics: self.diagnostics, summary }).unwrap_or_default()
    }
}
