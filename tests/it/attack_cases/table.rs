//! The failures of a run, told as one table; and the cases that are held to be wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use super::case::Case;
use crate::support::gate::Lines;

/// A case that is held to be wrong, or ahead of this version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    id: String,
    reason: String,
}

#[derive(Debug)]
pub(super) struct Table {
    exceptions: BTreeMap<String, String>,
    /// Exceptions that did fail, as they should.
    used: Vec<String>,
    rows: Vec<String>,
    entered: usize,
}

/// How long a decision line may lag behind its answer before a failure is told without it.
const LAG: Duration = Duration::from_millis(300);

impl Table {
    pub(super) fn new() -> Self {
        let list: Vec<Exception> = serde_json::from_str(include_str!("../../fixtures/attack_exceptions.json")).unwrap();
        for exception in &list {
            assert!(!exception.reason.is_empty(), "{} lacks one", exception.id);
        }
        Self {
            exceptions: list.into_iter().map(|e| (e.id, e.reason)).collect(),
            used: Vec::new(),
            rows: Vec::new(),
            entered: 0,
        }
    }

    /// Of these cases only.
    pub(super) fn only(mut self, cases: &[Case]) -> Self {
        self.exceptions.retain(|id, _| cases.iter().any(|case| case.id == *id));
        self
    }

    /// Notes how one run of a case ended. `decided`: the gate's decisions, and how many it had made before the run.
    pub(super) async fn enter(
        &mut self,
        case: &Case,
        run: &str,
        outcome: Result<(), String>,
        decided: (&Lines, usize),
    ) {
        self.entered += 1;
        let Err(got) = outcome else { return };
        if self.exceptions.contains_key(&case.id) {
            self.used.push(case.id.clone());
            return;
        }
        let decision = decided.0.wait_since(decided.1, LAG, |_| true).await;
        let mut row = format!("{} [{run}] {}\n", case.id, case.title);
        let mut wanted = format!("{:?}", case.expectation);
        for other in &case.also_acceptable {
            write!(wanted, " or {other:?}").unwrap();
        }
        if let Some(response) = &case.response_expectation {
            write!(wanted, ", then {response}").unwrap();
        }
        if !case.expect.status.is_empty() {
            write!(wanted, ", status {:?}", case.expect.status).unwrap();
        }
        writeln!(row, "    expected  {wanted}").unwrap();
        writeln!(row, "    got       {got}").unwrap();
        write!(row, "    decision  {}", decision.as_deref().unwrap_or("none")).unwrap();
        self.rows.push(row);
    }

    /// A failure that belongs to no single case.
    pub(super) fn fail_apart(&mut self, place: &str, what: &str) {
        self.rows.push(format!("{place}: {what}"));
    }

    /// Fails once, with all there is to say.
    pub(super) fn finish(mut self, cases: &[Case]) {
        let picked = std::env::var("TOLLGATE_CASES").is_ok();
        for id in self.exceptions.keys() {
            let known = cases.iter().any(|case| case.id == *id);
            if !known && !picked {
                self.rows.push(format!("{id}: an exception for no case"));
            } else if known && !self.used.contains(id) {
                self.rows.push(format!("{id}: an exception that passes"));
            }
        }
        assert!(
            self.rows.is_empty(),
            "{} failures in {} runs of {} cases:\n\n{}\n",
            self.rows.len(),
            self.entered,
            cases.len(),
            self.rows.join("\n")
        );
    }
}
