//! A server that has something else for each caller, by who asks and what its client can do, in one view with one that has the
//! same for all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::session::hears;
use super::{ALL, BILLING, text, tool};
use crate::assertion;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, message, post_with, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const RECORDS: &str = "server: records\nroles: { reader: { methods: [subscriptions/listen], tools: [\"*\"] } }\n";
const MODERN: &str = "2026-07-28";
const LEGACY_ONE: &str = "2025-11-25";

/// The server, and what it goes by.
struct Each {
    upstream: Upstream,
    /// It has one more tool.
    more: Arc<AtomicBool>,
    /// How it is.
    mood: Arc<Mutex<Mood>>,
}

/// What becomes of a list that it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Tells,
    Refuses,
    Hangs,
}

impl Each {
    /// One that speaks these revisions.
    async fn start(speaks: &'static [&'static str]) -> Self {
        let upstream = Upstream::start().await;
        let (more, mood) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Mood::Tells)));
        let (has_more, is_so) = (Arc::clone(&more), Arc::clone(&mood));
        let (sessions, begun) = (Mutex::new(HashMap::new()), AtomicUsize::new(0));
        upstream.answer_with(move |request: &Recorded| {
            let asked = request.json().unwrap_or_default();
            let Some(caller) = request.head.first("x-gateway-principal") else {
                return Reply::empty(401);
            };
            let session = request.head.first("mcp-session-id").unwrap_or_default();
            let method = asked["method"].as_str().unwrap_or_default();
            let is_modern = asked["params"]["_meta"].get("io.modelcontextprotocol/protocolVersion").is_some();
            if method == "initialize" {
                let wanted = asked["params"]["protocolVersion"].as_str().unwrap_or_default();
                let Some(agreed) = speaks.iter().find(|it| **it <= wanted && **it != MODERN) else {
                    return error(&asked, -32602);
                };
                let name = format!("records-{}", begun.fetch_add(1, Ordering::SeqCst));
                sessions.lock().unwrap().insert(name.clone(), asked["params"]["capabilities"].clone());
                return greeting(&asked, agreed, name);
            }
            match method {
                _ if is_modern && !speaks.contains(&MODERN) => return error(&asked, -32600),
                "server/discover" => return discovered(&asked),
                "subscriptions/listen" => {
                    let of = &asked["params"]["notifications"];
                    let params = json!({ "notifications": of, "_meta": subscription(&asked) });
                    return Reply::Pushed(event("notifications/subscriptions/acknowledged", &params));
                }
                _ => {}
            }
            let sessions = sessions.lock().unwrap();
            let known = sessions.get(session);
            match (request.method.as_str(), known) {
                ("DELETE", _) => return Reply::empty(200),
                ("GET", Some(_)) => return Reply::Pushed(format!(": {session}")),
                (_, None) if !is_modern => return Reply::empty(404),
                _ => {}
            }
            let of_request = &asked["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
            let capabilities = if is_modern { of_request } else { known.unwrap_or(&Value::Null) };
            let result = match method {
                "tools/list" if *is_so.lock().unwrap() == Mood::Hangs => return Reply::Hang,
                "tools/list" if *is_so.lock().unwrap() == Mood::Refuses => return error(&asked, -32603),
                "tools/list" => {
                    let own = if caller == "alice" { "hers" } else { "his" };
                    let more = has_more.load(Ordering::SeqCst).then_some("more");
                    listing(["find", own].into_iter().chain(capabilities.get("sampling").map(|_| "ask")).chain(more))
                }
                "tools/call" => {
                    let text = format!("{caller} {} {session}", asked["params"]["name"].as_str().unwrap_or_default());
                    json!({ "content": [{ "type": "text", "text": text }], "isError": false, "resultType": "complete" })
                }
                _ => return Reply::empty(202),
            };
            Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
        });
        Self { upstream, more, mood }
    }

    /// In a view with `billing`, which has the same for all.
    fn world(&self, billing: &Upstream, said: &str) -> World {
        let world = World::new(&self.upstream.url()).server(&format!("catalogue: {{ per: caller{said} }}"));
        let world = world.policy("records.yaml", RECORDS);
        world.beside("billing", &format!("url: {}", billing.url()), BILLING).policy("views.yaml", ALL)
    }

    /// From now on.
    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked this.
    fn asked(&self, method: &str) -> usize {
        let is = |it: &&Recorded| it.json().is_some_and(|asked| asked["method"] == method);
        self.upstream.since(0).iter().filter(is).count()
    }

    /// How often it was asked something in nobody's name.
    fn asked_by_nobody(&self) -> usize {
        self.upstream.since(0).iter().filter(|it| it.head.first("x-gateway-principal").is_none()).count()
    }
}

fn listing<'t>(tools: impl Iterator<Item = &'t str>) -> Value {
    let tools: Vec<_> = tools.map(tool).collect();
    json!({ "resultType": "complete", "tools": tools, "ttlMs": 300_000, "cacheScope": "public" })
}

fn discovered(asked: &Value) -> Reply {
    let result = json!({
        "resultType": "complete", "supportedVersions": [MODERN], "ttlMs": 300_000, "cacheScope": "public",
        "capabilities": { "tools": { "listChanged": true } }, "instructions": "Ask records nicely.",
    });
    Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
}

fn greeting(asked: &Value, agreed: &str, session: String) -> Reply {
    let result = json!({
        "protocolVersion": agreed, "capabilities": { "tools": { "listChanged": true }, "logging": {} },
        "serverInfo": { "name": "records", "version": "1" }, "instructions": "Ask records nicely.",
    });
    let Reply::Whole { status, mut headers, body } =
        Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
    else {
        panic!("it is whole")
    };
    headers.push(("mcp-session-id".to_owned(), session));
    Reply::Whole { status, headers, body }
}

fn error(asked: &Value, code: i64) -> Reply {
    let error = json!({ "code": code, "message": "not so" });
    Reply::status(400, &json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }))
}

fn subscription(asked: &Value) -> Value {
    json!({ "io.modelcontextprotocol/subscriptionId": asked["id"] })
}

fn event(method: &str, params: &Value) -> String {
    format!("data: {}", json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

async fn billing() -> Upstream {
    super::server("billing", &["find", "pay"]).await
}

/// A client of 2026-07-28: its key, and what it can do.
type Client = (&'static str, Value);

fn request((key, has): &Client, method: &str, mut params: Value, name: Option<&str>) -> Vec<u8> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": has,
    });
    let mut headers = LEGACY.to_vec();
    headers[3].1 = MODERN;
    headers.extend([("x-api-key", *key), ("mcp-method", method)]);
    headers.extend(name.map(|name| ("mcp-name", name)));
    post_with(&headers, &message("1", method, &params.to_string()))
}

async fn ask(gate: SocketAddr, client: &Client, method: &str, params: Value, name: Option<&str>) -> Value {
    let answer = raw::call(gate, &request(client, method, params, name)).await;
    answer.json().unwrap_or_else(|| panic!("{} {}", answer.status, answer.text()))
}

async fn listed(gate: SocketAddr, client: &Client) -> Vec<String> {
    names(&ask(gate, client, "tools/list", json!({}), None).await)
}

fn names(list: &Value) -> Vec<String> {
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("{list}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn called(gate: SocketAddr, client: &Client, name: &str) -> Value {
    ask(gate, client, "tools/call", json!({ "name": name, "arguments": {} }), Some(name)).await
}

fn alice() -> Client {
    (ALICE, json!({}))
}

fn bob() -> Client {
    (BOB, json!({}))
}

fn is_unknown(answer: &Value, name: &str) {
    let error = (&answer["error"]["code"], answer["error"]["message"].as_str());
    assert_eq!(error, (&json!(-32602), Some(format!("Unknown tool: {name}").as_str())), "{answer}");
}

/// A client of an earlier revision, in its session.
struct Session {
    gate: SocketAddr,
    key: &'static str,
    id: String,
}

impl Session {
    async fn begin(gate: SocketAddr, key: &'static str, has: Value) -> (Self, Value) {
        let hello = json!({ "protocolVersion": LEGACY_ONE, "capabilities": has, "clientInfo": { "name": "client", "version": "1" } });
        let begun =
            raw::call(gate, &super::session::with(key, None, &message("0", "initialize", &hello.to_string()))).await;
        let id = begun.head.first("mcp-session-id").unwrap_or_else(|| panic!("{}", begun.text())).to_owned();
        let told = begun.json().unwrap()["result"].clone();
        let session = Self { gate, key, id };
        assert_eq!(session.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await.status, 202);
        (session, told)
    }

    async fn send(&self, body: &str) -> raw::Response {
        raw::call(self.gate, &super::session::with(self.key, Some(&self.id), body)).await
    }

    async fn listed(&self) -> Vec<String> {
        names(&self.send(&message("1", "tools/list", "{}")).await.json().unwrap())
    }

    async fn called(&self, tool: &str) -> Value {
        self.send(&tool_call("2", tool, "{}")).await.json().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_sees_and_calls_what_the_server_has_for_it() {
    let (each, billing) = (Each::start(&[MODERN]).await, billing().await);
    let gate = each.world(&billing, "").start().await;
    for (client, name, own, others) in [(alice(), "alice", "hers", "his"), (bob(), "bob", "his", "hers")] {
        // Both servers have one, so neither is called so, also before anything was listed.
        is_unknown(&called(gate.data, &client, "find").await, "find");
        assert_eq!(listed(gate.data, &client).await, ["billing_find", "settle", "records_find", own]);
        for _ in 0..5 {
            assert_eq!(text(&called(gate.data, &client, own).await).trim(), format!("{name} {own}"));
            assert_eq!(text(&called(gate.data, &client, "records_find").await).trim(), format!("{name} find"));
        }
        assert_eq!(text(&called(gate.data, &client, "settle").await), "billing \"pay\" pay");
        let before = each.asked("tools/call");
        is_unknown(&called(gate.data, &client, others).await, others);
        assert_eq!(each.asked("tools/call"), before, "nothing was called");
        let itself = ask(gate.data, &client, "server/discover", json!({}), None).await["result"].clone();
        assert!(itself["instructions"].as_str().unwrap().contains("Ask records nicely."), "{itself}");
        assert_eq!(itself["supportedVersions"], json!([MODERN]));
    }
    assert_eq!(each.asked("tools/list"), 2, "once for each caller");
    assert_eq!(each.asked_by_nobody(), 0, "the gate asks nothing in its own name");
    let asked = |principal: &str| {
        let wanted = [format!(r#""principal":"{principal}""#), r#""method":"tools/list""#.to_owned()];
        gate.decisions
            .since(0)
            .iter()
            .filter(|line| wanted.iter().all(|it| line.contains(it)) && line.contains("records"))
            .count()
    };
    assert_eq!((asked("alice"), asked("bob")), (1, 1), "{}", gate.decisions.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_gate_asks_for_a_caller_is_signed_as_that_callers() {
    let (each, billing) = (Each::start(&[MODERN]).await, billing().await);
    let world = each.world(&billing, "").file("key", &assertion::key());
    let signs = format!("assertion: {{ keys: ['file:HOME/key'], issuer: '{}' }}", assertion::ISSUER);
    let gate = world.server(&format!("catalogue: {{ per: caller }}, {signs}")).start().await;
    let keys = assertion::jwks(&gate).await;
    for (client, name) in [(alice(), "alice"), (bob(), "bob")] {
        let before = each.upstream.count();
        assert_eq!(listed(gate.data, &client).await.len(), 4);
        let asked = each.upstream.since(before);
        assert!(asked.len() >= 2, "what it speaks and what it has");
        for request in asked {
            let [token] = request.head.all("x-tollgate-assertion")[..] else { panic!("{}", request.text()) };
            let claims = assertion::verified(token, &keys);
            let of_body = assertion::digest(&request.body);
            assert_eq!((&claims["sub"], &claims["body_sha256"]), (&json!(name), &json!(of_body)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_session_sees_and_calls_what_the_server_has_in_it() {
    let (each, billing) = (Each::start(&[LEGACY_ONE]).await, super::session::Two::start().await);
    let gate = each.world(&billing.billing, "").start().await;
    let mut sessions = Vec::new();
    for (key, name, own, others) in [(ALICE, "alice", "hers", "his"), (BOB, "bob", "his", "hers")] {
        let (session, told) = Session::begin(gate.data, key, json!({})).await;
        assert!(told["instructions"].as_str().unwrap().contains("Ask records nicely."), "{told}");
        let begun = each.asked("initialize");
        assert_eq!(session.listed().await, ["billing_find", "settle", "records_find", own]);
        let first = session.called(own).await;
        assert!(text(&first).starts_with(&format!("{name} {own} records-")), "{first}");
        assert_eq!(text(&session.called("records_find").await), text(&first).replace(own, "find"), "one session");
        assert!(text(&session.called("settle").await).starts_with("billing pay"));
        let before = each.asked("tools/call");
        is_unknown(&session.called(others).await, others);
        assert_eq!(each.asked("tools/call"), before, "nothing was called");
        assert_eq!(each.asked("initialize"), begun, "it was greeted once");
        sessions.push(session);
    }
    assert_eq!((each.asked("tools/list"), each.asked_by_nobody()), (2, 0));
    for session in &sessions {
        let end = String::from_utf8(super::session::with(session.key, Some(&session.id), "")).unwrap();
        let end = end.replace("POST ", "DELETE ").replace("content-type: application/json\r\n", "");
        assert_eq!(raw::call(gate.data, end.as_bytes()).await.status, 200);
    }
    let ended = each.upstream.since(0).iter().filter(|it| it.method == "DELETE").count();
    assert_eq!(ended, 2, "the server hears that its sessions are over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_clients_that_can_be_asked_is_shown_to_those_alone() {
    let (each, billing) = (Each::start(&[MODERN, LEGACY_ONE]).await, billing().await);
    let may = format!("{RECORDS}server_may: [sampling]\n");
    for (policy, shown) in [(may.as_str(), true), (RECORDS, false)] {
        let gate = each.world(&billing, "").policy("records.yaml", policy).start().await;
        let has = |names: &[String]| names.iter().any(|name| name == "ask");
        let (can, cannot) = ((ALICE, json!({ "sampling": {} })), alice());
        assert!(!has(&listed(gate.data, &cannot).await), "it cannot be asked");
        assert_eq!(has(&listed(gate.data, &can).await), shown, "{policy}");
        assert!(!has(&listed(gate.data, &cannot).await), "nor does it have what another client of its user has");
        is_unknown(&called(gate.data, &cannot, "ask").await, "ask");
        let (session, _) = Session::begin(gate.data, ALICE, json!({ "sampling": {} })).await;
        assert_eq!(has(&session.listed().await), shown, "{policy}");
        let (session, _) = Session::begin(gate.data, ALICE, json!({})).await;
        assert!(!has(&session.listed().await));
        is_unknown(&session.called("ask").await, "ask");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_hides_none_of_the_others_and_keeps_nobody_waiting_twice() {
    let (each, billing) = (Each::start(&[MODERN]).await, billing().await);
    each.is(Mood::Hangs);
    let gate = each.world(&billing, ", timeout: 1s").start().await;
    assert_eq!(listed(gate.data, &alice()).await, ["find", "settle"], "it is waited for, and no longer");
    let gate = each.world(&billing, ", timeout: 1m").start().await;
    each.is(Mood::Refuses);
    assert_eq!(listed(gate.data, &alice()).await, ["find", "settle"]);
    each.is(Mood::Hangs);
    let mark = each.asked("tools/list");
    // Were it waited for now, even one of these would take longer than all may.
    let many = async {
        while each.asked("tools/list") == mark {
            assert_eq!(listed(gate.data, &alice()).await, ["find", "settle"]);
        }
        for _ in 0..50 {
            assert_eq!(listed(gate.data, &alice()).await, ["find", "settle"]);
            assert_eq!(text(&called(gate.data, &alice(), "settle").await), "billing \"pay\" pay");
        }
    };
    assert!(tokio::time::timeout(DEADLINE, many).await.is_ok());
    assert_eq!(each.asked("tools/list"), mark + 1, "one asks");
    each.is(Mood::Tells);
    let gate = each.world(&billing, ", timeout: 1s").start().await;
    let all = ["billing_find", "settle", "records_find", "hers"];
    assert_eq!(listed(gate.data, &alice()).await, all);
    let list = ask(gate.data, &alice(), "tools/list", json!({}), None).await["result"].clone();
    assert_eq!(list["_meta"].get("io.tollgate/ageMs"), None, "it is as its server says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_had_is_shown_with_its_age_while_it_does_not_answer() {
    let (each, billing) = (Each::start(&[MODERN]).await, billing().await);
    let gate = each.world(&billing, ", timeout: 1s").start().await;
    let mut stream = Connection::open(gate.data).await;
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    stream.send(&request(&alice(), "subscriptions/listen", wanted, None)).await.unwrap();
    stream.read_head().await.unwrap().unwrap();
    hears(&mut stream, |it| it["method"] == "notifications/subscriptions/acknowledged").await;
    let all = ["billing_find", "settle", "records_find", "hers"];
    assert_eq!(listed(gate.data, &alice()).await, all);
    each.is(Mood::Hangs);
    each.upstream
        .push(&event("notifications/tools/list_changed", &json!({ "_meta": subscription(&json!({ "id": 1 })) })));
    hears(&mut stream, |it| it["method"] == "notifications/tools/list_changed").await;
    let aged = async || {
        let list = ask(gate.data, &alice(), "tools/list", json!({}), None).await;
        names(&list) == all && list["result"]["_meta"]["io.tollgate/ageMs"].is_u64() && list["result"]["ttlMs"] == 0
    };
    assert!(until(DEADLINE, aged).await, "{}", gate.log.text());
    assert_eq!(text(&called(gate.data, &alice(), "hers").await).trim(), "alice hers", "calls go on");
    each.more.store(true, Ordering::SeqCst);
    each.is(Mood::Tells);
    // Nobody waited for that: its client is told.
    assert!(until(DEADLINE, async || listed(gate.data, &alice()).await.contains(&"more".to_owned())).await);
    hears(&mut stream, |it| it["method"] == "notifications/tools/list_changed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_that_its_tools_have_changed_is_shown_the_new_ones() {
    let (each, billing) = (Each::start(&[MODERN, LEGACY_ONE]).await, billing().await);
    let gate = each.world(&billing, "").start().await;
    let changed = |it: &Value| it["method"] == "notifications/tools/list_changed";
    let has_more = |names: Vec<String>| names.contains(&"more".to_owned());

    let mut stream = Connection::open(gate.data).await;
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    stream.send(&request(&alice(), "subscriptions/listen", wanted.clone(), None)).await.unwrap();
    stream.read_head().await.unwrap().unwrap();
    let first = hears(&mut stream, |_| true).await;
    assert_eq!(first["params"]["notifications"], wanted["notifications"], "{first}");
    let subscribed = each.upstream.since(0).iter().any(|it| it.holds(r#""toolsListChanged":true"#));
    assert!(subscribed, "in her name, and for that");
    let (session, _) = Session::begin(gate.data, BOB, json!({})).await;
    let get = String::from_utf8(super::session::with(BOB, Some(&session.id), "")).unwrap().replace("POST ", "GET ");
    let get = get.replace("content-length: 0\r\n", "").replace("content-type: application/json\r\n", "");
    let mut of_session = Connection::open(gate.data).await;
    of_session.send(get.as_bytes()).await.unwrap();
    of_session.read_head().await.unwrap().unwrap();
    let listens = async || each.upstream.since(0).iter().any(|it| it.method == "GET" && it.holds("records-"));
    assert!(until(DEADLINE, listens).await, "the stream of the session is open");

    assert!(!has_more(listed(gate.data, &alice()).await) && !has_more(session.listed().await));
    each.more.store(true, Ordering::SeqCst);
    assert!(!has_more(listed(gate.data, &alice()).await), "for so long as the server said");
    each.upstream
        .push(&event("notifications/tools/list_changed", &json!({ "_meta": subscription(&json!({ "id": 1 })) })));
    let heard = hears(&mut stream, changed).await;
    assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert!(has_more(listed(gate.data, &alice()).await));
    hears(&mut of_session, changed).await;
    assert!(has_more(session.listed().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_given_up_is_asked_again_and_a_call_still_finds_its_way() {
    let (each, billing) = (Each::start(&[MODERN]).await, billing().await);
    let gate = each.world(&billing, ", max_bytes: 1").start().await;
    for _ in 0..3 {
        assert_eq!(text(&called(gate.data, &alice(), "hers").await).trim(), "alice hers");
        assert_eq!(text(&called(gate.data, &bob(), "his").await).trim(), "bob his");
        is_unknown(&called(gate.data, &bob(), "hers").await, "hers");
    }
    assert!(each.asked("tools/list") >= 6, "one is kept at a time");
    assert_eq!(gate.metric(r#"tollgate_catalogue_callers{server="records"}"#).await, Some(1.0));
    let evicted = gate.metric(r#"tollgate_catalogue_evicted_total{server="records"}"#).await;
    assert!(evicted.is_some_and(|evicted| evicted >= 5.0), "{evicted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_is_judged_anew_without_another_question() {
    let (each, billing) = (Each::start(&[MODERN]).await, billing().await);
    let narrow = RECORDS.replace("[\"*\"]", "[hers]");
    let gate = each.world(&billing, "").policy("records.yaml", &narrow).start().await;
    // What is called how depends on no policy.
    assert_eq!(listed(gate.data, &alice()).await, ["billing_find", "settle", "hers"]);
    is_unknown(&called(gate.data, &alice(), "records_find").await, "records_find");
    std::fs::write(gate.policies().join("records.yaml"), RECORDS).unwrap();
    let now = async || listed(gate.data, &alice()).await == ["billing_find", "settle", "records_find", "hers"];
    assert!(until(DEADLINE, now).await, "{}", gate.log.text());
    assert_eq!(text(&called(gate.data, &alice(), "records_find").await).trim(), "alice find");
    assert_eq!(each.asked("tools/list"), 1);
    // Who is granted nothing of a server is unknown to it.
    std::fs::write(
        gate.policies().join("records.yaml"),
        RECORDS.replace("[\"*\"]", "[]").replace("tools: []", "prompts: [x]"),
    )
    .unwrap();
    let none = async || listed(gate.data, &alice()).await == ["find", "settle"];
    assert!(until(DEADLINE, none).await, "{}", gate.log.text());
    let mark = each.upstream.count();
    assert_eq!(listed(gate.data, &bob()).await, ["find", "settle"]);
    assert!(each.upstream.since(mark).iter().all(|it| !it.holds("tools/list")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_what_the_server_speaks_as_soon_as_that_is_known() {
    let alone = "views: { all: { default: true, names: bare, servers: { records: { tools: [\"*\"] } } } }\n";
    let billing = billing().await;
    let old = Each::start(&["2025-06-18"]).await;
    let gate = old.world(&billing, "").policy("views.yaml", alone).start().await;
    let answer = raw::call(gate.data, &request(&alice(), "server/discover", json!({}), None)).await;
    let supported = answer.json().unwrap()["error"]["data"]["supported"].clone();
    assert_eq!(
        (answer.status, supported.as_array().map(Vec::len)),
        (400, Some(4)),
        "all with a handshake: {supported}"
    );
    let (session, told) = Session::begin(gate.data, ALICE, json!({})).await;
    assert_eq!(told["protocolVersion"], "2025-06-18", "it is greeted again by what it agreed to");
    assert_eq!(session.listed().await, ["find", "hers"]);
    assert!(text(&session.called("hers").await).starts_with("alice hers"));
    let (_, told) = Session::begin(gate.data, BOB, json!({})).await;
    assert_eq!(
        (told["protocolVersion"].as_str(), old.asked("initialize")),
        (Some("2025-06-18"), 3),
        "that is known now"
    );
}
