//! Several servers behind one gate: each at its own place, and none in another's way.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::commands::{home, said, tollgate};
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, at, message, post, post_modern, post_with, tool_call};
use crate::support::raw::{self, Connection, Response};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

/// What readers may do at the second server.
const BILLING: &str = "roles: { reader: { tools: [find_invoice] } }\n";

/// Two servers behind one gate.
struct Two {
    records: Upstream,
    billing: Upstream,
}

impl Two {
    async fn start() -> Self {
        Self { records: Upstream::start().await, billing: Upstream::start().await }
    }

    fn world(&self) -> World {
        self.world_with("", BILLING)
    }

    /// The same, with more said of the second server.
    fn world_with(&self, said: &str, policy: &str) -> World {
        World::new(&self.records.url()).beside("billing", &format!("url: {}{said}", self.billing.url()), policy)
    }

    fn counts(&self) -> (usize, usize) {
        (self.records.count(), self.billing.count())
    }
}

async fn call(gate: SocketAddr, path: &str, tool: &str) -> Response {
    raw::call(gate, &at(path, &post(ALICE, &tool_call("1", tool, "{}")))).await
}

fn ran(response: &Response) -> bool {
    response.json().is_some_and(|answer| answer["result"]["isError"] == json!(false))
}

/// The same request under another `Host`.
fn hosted(host: &str, path: &str, body: &str) -> Vec<u8> {
    let mut headers = LEGACY.to_vec();
    headers[0].1 = host;
    headers.push(("x-api-key", ALICE));
    at(path, &post_with(&headers, body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_is_at_its_own_path_under_its_own_policy() {
    let two = Two::start().await;
    let gate = two.world().start().await;
    assert!(ran(&call(gate.data, "/records/mcp", "search_records").await));
    assert_eq!(two.counts(), (1, 0));
    assert!(ran(&call(gate.data, "/billing/mcp", "find_invoice").await));
    assert_eq!(two.counts(), (1, 1));
    // What is granted at one says nothing of the other.
    for (path, tool) in [("/records/mcp", "find_invoice"), ("/billing/mcp", "search_records")] {
        let refused = call(gate.data, path, tool).await;
        assert_eq!(refused.json().unwrap()["error"]["code"], -32602, "{path} {tool}");
    }
    let modern = post_modern("tools/call", r#""name":"find_invoice","arguments":{}"#, Some("find_invoice"));
    assert!(ran(&raw::call(gate.data, &at("/billing/mcp", &modern)).await));
    assert_eq!(two.counts(), (1, 2));
    let decided = |server: &str, tool: &str| format!(r#""server":"{server}","method":"tools/call","tool":"{tool}""#);
    for (server, tool) in [("records", "search_records"), ("billing", "find_invoice"), ("billing", "search_records")] {
        let told = decided(server, tool);
        assert!(gate.decisions.says(&told).await, "{told}:\n{}", gate.decisions.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_no_servers_leads_nowhere() {
    let two = Two::start().await;
    let gate = two.world().start().await;
    for path in [
        "/mcp",
        "/",
        "/records",
        "/records/",
        "/records/mcp/",
        "/records/sse",
        "/Records/mcp",
        "/record/mcp",
        "/records%2Fmcp",
        "/records/../billing/mcp",
        "//records/mcp",
        "/records//mcp",
        "/x/records/mcp",
        "/_none/mcp",
    ] {
        assert_eq!(call(gate.data, path, "search_records").await.status, 404, "{path}");
    }
    assert_eq!(two.counts(), (0, 0));
    let told = r#""server":"_none""#;
    assert!(gate.decisions.says(told).await, "{}", gate.decisions.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_needs_no_name_and_has_one() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    for path in ["/mcp", "/records/mcp"] {
        assert!(ran(&call(gate.data, path, "search_records").await), "{path}");
    }
    assert_eq!(call(gate.data, "/billing/mcp", "search_records").await.status, 404);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_a_servers_own_leads_to_it_and_to_no_other() {
    let two = Two::start().await;
    let gate = two.world_with(", hosts: [Billing.example.com]", BILLING).start().await;
    let invoice = tool_call("1", "find_invoice", "{}");
    for host in ["billing.example.com", "BILLING.example.com"] {
        assert!(ran(&raw::call(gate.data, &hosted(host, "/mcp", &invoice)).await), "{host}");
    }
    assert_eq!(two.counts(), (0, 2));
    let search = tool_call("1", "search_records", "{}");
    for (host, path, status) in [
        ("billing.example.com", "/records/mcp", 404),
        ("billing.example.com", "/billing/mcp", 404),
        ("records.example.com", "/mcp", 403),
        ("localhost:8080", "/mcp", 404),
        ("localhost:8080", "/records/mcp", 200),
    ] {
        let response = raw::call(gate.data, &hosted(host, path, &search)).await;
        assert_eq!(response.status, status, "{host}{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_down_takes_nothing_from_the_other() {
    let (records, address) = (Upstream::start().await, Upstream::start().await.address);
    let billing = format!("url: http://{address}/mcp, breaker: {{ failures: 2, pause: 1m }}");
    let gate = World::new(&records.url()).beside("billing", &billing, BILLING).start().await;
    let ready = async || raw::get(gate.admin, "/readyz").await.status == 200;
    assert!(until(DEADLINE, ready).await);
    let verbose = async || raw::get(gate.admin, "/readyz?verbose").await.text();
    let refused = async || {
        let answer = call(gate.data, "/billing/mcp", "find_invoice").await.json().unwrap();
        answer["error"]["data"]["reason"] == "circuit_open"
    };
    assert!(until(DEADLINE, refused).await);
    assert!(ran(&call(gate.data, "/records/mcp", "search_records").await));
    let told = verbose().await;
    let open = format!(" upstream billing\ncircuit http://{address}/mcp open\n");
    assert!(told.contains(&open) && told.contains("[+] upstream records\n") && told.ends_with("ready\n"), "{told}");
    assert_eq!(raw::get(gate.admin, "/readyz").await.status, 200, "the other is served");
    let open = |server: &str, url: &str| {
        format!(r#"tollgate_upstream_circuit{{endpoint="{url}",server="{server}",state="open"}}"#)
    };
    let (of_billing, of_records) = (open("billing", &format!("http://{address}/mcp")), open("records", &records.url()));
    let metrics = async || (gate.metric(&of_billing).await, gate.metric(&of_records).await);
    assert!(until(DEADLINE, async || metrics().await == (Some(1.0), Some(0.0))).await, "{:?}", metrics().await);
    assert!(gate.log.says("left alone").await && gate.log.says("server=billing").await, "{}", gate.log.text());

    let back = Upstream::start_at(address).await;
    assert!(until(DEADLINE, async || ran(&call(gate.data, "/billing/mcp", "find_invoice").await)).await);
    assert!(back.count() > 0);
    assert!(until(DEADLINE, async || verbose().await.contains("[+] upstream billing\n")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_serves_before_all_servers_are_there() {
    let records = Upstream::start().await;
    let gate = World::new(&records.url()).beside("billing", "url: http://127.0.0.1:1/mcp", BILLING).start().await;
    assert!(until(DEADLINE, async || raw::get(gate.admin, "/readyz").await.status == 200).await);
    assert!(ran(&call(gate.data, "/records/mcp", "search_records").await));
    let answer = call(gate.data, "/billing/mcp", "find_invoice").await.json().unwrap();
    assert_eq!(answer["error"]["data"]["executed"], "no", "{answer}");
    let nowhere = "http://127.0.0.1:1/mcp";
    let gate = World::new(nowhere).beside("billing", &format!("url: {nowhere}"), BILLING).start().await;
    let ready = raw::get(gate.admin, "/readyz").await;
    assert!(ready.status == 503 && ready.text().contains("[-] upstream"), "none is there: {}", ready.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_takes_no_room_of_the_other() {
    let two = Two::start().await;
    two.billing.answer(Reply::Hang);
    let gate = two.world().listen("max_in_flight: 2").start().await;
    let hanging = at("/billing/mcp", &post(ALICE, &tool_call("1", "find_invoice", "{}")));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(gate.data).await;
        connection.send(&hanging).await.unwrap();
        held.push(connection);
    }
    assert!(two.billing.wait_for(2, DEADLINE).await);
    assert_eq!(raw::call(gate.data, &hanging).await.status, 503, "there is no more room for this one");
    assert!(ran(&call(gate.data, "/records/mcp", "search_records").await));
}

fn initialize() -> String {
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    message("1", "initialize", params)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_servers() {
    let two = Two::start().await;
    let in_session = |request: &Recorded| {
        let message: Value = request.json().unwrap_or_default();
        let Reply::Whole { status, mut headers, body } = Reply::obliging(request) else {
            panic!("it obliges");
        };
        if message["method"] == "initialize" {
            headers.push(("mcp-session-id".to_owned(), "theirs".to_owned()));
        }
        Reply::Whole { status, headers, body }
    };
    two.records.answer_with(in_session);
    two.billing.answer_with(in_session);
    let gate = two.world().start().await;
    let begun = raw::call(gate.data, &at("/records/mcp", &post(ALICE, &initialize()))).await;
    let session = begun.head.first("mcp-session-id").unwrap().to_owned();
    let within = |path: &str, key: &str, tool: &str| {
        let mut headers = LEGACY.to_vec();
        headers.extend([("x-api-key", key), ("mcp-session-id", session.as_str())]);
        at(path, &post_with(&headers, &tool_call("2", tool, "{}")))
    };
    assert!(ran(&raw::call(gate.data, &within("/records/mcp", ALICE, "search_records")).await));
    assert_eq!(raw::call(gate.data, &within("/billing/mcp", ALICE, "find_invoice")).await.status, 404);
    assert_eq!(raw::call(gate.data, &within("/records/mcp", BOB, "search_records")).await.status, 404);
    assert_eq!(two.billing.count(), 0);
    let open = |server: &str| format!(r#"tollgate_sessions{{server="{server}"}}"#);
    assert_eq!(gate.metric(&open("records")).await, Some(1.0));
    assert_eq!(gate.metric(&open("billing")).await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_2024_11_05_is_told_of_its_servers_own_place() {
    let two = Two::start().await;
    two.billing.answer_with(|request: &Recorded| match request.method.as_str() {
        "GET" => Reply::Pushed("event: endpoint\ndata: /messages/?session_id=theirs".to_owned()),
        _ => Reply::empty(202),
    });
    let sse = format!("sse: http://{}/sse", two.billing.address);
    let gate = World::new(&two.records.url()).beside("billing", &sse, BILLING).start().await;
    let open = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\nx-api-key: {ALICE}\r\n\r\n"
        )
    };
    let mut stream = Connection::open(gate.data).await;
    stream.send(open("/billing/sse").as_bytes()).await.unwrap();
    stream.read_head().await.unwrap().unwrap();
    let event = String::from_utf8(stream.read_chunk().await.unwrap().unwrap()).unwrap();
    let place = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
    assert!(place.starts_with("/billing/messages/"), "{event}");
    let ping = post(ALICE, &message("1", "ping", "{}"));
    assert_eq!(raw::call(gate.data, &at(&place, &ping)).await.status, 202);
    let elsewhere = place.replace("/billing/", "/records/");
    assert_eq!(raw::call(gate.data, &at(&elsewhere, &ping)).await.status, 404);
    assert_eq!(raw::call(gate.data, open("/records/sse").as_bytes()).await.status, 404);
    assert_eq!(raw::call(gate.data, &at("/billing/mcp", &ping)).await.status, 404, "it speaks nothing else");
    assert_eq!(two.records.count(), 0);
}

const TOKENS: &str = "tokens: [{ issuer: https://idp.test/, audience: https://mcp.test/, ask_for: [read] }]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_for_a_token_is_told_of_the_server_that_it_is_for() {
    let two = Two::start().await;
    let world = two.world_with(", hosts: [billing.test]", BILLING);
    let gate = world.listen("public_url: https://mcp.test/mcp").policy("tokens.yaml", TOKENS).start().await;
    let well_known = "/.well-known/oauth-protected-resource";
    let metadata = async |host: &str, path: &str| {
        let request = format!("GET {well_known}{path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let response = raw::call(gate.data, request.as_bytes()).await;
        response.json().map_or(Value::Null, |document| document["resource"].clone())
    };
    for (host, path, resource) in [
        ("localhost:8080", "/records/mcp", json!("https://mcp.test/records/mcp")),
        ("localhost:8080", "/billing/mcp", json!("https://mcp.test/billing/mcp")),
        ("localhost:8080", "/mcp", Value::Null),
        ("localhost:8080", "", Value::Null),
        ("billing.test", "/mcp", json!("https://billing.test/mcp")),
        ("billing.test", "", json!("https://billing.test/mcp")),
        ("billing.test", "/records/mcp", Value::Null),
    ] {
        assert_eq!(metadata(host, path).await, resource, "{host}{path}");
    }
    for (host, path, told) in [
        ("localhost:8080", "/records/mcp", "https://mcp.test/.well-known/oauth-protected-resource/records/mcp"),
        ("billing.test", "/mcp", "https://billing.test/.well-known/oauth-protected-resource/mcp"),
    ] {
        let mut headers = LEGACY.to_vec();
        headers[0].1 = host;
        let refused = raw::call(gate.data, &at(path, &post_with(&headers, &message("1", "ping", "{}")))).await;
        let challenge = refused.head.first("www-authenticate").unwrap_or_default();
        assert_eq!(refused.status, 401);
        assert!(challenge.contains(&format!("resource_metadata=\"{told}\"")), "{challenge}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_the_kill_switch_are_each_servers_own() {
    let two = Two::start().await;
    let limits = "limits: [{ calls: 1, every: 1h, per: server }]\n";
    let world = two.world_with("", &format!("{BILLING}{limits}")).policy("records.yaml", &format!("{READERS}{limits}"));
    let kills = "kill_switch: { file: kill.yaml }";
    let gate = world.top(kills).file("kill.yaml", "kills: []\n").start().await;
    let error =
        async |path: &str, tool: &str| call(gate.data, path, tool).await.json().unwrap()["error"]["code"].clone();
    assert_eq!(error("/records/mcp", "search_records").await, Value::Null);
    assert_eq!(error("/records/mcp", "search_records").await, json!(-31429));
    assert_eq!(error("/billing/mcp", "find_invoice").await, Value::Null, "it has a limit of its own");

    let stop = "kills: [{ server: billing, reason: on fire, by: ops }]\n";
    std::fs::write(gate.file("kill.yaml"), stop).unwrap();
    let code = async |path: &str, tool: &str| error(path, tool).await.as_i64();
    assert!(until(DEADLINE, async || code("/billing/mcp", "find_invoice").await != Some(-31429)).await);
    assert_eq!(code("/records/mcp", "search_records").await, Some(-31429), "the other goes on");
    assert!(!gate.log.text().contains("not behind this gate"), "{}", gate.log.text());
}

/// What `check` says of a configuration with these servers, where a policy is for `records` only.
async fn checked(servers: &str) -> String {
    let home = home(&[
        ("tollgate.yaml", &format!("servers:\n{servers}")),
        ("policies/records.yaml", READERS),
        ("policies/principals.yaml", &crate::support::world::principals("reader")),
    ]);
    said(&tollgate(home.path(), &["check"]).await)
}

#[tokio::test]
async fn check_says_what_does_not_fit_together() {
    let records = "  records: { url: 'http://127.0.0.1:1/mcp' }\n";
    let unused = checked(&format!("{records}  billing: {{ url: 'http://127.0.0.1:2/mcp' }}\n")).await;
    assert!(unused.contains("no policy file is for `billing`, so nobody may use it"), "{unused}");
    assert!(unused.contains("tollgate.yaml:3:3"), "{unused}");
    let shared = "  records: { url: 'http://127.0.0.1:1/mcp', hosts: [a.test] }\n  billing: { url: 'http://127.0.0.1:2/mcp', hosts: [A.test] }\n";
    let shared = checked(shared).await;
    assert!(shared.contains("`A.test` is a host of `records` already"), "{shared}");
    let empty = checked("  records: { url: 'http://127.0.0.1:1/mcp', hosts: [] }\n").await;
    assert!(empty.contains("`hosts` is empty"), "{empty}");
    let unknown =
        checked("  billing: { url: 'http://127.0.0.1:1/mcp' }\n  sales: { url: 'http://127.0.0.1:2/mcp' }\n").await;
    assert!(unknown.contains("unknown server `records`"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_are_pinned_in_one_lock() {
    let two = Two::start().await;
    let servers =
        format!("servers:\n  records: {{ url: {} }}\n  billing: {{ url: {} }}\n", two.records.url(), two.billing.url());
    let home = home(&[("tollgate.yaml", &servers)]);
    let locked = said(&tollgate(home.path(), &["lock"]).await);
    assert!(
        locked.starts_with("exit 0\n") && locked.contains("records:\n") && locked.contains("billing:\n"),
        "{locked}"
    );
    assert!(said(&tollgate(home.path(), &["lock", "--check"]).await).starts_with("exit 0\n"));
    two.billing.answer_with(|request: &Recorded| {
        let message = request.json().unwrap_or_default();
        if message["method"] != "tools/list" {
            return Reply::obliging(request);
        }
        let tools = json!([{ "name": "find_invoice", "description": "New.", "inputSchema": { "type": "object" } }]);
        Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "tools": tools } }))
    });
    let of = async |name: &str| said(&tollgate(home.path(), &["lock", "--check", "--name", name]).await);
    assert!(of("records").await.starts_with("exit 0\n"));
    assert!(of("billing").await.starts_with("exit 1\n"));
    let both = tollgate(home.path(), &["lock", "--check", "--format", "json"]).await;
    let both: Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!((&both[0]["changes"], both[1]["server"].as_str()), (&json!([]), Some("billing")), "{both}");
    assert!(of("sales").await.contains("it has records, billing"), "the name of none");
}
