//! What operators stop at once: by a file, over the admin port, and by the command.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gate::{Gate, program};
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{post, post_modern, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::{self, Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, raw, until};

const KEY: &str = "a-key-that-only-these-tests-know";
const SEARCH: &str = "search_records";

fn world(upstream: &Upstream) -> World {
    World::new(&upstream.url())
        .file("kill.yaml", "kills: []\n")
        .file("kill-key", KEY)
        .top("kill_switch: { file: kill.yaml, api: { key: \"file:HOME/kill-key\", state: kills.yaml } }")
}

fn file(gate: &Gate) -> PathBuf {
    gate.policies().with_file_name("kill.yaml")
}

fn stop(gate: &Gate, entries: &str) {
    fs::write(file(gate), format!("kills: [{entries}]\n")).unwrap();
}

/// What the caller of a tool hears: `yes`, or the code and text of the error.
async fn called(gate: SocketAddr, key: &str, tool: &str) -> String {
    let answer = raw::call(gate, &post(key, &tool_call("1", tool, "{}"))).await.json().unwrap();
    match answer.get("error") {
        Some(error) => format!("{} {}", error["code"], error["message"].as_str().unwrap()),
        None => "yes".to_owned(),
    }
}

async fn listed(gate: SocketAddr) -> Vec<String> {
    let answer = raw::call(gate, &post(ALICE, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)).await;
    let message = answer.json().unwrap();
    message["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The answer of `/kills`.
async fn kills(gate: &Gate, method: &str, key: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{method} /kills HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw::call(gate.admin, request.as_bytes()).await;
    (answer.status, answer.text())
}

async fn kill(gate: &Gate, entry: &str) {
    let (status, told) = kills(gate, "POST", KEY, &format!("{{{entry}, reason: it leaks, by: ann}}")).await;
    assert_eq!(status, 200, "{told}");
}

const OFF: &str = "-31503 switched off by an operator; nothing ran";
const GONE: &str = "-32602 Unknown tool: search_records";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_the_file_stops_is_not_there_until_it_goes_on() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| match request.method.as_str() {
        "GET" => Reply::Pushed(": open".to_owned()),
        _ => Reply::obliging(request),
    });
    let gate = world(&upstream).start().await;
    let mut stream = Connection::open(gate.data).await;
    let get =
        format!("GET /mcp HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\nx-api-key: {ALICE}\r\n\r\n");
    stream.send(get.as_bytes()).await.unwrap();
    stream.read_head().await.unwrap();
    assert_eq!(stream.read_chunk().await.unwrap().unwrap(), b": open\n\n");
    assert!(listed(gate.data).await.contains(&SEARCH.to_owned()));

    stop(&gate, "{ tool: \"search_*\", reason: it leaks, by: ann }");
    let gone = async || called(gate.data, ALICE, SEARCH).await == GONE;
    assert!(until(DEADLINE, gone).await, "the file is in force");
    assert!(!listed(gate.data).await.contains(&SEARCH.to_owned()), "what cannot be called is not listed");
    assert_eq!(called(gate.data, ALICE, "get_statistics").await, "yes", "nothing else is stopped");
    let news = String::from_utf8(stream.read_chunk().await.unwrap().unwrap()).unwrap();
    assert!(news.contains("notifications/tools/list_changed"), "{news}");
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("killed")).await.unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line["outcome"].as_str(), line["refused"].as_str()), (Some("denied"), Some("killed")));
    assert!(line["rule"].as_str().unwrap().ends_with("kill.yaml:1 kills"), "{line}");
    assert_eq!(gate.metric("tollgate_kill_switch_active{scope=\"tool\"}").await, Some(1.0));

    // Policies that change do not make it go on.
    fs::write(gate.policies().join("records.yaml"), READERS.replace("get_statistics", "get_pool_status")).unwrap();
    let reloaded = async || called(gate.data, ALICE, "get_pool_status").await == "yes";
    assert!(until(DEADLINE, reloaded).await);
    assert_eq!(called(gate.data, ALICE, SEARCH).await, GONE);

    stop(&gate, "");
    let again = async || called(gate.data, ALICE, SEARCH).await == "yes";
    assert!(until(DEADLINE, again).await, "it goes on again");
    assert_eq!(gate.metric("tollgate_kill_switch_active{scope=\"tool\"}").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_file_says_is_in_force_within_a_second() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).start().await;
    // At whatever moment of the gate's own looks it is written.
    for round in 0..5 {
        for (entries, heard) in [("{ all: true, reason: it leaks, by: ann }", OFF), ("", "yes")] {
            stop(&gate, entries);
            let counts = async || called(gate.data, ALICE, SEARCH).await == heard;
            assert!(until(Duration::from_secs(1), counts).await, "round {round}: {heard:?} within a second");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_taken_widens_nothing_and_raises_an_alarm() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).file("kill.yaml", "kills: [{ all: true, reason: it leaks, by: ann }]\n").start().await;
    assert_eq!(called(gate.data, ALICE, SEARCH).await, OFF, "from the first call on");
    let broken = [
        ("an unknown key", "kills: [{ tol: x, reason: r, by: b }]\n"),
        ("nothing named", "kills: [{ reason: r, by: b }]\n"),
        ("no reason", "kills: [{ tool: x, by: b }]\n"),
        ("no list", "kills: {}\n"),
        ("nothing", ""),
    ];
    for (what, text) in broken {
        let before = gate.log.count();
        fs::write(file(&gate), text).unwrap();
        let told =
            gate.log.wait_since(before, DEADLINE, |line| line.contains("kill switch's file cannot be taken")).await;
        assert!(told.is_some(), "{what}");
        assert_eq!(gate.metric("tollgate_kill_switch_stale").await, Some(1.0), "{what}");
        assert_eq!(called(gate.data, ALICE, SEARCH).await, OFF, "{what}");
    }
    let before = gate.log.count();
    fs::remove_file(file(&gate)).unwrap();
    assert!(gate.log.wait_since(before, DEADLINE, |line| line.contains("cannot be taken")).await.is_some());
    assert_eq!(called(gate.data, ALICE, SEARCH).await, OFF, "a file that is gone lets nothing go on");

    stop(&gate, "");
    let again = async || called(gate.data, ALICE, SEARCH).await == "yes";
    assert!(until(DEADLINE, again).await, "a mended file counts");
    assert_eq!(gate.metric("tollgate_kill_switch_stale").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_admin_port_stops_is_stopped_when_it_answers_and_after_a_restart() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).start().await;
    for key in ["", "wrong", &KEY[1..]] {
        assert_eq!(kills(&gate, "POST", key, "{ all: true, reason: r, by: b }").await.0, 401, "{key}");
    }
    for unclear in ["", "{}", "[]", "{ reason: r, by: b }", "{ all: false, reason: r, by: b }", "{ all: true, by: b }"]
    {
        assert_eq!(kills(&gate, "POST", KEY, unclear).await.0, 400, "{unclear}");
    }
    let (status, told) = kills(&gate, "POST", KEY, "{ server: recrods, reason: r, by: b }").await;
    assert!(status == 400 && told.contains("records is"), "{status} {told}");
    assert_eq!(called(gate.data, ALICE, SEARCH).await, "yes", "nothing of that stopped anything");

    kill(&gate, "principal: alice, expires: 2099-01-01").await;
    assert_eq!(called(gate.data, ALICE, SEARCH).await, OFF);
    assert_eq!(called(gate.data, BOB, SEARCH).await, "yes", "others go on");
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    assert_eq!(raw::call(gate.data, &post(ALICE, initialize)).await.json().unwrap()["error"]["code"], -31503);

    let gate = gate.restart().await;
    assert_eq!(called(gate.data, ALICE, SEARCH).await, OFF, "a restart does not make it go on");
    let (_, told) = kills(&gate, "GET", KEY, "").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let told = ["principal", "reason", "by", "from"].map(|key| told["kills"][0][key].as_str().unwrap_or_default());
    assert_eq!(told, ["alice", "it leaks", "ann", "api"], "who stopped what, and why, is kept, too");
    assert!(kills(&gate, "GET", KEY, "").await.1.contains("2099-01-01"), "and until when");
    assert_eq!(kills(&gate, "DELETE", KEY, "{ principal: bob, reason: r, by: b }").await.0, 404);
    assert_eq!(kills(&gate, "DELETE", KEY, "{ principal: alice, reason: r, by: b }").await.0, 200);
    assert_eq!(called(gate.data, ALICE, SEARCH).await, "yes");
    let gate = gate.restart().await;
    assert_eq!(called(gate.data, ALICE, SEARCH).await, "yes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_tool_is_not_given_once_it_is_stopped() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| {
        let call = request.json().unwrap_or_default();
        let result = match call["method"].as_str() {
            Some("tools/list") => json!({
                "resultType": "complete", "tools": upstream::tools(), "ttlMs": 600_000, "cacheScope": "public",
            }),
            _ => json!({ "resultType": "complete", "content": [] }),
        };
        Reply::json(&json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
    });
    let policy = format!("{READERS}tools: {{ search_records: {{ cache: {{ for: 1h, per: everyone }} }} }}\n");
    let gate = world(&upstream).policy("records.yaml", &policy).top("cache: { lists: 1h }").start().await;
    let list = post_modern("tools/list", "", None);
    let shows = async || raw::call(gate.data, &list).await.text().contains(SEARCH);
    for _ in 0..2 {
        assert!(called(gate.data, ALICE, SEARCH).await == "yes" && shows().await);
    }
    assert_eq!(upstream.count(), 2, "the answer and the list are kept");
    kill(&gate, "tool: search_records").await;
    assert_eq!((called(gate.data, ALICE, SEARCH).await.as_str(), shows().await), (GONE, false));
    assert_eq!(upstream.count(), 2, "and still are");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scope_stops_what_it_names_and_nothing_else() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).start().await;
    let cases = [
        ("all: true", [OFF, OFF]),
        ("server: records", [OFF, OFF]),
        ("tool: search_records", [GONE, GONE]),
        ("tool: search_records, principal: alice", [GONE, "yes"]),
        ("tool: get_statistics", ["yes", "yes"]),
        ("principal: bob", ["yes", OFF]),
        ("key: alice", [OFF, "yes"]),
        ("key: alice, principal: bob", ["yes", "yes"]),
        ("all: true, expires: 2020-01-01", ["yes", "yes"]),
    ];
    for (entry, heard) in cases {
        kill(&gate, entry).await;
        let told = [called(gate.data, ALICE, SEARCH).await, called(gate.data, BOB, SEARCH).await];
        assert_eq!(told, heard, "{entry}");
        let entry = entry.split(", expires").next().unwrap();
        kills(&gate, "DELETE", KEY, &format!("{{{entry}, reason: r, by: b}}")).await;
    }
    assert_eq!(called(gate.data, ALICE, SEARCH).await, "yes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_end_by_themselves_or_at_once_as_it_is_said() {
    let upstream = Upstream::start().await;
    let progress =
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    upstream.answer_with(move |request: &Recorded| {
        let message = request.json().unwrap_or_default();
        match message["params"]["name"].as_str() {
            Some("search_records") => Reply::OnRelease(Box::new(Reply::obliging(request))),
            Some("get_statistics") => Reply::Events(vec![progress.to_owned()], Ending::StayOpen),
            _ => Reply::obliging(request),
        }
    });
    upstream.hold();
    let policy = format!("{READERS}tools:\n  search_records: {{ timeout: 1m }}\n  get_statistics: {{ timeout: 1m }}\n");
    let gate = world(&upstream).policy("records.yaml", &policy).start().await;
    let (mut waits, mut streams) = (Connection::open(gate.data).await, Connection::open(gate.data).await);
    waits.send(&post(ALICE, &tool_call("1", SEARCH, "{}"))).await.unwrap();
    streams.send(&post(ALICE, &tool_call("2", "get_statistics", "{}"))).await.unwrap();
    streams.read_head().await.unwrap();
    streams.read_chunk().await.unwrap();
    assert!(upstream.wait_for(2, DEADLINE).await);

    kill(&gate, "all: true").await;
    kill(&gate, "principal: alice, in_flight: abort").await;
    let Answer::Response(answer) = waits.read().await else { panic!("an answer comes") };
    let error = &answer.json().unwrap()["error"];
    assert_eq!(
        (error["code"].as_i64(), error["data"]["executed"].as_str()),
        (Some(-31503), Some("unknown")),
        "{error}"
    );
    let last = String::from_utf8(streams.read_chunk().await.unwrap().unwrap()).unwrap();
    assert!(last.contains("ended by an operator") && last.contains(r#""id":2"#), "{last}");
    assert!(upstream.wait_for_hang_ups(1, DEADLINE).await, "the server hears of it");
    let aborted = |line: &str| line.contains(r#""refused":"killed""#) && line.contains(r#""outcome":"denied""#);
    assert!(gate.decisions.wait_since(0, DEADLINE, aborted).await.is_some());

    kills(&gate, "DELETE", KEY, "{ all: true, reason: r, by: b }").await;
    let mut drains = Connection::open(gate.data).await;
    let before = upstream.count();
    drains.send(&post(BOB, &tool_call("3", SEARCH, "{}"))).await.unwrap();
    assert!(upstream.wait_for(before + 1, DEADLINE).await);
    kill(&gate, "all: true").await;
    assert_eq!(called(gate.data, BOB, SEARCH).await, OFF);
    upstream.release();
    let Answer::Response(answer) = drains.read().await else { panic!("an answer comes") };
    assert!(answer.json().unwrap().get("result").is_some(), "what was under way ends by itself: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_body_is_still_coming_when_it_is_stopped_does_not_pass() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).start().await;
    let mut slow = Connection::open(gate.data).await;
    let request = post(ALICE, &tool_call("1", SEARCH, "{}"));
    let (begin, rest) = request.split_at(request.len() - 10);
    slow.send(begin).await.unwrap();
    let in_flight = async || gate.metric("tollgate_exchanges_in_flight").await == Some(1.0);
    assert!(until(DEADLINE, in_flight).await, "the gate waits for the rest");
    kill(&gate, "tool: search_records").await;
    slow.send(rest).await.unwrap();
    let Answer::Response(answer) = slow.read().await else { panic!("an answer comes") };
    assert!(answer.text().contains("Unknown tool"), "{}", answer.text());
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_for_some_time_goes_on_by_itself() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).start().await;
    assert!(
        command(&gate, &["kill", "--tool", SEARCH, "--reason", "it leaks", "--by", "ann", "--for", "2s"])
            .await
            .status
            .success()
    );
    assert_eq!(called(gate.data, ALICE, SEARCH).await, GONE);
    let again = async || called(gate.data, ALICE, SEARCH).await == "yes";
    assert!(until(Duration::from_secs(20), again).await);
    let metric = async || gate.metric("tollgate_kill_switch_active{scope=\"tool\"}").await == Some(0.0);
    assert!(until(DEADLINE, metric).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_stops_lists_and_lets_go_on() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream).start().await;
    let told = command(&gate, &["kill", "--all", "--reason", "it leaks", "--by", "ann"]).await;
    assert!(told.status.success(), "{told:?}");
    assert_eq!(called(gate.data, ALICE, SEARCH).await, OFF);
    let listed = String::from_utf8(command(&gate, &["kill", "--list"]).await.stdout).unwrap();
    assert!(listed.contains("it leaks") && listed.contains("\"by\":\"ann\""), "{listed}");
    assert_eq!(command(&gate, &["unkill", "--tool", SEARCH]).await.status.code(), Some(2), "that was not stopped");
    let undone = command(&gate, &["unkill", "--all"]).await;
    let told = String::from_utf8_lossy(&undone.stdout);
    assert!(undone.status.success() && told.contains("it leaks") && told.contains("ann"), "whose it was: {told}");
    assert_eq!(called(gate.data, ALICE, SEARCH).await, "yes");
    assert_eq!(command(&gate, &["kill", "--reason", "what?"]).await.status.code(), Some(2), "it says not what");
    assert_eq!(called(gate.data, ALICE, SEARCH).await, "yes");
}

async fn command(gate: &Gate, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args).arg("--config").arg(gate.policies().with_file_name("tollgate.yaml"));
    command.arg("--admin").arg(gate.admin.to_string());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}
