//! `tollgate replay`: what other policies would have meant for the calls of a log.

use std::fs;

use super::commands::{home, said, tollgate};
use super::support::keys::{ALICE, BOB};
use super::support::message::{post, tool_call};
use super::support::upstream::Upstream;
use super::support::world::{World, principals};
use super::support::{DEADLINE, raw};

const POLICY: &str = r#"server: records
roles:
  reader:
    tools: [search, get_one]
    resources: ["records://*"]
  office:
    tools: [report]
    when: [{ days: [fri], from: "08:00", to: "18:00" }]
  inside: { tools: [reindex], networks: [10.0.0.0/8] }
tools:
  search:
    arguments: { properties: { limit: { maximum: 100 } } }
"#;

/// A line as the gate writes it, of a call on a Friday.
fn line(principal: &str, what: &str, said: &str) -> String {
    format!(
        r#"{{"time":"2026-11-20T10:00:00.000Z","decision":"d","principal":{principal},"server":"records",{what},{said},"policy":"p","duration_ms":0.3,"trace_id":null}}"#
    )
}

fn log() -> String {
    let tool = |name: &str| format!(r#""method":"tools/call","tool":"{name}""#);
    let ok = r#""outcome":"ok","rule":"policies/records.yaml:3 roles.reader.tools""#;
    let denied = r#""outcome":"denied","refused":"not_granted","code":-32602,"rule":"default""#;
    let lines = [
        line("\"alice\"", &tool("get_one"), ok),
        line("\"alice\"", &tool("get_one"), denied),
        line("\"alice\"", &tool("get_one"), denied),
        line("\"alice\"", &tool("delete"), ok),
        line("\"alice\"", &tool("delete"), denied),
        // The time of then counts, and what a line does not hold cannot be known.
        line("\"alice\"", &tool("report"), denied),
        line("\"alice\"", &tool("report"), denied).replace("T10:", "T20:"),
        line("\"alice\"", &tool("search"), ok),
        line("\"alice\"", &tool("reindex"), ok),
        line(
            "\"alice\"",
            &tool("get_one"),
            r#""outcome":"limited","refused":"limited","rule":"x:1 tools.get_one.limits""#,
        ),
        line("\"alice\"", r#""method":"resources/read","resource":"records://1""#, denied),
        line("\"alice\"", r#""method":"tools/list""#, r#""outcome":"ok","rule":"protocol""#),
        line("\"gone\"", &tool("get_one"), ok),
        line("null", r#""method":"_other""#, r#""outcome":"unauthenticated","refused":"no_credential","rule":null"#),
        "listening on http://127.0.0.1:8080".to_owned(),
        String::new(),
        "x".repeat(100_000),
    ];
    lines.join("\n")
}

#[tokio::test]
async fn what_changes_is_grouped_counted_and_told_with_both_reasons() {
    let keys = principals("reader").replacen("[reader]", "[reader, office, inside]", 1);
    let home = home(&[("policies/records.yaml", POLICY), ("policies/principals.yaml", &keys), ("log", &log())]);
    for format in ["human", "json"] {
        let answer = said(&tollgate(home.path(), &["replay", "log", "policies/", "--format", format]).await);
        insta::assert_snapshot!(format!("replay_{format}"), answer);
    }
}

#[tokio::test]
async fn what_holds_no_decision_or_no_policy_answers_nothing() {
    let home = home(&[("policies/records.yaml", POLICY), ("log", "{}\n\n"), ("line", &log()), ("empty", "")]);
    for (args, why) in [
        (["replay", "log", "policies"], "error: no line of log is a decision"),
        (["replay", "empty", "policies"], "error: no line of empty is a decision"),
        (["replay", "nowhere", "policies"], "error: nowhere cannot be read"),
        (["replay", "log", "nowhere"], "error: nowhere is not there"),
    ] {
        let answer = said(&tollgate(home.path(), &args).await);
        assert!(answer.starts_with("exit 2\n") && answer.contains(why), "{answer}");
    }
    let answer = said(&tollgate(home.path(), &["replay", "line", "policies"]).await);
    assert!(answer.starts_with("exit 0\n") && answer.contains("13 x no keys stand beside these policies"), "{answer}");
    let tokens = "tokens: [{ issuer: 'https://idp.test/', audience: us }]\n";
    fs::write(home.path().join("policies/principals.yaml"), tokens).unwrap();
    let answer = said(&tollgate(home.path(), &["replay", "line", "policies"]).await);
    assert!(answer.starts_with("exit 0\n") && answer.contains("13 x no key has this id"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_the_gate_replayed_against_its_own_policies_changes_nothing() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    for (key, tool) in [(ALICE, "search_records"), (ALICE, "delete_record"), (BOB, "get_statistics"), ("nobody", "x")] {
        raw::call(gate.data, &post(key, &tool_call("1", tool, "{}"))).await;
    }
    let last = |line: &str| line.contains("\"unauthenticated\"");
    gate.decisions.wait_since(0, DEADLINE, last).await.expect("its line");
    // Whatever the digest says, every line is decided anew.
    let log = gate.decisions.text().replace("\"policy\":\"", "\"policy\":\"other ");
    let narrower = "server: records\nroles: { reader: { tools: [search_records] } }\n";
    let policies =
        [("log", &*log), ("policies/records.yaml", narrower), ("policies/principals.yaml", &principals("reader"))];
    let home = home(&policies);
    let args = |policies: &str| ["replay".to_owned(), "log".to_owned(), policies.to_owned()];
    let own = args(gate.policies().to_str().expect("a path"));
    let same = said(&tollgate(home.path(), &own.each_ref().map(String::as_str)).await);
    let sum = "4 lines: 3 same, 0 changed, 0 cannot be said, 1 not decided by policy, 0 skipped";
    assert!(same.starts_with("exit 0\n") && same.contains(sum), "{same}\n{log}");
    let changed = said(&tollgate(home.path(), &["replay", "log", "policies"]).await);
    assert!(
        changed.starts_with("exit 1\nPassed then, would be refused now:\n  1 x bob: tools/call get_statistics"),
        "{changed}"
    );
}
