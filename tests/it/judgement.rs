//! What a policy says beside who may use what: denials, hours, networks, and rules that are tried out.

use serde_json::Value;

use crate::support::DEADLINE;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw;
use crate::support::upstream::Upstream;
use crate::support::world::World;

const POLICY: &str = r#"server: records
deny: { tools: [drop_records] }
roles:
  reader:
    inherits: [past, future, elsewhere, here, trial]
    tools: [search_records, drop_records, add_record, tried]
    deny: { tools: ["delete_*"] }
  past: { tools: [old_report], when: [{ until: 2020-01-01 }] }
  future: { tools: [new_report], when: [{ after: 2020-01-01 }] }
  elsewhere: { tools: [restart], networks: [10.0.0.0/8] }
  here: { tools: [status, delete_record], networks: ["127.0.0.0/8"] }
  trial: { mode: shadow, deny: { tools: [add_record] } }
tools:
  tried: { mode: shadow, arguments: { required: [store_id] }, limits: [{ calls: 1, every: 1h, per: principal }] }
"#;

/// Calls the tool; returns the answer and its decision line.
async fn call(gate: &Gate, tool: &str) -> (Value, Value) {
    let before = gate.decisions.count();
    let answer = raw::call(gate.data, &post(ALICE, &tool_call("1", tool, "{}"))).await;
    let line = gate.decisions.wait_since(before, DEADLINE, |_| true).await.expect("it is recorded");
    (answer.json().expect("an answer"), serde_json::from_str(&line).expect("a line"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_hours_and_networks_decide_and_their_rule_is_told_to_the_operator_only() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    for (tool, refused) in [
        ("search_records", None),
        ("drop_records", Some(("denied", "policies/records.yaml:2 deny.tools"))),
        ("delete_record", Some(("denied", "policies/records.yaml:7 roles.reader.deny.tools"))),
        ("old_report", Some(("outside_hours", "policies/records.yaml:8 roles.past.when"))),
        ("new_report", None),
        ("restart", Some(("outside_networks", "policies/records.yaml:10 roles.elsewhere.networks"))),
        ("status", None),
    ] {
        let (answer, line) = call(&gate, tool).await;
        match refused {
            None => {
                assert!(answer.get("result").is_some(), "{tool}: {answer}");
                assert_eq!((&line["outcome"], line.get("would_deny")), (&Value::from("ok"), None), "{tool}");
            }
            Some((reason, rule)) => {
                assert_eq!(answer["error"]["message"], format!("Unknown tool: {tool}"));
                assert!(!answer.to_string().contains("records.yaml"), "{answer}");
                assert_eq!((&line["refused"], &line["rule"]), (&reason.into(), &rule.into()), "{tool}");
            }
        }
    }
    assert_eq!(upstream.count(), 3, "nothing else reached the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_out_passes_and_stands_in_the_line() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    let arguments = ("arguments", "policies/records.yaml:14 tools.tried.arguments");
    let denied = ("denied", "policies/records.yaml:12 roles.trial.deny.tools");
    for (tool, (would_deny, rule)) in [("add_record", denied), ("tried", arguments), ("tried", arguments)] {
        let (answer, line) = call(&gate, tool).await;
        assert!(answer.get("result").is_some(), "{tool}: {answer}");
        assert_eq!(line["outcome"], "ok");
        assert_eq!((&line["would_deny"], &line["would_deny_rule"]), (&would_deny.into(), &rule.into()), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_tried_out_lets_every_call_through() {
    let upstream = Upstream::start().await;
    let policy = POLICY.replace("arguments: { required: [store_id] }, ", "");
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    let (_, first) = call(&gate, "tried").await;
    assert_eq!(first.get("would_deny"), None, "{first}");
    let (answer, second) = call(&gate, "tried").await;
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(second["would_deny"], "limited", "{second}");
    assert_eq!(second["would_deny_rule"], "policies/records.yaml:14 tools.tried.limits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_in_shadow_refuses_nothing_and_says_what_it_would() {
    let upstream = Upstream::start().await;
    let policy = format!("mode: shadow\n{POLICY}");
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    for (tool, would_deny) in
        [("drop_records", "denied"), ("unheard_of", "not_granted"), ("restart", "outside_networks")]
    {
        let (answer, line) = call(&gate, tool).await;
        assert!(answer.get("result").is_some(), "{tool}: {answer}");
        assert_eq!(line["would_deny"], would_deny, "{line}");
    }
    assert!(gate.log.says("shadow").await, "whoever runs it is told:\n{}", gate.log.text());
}
