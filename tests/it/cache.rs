//! Answers that are given again, as callers and the server see them.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, post, post_modern, post_with, tool_call};
use crate::support::raw::{self, Connection, Response};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

fn cached(more: &str) -> String {
    format!("{READERS}tools: {{ search_records: {{ cache: {{ {more} }} }} }}\n")
}

/// A gate whose cache lasts longer than any test.
async fn gate(upstream: &Upstream, per: &str) -> Gate {
    World::new(&upstream.url()).policy("records.yaml", &cached(&format!("for: 1h, per: {per}"))).start().await
}

async fn search(gate: SocketAddr, key: &str, id: &str, arguments: &str) -> Response {
    raw::call(gate, &post(key, &tool_call(id, "search_records", arguments))).await
}

/// The answer without what is said of its age.
fn result(response: &Response) -> Value {
    let mut result = response.json().unwrap()["result"].take();
    let meta = result.get_mut("_meta").and_then(Value::as_object_mut);
    if meta.is_some_and(|meta| meta.remove("io.tollgate/age").is_some() && meta.is_empty()) {
        result.as_object_mut().unwrap().remove("_meta");
    }
    result
}

fn is_from_cache(response: &Response) -> bool {
    response.json().unwrap()["result"]["_meta"]["io.tollgate/age"].is_u64()
}

/// A server that gives every call its own number.
fn counting(upstream: &Upstream, result: impl Fn(usize) -> Value + Send + Sync + 'static) {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    upstream.answer_with(move |request: &Recorded| {
        let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = &request.json().unwrap()["id"];
        Reply::json(&json!({ "jsonrpc": "2.0", "id": id, "result": result(n) }))
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_call_is_answered_again_without_the_server_and_by_its_own_id() {
    let upstream = Upstream::start().await;
    let gate = gate(&upstream, "principal").await;
    let first = search(gate.data, ALICE, "1", r#"{"a":1,"b":["x"]}"#).await;
    let again = search(gate.data, ALICE, "\"two\"", r#"{ "b": ["x"], "a": 1.0 }"#).await;
    assert!(!is_from_cache(&first) && is_from_cache(&again), "{}\n{}", first.text(), again.text());
    assert_eq!((result(&again), &again.json().unwrap()["id"]), (result(&first), &json!("two")));
    assert_eq!(again.head.first("content-type"), Some("application/json"));
    assert_eq!(upstream.count(), 1);

    for (key, arguments) in [(ALICE, r#"{"a":2,"b":["x"]}"#), (BOB, r#"{"a":1,"b":["x"]}"#), (ALICE, "{}")] {
        assert!(!is_from_cache(&search(gate.data, key, "1", arguments).await), "{arguments}");
    }
    let other_tool = post(ALICE, &tool_call("1", "get_statistics", "{}"));
    for _ in 0..2 {
        assert!(!is_from_cache(&raw::call(gate.data, &other_tool).await), "of it nothing was said");
    }
    assert_eq!(upstream.count(), 6);

    let served = |wanted: &'static str| move |line: &str| line.contains(&format!(r#""cache":"{wanted}""#));
    assert!(gate.decisions.wait_since(0, DEADLINE, served("hit")).await.is_some());
    let metrics = raw::get(gate.admin, "/metrics").await.text();
    for line in [
        r#"tollgate_cache_calls_total{result="hit",server="records",tool_name="search_records"} 1"#,
        r#"tollgate_cache_calls_total{result="miss",server="records",tool_name="search_records"} 4"#,
        "tollgate_cache_answers 4",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_who_may_ask_has_the_answer_if_the_policy_says_so_and_nobody_else() {
    let upstream = Upstream::start().await;
    let policy = cached("for: 1h, per: everyone").replace("roles:", "deny: { tools: [delete_record] }\nroles:");
    let told = "upstream_headers: { x-store: { claim: store, optional: true } }\n";
    let world = World::new(&upstream.url()).policy("records.yaml", &format!("{policy}{told}"));
    let principals = crate::support::world::principals("reader");
    let principals =
        principals.replace("roles: [reader], expires: 2099", "roles: [reader], claims: { store: s1 }, expires: 2099");
    let carol = format!(
        "  - {{ id: carol, hash: \"{}\", expires: 2099-01-01 }}\n",
        crate::support::keys::hash("carol-key-0123456789")
    );
    let gate = world.policy("principals.yaml", &format!("{principals}{carol}")).start().await;
    assert!(!is_from_cache(&search(gate.data, ALICE, "1", "{}").await));
    assert!(is_from_cache(&search(gate.data, BOB, "1", "{}").await));
    let refused = search(gate.data, "carol-key-0123456789", "1", "{}").await.text();
    assert!(refused.contains("Unknown tool") && upstream.count() == 1, "{refused}");

    // Of whom the server is told something else, that one asks by itself.
    let policies = gate.policies().join("principals.yaml");
    let elsewhere = std::fs::read_to_string(&policies).unwrap().replacen("store: s1", "store: s2", 1);
    std::fs::write(&policies, elsewhere).unwrap();
    assert!(gate.log.says("policies reloaded").await);
    assert!(!is_from_cache(&search(gate.data, BOB, "1", "{}").await), "any change of the policies empties it");
    assert!(!is_from_cache(&search(gate.data, ALICE, "1", "{}").await));
    assert_eq!(upstream.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_ask_the_same_at_once_are_one_call_to_the_server() {
    const CALLERS: u32 = 20;
    let upstream = Upstream::start().await;
    // Servers answer calls by streams as often as not.
    let events = |request: &Recorded| {
        let id = &request.json().unwrap()["id"];
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } });
        Reply::OnRelease(Box::new(Reply::Events(vec![format!("data: {answer}")], Ending::Clean)))
    };
    upstream.answer_with(events);
    let gate = gate(&upstream, "everyone").await;
    let mut callers = JoinSet::new();
    for id in 0..CALLERS {
        let (to, key) = (gate.data, if id % 2 == 0 { ALICE } else { BOB });
        callers.spawn(async move { (id, search(to, key, &id.to_string(), r#"{"a":1}"#).await) });
    }
    let all_wait = || async { gate.metric("tollgate_exchanges_in_flight").await == Some(f64::from(CALLERS)) };
    assert!(until(DEADLINE, all_wait).await);
    assert_eq!(upstream.count(), 1);
    upstream.release();
    let mut from_cache = 0;
    while let Some(answered) = callers.join_next().await {
        let (id, answer) = answered.unwrap();
        assert_eq!(answer.json().unwrap()["id"], id, "{}", answer.text());
        from_cache += u32::from(is_from_cache(&answer));
    }
    assert_eq!((from_cache, upstream.count()), (CALLERS - 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_batch_that_ask_the_same_do_not_keep_each_other_waiting() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| {
        let answer = json!({ "jsonrpc": "2.0", "id": request.json().unwrap()["id"], "result": { "content": [] } });
        Reply::Events(vec![format!("data: {answer}")], Ending::Clean)
    });
    let policy = cached("for: 1h").replace("cache:", "timeout: 1h, cache:");
    let gate = World::new(&upstream.url()).listen("batches: true").policy("records.yaml", &policy).start().await;
    let batch = [1, 2, 3].map(|id| tool_call(&id.to_string(), "search_records", "{}")).join(",");
    let mut headers = LEGACY.to_vec();
    headers[3].1 = "2025-03-26";
    headers.push(("x-api-key", ALICE));
    let answer = raw::call(gate.data, &post_with(&headers, &format!("[{batch}]"))).await.text();
    let answered = [1, 2, 3].map(|id| answer.matches(&format!(r#""id":{id},"#)).count());
    assert_eq!((answered, upstream.count()), ([1, 1, 1], 1), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_the_others_their_answer() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let gate = gate(&upstream, "everyone").await;
    let mut first = Connection::open(gate.data).await;
    first.send(&post(ALICE, &tool_call("1", "search_records", "{}"))).await.unwrap();
    assert!(upstream.wait_for(1, DEADLINE).await);
    let mut others = JoinSet::new();
    for _ in 0..5 {
        let to = gate.data;
        others.spawn(async move { search(to, BOB, "2", "{}").await });
    }
    assert!(until(DEADLINE, || async { gate.metric("tollgate_exchanges_in_flight").await == Some(6.0) }).await);
    drop(first);
    assert!(upstream.wait_for(2, DEADLINE).await, "the next one asks");
    upstream.release();
    while let Some(answer) = others.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.json().unwrap()["result"]["isError"], false, "{}", answer.text());
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_given_again_is_not() {
    let upstream = Upstream::start().await;
    let redact = "redact: [{ find: [email], in: results, then: block }]\n";
    let policy = format!("{}{redact}", cached("for: 1h, per: everyone"));
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    let said = |text: &str| json!({ "content": [{ "type": "text", "text": text }] });
    for (why, result) in [
        ("the tool failed", json!({ "content": [], "isError": true })),
        ("it is withheld", said("write to alice@example.com")),
        ("the server says so", json!({ "content": [], "ttlMs": 0, "cacheScope": "public" })),
        ("it asks for something", json!({ "resultType": "input_required", "requestState": "s" })),
    ] {
        let before = upstream.count();
        counting(&upstream, move |_| result.clone());
        let answers = [search(gate.data, ALICE, "1", "{}").await, search(gate.data, ALICE, "1", "{}").await];
        assert_eq!(upstream.count() - before, 2, "{why}");
        assert!(!answers.iter().any(is_from_cache), "{why}");
    }
    // For one caller only, the server says.
    let before = upstream.count();
    counting(&upstream, |_| json!({ "content": [], "cacheScope": "private" }));
    let served = [ALICE, ALICE, BOB, ALICE].map(|key| search(gate.data, key, "1", r#"{"private":true}"#));
    let mut from_cache = Vec::new();
    for answer in served {
        from_cache.push(is_from_cache(&answer.await));
    }
    assert_eq!((from_cache, upstream.count() - before), (vec![false, true, false, true], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_the_server_is_asked_of_the_server() {
    let upstream = Upstream::start().await;
    counting(&upstream, |n| json!({ "resultType": "complete", "content": [], "n": n }));
    let gate = gate(&upstream, "principal").await;
    let call =
        |more: &str| post_modern("tools/call", &format!(r#""name":"search_records"{more}"#), Some("search_records"));
    for (more, from_cache) in [
        ("", false),
        ("", true),
        (r#","inputResponses":{},"requestState":"s""#, false),
        (r#","inputResponses":{},"requestState":"s""#, false),
        ("", true),
    ] {
        let answer = raw::call(gate.data, &call(more)).await;
        assert_eq!(is_from_cache(&answer), from_cache, "{more}: {}", answer.text());
    }
    // What one revision of the protocol is answered need not fit another.
    assert!(!is_from_cache(&search(gate.data, ALICE, "1", "{}").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_is_charged_and_redacted_like_what_is_asked() {
    let upstream = Upstream::start().await;
    let settings = "cache: { for: 1h }, limits: [{ calls: 3, every: 1h, per: principal }], \
                    redact: [{ find: [email], in: results, then: mask }]";
    let policy = format!("{READERS}tools: {{ search_records: {{ {settings} }} }}\n");
    counting(&upstream, |_| json!({ "content": [{ "type": "text", "text": "write to alice@example.com" }] }));
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    for from_cache in [false, true, true] {
        let answer = search(gate.data, ALICE, "1", "{}").await;
        assert_eq!(is_from_cache(&answer), from_cache);
        assert!(
            !answer.text().contains("alice@example.com") && answer.text().contains("write to"),
            "{}",
            answer.text()
        );
    }
    let refused = search(gate.data, ALICE, "1", "{}").await.text();
    assert!(refused.contains("limit of calls") && upstream.count() == 1, "{refused}");
}
