//! `tollgate explain`: one decision with its lines, of a call that is described and of one that was made.

use std::fs;

use super::commands::{home, said, tollgate};
use super::support::keys::ALICE;
use super::support::message::{post, tool_call};
use super::support::upstream::Upstream;
use super::support::world::World;
use super::support::{DEADLINE, raw};

const POLICY: &str = r#"server: records
roles:
  reader:
    tools: [search, get_one]
  night:
    inherits: [reader]
    tools: [reindex]
    when: [{ from: "22:00", to: "06:00" }]
    networks: [10.0.0.0/8]
tools:
  search:
    arguments: { required: [store], properties: { store: { claim: store }, limit: { maximum: 100 } } }
"#;

/// One page of what is said to each of these.
async fn page(args: &[&[&str]]) -> String {
    let home = home(&[("policies/records.yaml", POLICY)]);
    let mut page = String::new();
    for args in args {
        let answer = said(&tollgate(home.path(), &[&["explain"], *args].concat()).await);
        page.extend(["$ tollgate explain ", &args.join(" "), "\n", &answer, "\n"]);
    }
    page
}

#[tokio::test]
async fn a_call_that_is_described_is_explained() {
    let reader = &["--as-role", "reader"][..];
    let night = &["--as-role", "night", "--call", "reindex", "--from", "10.0.0.7"][..];
    let owner = &["--as-role", "reader", "--claim", "store=s1", "--call", "search", "--arguments"][..];
    let page = page(&[
        &[reader, &["--call", "get_one"]].concat(),
        &[reader, &["--call", "delete"]].concat(),
        &[owner, &[r#"{"store":"s1","limit":101}"#]].concat(),
        &[owner, &[r#"{"store":"s1","store":"s2"}"#]].concat(),
        &[night, &["--at", "2026-11-20T23:00:00Z"]].concat(),
        &[night, &["--at", "2026-11-20T12:00:00Z"]].concat(),
        &["--as-anonymous", "--method", "tools/list"],
        &[owner, &["{}", "--format", "json"]].concat(),
    ])
    .await;
    insta::assert_snapshot!(page);
}

#[tokio::test]
async fn what_is_missing_or_unknown_is_said() {
    let page = page(&[
        &["--as-role", "raeder", "--call", "search"],
        &["--as-key", "ci-bot", "--call", "search"],
        &["--as-role", "reader"],
        &["--call", "search"],
        &["--as-role", "reader", "--call", "search", "--server", "record"],
        &["--as-role", "reader", "--call", "search", "--arguments", "{"],
        &["--as-role", "night", "--call", "reindex"],
        &["--as-role", "reader", "--call", "search", "--at", "noon"],
        &["--decision", "0123456789abcdef", "--log", "policies/records.yaml"],
        &["--policies", "nowhere", "--as-role", "reader", "--call", "search"],
    ])
    .await;
    insta::assert_snapshot!(page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_a_caller_saw_is_found_in_the_log_and_explained() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let answer = raw::call(gate.data, &post(ALICE, &tool_call("1", "delete_record", "{}"))).await;
    let id =
        answer.json().expect("an error")["error"]["data"]["io.tollgate/decision"].as_str().expect("an id").to_owned();
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains(&id)).await.expect("its line");

    let home = home(&[("log", &line)]);
    let policies = gate.policies();
    let args = ["explain", "--decision", &id, "--log", "log", "--policies", policies.to_str().expect("a path")];
    let same = said(&tollgate(home.path(), &args).await);
    for part in ["exit 0\n", " alice: tools/call delete_record of records\n", "now:  deny: not_granted, by default\n"] {
        assert!(same.contains(part), "{same}");
    }
    assert!(!same.contains("decided then"), "these are the policies that decided: {same}");

    let wider = "server: records\nroles: { reader: { tools: [delete_record] } }\n";
    fs::write(policies.join("records.yaml"), wider).expect("it can be written");
    let changed = said(&tollgate(home.path(), &args).await);
    for part in [
        "then: deny: not_granted, by default",
        "now:  allow, by policies/records.yaml:2 roles.reader.tools\n",
        "decided then",
    ] {
        assert!(changed.contains(part), "{changed}");
    }
}
