//! Every deadline of clients and servers is seen to fire, and is told by its name.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::gate::Gate;
use crate::support::h2::{self, End, GOAWAY, PING, RST_STREAM};
use crate::support::keys::ALICE;
use crate::support::message::{message, post, post_modern, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::shim::BlackHole;
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};
use crate::tls::Secure;

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

/// A server of 2026-07-28 is told by the end of its connection, and by nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_calls_of_one_tool() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| match request.json() {
        Some(message) if message["params"]["name"] == "search_records" => Reply::Hang,
        _ => Reply::Late(Duration::from_millis(300), Box::new(Reply::obliging(request))),
    });
    let policy = format!("{READERS}tools: {{ search_records: {{ timeout: 50ms }} }}\n");
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    let call = async |tool: &str| {
        let params = format!(r#""name":"{tool}","arguments":{{}}"#);
        raw::call(gate.data, &post_modern("tools/call", &params, Some(tool))).await.json().unwrap()
    };
    let error = call("search_records").await["error"].clone();
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31504), &json!("unknown")), "{error}");
    assert!(upstream.wait_for_hang_ups(1, DEADLINE).await);
    assert!(call("get_statistics").await.get("result").is_some(), "another has more time");
    assert_eq!(upstream.count(), 2);
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

/// A gate whose clients have so long.
async fn hasty(upstream: &Upstream, timeouts: &str) -> Gate {
    World::new(&upstream.url()).listen(&format!("timeouts: {{ {timeouts} }}")).start().await
}

async fn cut_off(gate: &Gate, kind: &str) -> bool {
    let counted = format!(r#"tollgate_connections_timed_out_total{{timeout_kind="{kind}"}}"#);
    until(DEADLINE, async || gate.metric(&counted).await == Some(1.0)).await
}

fn call() -> Vec<u8> {
    post(ALICE, &tool_call("1", "search_records", "{}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_clients_tls_handshake() {
    let secure = Secure::with("", |world| world.listen("timeouts: { handshake: 100ms }")).await;
    let mut silent = TcpStream::connect(secure.gate.data).await.unwrap();
    silent.write_all(&[22]).await.unwrap(); // it begins, and no more
    assert!(cut_off(&secure.gate, "listener.handshake").await);
    let handshakes = secure.gate.metric(r#"tollgate_tls_handshakes_total{result="slow"}"#);
    assert_eq!(handshakes.await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_head_of_a_request() {
    let upstream = Upstream::start().await;
    let gate = hasty(&upstream, "header: 100ms").await;
    let mut slow = Connection::open(gate.data).await;
    slow.send(&call()[..20]).await.unwrap();
    assert!(slow.closes().await);
    assert!(cut_off(&gate, "request.header").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_body_of_a_request() {
    let upstream = Upstream::start().await;
    let gate = hasty(&upstream, "body: 100ms").await;
    let (request, mut slow) = (call(), Connection::open(gate.data).await);
    slow.send(&request[..request.len() - 1]).await.unwrap();
    let raw::Answer::Response(answer) = slow.read().await else { panic!("it is told") };
    assert_eq!(answer.status, 408);
    let text = raw::get(gate.admin, "/metrics").await.text();
    assert!(text.contains(r#"timeout_kind="request.body""#), "{text}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_connection_on_which_nothing_is_asked() {
    let upstream = Upstream::start().await;
    let gate = hasty(&upstream, "idle: 300ms").await;
    let mut kept = Connection::open(gate.data).await;
    for _ in 0..2 {
        assert!(matches!(kept.exchange(&call()).await, raw::Answer::Response(answer) if answer.status == 200));
    }
    assert!(kept.closes().await);
    assert!(cut_off(&gate, "keepalive.idle").await);
    let (mut writer, mut frames) = h2::open_raw(gate.data).await;
    writer.send(&h2::headers(1, &h2_head(&[]), End::Stream)).await.unwrap();
    while frames.next().await.is_ok_and(|frame| frame.is_some()) {}
    let both = r#"tollgate_connections_timed_out_total{timeout_kind="keepalive.idle"}"#;
    assert!(until(DEADLINE, async || gate.metric(both).await == Some(2.0)).await, "on HTTP/2, too");
}

/// A call over HTTP/2.
fn h2_call(stream: u32) -> Vec<u8> {
    let body = tool_call("1", "search_records", "{}");
    let head = h2::headers(stream, &h2_head(body.as_bytes()), End::Open);
    [head, h2::data(stream, body.as_bytes())].concat()
}

/// What it asks may have run or not if its connection just ends; told so, it knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_connection_over_http2_whose_client_hears_that_it_ends() {
    let upstream = Upstream::start().await;
    let gate = hasty(&upstream, "idle: 300ms").await;
    let mut client = h2::Client::open(gate.data).await.unwrap();
    let body = tool_call("1", "search_records", "{}");
    assert_eq!(client.call(&h2_head(body.as_bytes()), body.as_bytes()).await.unwrap().status, 200);
    assert!(cut_off(&gate, "keepalive.idle").await);
    let error = client.call(&h2_head(body.as_bytes()), body.as_bytes()).await.expect_err("it has ended");
    assert!(error.is_go_away() && error.reason() == Some(::h2::Reason::NO_ERROR), "{error:?}");
    assert_eq!(upstream.count(), 1);

    // What is on its way when that is said is answered, and it is told up to where.
    let (mut writer, mut frames) = h2::open_raw(gate.data).await;
    writer.send(&h2_call(1)).await.unwrap();
    let (mut statuses, mut last_streams) = (Vec::new(), Vec::new());
    while let Some(frame) = frames.next().await.expect("it ends in time") {
        statuses.extend(frame.status().map(|status| (frame.stream, status)));
        if frame.kind == GOAWAY {
            assert_eq!(frame.error_code(), Some(0), "nothing is wrong");
            last_streams.push(frame.last_stream());
            if last_streams.len() == 1 {
                writer.send(&h2_call(3)).await.unwrap();
            }
        }
        if frame.kind == PING {
            writer.send(&h2::pong(&frame.payload)).await.unwrap();
        }
    }
    assert_eq!(statuses, [(1, 200), (3, 200)]);
    assert_eq!(last_streams, [Some((1 << 31) - 1), Some(3)]);
    assert_eq!(upstream.count(), 3);
}

/// The head of a call over HTTP/2.
fn h2_head(body: &[u8]) -> Vec<(String, String)> {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/mcp"),
        (":authority", "localhost:8080"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
        ("x-api-key", ALICE),
    ];
    let length = ("content-length".to_owned(), body.len().to_string());
    head.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain([length]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_stream_whose_client_grants_no_window() {
    let upstream = Upstream::start().await;
    let gate = hasty(&upstream, "write: 300ms").await;
    let (mut writer, mut frames) = h2::open_raw(gate.data).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: not a byte of an answer may come (RFC 9113, 6.5.2).
    writer.send(&[0, 0, 6, h2::SETTINGS, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await.unwrap();
    let body = tool_call("1", "search_records", "{}");
    for stream in [1, 3] {
        let request = [h2::headers(stream, &h2_head(body.as_bytes()), End::Open), h2::data(stream, body.as_bytes())];
        writer.send(&request.concat()).await.unwrap();
        let reset = loop {
            let frame = timeout(DEADLINE, frames.next()).await.expect("it is told").unwrap();
            let frame = frame.expect("the connection goes on for others");
            assert!(frame.kind != h2::DATA, "nobody granted a window: {frame:?}");
            if frame.kind == RST_STREAM {
                break frame;
            }
        };
        assert_eq!(reset.stream, stream);
    }
    let counted = r#"tollgate_connections_timed_out_total{timeout_kind="response.write"}"#;
    assert_eq!(gate.metric(counted).await, Some(2.0));
    assert!(until(DEADLINE, async || gate.metric("tollgate_exchanges_in_flight").await == Some(0.0)).await);
}
