//! What of arguments stands in the log, where the operator wants that.

use std::fs;

use serde_json::{Value, json};

use super::{Audited, segments};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw;
use crate::support::upstream::Upstream;
use crate::support::world::READERS;

const MAIL: &str = "jane.roe@example.com";
const OWN: &str = "EMP-123456";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_of_allowed_calls_stand_there_masked_and_not_more_of_them_than_is_said() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let policy = format!(
        "{READERS}redact:\n  - {{ pattern: \"EMP-[0-9]{{6}}\", name: employee, then: alert }}\n  \
         - {{ find: [card], then: mask }}\n  - {{ pattern: \"NO-[0-9]{{6}}\", name: number, then: mask }}\n\
         tools: {{ get_statistics: {{ redact: [{{ pattern: \"STAFF-[0-9]{{6}}\", name: number, then: alert }}] }} }}\n"
    );
    let world = audited.world(&upstream.url(), "arguments: redacted").policy("records.yaml", &policy);
    let mut gate = world.start().await;
    let long = format!("{} {MAIL}", "a ".repeat(2040));
    let asked = [
        ("search_records", format!(r#"{{"q":"of {MAIL}","n":7,"card":"4111 1111 1111 1111"}}"#)),
        ("search_records", format!(r#"{{"q":"{long}"}}"#)),
        ("search_records", format!(r#"{{"q":"{OWN}"}}"#)),
        ("delete_record", r#"{"q":"refused"}"#.to_owned()),
        ("get_statistics", r#"{"q":"NO-123456 STAFF-123456"}"#.to_owned()),
    ];
    for (tool, arguments) in &asked {
        raw::call(gate.data, &post(ALICE, &tool_call("1", tool, arguments))).await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    let decisions = audited.of_kind("decision");
    let shown: Vec<_> = decisions.iter().map(|record| record["arguments_redacted"].as_str()).collect();
    let masked = r#"{"q":"of [redacted: email]","n":7,"card":"[redacted: card]"}"#;
    assert_eq!(shown[0], Some(masked));
    assert!(shown[1].is_some_and(|text| text.ends_with('…') && text.len() < 4100), "{:?}", shown[1]);
    assert_eq!(shown[2], None, "what only a pattern of one's own finds is not masked, so nothing is shown");
    assert_eq!(shown[3], None, "what was refused is nobody's record");
    assert_eq!(shown[4], None, "one of a name is masked, and another of the same name is not");
    // What was found is told by its name, whatever became of it.
    let outcomes = audited.of_kind("outcome");
    let found: Vec<_> = outcomes.iter().map(|record| record["redacted"].clone()).collect();
    assert_eq!(found[0], json!(["card"]), "{found:?}");
    assert_eq!((&found[1], &found[2]), (&Value::Null, &json!(["employee"])), "{found:?}");
    assert_eq!(found.last(), Some(&json!(["number"])), "{found:?}");
    let text: String = segments(&audited.log()).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // Not even of the one that is cut in two: what is found is masked before.
    assert!(!text.contains(OWN) && !text.contains("jane.") && !text.contains("4111 1111"), "{text}");
    assert_eq!(audited.verify(&[]), 0);
}
