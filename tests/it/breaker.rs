//! A server that fails is left alone for a moment, and asked again.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::Connection;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, raw, until};

async fn search(gate: SocketAddr, arguments: &str) -> Value {
    raw::call(gate, &post(ALICE, &tool_call("1", "search_records", arguments))).await.json().unwrap()
}

fn said(answer: &Value) -> (i64, &str, &str) {
    let error = &answer["error"];
    let word = |name: &str| error["data"][name].as_str().unwrap_or_default();
    (error["code"].as_i64().unwrap_or_default(), word("reason"), word("executed"))
}

const LEFT_ALONE: (i64, &str, &str) = (-31503, "circuit_open", "no");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_left_alone_until_it_is() {
    let address = Upstream::start().await.address;
    let url = format!("http://{address}/mcp");
    let gate = World::new(&url).server("breaker: { failures: 3, pause: 1m }").start().await;
    for _ in 0..3 {
        assert_eq!(said(&search(gate.data, "{}").await), (-31502, "", "no"));
    }
    let refused = raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await;
    assert_eq!(said(&refused.json().unwrap()), LEFT_ALONE, "{}", refused.text());
    assert!(refused.head.first("retry-after").is_some());
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("circuit_open")).await.unwrap();
    assert!(line.contains(r#""outcome":"upstream_error""#), "{line}");
    let circuit = format!("tollgate_upstream_circuit{{endpoint=\"{url}\",server=\"records\",state=\"open\"}}");
    let open = async || gate.metric(&circuit).await == Some(1.0);
    assert!(until(DEADLINE, open).await);
    assert!(raw::get(gate.admin, "/readyz?verbose").await.text().contains(&format!("circuit {url} open\n")));

    // However long the pause is: what looks for the server tells that it is there.
    let upstream = Upstream::start_at(address).await;
    let again = async || search(gate.data, "{}").await.get("result").is_some();
    assert!(until(DEADLINE, again).await);
    assert!(upstream.count() > 0);
    let closed = async || gate.metric(&circuit).await == Some(0.0);
    assert!(until(DEADLINE, closed).await);
    assert!(raw::get(gate.admin, "/readyz?verbose").await.text().contains(&format!("circuit {url} closed\n")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_call_tries_whether_it_answers_again_no_other_reaches_it() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::empty(503));
    let gate = World::new(&upstream.url()).server("breaker: { failures: 3 }").start().await;
    let is_left_alone = async || said(&search(gate.data, "{}").await) == LEFT_ALONE;
    assert!(until(DEADLINE, is_left_alone).await);
    upstream.answer_with(|request: &Recorded| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let before = upstream.count();
    let try_it = async {
        loop {
            let mut call = Connection::open(gate.data).await;
            call.send(&post(ALICE, &tool_call("1", "search_records", "{}"))).await.unwrap();
            tokio::select! {
                true = upstream.wait_for(before + 1, DEADLINE) => return call,
                raw::Answer::Response(refused) = call.read() => assert_eq!(said(&refused.json().unwrap()), LEFT_ALONE),
            }
        }
    };
    let mut trying = tokio::time::timeout(DEADLINE, try_it).await.expect("one tries");
    for _ in 0..10 {
        assert!(is_left_alone().await);
    }
    assert_eq!(upstream.count(), before + 1, "nobody else reaches it");
    let circuit = |state: &str| {
        format!("tollgate_upstream_circuit{{endpoint=\"{}\",server=\"records\",state=\"{state}\"}}", upstream.url())
    };
    assert_eq!(gate.metric(&circuit("half_open")).await, Some(1.0));
    let line = format!("circuit {} half_open\n", upstream.url());
    assert!(raw::get(gate.admin, "/readyz?verbose").await.text().contains(&line));
    upstream.release();
    assert!(matches!(trying.read().await, raw::Answer::Response(answer) if answer.status == 200));
    assert!(search(gate.data, "{}").await.get("result").is_some(), "its answer lets all others in");
    assert_eq!(gate.metric(&circuit("closed")).await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_callers_calls_that_time_out_do_not_shut_others_out() {
    let upstream = Upstream::start().await;
    upstream
        .answer_with(|request: &Recorded| if request.holds("hang") { Reply::Hang } else { Reply::obliging(request) });
    let policy = format!("{READERS}tools: {{ search_records: {{ timeout: 50ms }} }}\n");
    let world = World::new(&upstream.url()).policy("records.yaml", &policy).server("breaker: { failures: 1 }");
    let gate = world.start().await;
    for _ in 0..8 {
        assert_eq!(said(&search(gate.data, r#"{"q":"hang"}"#).await).0, -31504);
    }
    assert!(search(gate.data, "{}").await.get("result").is_some());
    // Where nearly all fail, it is the server.
    let mut last = Value::Null;
    for _ in 0..40 {
        last = search(gate.data, r#"{"q":"hang"}"#).await;
        if said(&last).0 == -31503 {
            break;
        }
    }
    assert_eq!(said(&last), LEFT_ALONE);
}
