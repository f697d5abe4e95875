//! What is sent again, and what never is (R9).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{message, post, tool_call};
use crate::support::raw;
use crate::support::shim::Shim;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};

async fn search(gate: &Gate) -> Value {
    raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await.json().unwrap()
}

/// Breakers that do not hide what is asked here.
const PATIENT: &str = "breaker: { failures: 1000, percent: 100 }";

fn idempotent() -> String {
    format!("{READERS}tools: {{ search_records: {{ idempotent: true }} }}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_reached_nobody_goes_elsewhere_and_is_carried_once() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let mut shims = [Shim::start(a.address), Shim::start(b.address)];
    let urls = format!("[{}, {}]", shims[0].url(), shims[1].url());
    let gate = World::new(&urls).server(&format!("balance: round_robin, {PATIENT}")).start().await;
    for _ in 0..40 {
        assert!(search(&gate).await.get("result").is_some());
    }
    let mark = b.count();
    shims[0].cut().await;
    for n in 0..8 {
        let answer = search(&gate).await;
        assert!(answer.get("result").is_some(), "{n}: {answer}");
    }
    assert_eq!(b.count() - mark, 8, "none is lost, and none is carried twice");
    let made = gate.metric("tollgate_upstream_retries_total{reason=\"unreachable\",server=\"records\"}").await;
    assert!(made >= Some(3.0), "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_may_have_run_is_never_sent_again() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).server(PATIENT).start().await;
    for _ in 0..20 {
        search(&gate).await;
    }
    upstream.answer(Reply::BreakOff);
    let mark = upstream.count();
    for _ in 0..20 {
        assert_eq!(search(&gate).await["error"]["data"]["executed"], "unknown");
    }
    assert_eq!(upstream.count() - mark, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_the_policy_calls_idempotent_is_asked_again() {
    let upstream = Upstream::start().await;
    let world = World::new(&upstream.url()).server(PATIENT).policy("records.yaml", &idempotent());
    let gate = world.start().await;
    for _ in 0..10 {
        search(&gate).await;
    }
    let mark = upstream.count();
    let asked = Arc::new(AtomicUsize::new(0));
    upstream.answer_with(move |request: &Recorded| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::BreakOff,
        1 => Reply::empty(503),
        _ => Reply::obliging(request),
    });
    let answer = search(&gate).await;
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(upstream.count() - mark, 3);
    let made = gate.metric("tollgate_upstream_retries_total{reason=\"idempotent\",server=\"records\"}").await;
    assert_eq!(made, Some(2.0));
}

/// A server that breaks off the first time, and the keys of the calls that it was sent.
async fn keys_of_one_call(meta: &str) -> (Value, Vec<Value>) {
    let upstream = Upstream::start().await;
    let policy = format!("{READERS}tools: {{ search_records: {{ idempotency_key: com.example/key }} }}\n");
    let gate = World::new(&upstream.url()).server(PATIENT).policy("records.yaml", &policy).start().await;
    for _ in 0..10 {
        search(&gate).await;
    }
    let (mark, asked) = (upstream.count(), AtomicUsize::new(0));
    upstream.answer_with(move |request: &Recorded| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::BreakOff,
        _ => Reply::obliging(request),
    });
    let params = format!(r#"{{"name":"search_records","arguments":{{}}{meta}}}"#);
    let answer = raw::call(gate.data, &post(ALICE, &message("1", "tools/call", &params))).await.json().unwrap();
    let key = |sent: &Recorded| sent.json().unwrap()["params"]["_meta"]["com.example/key"].clone();
    (answer, upstream.since(mark).iter().map(key).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_whose_server_knows_a_call_by_its_key_is_asked_again_with_the_same_one() {
    let (answer, keys) = keys_of_one_call(r#","_meta":{"com.example/key":"mine"}"#).await;
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(keys, ["mine", "mine"], "a caller's own key passes as it came");

    let (answer, keys) = keys_of_one_call("").await;
    assert!(answer.get("result").is_some(), "{answer}");
    assert!(keys.len() == 2 && keys[0] == keys[1], "one is added, for all attempts: {keys:?}");
    assert_eq!(keys[0].as_str().map(str::len), Some(36));
    let (_, others) = keys_of_one_call("").await;
    assert_ne!(keys[0], others[0], "each call has its own");

    let (answer, keys) = keys_of_one_call(r#","_meta":{"com.example/key":""}"#).await;
    assert_eq!(answer["error"]["data"]["executed"], "unknown", "{answer}");
    assert_eq!(keys, [""], "what is no key is not trusted to be one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_fail_a_fifth_is_sent_on_top_and_no_more() {
    let upstream = Upstream::start().await;
    let asked = AtomicUsize::new(0);
    // Where nothing at all is answered the breaker keeps the calls away.
    upstream.answer_with(move |request: &Recorded| match asked.fetch_add(1, Ordering::Relaxed) % 10 {
        9 => Reply::obliging(request),
        _ => Reply::BreakOff,
    });
    let world = World::new(&upstream.url()).server(PATIENT).policy("records.yaml", &idempotent());
    let gate = world.start().await;
    let calls = 100;
    for _ in 0..calls {
        search(&gate).await;
    }
    let seen = upstream.count();
    assert!(seen > calls && seen * 10 <= calls * 12, "{seen} for {calls}");
    let exhausted = gate.metric("tollgate_upstream_retries_exhausted_total{server=\"records\"}").await;
    assert!(exhausted > Some(50.0), "{exhausted:?}");
}
