//! Every refusal as its caller hears it, provoked for real: the wire contract on one page, in `snapshots/`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::issuer::{Answer as KeysOfIssuer, Issuer, Signer, published, seconds};
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_modern, post_with, tool_call};
use crate::support::raw::{self, Answer, Connection, Response};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World, principals};
use crate::support::{DEADLINE, until};

const POLICY: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_record_detail, get_statistics, get_pool_status] }
tools:
  get_record_detail:
    limits:
      - { calls: 1, every: 1h, per: principal }
  get_statistics:
    limits:
      - { in_flight: 1, per: tool }
  get_pool_status:
    timeout: 1s
  search_records:
    redact:
      - { find: [aws_key], in: results, then: block }
      - { find: [card], in: arguments, then: block }
    arguments:
      properties:
        limit: { type: integer, maximum: 100 }
        store: { claim: store }
";

/// The header fields that a caller acts on.
const TELLING: [&str; 5] = ["content-type", "www-authenticate", "retry-after", "allow", "connection"];

/// What was heard so far.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn note(&mut self, title: &str, response: &Response) {
        let page = &mut self.0;
        writeln!(page, "## {title}\nHTTP {}", response.status).unwrap();
        for name in TELLING {
            for value in response.head.all(name) {
                let value = match (name, value.parse::<u64>()) {
                    ("retry-after", Ok(1)) => "1",
                    ("retry-after", Ok(2..=3825)) => "[seconds]",
                    _ => value,
                };
                writeln!(page, "{name}: {value}").unwrap();
            }
        }
        let streamed = response.head.first("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        match response.json() {
            Some(_) if streamed => page.push_str(&masked_events(&response.text())),
            Some(body) => writeln!(page, "{:#}", masked(body)).unwrap(),
            None if response.body.is_empty() => {}
            None => writeln!(page, "{:?}", response.text()).unwrap(),
        }
        page.push('\n');
    }

    async fn hear(&mut self, title: &str, gate: SocketAddr, request: &[u8]) {
        let response = raw::call(gate, request).await;
        self.note(title, &response);
    }
}

/// Takes out what differs from run to run, once it is seen to be of its kind.
fn masked(mut body: Value) -> Value {
    if let Some(Value::String(text)) = body.pointer_mut("/error/message")
        && let Some((told, wait)) = text.split_once("ask again in ")
        && wait.ends_with(" ms")
        && wait.len() > "1000 ms".len()
    {
        *text = format!("{told}ask again in [milliseconds] ms");
    }
    let said = if body.get("result").is_some() { "/result/_meta" } else { "/error/data" };
    let Some(data) = body.pointer_mut(said) else {
        return body;
    };
    if let Some(Value::String(id)) = data.get("io.tollgate/decision") {
        assert!(id.len() >= 8, "{id} is too short to be one decision's own");
        data["io.tollgate/decision"] = json!("[decision]");
    }
    if let Some(millis) = data.get("retryAfterMs").and_then(Value::as_u64)
        && (1001..=3_825_000).contains(&millis)
    {
        data["retryAfterMs"] = json!("[milliseconds]");
    }
    body
}

fn masked_events(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix("data: ") {
            Some(data) => format!("data: {}\n", masked(serde_json::from_str(data).unwrap())),
            None => format!("{line}\n"),
        })
        .collect()
}

/// Each tool of the world has a server behind it that ails in its own way, if the arguments ask for it.
fn ailing(request: &Recorded) -> Reply {
    let arguments = request.json().unwrap_or_default()["params"]["arguments"].clone();
    let progress =
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    match arguments["server"].as_str() {
        Some("hangs") => Reply::Hang,
        Some("holds") => Reply::OnRelease(Box::new(Reply::obliging(request))),
        Some("breaks off") => Reply::BreakOff,
        Some("breaks off inside a stream") => Reply::Events(vec![progress.to_owned()], Ending::BreakOff),
        Some("fails") => Reply::empty(500),
        Some("redirects") => Reply::Whole {
            status: 302,
            headers: vec![("location".to_owned(), "http://127.0.0.2/".to_owned())],
            body: Vec::new(),
        },
        _ => Reply::obliging(request),
    }
}

fn with(changed: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut headers: Vec<_> = LEGACY
        .into_iter()
        .chain([("x-api-key", ALICE)])
        .filter(|(name, _)| changed.iter().all(|(other, _)| other != name))
        .collect();
    headers.extend(changed.iter().filter(|(_, value)| !value.is_empty()));
    headers
}

fn search(arguments: &str) -> String {
    tool_call("1", "search_records", arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_sounds_as_written_down() {
    let upstream = Upstream::start().await;
    upstream.answer_with(ailing);
    let world = World::new(&upstream.url()).policy("records.yaml", POLICY);
    let gate = world.start().await;
    let mut page = Page::default();
    unreadable(&mut page, gate.data).await;
    unauthenticated(&mut page, gate.data).await;
    with_tokens(&mut page).await;
    without_issuer(&mut page).await;
    out_of_place(&mut page, gate.data).await;
    not_granted(&mut page, gate.data).await;
    limited(&mut page, gate.data, &upstream).await;
    uncounted(&mut page).await;
    server_ails(&mut page, gate.data).await;
    unreachable(&mut page).await;
    without_way_in(&mut page).await;
    overloaded(&mut page).await;
    stopped(&mut page).await;
    draining(&mut page).await;
    insta::assert_snapshot!(page.0.trim_end());
}

async fn unreadable(page: &mut Page, gate: SocketAddr) {
    let key_twice = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#;
    let batch = format!("[{}]", search("{}"));
    page.hear("no JSON", gate, &post(ALICE, "{")).await;
    page.hear("a member twice", gate, &post(ALICE, key_twice)).await;
    page.hear("a batch", gate, &post(ALICE, &batch)).await;
    let list_of_arguments = search("[]");
    page.hear("arguments that are no object", gate, &post(ALICE, &list_of_arguments)).await;
    let other_name = post_modern("tools/call", r#""name":"search_records""#, Some("delete_record"));
    page.hear("a mirrored header that disagrees with the body", gate, &other_name).await;
    // The length alone is enough; a body that is never read could cost the answer.
    let mut too_large = post_with(&with(&[("content-length", "1048577")]), "");
    let at = too_large.len() - "content-length: 0\r\n\r\n".len();
    too_large.truncate(at);
    too_large.extend_from_slice(b"\r\n");
    page.hear("a body too large", gate, &too_large).await;
}

async fn unauthenticated(page: &mut Page, gate: SocketAddr) {
    let mut hear = async |title: &str, changed: &[(&'static str, &'static str)]| {
        let request = post_with(&with(changed), &search("{}"));
        page.hear(title, gate, &request).await;
    };
    hear("no credential", &[("x-api-key", "")]).await;
    hear("a bad credential", &[("x-api-key", "mallory-0000000000000000")]).await;
    hear("another scheme than Bearer", &[("x-api-key", ""), ("authorization", "Basic bWFsbG9yeTpub25l")]).await;
    hear("two credentials", &[("authorization", "Bearer mallory-0000000000000000")]).await;
    hear("a foreign host", &[("host", "evil.test")]).await;
    hear("a foreign origin", &[("origin", "http://evil.test")]).await;
    hear("another content type", &[("content-type", "text/plain")]).await;
    hear("a content coding", &[("content-encoding", "gzip")]).await;
    hear("an accept that fits no answer", &[("accept", "text/html")]).await;
    hear("an unknown protocol version", &[("mcp-protocol-version", "2031-01-01")]).await;
}

/// Where tokens are taken.
async fn with_tokens(page: &mut Page) {
    let (upstream, signer) = (Upstream::start().await, Signer::es256("k1"));
    let issuer = Issuer::start(published(&[&signer])).await;
    let url = issuer.url();
    let principals = format!(
        "tokens:\n  - issuer: {url}\n    audience: https://mcp.test/mcp\n    allow_addresses: [127.0.0.1/32]\n    \
         ask_for: [records:read]\n    roles: {{ claim: scope, map: {{ 'records:read': reader }} }}\n"
    );
    let policy = "server: records\nroles: { reader: { tools: [delete_record] } }\n\
                  tools: { delete_record: { scopes: [records:read, records:write] } }\n";
    let world = World::new(&upstream.url()).listen("public_url: https://mcp.test/mcp");
    let gate = world.policy("principals.yaml", &principals).policy("records.yaml", policy).start().await;
    let token = |ends: i64| {
        let times = json!({ "iat": seconds(-600), "exp": seconds(ends) });
        let mut claims = json!({ "iss": url, "aud": "https://mcp.test/mcp", "sub": "alice", "scope": "records:read" });
        claims.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        format!("Bearer {}", signer.token(&claims))
    };
    let delete = tool_call("1", "delete_record", "{}");
    let (over, short) = (token(-300), token(300));
    for (title, shown) in [
        ("no token, where tokens are taken", None),
        ("a token that is over", Some(&over)),
        ("a token that lacks a scope", Some(&short)),
    ] {
        let mut headers = with(&[("x-api-key", "")]);
        headers.extend(shown.map(|token| ("authorization", token.as_str())));
        page.hear(title, gate.data, &post_with(&headers, &delete)).await;
    }
}

/// Where nobody can be asked who somebody is.
async fn without_issuer(page: &mut Page) {
    let (upstream, issuer) = (Upstream::start().await, Issuer::start(KeysOfIssuer::Down).await);
    let url = issuer.url();
    let principals = format!("tokens: [{{ issuer: \"{url}\", audience: gate, allow_addresses: [127.0.0.1/32] }}]\n");
    let gate = World::new(&upstream.url()).policy("principals.yaml", &principals).start().await;
    let claims = json!({ "iss": url, "aud": "gate", "sub": "alice", "exp": seconds(300) });
    let token = format!("Bearer {}", Signer::es256("k1").token(&claims));
    let mut headers = with(&[("x-api-key", "")]);
    headers.push(("authorization", &token));
    page.hear("a token whose issuer cannot be asked", gate.data, &post_with(&headers, &search("{}"))).await;
}

async fn out_of_place(page: &mut Page, gate: SocketAddr) {
    let line = |line: &str| {
        let request = post(ALICE, &search("{}"));
        let text = String::from_utf8(request).unwrap();
        text.replacen("POST /mcp", line, 1).into_bytes()
    };
    page.hear("another path", gate, &line("POST /admin")).await;
    page.hear("another method", gate, &line("PUT /mcp")).await;
}

async fn not_granted(page: &mut Page, gate: SocketAddr) {
    let delete = tool_call("1", "delete_record", "{}");
    let nothing = tool_call("1", "no_such_tool", "{}");
    let too_many = r#""name":"search_records","arguments":{"limit":1000,"store":"elsewhere"}"#;
    page.hear("arguments that are not allowed", gate, &post(ALICE, &search(r#"{"limit":1000}"#))).await;
    let card = search(r#"{"note":"4111 1111 1111 1111"}"#);
    page.hear("arguments with something that must not be sent", gate, &post(ALICE, &card)).await;
    let key = search(r#"{"note":"AKIAIOSFODNN7EXAMPLE"}"#);
    page.hear("an answer with something that must not pass", gate, &post(ALICE, &key)).await;
    let modern = post_modern("tools/call", too_many, Some("search_records"));
    page.hear("arguments that are not allowed, without a session", gate, &modern).await;
    page.hear("a task that is not the caller's", gate, &post(ALICE, &message("1", "tasks/get", r#"{"taskId":"t"}"#)))
        .await;
    page.hear("an answer to nothing", gate, &post(ALICE, r#"{"jsonrpc":"2.0","id":"q","result":{}}"#)).await;
    page.hear("a tool that is not granted", gate, &post(ALICE, &delete)).await;
    page.hear("a tool that does not exist", gate, &post(ALICE, &nothing)).await;
    let asked = [
        ("a prompt that is not granted", message("1", "prompts/get", r#"{"name":"greet"}"#)),
        ("a resource that is not granted", message("1", "resources/read", r#"{"uri":"demo://a"}"#)),
        ("a method that is not granted, before 2026-07-28", message("1", "logging/setLevel", r#"{"level":"debug"}"#)),
    ];
    for (title, body) in asked {
        page.hear(title, gate, &post(ALICE, &body)).await;
    }
    let listen = post_modern("subscriptions/listen", r#""notifications":{}"#, None);
    page.hear("a method that is not granted, since 2026-07-28", gate, &listen).await;
}

async fn limited(page: &mut Page, gate: SocketAddr, upstream: &Upstream) {
    let once = post(ALICE, &tool_call("1", "get_record_detail", "{}"));
    let first = raw::call(gate, &once).await;
    assert!(first.text().contains("result"), "{}", first.text());
    page.hear("a rate limit", gate, &once).await;

    let held = tool_call("1", "get_statistics", r#"{"server":"holds"}"#);
    let before = upstream.count();
    let mut connection = Connection::open(gate).await;
    connection.send(&post(ALICE, &held)).await.unwrap();
    assert!(upstream.wait_for(before + 1, DEADLINE).await);
    page.hear("a limit of calls in flight", gate, &post(ALICE, &held)).await;
    upstream.release();
    assert!(matches!(connection.read().await, Answer::Response(_)));
}

/// The store is nowhere.
async fn uncounted(page: &mut Page) {
    let upstream = Upstream::start().await;
    let policy = format!("{READERS}limits: [{{ calls: 1, every: 1h, per: principal }}]\n");
    let world = World::new(&upstream.url()).policy("records.yaml", &policy).file("store", "redis://127.0.0.1:1/");
    let gate = world.top("limits_store: { url: \"file:HOME/store\", when_down: closed }").start().await;
    page.hear("a limit that nobody can count, because its store is away", gate.data, &post(ALICE, &search("{}"))).await;
}

async fn server_ails(page: &mut Page, gate: SocketAddr) {
    let hangs = tool_call("1", "get_pool_status", r#"{"server":"hangs"}"#);
    page.hear("a server that timed out", gate, &post(ALICE, &hangs)).await;
    for how in ["breaks off", "breaks off inside a stream", "fails", "redirects"] {
        let call = search(&json!({ "server": how }).to_string());
        page.hear(&format!("a server that {how}"), gate, &post(ALICE, &call)).await;
    }
}

async fn unreachable(page: &mut Page) {
    let gone = Upstream::start().await.url();
    let gate = World::new(&gone).server("breaker: { failures: 1, pause: 1m }").start().await;
    let call = post(ALICE, &search("{}"));
    page.hear("a server that cannot be reached", gate.data, &call).await;
    page.hear("a server that is left alone because it fails", gate.data, &call).await;
}

/// Where a server is shown tokens, and there is none to show.
async fn without_way_in(page: &mut Page) {
    let (upstream, tokens, signer) = (Upstream::start().await, Upstream::start().await, Signer::es256("k1"));
    let issuer = Issuer::start(published(&[&signer])).await;
    tokens.answer(Reply::status(400, &json!({ "error": "invalid_grant" })));
    let callers = format!(
        "{}tokens:\n  - {{ issuer: \"{}\", audience: gate, allow_addresses: [127.0.0.0/8], roles: {{ claim: groups }} }}\n",
        principals("reader"),
        issuer.url()
    );
    let grant = |name: &str| {
        format!(
            "credential: {{ {name}: {{ token_url: '{}', client_id: gate, client_secret: 'file:HOME/secret', \
             audience: records, allow_addresses: [127.0.0.0/8] }} }}",
            tokens.url()
        )
    };
    let world = World::new(&upstream.url()).file("secret", "s").policy("principals.yaml", &callers);
    let gate = world.clone().server(&grant("client_credentials")).start().await;
    page.hear("the gate cannot authenticate to the server", gate.data, &post(ALICE, &search("{}"))).await;
    let gate = world.server(&grant("token_exchange")).start().await;
    page.hear("a key, where the server takes callers' tokens only", gate.data, &post(ALICE, &search("{}"))).await;
    let claims =
        json!({ "iss": issuer.url(), "aud": "gate", "sub": "alice", "exp": seconds(300), "groups": ["reader"] });
    let bearer = format!("Bearer {}", signer.token(&claims));
    let mut headers = with(&[("x-api-key", "")]);
    headers.push(("authorization", &bearer));
    page.hear("a token that opens nothing at the server", gate.data, &post_with(&headers, &search("{}"))).await;
}

async fn overloaded(page: &mut Page) {
    let upstream = Upstream::start().await;
    upstream.answer_with(ailing);
    let world = World::new(&upstream.url()).listen("max_in_flight: 1");
    let gate = world.start().await;
    let mut held = Connection::open(gate.data).await;
    let call = post(ALICE, &search(r#"{"server":"holds"}"#));
    held.send(&call).await.unwrap();
    assert!(upstream.wait_for(1, DEADLINE).await);
    page.hear("a gate that is overloaded", gate.data, &call).await;
}

async fn stopped(page: &mut Page) {
    let upstream = Upstream::start().await;
    let kill = |what: &str| format!("kills: [{{ {what}, reason: it leaks, by: ann }}]\n");
    for (title, what) in [("a tool that an operator has stopped", "tool: search_records"), ("all stopped", "all: true")]
    {
        let world = World::new(&upstream.url()).file("kill.yaml", &kill(what)).top("kill_switch: { file: kill.yaml }");
        page.hear(title, world.start().await.data, &post(ALICE, &search("{}"))).await;
    }
}

/// The request has begun before the signal, and ends after it.
async fn draining(page: &mut Page) {
    let upstream = Upstream::start().await;
    upstream.answer_with(ailing);
    let gate = World::new(&upstream.url()).start().await;
    let late = post(ALICE, &search("{}"));
    let (begun, rest) = late.split_at(60);
    let mut early = Connection::open(gate.data).await;
    early.send(begun).await.unwrap();
    // Connections are taken in turn: once this call is through, the one above is taken, too.
    let mut held = Connection::open(gate.data).await;
    let call = post(ALICE, &search(r#"{"server":"holds"}"#));
    held.send(&call).await.unwrap();
    assert!(upstream.wait_for(1, DEADLINE).await);
    gate.signal_end();
    let admin = gate.admin;
    let unready = async || raw::get(admin, "/readyz").await.status == 503;
    assert!(until(DEADLINE, unready).await);
    match early.exchange(rest).await {
        Answer::Response(response) => page.note("a gate that is draining, in a request begun before", &response),
        other => panic!("a gate that is draining: {other:?}"),
    }
    upstream.release();
    assert!(matches!(held.read().await, Answer::Response(_)));
}
