//! Every deadline of a server is seen to fire, and is told by its name.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{message, post};
use crate::support::raw;
use crate::support::shim::BlackHole;
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;

const READS: &str = "\
server: records
roles:
  reader: { tools: [search_records], resources: [\"demo://*\"] }
";

/// A read of a resource, which no tool's timeout is about.
fn read() -> Vec<u8> {
    post(ALICE, &message("1", "resources/read", r#"{"uri":"demo://a"}"#))
}

async fn start(url: &str, timeouts: &str) -> Gate {
    World::new(url).policy("records.yaml", READS).server(&format!("timeouts: {{ {timeouts} }}")).start().await
}

async fn told(gate: &Gate, kind: &str, outcome: &str) {
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("resources/read")).await.unwrap();
    assert!(line.contains(&format!(r#""outcome":"{outcome}""#)), "{line}");
    let text = raw::get(gate.admin, "/metrics").await.text();
    let counted = text.lines().find(|line| line.contains(&format!("timeout_kind=\"{kind}\"")));
    assert!(counted.is_some_and(|line| line.starts_with("tollgate_decisions_total") && line.ends_with(" 1")), "{text}");
}

async fn ask(gate: SocketAddr) -> Value {
    raw::call(gate, &read()).await.json().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_connection() {
    let hole = BlackHole::start().await;
    let gate = start(&hole.url(), "connect: 50ms").await;
    let error = ask(gate.data).await["error"].clone();
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31502), &json!("no")), "{error}");
    told(&gate, "upstream.connect", "upstream_error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_beginning_of_an_answer() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| match request.json() {
        Some(message) if message["method"] == "resources/read" => Reply::Hang,
        _ => Reply::empty(202),
    });
    let gate = start(&upstream.url(), "first_byte: 50ms").await;
    let error = ask(gate.data).await["error"].clone();
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31504), &json!("unknown")), "{error}");
    told(&gate, "upstream.first_byte", "timeout").await;
    // A server of this era is told; a later one knows by the end of its connection.
    assert!(upstream.wait_for(2, DEADLINE).await);
    assert_eq!(upstream.since(1)[0].json().unwrap()["method"], "notifications/cancelled");
    assert!(upstream.wait_for_hang_ups(1, DEADLINE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_next_word_of_a_stream() {
    let upstream = Upstream::start().await;
    let word = r#"data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
    upstream.answer_with(move |request: &Recorded| match request.json() {
        Some(message) if message["method"] == "resources/read" => {
            Reply::Events(vec![word.to_owned()], Ending::StayOpen)
        }
        _ => Reply::empty(202),
    });
    let gate = start(&upstream.url(), "stream_idle: 50ms").await;
    let error = ask(gate.data).await["error"].clone();
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31504), &json!("unknown")), "{error}");
    told(&gate, "upstream.stream_idle", "timeout").await;
    assert!(upstream.wait_for(2, DEADLINE).await);
    assert_eq!(upstream.since(1)[0].json().unwrap()["method"], "notifications/cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_of_an_answer_that_is_no_stream() {
    let upstream = Upstream::start().await;
    // Longer than it says, so the rest never comes.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n{\"jsonrpc\"";
    upstream.answer_with(move |request: &Recorded| match request.json() {
        Some(message) if message["method"] == "resources/read" => Reply::RawKept(head.as_bytes().to_vec()),
        _ => Reply::empty(202),
    });
    let gate = start(&upstream.url(), "total: 50ms").await;
    let error = ask(gate.data).await["error"].clone();
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31504), &json!("unknown")), "{error}");
    told(&gate, "upstream.total", "timeout").await;
}
