//! A session's listening stream: opened again as soon as it is closed, as without a gate.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Ending, Reply, Upstream};
use crate::support::world::World;

fn conflict() -> Reply {
    Reply::status(409, &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "one stream" } }))
}

fn get() -> Vec<u8> {
    format!("GET /mcp HTTP/1.1\r\nhost: localhost:8080\r\nx-api-key: {ALICE}\r\naccept: text/event-stream\r\n\r\n")
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_asked_for_again_until_the_server_has_seen_the_last_one_end() {
    let upstream = Upstream::start().await;
    let asked = AtomicUsize::new(0);
    upstream.answer_with(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => conflict(),
        _ => Reply::Events(vec![": open".to_owned()], Ending::StayOpen),
    });
    let gate = World::new(&upstream.url()).start().await;
    let mut connection = Connection::open(gate.data).await;
    connection.send(&get()).await.unwrap();
    let head = connection.read_head().await.unwrap().expect("a head");
    assert!(head.first("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")), "{head:?}");
    assert_eq!(upstream.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_on_refusing_is_believed_and_a_call_is_never_repeated() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| conflict());
    let gate = World::new(&upstream.url()).start().await;
    assert_eq!(raw::call(gate.data, &get()).await.status, 409);
    let before = upstream.count();
    assert!(before < 10, "asked {before} times");
    assert_eq!(raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await.status, 409);
    assert_eq!(upstream.count(), before + 1);
}
