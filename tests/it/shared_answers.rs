//! Answers that gates share: what one of them was told by the server, the others need not ask.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Response};
use crate::support::shim::Shim;
use crate::support::store::Store;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// A machine that is busy with other tests may be slow.
const PATIENT: &str = ", timeout: 1s";

/// One of several gates that share answers in the store there; `said` beside the key.
fn world(upstream: &Upstream, store: &str, per: &str, said: &str) -> World {
    World::new(&upstream.url())
        .policy("records.yaml", &policy(per))
        .file("store", store)
        .file("cache-key", KEY)
        .top("limits_store: { url: \"file:HOME/store\", timeout: 1s }")
        .top(&format!("cache: {{ shared: {{ key: \"file:HOME/cache-key\"{said} }} }}"))
}

fn policy(per: &str) -> String {
    format!("{READERS}tools: {{ search_records: {{ cache: {{ for: 1h, per: {per} }} }} }}\n")
}

/// A server whose answers name the caller, so that nobody else's is taken for one's own.
async fn server() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| {
        let call = request.json().unwrap();
        let text = format!("for {}", request.head.first("x-gateway-principal").unwrap_or_default());
        let content = json!([{ "type": "text", "text": text }]);
        let scope = if request.holds("private") { "private" } else { "public" };
        Reply::json(&json!({
            "jsonrpc": "2.0", "id": call["id"], "result": { "content": content, "cacheScope": scope },
        }))
    });
    upstream
}

async fn search(gate: SocketAddr, key: &str, arguments: &str) -> Response {
    raw::call(gate, &post(key, &tool_call("1", "search_records", arguments))).await
}

/// How old an answer is, if it is not the server's.
fn age(response: &Response) -> Option<u64> {
    response.json().unwrap()["result"]["_meta"]["io.tollgate/age"].as_u64()
}

fn text(response: &Response) -> String {
    response.json().unwrap()["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

/// The names of all answers in the store, once there are so many.
async fn names(store: &Store, count: usize) -> Vec<String> {
    let names = async || {
        let said = store.ask("KEYS tollgate:answers:*").await.unwrap();
        said.lines().filter(|line| line.starts_with("tollgate:")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(until(DEADLINE, async || names().await.len() >= count).await, "{count} answers are in the store");
    names().await
}

async fn looks(gate: &Gate, how: &str) -> Option<f64> {
    gate.metric(&format!("tollgate_cache_shared_looks_total{{result=\"{how}\"}}")).await
}

async fn sees_store(gate: &Gate, phase: &str) -> bool {
    let line = format!("limits_store {phase}\n");
    until(DEADLINE, async || raw::get(gate.admin, "/readyz?verbose").await.text().contains(&line)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_gate_was_told_another_one_answers() {
    let (upstream, store) = (server().await, Store::start().await);
    let world = world(&upstream, &store.url(), "principal", PATIENT);
    let (one, other) = (world.start().await, world.start().await);
    assert_eq!(age(&search(one.data, ALICE, r#"{"a":1}"#).await), None);
    let [name] = names(&store, 1).await.try_into().unwrap();
    let sealed = store.ask(&format!("GET {name}")).await.unwrap();
    assert!(sealed.len() > 100 && !sealed.contains("alice") && !sealed.contains("content"), "{sealed}");

    // By its store's clock it is 50 minutes old.
    assert!(store.ask(&format!("PEXPIRE {name} 600000")).await.unwrap().starts_with(":1"));
    let found = search(other.data, ALICE, r#"{ "a": 1.0 }"#).await;
    assert!(age(&found).is_some_and(|age| (3000..3600).contains(&age)), "{}", found.text());
    assert_eq!((text(&found).as_str(), upstream.count()), ("for alice", 1));
    assert_eq!((looks(&other, "hit").await, looks(&other, "miss").await), (Some(1.0), Some(0.0)));
    assert!(age(&search(other.data, ALICE, r#"{"a":1}"#).await).is_some());
    assert_eq!(looks(&other, "hit").await, Some(1.0), "it is in this gate's memory now");

    assert_eq!(text(&search(other.data, BOB, r#"{"a":1}"#).await), "for bob");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_serves_nobody_that_it_is_not_for() {
    let (upstream, store) = (server().await, Store::start().await);
    let world = |upstream, per| world(upstream, &store.url(), per, PATIENT);
    let one = world(&upstream, "everyone").start().await;
    for arguments in ["{}", r#"{"q":"private"}"#] {
        assert_eq!(text(&search(one.data, ALICE, arguments).await), "for alice");
    }
    names(&store, 2).await;
    let other = world(&upstream, "everyone").start().await;
    assert_eq!(text(&search(other.data, BOB, "{}").await), "for alice", "the policy and the server say so");
    assert_eq!(text(&search(other.data, BOB, r#"{"q":"private"}"#).await), "for bob");
    assert_eq!(text(&search(other.data, ALICE, r#"{"q":"private"}"#).await), "for alice");
    assert_eq!(upstream.count(), 3);

    // Whoever has another policy, another key or another server of the same name shares nothing.
    let elsewhere = server().await;
    let changed = format!("{}# another line\n", policy("everyone"));
    for (why, world) in [
        ("policy", world(&upstream, "everyone").policy("records.yaml", &changed)),
        ("key", world(&upstream, "everyone").file("cache-key", &KEY.replace("MDE", "MDI"))),
        ("server", world(&elsewhere, "everyone")),
    ] {
        let gate = world.start().await;
        assert_eq!(age(&search(gate.data, ALICE, "{}").await), None, "another {why}");
        assert_eq!(looks(&gate, "hit").await, Some(0.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_in_the_store_is_not_taken() {
    let (upstream, store) = (server().await, Store::start().await);
    let world = world(&upstream, &store.url(), "principal", PATIENT);
    let one = world.start().await;
    search(one.data, ALICE, "{}").await;
    let [of_alice] = names(&store, 1).await.try_into().unwrap();
    search(one.data, BOB, "{}").await;
    let of_bob = names(&store, 2).await.into_iter().find(|name| *name != of_alice).unwrap();

    // One in another's place; one that somebody keeps beyond its time; and one that somebody made up.
    assert!(store.ask(&format!("COPY {of_alice} {of_bob} REPLACE")).await.unwrap().starts_with(":1"));
    assert!(store.ask(&format!("PEXPIRE {of_alice} 999999999")).await.unwrap().starts_with(":1"));
    let other = world.start().await;
    assert_eq!(text(&search(other.data, BOB, "{}").await), "for bob");
    assert_eq!(upstream.count(), 3);
    assert!(age(&search(other.data, ALICE, "{}").await).is_some_and(|age| age < 600), "its age is not of the store");
    for made_up in ["x", &"x".repeat(100)] {
        assert_eq!(store.ask(&format!("SET {of_alice} {made_up} PX 600000")).await.as_deref(), Some("+OK\r\n"));
        let third = world.start().await;
        assert_eq!(text(&search(third.data, ALICE, "{}").await), "for alice");
        assert_eq!((looks(&third, "hit").await, looks(&third, "miss").await), (Some(0.0), Some(1.0)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_each_gate_has_its_own_answers_and_nobody_waits() {
    let (upstream, mut store) = (server().await, Store::start().await);
    let gate = world(&upstream, &store.url(), "principal", PATIENT).start().await;
    let mut asked = 0;
    let mut once = async |phase: &str| {
        asked += 1;
        let arguments = format!(r#"{{"n":{asked}}}"#);
        assert_eq!(age(&search(gate.data, ALICE, &arguments).await), None, "{phase}");
        assert!(age(&search(gate.data, ALICE, &arguments).await).is_some(), "{phase}: it is in memory");
        assert_eq!(upstream.count(), asked, "{phase}");
    };
    once("there").await;
    store.hang();
    once("just gone").await;
    assert!(sees_store(&gate, "open").await);
    let before = looks(&gate, "failed").await;
    for _ in 0..20 {
        once("hangs").await;
    }
    assert_eq!((looks(&gate, "unasked").await, looks(&gate, "failed").await), (Some(20.0), before));
    store.go_on();
    assert!(sees_store(&gate, "closed").await);
    store.kill();
    once("gone").await;
    assert!(sees_store(&gate, "open").await);
    store.come_back().await;
    assert!(sees_store(&gate, "closed").await);
    once("there again").await;
    names(&store, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_slow_is_not_waited_for_and_still_counts() {
    const CALLS: u32 = 30;
    let (upstream, store) = (server().await, Store::start().await);
    let slow = Shim::slow(store.address, Duration::from_millis(100));
    let limited = "get_statistics: { limits: [{ calls: 1, every: 1h, per: principal }] }";
    let policy = policy("principal").replace("tools: { search", &format!("tools: {{ {limited}, search"));
    let world = world(&upstream, &format!("redis://{}/", slow.address), "principal", "");
    let gate = world.policy("records.yaml", &policy).start().await;
    for n in 0..CALLS {
        assert_eq!(age(&search(gate.data, ALICE, &format!(r#"{{"n":{n}}}"#)).await), None);
    }
    assert_eq!((looks(&gate, "failed").await, looks(&gate, "unasked").await), (Some(f64::from(CALLS)), Some(0.0)));
    for refused in [false, true] {
        let answer = raw::call(gate.data, &post(ALICE, &tool_call("1", "get_statistics", "{}"))).await.text();
        assert_eq!(answer.contains("limit of calls"), refused, "it counts for those who can wait: {answer}");
    }
    assert!(!gate.log.text().contains("the limits store is away"), "{}", gate.log.text());
}
