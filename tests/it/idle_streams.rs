//! What an event stream costs on which nothing happens, and a session that nobody uses: memory, and little of it.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::DEADLINE;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_modern, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;

/// So many, where there are descriptors for them.
const STREAMS: usize = 1_000;
/// Opened and closed before anything is measured: the first of anything costs more.
const FIRST: usize = 50;
/// In KiB.
const MOST_EACH: usize = 40;

const POLICY: &str = "\
server: records
roles:
  reader: { tools: [search_records], methods: [subscriptions/listen] }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_session_costs_little() {
    let mut request = String::from("GET /mcp HTTP/1.1\r\n");
    let kept = LEGACY.into_iter().filter(|(name, _)| !["accept", "content-type"].contains(name));
    for (name, value) in kept.chain([("accept", "text/event-stream"), ("x-api-key", ALICE)]) {
        request.extend([name, ": ", value, "\r\n"]);
    }
    cost_little((request + "\r\n").as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_costs_little() {
    let request = post_modern("subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#, None);
    cost_little(&request).await;
}

#[expect(clippy::print_stderr, reason = "the figure is worth knowing where it is good, too")]
async fn cost_little(request: &[u8]) {
    let upstream = Upstream::start().await;
    upstream.answer_with(silent);
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    drop(open(&gate, request, FIRST).await);
    assert!(upstream.wait_for_hang_ups(FIRST, DEADLINE).await, "the first are closed");
    let Some(before) = gate.memory_kib() else {
        return;
    };
    let streams = streams();
    let open = open(&gate, request, streams).await;
    assert!(upstream.wait_for(FIRST + streams, DEADLINE).await, "all are open");
    let after = gate.memory_kib().expect("it was known before");
    let each = after.saturating_sub(before) / streams;
    eprintln!("{streams} streams: {before} KiB before, {after} KiB with them, {each} KiB each");
    assert!(each <= MOST_EACH, "{each} KiB for each of {streams} streams");
    assert_eq!(gate.metric("tollgate_streams").await, Some(precise(streams)));
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    assert_eq!(raw::call(gate.data, &call).await.status, 200, "calls go on beside them");
    drop(open);
}

/// So many sessions, which need no descriptors.
const SESSIONS: usize = 4_000;
/// In bytes, the ids of both sides and the table's room included.
const MOST_OF_A_SESSION: usize = 2_048;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the figure is worth knowing where it is good, too")]
async fn a_session_costs_little() {
    let upstream = Upstream::start().await;
    let begun = AtomicUsize::new(0);
    upstream.answer_with(move |request: &Recorded| {
        let Reply::Whole { status, mut headers, body } = Reply::obliging(request) else {
            panic!("it obliges");
        };
        headers.push(("mcp-session-id".to_owned(), format!("{:032x}", begun.fetch_add(1, Ordering::Relaxed))));
        Reply::Whole { status, headers, body }
    });
    let most = format!("sessions: {{ max_per_principal: {} }}", FIRST + SESSIONS);
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).top(&most).start().await;
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    let initialize = post(ALICE, &message("1", "initialize", params));
    let mut connection = Connection::open(gate.data).await;
    begin(&mut connection, &initialize, FIRST).await;
    let Some(before) = gate.memory_kib() else {
        return;
    };
    begin(&mut connection, &initialize, SESSIONS).await;
    let after = gate.memory_kib().expect("it was known before");
    let each = after.saturating_sub(before) * 1024 / SESSIONS;
    eprintln!("{SESSIONS} sessions: {before} KiB before, {after} KiB with them, {each} bytes each");
    assert!(each <= MOST_OF_A_SESSION, "{each} bytes for each of {SESSIONS} sessions");
    let open = gate.metric(r#"tollgate_sessions{server="records"}"#).await;
    assert_eq!(open, Some(precise(FIRST + SESSIONS)));
}

async fn begin(connection: &mut Connection, initialize: &[u8], sessions: usize) {
    for _ in 0..sessions {
        let Answer::Response(begun) = connection.exchange(initialize).await else {
            panic!("an answer");
        };
        assert!(begun.head.first("mcp-session-id").is_some(), "{}", begun.text());
    }
}

/// Streams stay open and silent; all else is answered.
fn silent(request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    if request.method == "GET" || message["method"] == "subscriptions/listen" {
        return Reply::Events(Vec::new(), Ending::StayOpen);
    }
    Reply::obliging(request)
}

async fn open(gate: &Gate, request: &[u8], streams: usize) -> Vec<Connection> {
    let mut open = Vec::new();
    for _ in 0..streams {
        let mut connection = Connection::open(gate.data).await;
        connection.send(request).await.expect("the gate reads");
        let head = connection.read_head().await.expect("in time").expect("a head");
        assert_eq!(head.first("content-type"), Some("text/event-stream"), "{}", head.start);
        open.push(connection);
    }
    open
}

/// Both ends of a stream are in this process, and the gate has two descriptors for each as well.
fn streams() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let descriptors = most.and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    STREAMS.min(descriptors.saturating_sub(200) / 2)
}

fn precise(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small number"))
}
