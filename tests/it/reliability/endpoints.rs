//! A server in several places.

use std::collections::HashSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_modern, post_with, tool_call};
use crate::support::raw::{self, Answer, Connection, Response};
use crate::support::shim::Shim;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const TASKS: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_record_detail, get_statistics] }
tools: { search_records: { timeout: 5s } }
";

async fn search(gate: &Gate) -> Response {
    raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await
}

/// The gate in front of a server that is in all these places.
fn world(places: &[&Upstream]) -> World {
    let urls: Vec<_> = places.iter().map(|place| place.url()).collect();
    World::new(&format!("[{}]", urls.join(", ")))
}

/// The same, over what leads there and can be cut off.
fn over(shims: &[Shim]) -> World {
    let urls: Vec<_> = shims.iter().map(Shim::url).collect();
    World::new(&format!("[{}]", urls.join(", ")))
}

async fn two() -> (Upstream, Upstream) {
    (Upstream::start().await, Upstream::start().await)
}

/// A server that begins sessions, and tells this of itself.
fn keeps_sessions(name: &'static str) -> impl Fn(&Recorded) -> Reply + Send + Sync {
    move |request| match Reply::obliging(request) {
        Reply::Whole { status, mut headers, body } => {
            if request.json().is_some_and(|message| message["method"] == "initialize") {
                headers.push(("mcp-session-id".to_owned(), name.to_owned()));
            }
            Reply::Whole { status, headers, body }
        }
        other => other,
    }
}

async fn begins(gate: &Gate) -> String {
    let initialize = message("1", "initialize", r#"{"protocolVersion":"2025-11-25"}"#);
    let begun = raw::call(gate.data, &post(ALICE, &initialize)).await;
    begun.head.first("mcp-session-id").expect("the server keeps sessions").to_owned()
}

async fn within(gate: &Gate, session: &str) -> Response {
    let mut headers = LEGACY.to_vec();
    headers.extend([("x-api-key", ALICE), ("mcp-session-id", session)]);
    raw::call(gate.data, &post_with(&headers, &tool_call("2", "search_records", "{}"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_where_the_fewest_are_under_way() {
    let (a, b) = two().await;
    let gate = world(&[&a, &b]).start().await;
    a.answer_with(|request| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let mut held = Connection::open(gate.data).await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    // Of two that have nothing to do either may get it; the second call goes to the one that the first did not.
    while a.count() == 0 {
        held.send(&call).await.unwrap();
        let taken = async || a.count() == 1 || b.count() > 0;
        assert!(until(DEADLINE, taken).await);
        if a.count() == 0 {
            assert!(matches!(held.read().await, Answer::Response(_)));
        }
    }
    let mark = b.count();
    for _ in 0..8 {
        assert_eq!(search(&gate).await.status, 200);
    }
    assert_eq!((a.count(), b.count() - mark), (1, 8));
    let busy = format!("tollgate_upstream_in_flight{{endpoint=\"{}\",server=\"records\"}}", a.url());
    assert_eq!(gate.metric(&busy).await, Some(1.0));
    a.release();
    assert!(matches!(held.read().await, Answer::Response(_)));
    let done = async || gate.metric(&busy).await == Some(0.0);
    assert!(until(DEADLINE, done).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_to_one_after_the_other() {
    let (a, b) = two().await;
    let gate = world(&[&a, &b]).server("balance: round_robin").start().await;
    a.answer_with(|request| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let calls: Vec<_> = (0..8).map(|_| Connection::open(gate.data)).collect();
    let mut held = Vec::new();
    for call in calls {
        let mut call = call.await;
        call.send(&post(ALICE, &tool_call("1", "search_records", "{}"))).await.unwrap();
        held.push(call);
    }
    let shared = async || (a.count(), b.count()) == (4, 4);
    assert!(until(DEADLINE, shared).await, "{} {}", a.count(), b.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_place_fails_the_gate_is_ready_and_says_which() {
    let (a, b) = two().await;
    let mut shims = [Shim::start(a.address), Shim::start(b.address)];
    let gate = over(&shims).server("breaker: { failures: 2, pause: 1m }").start().await;
    let [gone, there] = [shims[0].url(), shims[1].url()];
    let ready = async || raw::get(gate.admin, "/readyz").await.status == 200;
    assert!(until(DEADLINE, ready).await);
    shims[0].cut().await;
    let open = format!("tollgate_upstream_circuit{{endpoint=\"{gone}\",server=\"records\",state=\"open\"}}");
    let opens = async || {
        search(&gate).await;
        gate.metric(&open).await == Some(1.0)
    };
    assert!(until(DEADLINE, opens).await);
    for _ in 0..8 {
        assert!(search(&gate).await.json().unwrap().get("result").is_some(), "the other one has them all");
    }
    let told = raw::get(gate.admin, "/readyz?verbose").await;
    let text = told.text();
    assert_eq!(told.status, 200, "{text}");
    assert!(text.contains(&format!("circuit {gone} open\n")), "{text}");
    assert!(text.contains(&format!("circuit {there} closed\n")), "{text}");
    assert!(gate.log.says("circuit open").await);
    shims[1].cut().await;
    let not_ready = async || raw::get(gate.admin, "/readyz").await.status == 503;
    assert!(until(DEADLINE, not_ready).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stays_where_it_began_and_where_that_is_gone_its_client_begins_anew() {
    let (a, b) = two().await;
    a.answer_with(keeps_sessions("of-a"));
    b.answer_with(keeps_sessions("of-b"));
    let mut shims = [Shim::start(a.address), Shim::start(b.address)];
    let gate = over(&shims).start().await;
    let sessions = [begins(&gate).await, begins(&gate).await];
    assert_eq!((a.count(), b.count()), (1, 1));
    for session in &sessions {
        for _ in 0..4 {
            assert_eq!(within(&gate, session).await.status, 200);
        }
    }
    for (place, name) in [(&a, "of-a"), (&b, "of-b")] {
        let seen: HashSet<_> =
            place.since(1).iter().map(|call| call.head.first("mcp-session-id").unwrap().to_owned()).collect();
        assert_eq!(seen, HashSet::from([name.to_owned()]));
        assert_eq!(place.count(), 5);
    }
    shims[0].cut().await;
    // A call that meets a connection which is just being closed may have run: only the next one is told to begin anew.
    let lost = async || {
        let mut lost = 0;
        for session in &sessions {
            let answer = within(&gate, session).await;
            if answer.status == 404 {
                lost += 1;
                assert!(answer.text().contains("Session not found"), "{}", answer.text());
                assert_eq!(within(&gate, session).await.status, 404, "it stays so");
            }
        }
        lost
    };
    assert!(until(DEADLINE, async || lost().await > 0).await);
    let lost = lost().await;
    assert_eq!(lost, 1, "the other one goes on");
    assert_eq!(gate.metric("tollgate_sessions{server=\"records\"}").await, Some(1.0));
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("session_lost")).await.unwrap();
    assert!(line.contains(r#""outcome":"invalid""#), "{line}");
    let anew = begins_where_it_can(&gate).await;
    assert_eq!(within(&gate, &anew).await.status, 200);
}

/// A client that asks again while the gate has not yet seen that a place is gone.
async fn begins_where_it_can(gate: &Gate) -> String {
    let initialize = message("1", "initialize", r#"{"protocolVersion":"2025-11-25"}"#);
    for _ in 0..16 {
        let begun = raw::call(gate.data, &post(ALICE, &initialize)).await;
        if let Some(session) = begun.head.first("mcp-session-id") {
            return session.to_owned();
        }
    }
    panic!("no session begins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_the_only_place_is_not_lost_because_that_is_away() {
    let a = Upstream::start().await;
    a.answer_with(keeps_sessions("of-a"));
    let mut shim = Shim::start(a.address);
    let gate = World::new(&shim.url()).start().await;
    let session = begins(&gate).await;
    shim.cut().await;
    let away = async || within(&gate, &session).await.json().unwrap()["error"]["code"] == -31502;
    assert!(until(DEADLINE, away).await);
    shim.restore();
    let goes_on = async || within(&gate, &session).await.json().unwrap().get("result").is_some();
    assert!(until(DEADLINE, goes_on).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_asked_about_where_it_began() {
    let (a, b) = two().await;
    for place in [&a, &b] {
        let name = place.address.port().to_string();
        place.answer_with(move |request: &Recorded| {
            let task = json!({ "taskId": name, "status": "working" });
            let result = match request.json().unwrap_or_default()["method"].as_str() {
                Some("tools/call") => json!({ "task": task }),
                _ => task,
            };
            Reply::json(&json!({ "jsonrpc": "2.0", "id": 1, "result": result }))
        });
    }
    let gate = world(&[&a, &b]).policy("records.yaml", TASKS).start().await;
    let ask = async |method: &str, params: Value| -> Value {
        raw::call(gate.data, &post(ALICE, &message("1", method, &params.to_string()))).await.json().unwrap()
    };
    let mut begun = HashSet::new();
    for _ in 0..4 {
        let begins = ask("tools/call", json!({ "name": "search_records", "task": {} })).await;
        begun.insert(begins["result"]["task"]["taskId"].as_str().unwrap().to_owned());
    }
    assert_eq!(begun.len(), 2, "both have begun some");
    for task in begun.iter().cycle().take(8) {
        assert_eq!(ask("tasks/get", json!({ "taskId": task })).await["result"]["taskId"], **task);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2024_session_is_where_its_stream_is() {
    let (a, b) = two().await;
    let places = [&a, &b].map(|place| {
        place.answer_with(|request: &Recorded| match request.method.as_str() {
            "GET" => Reply::Pushed("event: endpoint\ndata: /messages/".to_owned()),
            _ => Reply::empty(202),
        });
        format!("http://{}/sse", place.address)
    });
    let gate = world(&[&a]).server(&format!("sse: [{}]", places.join(", "))).start().await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(stream(gate.data).await);
    }
    assert_eq!((a.count(), b.count()), (1, 1));
    for (_open, place) in &streams {
        for id in 0..3 {
            let post = String::from_utf8(post(ALICE, &tool_call(&id.to_string(), "search_records", "{}"))).unwrap();
            let post = post.replace("POST /mcp ", &format!("POST {place} "));
            assert_eq!(raw::call(gate.data, post.as_bytes()).await.status, 202);
        }
    }
    assert_eq!((a.count(), b.count()), (4, 4));
}

async fn stream(gate: SocketAddr) -> (Connection, String) {
    let mut connection = Connection::open(gate).await;
    let get =
        format!("GET /sse HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\nx-api-key: {ALICE}\r\n\r\n");
    connection.send(get.as_bytes()).await.unwrap();
    connection.read_head().await.unwrap().unwrap();
    let first = String::from_utf8(connection.read_chunk().await.unwrap().unwrap()).unwrap();
    let place = first.strip_prefix("event: endpoint\ndata: ").unwrap().trim_end().to_owned();
    (connection, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_all_the_calls_it_may_have_gets_no_more_and_streams_are_none() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let gate = world(&[&upstream]).server("max_in_flight: 1").start().await;
    let mut held = Connection::open(gate.data).await;
    held.send(&post(ALICE, &tool_call("1", "search_records", "{}"))).await.unwrap();
    assert!(upstream.wait_for(1, DEADLINE).await);
    let refused = search(&gate).await;
    let error = &refused.json().unwrap()["error"];
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31503), &json!("no")), "{error}");
    assert_eq!(error["data"]["reason"], "upstream_busy");
    assert!(refused.head.first("retry-after").is_some());
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("upstream_busy")).await.unwrap();
    assert!(line.contains(r#""outcome":"limited""#), "{line}");
    assert_eq!(upstream.count(), 1);
    upstream.release();
    assert!(matches!(held.read().await, Answer::Response(_)));
    let again = async || search(&gate).await.json().unwrap().get("result").is_some();
    assert!(until(DEADLINE, again).await);
    let discovered = raw::call(gate.data, &post_modern("tools/list", "", None)).await;
    assert_eq!(discovered.status, 200);
}
