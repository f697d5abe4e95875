//! What single cases assert beside their expectation. An assert that nothing here knows stops the run.

use serde_json::json;

use super::case::Case;
use super::judge::{Seen, denial, first};
use crate::support::gate::Gate;
use crate::support::raw::Answer;

/// Asserts that hold of every case, and are checked for every case elsewhere.
const OF_EVERY_CASE: [&str; 9] = [
    "upstream request carries no authorization header holding the client's key",
    "gateway process alive",
    "error body is valid JSON and echoes the id escaped",
    "upstream saw exactly 1 request",
    "upstream saw 0 requests",
    "upstream sees the gateway's own principal header",
    "upstream sees principal alice",
    "upstream x-forwarded-for == socket peer",
    "no other client's request is cancelled",
];

/// Asserts that tell the runner what to do, or speak of what this version does not write.
const NOT_TO_CHECK: [&str; 2] = ["client half-closes after sending", "audit client.address == socket peer"];

/// Asserts that are checked beside the tokens, in `tokens`.
const OF_TOKENS: [&str; 5] = [
    "upstream has no Authorization with the client's token",
    "logs contain no raw control bytes",
    "no outbound connection to evil.test",
    "jwks mock saw <= 2 requests",
    "no connection to 169.254.169.254",
];

/// Asserts that are checked beside what is told of calls, in `telemetry`.
const OF_TELEMETRY: [&str; 4] = [
    "metric series count grows by <= 5",
    "RSS growth < 16 MiB",
    "audit principal alice",
    "hunter2 in no log, span, metric or audit file",
];

/// Asserts that are checked beside the audit log, in `audit`.
const OF_AUDIT: [&str; 6] = [
    "audit_records_dropped_total grows",
    "gap record names the count",
    "audit record reason=batch_not_allowed",
    "verify exit 0",
    "no acknowledged record missing",
    "verify exit code 2 for each",
];

/// `memory` is the peak before the case, in KiB.
pub(super) fn check(case: &Case, seen: &Seen, gate: &Gate, memory: Option<usize>) -> Result<(), String> {
    for assert in &case.asserts {
        match assert.as_str() {
            "responses in order: ok, policy denial" => second_is_denied(seen)?,
            "delete_record never reaches upstream" => never_behind(seen, "delete_record")?,
            "upstream and logs contain no injected line" => {
                never_behind(seen, "x-admin")?;
                never_a_line(gate, "x-admin")?;
            }
            "RSS growth per request < 100x body size" => grown(case, gate, memory)?,
            known if OF_EVERY_CASE.contains(&known) || NOT_TO_CHECK.contains(&known) => {}
            known if OF_TOKENS.contains(&known) || OF_TELEMETRY.contains(&known) => {}
            known if OF_AUDIT.contains(&known) => {}
            unknown => panic!("{}: nothing checks that {unknown}", case.id),
        }
    }
    if case.title.contains("filtered on the way back") {
        let text = first(seen)?.text();
        if text.contains("delete_record") || !text.contains("get_statistics") {
            return Err("the list is not the caller's own".to_owned());
        }
    }
    Ok(())
}

fn second_is_denied(seen: &Seen) -> Result<(), String> {
    match seen.answers.as_slice() {
        [_, Answer::Response(second)] => denial(second, &json!(1)),
        _ => Err("no second answer".to_owned()),
    }
}

fn never_behind(seen: &Seen, word: &str) -> Result<(), String> {
    match seen.upstream.iter().find(|request| request.holds(word)) {
        Some(_) => Err(format!("{word} behind the gate")),
        None => Ok(()),
    }
}

fn never_a_line(gate: &Gate, start: &str) -> Result<(), String> {
    let written = [gate.log.text(), gate.decisions.text()];
    let injected = written.iter().flat_map(|text| text.lines()).any(|line| line.starts_with(start));
    if injected {
        return Err(format!("a line {start} was injected"));
    }
    Ok(())
}

fn grown(case: &Case, gate: &Gate, before: Option<usize>) -> Result<(), String> {
    let most = case.body().len() * 100 / 1024;
    match before.zip(gate.peak_memory_kib()) {
        // The system counts it by and by, so the highest may be a little lower later.
        Some((before, after)) if after.saturating_sub(before) >= most => {
            Err(format!("memory grew from {before} KiB to {after} KiB, by {most} or more"))
        }
        _ => Ok(()),
    }
}
