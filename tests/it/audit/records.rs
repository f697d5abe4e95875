//! What stands in the log.

use std::fs;

use serde_json::{Value, json};

use super::{Audited, search, tollgate};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::upstream::Upstream;
use crate::support::world::READERS;
use crate::support::{DEADLINE, raw, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_is_recorded_and_agrees_with_the_decision_lines() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let key = audited.home.path().join("arguments");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let mut gate = audited.world(&upstream.url(), &format!("arguments_key: \"file:{}\"", key.display())).start().await;
    search(&gate).await;
    raw::call(gate.data, &post(ALICE, &tool_call("2", "delete_record", "{}"))).await;
    raw::call(gate.data, &post("tg_nobody", &tool_call("3", "search_records", "{}"))).await;
    raw::call(gate.data, &post(ALICE, "[]")).await;
    fs::write(gate.policies().join("records.yaml"), format!("{READERS}# changed\n")).unwrap();
    let reloaded = async || gate.log.text().contains("policies reloaded");
    assert!(until(DEADLINE, reloaded).await);
    assert_eq!(gate.terminate().await, Some(0));

    let kinds: Vec<_> = audited.records().iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect();
    let counted = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert_eq!((counted("start"), counted("reload"), counted("stop"), counted("outcome")), (1, 1, 1, 1), "{kinds:?}");
    let decisions = audited.of_kind("decision");
    let told: Vec<_> = decisions.iter().map(|it| (it["effect"].as_str(), it["refused"].as_str())).collect();
    let expected = [
        (Some("allow"), None),
        (Some("deny"), Some("not_granted")),
        (Some("deny"), Some("unknown_credential")),
        (Some("deny"), Some("batch")),
    ];
    assert_eq!(told[0..2], expected[0..2]);
    assert_eq!(
        told.iter().map(|(effect, _)| effect).collect::<Vec<_>>(),
        expected.iter().map(|(effect, _)| effect).collect::<Vec<_>>()
    );
    for (record, line) in decisions.iter().zip(gate.decisions.since(0)) {
        let line: Value = serde_json::from_str(&line).unwrap();
        for name in ["decision", "principal", "server", "rule", "policy", "tool", "trace_id", "refused"] {
            assert_eq!(record[name], line[name], "{name}: {record} and {line}");
        }
    }
    assert_eq!(audited.of_kind("outcome")[0]["decision"], decisions[0]["decision"]);
    let digest = decisions[0]["arguments"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    let text = fs::read_to_string(&super::segments(&audited.log())[0]).unwrap();
    assert!(!text.contains(r#""q""#) && !text.contains(ALICE), "an argument or a key stands in it");
    assert_eq!(audited.verify(&[]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_proved_to_whoever_has_the_key_and_no_other_is() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut gate = audited.world(&upstream.url(), "").start().await;
    for _ in 0..5 {
        search(&gate).await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    let log = audited.log().display().to_string();
    for record in audited.records().iter().filter(|record| record["kind"] != "checkpoint") {
        let proof = tollgate(&["audit", "prove", &log, "--index", &record["index"].to_string()]);
        let path = audited.home.path().join("proof");
        fs::write(&path, &proof.stdout).unwrap();
        let checked = tollgate(&["audit", "verify", path.to_str().unwrap(), "--key", &audited.key]);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        assert_eq!(serde_json::from_slice::<Value>(&checked.stdout).unwrap(), *record);
        let text = String::from_utf8(proof.stdout).unwrap();
        let shifted = text.replace(
            &format!("index {}", record["index"]),
            &format!("index {}", record["index"].as_u64().unwrap() + 1),
        );
        fs::write(&path, shifted).unwrap();
        let checked = tollgate(&["audit", "verify", path.to_str().unwrap(), "--key", &audited.key]);
        assert_eq!(checked.status.code(), Some(15), "{checked:?}");
    }
    let decision = audited.of_kind("decision")[3]["decision"].as_str().unwrap().to_owned();
    let proof = tollgate(&["audit", "prove", &log, "--decision", &decision]);
    assert!(proof.status.success(), "{proof:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_in_the_folder_is_explained_and_all_are_replayed_against_other_policies() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut gate = audited.world(&upstream.url(), "").start().await;
    search(&gate).await;
    let refused = raw::call(gate.data, &post(ALICE, &tool_call("2", "delete_record", "{}"))).await;
    let id = refused.json().unwrap()["error"]["data"]["io.tollgate/decision"].as_str().unwrap().to_owned();
    raw::call(gate.data, &post("tg_nobody", &tool_call("3", "search_records", "{}"))).await;
    assert_eq!(gate.terminate().await, Some(0));

    let (log, policies) = (audited.log().display().to_string(), gate.policies().display().to_string());
    let said = |args: &[&str]| {
        let answer = tollgate(args);
        (answer.status.code(), String::from_utf8(answer.stdout).unwrap())
    };
    let explain = || said(&["explain", "--decision", &id, "--log", &log, "--policies", &policies]);
    let replay = || said(&["replay", &log, &policies]);
    let (code, same) = explain();
    assert!(code == Some(0) && same.contains("now:  deny: not_granted, by default\n"), "{same}");
    let (code, same) = replay();
    let sum = "3 lines: 2 same, 0 changed, 0 cannot be said, 1 not decided by policy";
    assert!(code == Some(0) && same.contains(sum), "{same}");

    let other = READERS.replace("search_records", "delete_record");
    fs::write(gate.policies().join("records.yaml"), other).unwrap();
    let (code, changed) = explain();
    let both = ["then: deny: not_granted, by default", "now:  allow, by policies/records.yaml:"];
    assert!(code == Some(0) && both.iter().all(|part| changed.contains(part)), "{changed}");
    let (code, changed) = replay();
    for part in ["Passed then, would be refused now:\n  1 x alice: tools/call search_records", "2 changed"] {
        assert!(code == Some(1) && changed.contains(part), "{changed}");
    }
    assert!(changed.contains("1 x alice: tools/call delete_record"), "{changed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_standard_output_is_one_too() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let world = crate::support::world::World::new(&upstream.url());
    let key = audited.home.path().join("key");
    let mut gate = world.top(&format!("audit: {{ stdout: true, key: \"file:{}\" }}", key.display())).start().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    let lines: Vec<String> = gate.decisions.since(0).into_iter().filter(|line| line.contains("\"prev\":")).collect();
    let file = audited.home.path().join("captured.jsonl");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    assert_eq!(super::verified(&file, &audited.key, &[]), 0);
    assert_eq!(serde_json::from_str::<Value>(&lines[0]).unwrap()["kind"], json!("segment"));
}
