//! Clients of earlier revisions with a view: one session of theirs is one at each server that they use, and everything that
//! passes in it is for exactly one of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{ALL, BILLING, RECORDS, ask, text, tool};
use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, at, message, post_with, tool_call};
use crate::support::raw::{self, Connection, Response};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

/// A server of 2025-11-25 with sessions, which answers calls with its name, the tool's and the session's.
async fn server(name: &'static str, tools: &'static [&'static str]) -> Upstream {
    let upstream = Upstream::start().await;
    let begun = AtomicUsize::new(0);
    upstream.answer_with(move |request: &Recorded| legacy(name, tools, &begun, request));
    upstream
}

pub(super) fn legacy(name: &str, tools: &[&str], begun: &AtomicUsize, request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    let session = request.head.first("mcp-session-id").unwrap_or_default().to_owned();
    let result = match (request.method.as_str(), message["method"].as_str()) {
        ("POST", Some("initialize")) => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": { "name": name, "version": "1" },
            "instructions": format!("Ask {name} nicely."),
        }),
        ("DELETE", _) => return Reply::empty(200),
        ("GET", _) => return Reply::Pushed(format!(": {name} listens to {session}")),
        // Of what ended it knows nothing.
        ("POST", Some(_)) if !session.starts_with(name) => return Reply::empty(404),
        ("POST", Some("tools/list")) => json!({ "tools": tools.iter().map(|name| tool(name)).collect::<Vec<_>>() }),
        ("POST", Some("tools/call")) => {
            let text = format!("{name} {} {session}", message["params"]["name"].as_str().unwrap());
            json!({ "content": [{ "type": "text", "text": text }], "isError": false })
        }
        ("POST", Some("logging/setLevel")) => json!({}),
        _ => return Reply::empty(202),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    match (Reply::json(&answer), message["method"].as_str()) {
        (Reply::Whole { status, mut headers, body }, Some("initialize")) => {
            let count = begun.fetch_add(1, Ordering::SeqCst);
            headers.push(("mcp-session-id".to_owned(), format!("{name}-{count}")));
            Reply::Whole { status, headers, body }
        }
        (reply, _) => reply,
    }
}

/// The same, with its name for the session in every answer, as the Python SDK has it.
fn naming(reply: Reply, request: &Recorded) -> Reply {
    match (reply, request.head.first("mcp-session-id")) {
        (Reply::Whole { status, mut headers, body }, Some(session)) => {
            headers.push(("mcp-session-id".to_owned(), session.to_owned()));
            Reply::Whole { status, headers, body }
        }
        (reply, _) => reply,
    }
}

pub(super) struct Two {
    pub(super) records: Upstream,
    pub(super) billing: Upstream,
}

impl Two {
    pub(super) async fn start() -> Self {
        Self {
            records: server("records", &["find", "count"]).await,
            billing: server("billing", &["find", "pay"]).await,
        }
    }

    async fn gate(&self) -> Gate {
        self.world().start().await
    }

    pub(super) fn world(&self) -> World {
        let may = "server_may: [elicitation]\n";
        let logs = |policy: &str| policy.replace("tools:", "methods: [logging/setLevel], tools:");
        let world = World::new(&self.records.url()).policy("records.yaml", &format!("{}{may}", logs(RECORDS)));
        let world =
            world.beside("billing", &format!("url: {}", self.billing.url()), &format!("{}{may}", logs(BILLING)));
        world.policy("views.yaml", ALL)
    }
}

/// A session with the view at `/mcp`.
pub(super) struct Session {
    gate: SocketAddr,
    pub(super) id: String,
}

pub(super) const HELLO: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"client","version":"1"}}"#;

pub(super) fn with(key: &str, session: Option<&str>, body: &str) -> Vec<u8> {
    let mut headers = LEGACY.to_vec();
    headers.push(("x-api-key", key));
    headers.extend(session.map(|session| ("mcp-session-id", session)));
    post_with(&headers, body)
}

impl Session {
    pub(super) async fn begin(gate: SocketAddr) -> (Self, Value) {
        let begun = raw::call(gate, &with(ALICE, None, &message("0", "initialize", HELLO))).await;
        let id = begun.head.first("mcp-session-id").unwrap_or_else(|| panic!("{}", begun.text())).to_owned();
        (Self { gate, id }, begun.json().unwrap()["result"].clone())
    }

    pub(super) fn request(&self, body: &str) -> Vec<u8> {
        with(ALICE, Some(&self.id), body)
    }

    pub(super) async fn say(&self, body: &str) -> Response {
        let answer = raw::call(self.gate, &self.request(body)).await;
        // Clients go on under the name that they heard last.
        assert!(answer.head.first("mcp-session-id").is_none_or(|named| named == self.id), "{}", answer.text());
        answer
    }

    async fn call(&self, id: &str, tool: &str) -> Value {
        let answer = self.say(&tool_call(id, tool, "{}")).await;
        answer.json().unwrap_or_else(|| panic!("{} {}", answer.status, answer.text()))
    }

    pub(super) fn bodiless(&self, method: &str) -> Vec<u8> {
        let get = String::from_utf8(self.request("")).unwrap().replace("POST ", &format!("{method} "));
        get.replace("content-length: 0\r\n", "").replace("content-type: application/json\r\n", "").into_bytes()
    }

    /// Sends this and reads the head of the stream that answers.
    pub(super) async fn stream(&self, request: &[u8]) -> Connection {
        let mut connection = Connection::open(self.gate).await;
        connection.send(request).await.unwrap();
        let head = connection.read_head().await.unwrap().unwrap();
        assert_eq!(head.first("content-type"), Some("text/event-stream"), "{}", head.start);
        connection
    }
}

/// Reads a stream until something of it satisfies this.
pub(super) async fn hears(stream: &mut Connection, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut heard = String::new();
    loop {
        let chunk = stream.read_chunk().await.unwrap().unwrap_or_else(|| panic!("it ends: {heard}"));
        heard += std::str::from_utf8(&chunk).unwrap();
        let messages = heard.lines().filter_map(|line| line.strip_prefix("data: "));
        let found = messages.filter_map(|data| serde_json::from_str(data).ok()).find(|message| wanted(message));
        if let Some(found) = found {
            return found;
        }
    }
}

/// How often a client of ours, and not the gate itself, has greeted it.
pub(super) fn greeted(upstream: &Upstream) -> usize {
    let hello = |it: &&Recorded| it.text().contains("\"initialize\"") && it.text().contains("\"client\"");
    upstream.since(0).iter().filter(hello).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_of_a_client_is_one_at_each_server_that_it_uses() {
    let two = Two::start().await;
    let gate = two.gate().await;
    let (session, begun) = Session::begin(gate.data).await;
    assert_eq!(begun["protocolVersion"], "2025-11-25");
    assert_eq!(begun["capabilities"], json!({ "tools": { "listChanged": true }, "logging": {} }));
    let told = begun["instructions"].as_str().unwrap();
    assert!(told.contains("## billing\n\nAsk billing nicely.") && told.contains("Ask records nicely."), "{told}");
    assert_eq!(session.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await.status, 202);
    assert_eq!(session.say(&message("1", "ping", "{}")).await.json().unwrap()["result"], json!({}));
    let list = session.say(&message("2", "tools/list", "{}")).await.json().unwrap()["result"].clone();
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["billing_find", "settle", "count", "records_find"]);
    assert_eq!((list.get("ttlMs"), list.get("resultType")), (None, None), "{list}");
    assert_eq!(
        (greeted(&two.records), greeted(&two.billing)),
        (0, 0),
        "no server hears of a client that does not use it"
    );

    let first = session.call("3", "count").await;
    assert!(text(&first).starts_with("records count records-"), "{first}");
    assert_eq!(text(&session.call("4", "records_find").await), text(&first).replace("count", "find"), "one session");
    assert_eq!((greeted(&two.records), greeted(&two.billing)), (1, 0));
    assert!(text(&session.call("5", "settle").await).starts_with("billing pay billing-"));
    assert_eq!((greeted(&two.records), greeted(&two.billing)), (1, 1));
    assert_eq!(session.call("6", "refund").await["error"]["message"], "Unknown tool: refund");
    let shown = [&two.records, &two.billing].map(|server| server.since(0).iter().any(|it| it.holds(&session.id)));
    assert_eq!(shown, [false, false], "what a client calls its session is nothing to servers");

    for (key, path, named, status) in [
        (BOB, "/mcp", Some(session.id.as_str()), 404),
        (ALICE, "/views/some/mcp", Some(session.id.as_str()), 404),
        (ALICE, "/records/mcp", Some(session.id.as_str()), 404),
        (ALICE, "/mcp", Some("made-up"), 404),
        (ALICE, "/mcp", None, 400),
    ] {
        let answer = raw::call(gate.data, &at(path, &with(key, named, &tool_call("7", "count", "{}")))).await;
        assert_eq!(answer.status, status, "{path} {named:?}: {}", answer.text());
    }
    assert_eq!(raw::call(gate.data, &session.bodiless("DELETE")).await.status, 200);
    for upstream in [&two.records, &two.billing] {
        let ended = upstream
            .since(0)
            .iter()
            .filter(|it| it.method == "DELETE" && it.head.first("x-gateway-principal").is_some())
            .count();
        assert_eq!(ended, 1, "each server hears that its session is over");
    }
    assert_eq!(session.say(&tool_call("8", "count", "{}")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_servers_ask_is_answered_to_the_one_that_asked() {
    let two = Two::start().await;
    // Both choose the same id.
    let question = |name: &str| {
        format!(r#"data: {{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{{"message":"{name}?"}}}}"#)
    };
    for (upstream, name) in [(&two.records, "records"), (&two.billing, "billing")] {
        let begun = AtomicUsize::new(0);
        upstream.answer_with(move |request: &Recorded| match request.json().unwrap_or_default()["method"].as_str() {
            Some("tools/call") => Reply::Pushed(question(name)),
            _ => naming(legacy(name, &["find", "count", "pay"], &begun, request), request),
        });
    }
    let gate = two.gate().await;
    let (session, _) = Session::begin(gate.data).await;
    let mut of_records = session.stream(&session.request(&tool_call("1", "count", "{}"))).await;
    let mut of_billing = session.stream(&session.request(&tool_call("2", "settle", "{}"))).await;
    let asked = |message: &Value| message["method"] == "elicitation/create";
    let (one, other) = (hears(&mut of_records, asked).await, hears(&mut of_billing, asked).await);
    assert_ne!(one["id"], other["id"]);
    assert_eq!(
        (&one["params"]["message"], &other["params"]["message"]),
        (&json!("records: records?"), &json!("billing: billing?"))
    );

    let answer = |id: &Value| json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept" } }).to_string();
    assert_eq!(session.say(&answer(&json!(1))).await.status, 400, "no client was asked so");
    let answers = |upstream: &Upstream| {
        let of = |it: &Recorded| it.json().filter(|message| message["result"]["action"] == "accept");
        upstream.since(0).iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(session.say(&answer(&other["id"])).await.status, 202);
    assert_eq!((answers(&two.records).len(), answers(&two.billing).len()), (0, 1));
    assert_eq!(answers(&two.billing)[0]["id"], 1, "it is told what it calls its question");
    assert_eq!(session.say(&answer(&other["id"])).await.status, 400, "once");

    let cancelled =
        |id: u32| format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
    let cancels = |upstream: &Upstream| {
        upstream.since(0).iter().filter(|it| it.text().contains("notifications/cancelled")).count()
    };
    assert_eq!(session.say(&cancelled(1)).await.status, 202);
    assert_eq!(
        (cancels(&two.records), cancels(&two.billing)),
        (1, 0),
        "a cancellation is for the one that has the request"
    );
    assert_eq!(session.say(&cancelled(9)).await.status, 202);
    assert_eq!((cancels(&two.records), cancels(&two.billing)), (1, 0));

    two.billing.push(
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#,
    );
    assert_eq!(
        hears(&mut of_billing, |it| it["method"] == "notifications/progress").await["params"]["progressToken"],
        "t"
    );
    two.billing.push(r#"data: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    assert_eq!(
        hears(&mut of_billing, |it| it["method"] == "notifications/cancelled").await["params"]["requestId"],
        other["id"]
    );
    two.billing.push(r#"data: {"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#);
    hears(&mut of_billing, |it| it["id"] == 2 && it.get("result").is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_brings_what_all_its_servers_say() {
    let two = Two::start().await;
    let gate = two.gate().await;
    let (session, _) = Session::begin(gate.data).await;
    // Clients open it before they call anything.
    let mut stream = session.stream(&session.bodiless("GET")).await;
    for (id, tool) in [("1", "count"), ("2", "settle")] {
        session.call(id, tool).await;
    }
    let listens = |upstream: &Upstream| upstream.since(0).iter().filter(|it| it.method == "GET").count();
    assert!(until(DEADLINE, async || listens(&two.records) == 1 && listens(&two.billing) == 1).await);
    let log = |data: &str| {
        format!(
            r#"id: 7
data: {{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","logger":"db","data":"{data}"}}}}"#
        )
    };
    for (upstream, name) in [(&two.billing, "billing"), (&two.records, "records")] {
        upstream.push(&log(name));
        let heard =
            hears(&mut stream, |it| it["method"] == "notifications/message" && it["params"]["data"] == name).await;
        assert_eq!(heard["params"]["logger"], format!("{name}/db"));
    }
    std::fs::write(gate.policies().join("views.yaml"), ALL.replace("count: Counts", "count: Tells")).unwrap();
    hears(&mut stream, |it| it["method"] == "notifications/tools/list_changed").await;

    let level = message("5", "logging/setLevel", r#"{"level":"debug"}"#);
    assert_eq!(session.say(&level).await.json().unwrap()["result"], json!({}));
    let levels =
        |upstream: &Upstream| upstream.since(0).iter().filter(|it| it.text().contains("logging/setLevel")).count();
    assert_eq!((levels(&two.records), levels(&two.billing)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_forgotten_its_session_gets_another_and_the_call_runs_once() {
    let two = Two::start().await;
    let gate = two.gate().await;
    let (session, _) = Session::begin(gate.data).await;
    let first = session.call("1", "count").await;
    assert!(text(&first).starts_with("records count records-"), "{first}");
    // It begins anew, and knows none of the sessions it had.
    let (begun, ran) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let runs = Arc::clone(&ran);
    two.records.answer_with(move |request: &Recorded| {
        let session = request.head.first("mcp-session-id").unwrap_or_default().to_owned();
        let calls = request.text().contains("tools/call");
        if calls && !session.starts_with("anew") {
            return Reply::empty(404);
        }
        runs.fetch_add(usize::from(calls), Ordering::SeqCst);
        legacy("anew", &["find", "count"], &begun, request)
    });
    let again = session.say(&tool_call("2", "count", "{}")).await;
    assert!(text(&again.json().unwrap()).starts_with("anew count anew-"), "{}", again.text());
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_answers_by_a_stream_is_heard_out() {
    let two = Two::start().await;
    let begun = AtomicUsize::new(0);
    two.records.answer_with(move |request: &Recorded| {
        let asked = request.json().unwrap_or_default();
        let level = format!(r#"data: {{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, asked["id"]);
        match (request.method.as_str(), asked["method"].as_str()) {
            ("DELETE", _) => Reply::Events(vec![": it is over".to_owned()], Ending::Clean),
            (_, Some("logging/setLevel")) => Reply::Events(vec![": soon".to_owned(), level], Ending::Clean),
            _ => legacy("records", &["find", "count"], &begun, request),
        }
    });
    let gate = two.gate().await;
    let (session, _) = Session::begin(gate.data).await;
    session.call("1", "count").await;
    assert_eq!(session.say(&message("2", "logging/setLevel", r#"{"level":"debug"}"#)).await.status, 200);
    assert_eq!(raw::call(gate.data, &session.bodiless("DELETE")).await.status, 200);
    for method in ["logging/setLevel", "session/end"] {
        let told = async |server: &str| {
            let of = |line: &String| line.contains(&format!("\"{method}\"")) && line.contains(&format!("\"{server}\""));
            until(DEADLINE, async || gate.decisions.since(0).iter().any(of)).await;
            gate.decisions.since(0).into_iter().filter(of).collect::<Vec<_>>()
        };
        for server in ["records", "_none"] {
            let told = told(server).await;
            assert!(told.len() == 1 && told[0].contains(r#""outcome":"ok""#), "{method} {server}: {told:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_session_is_told_so_and_the_others_answer() {
    let two = Two::start().await;
    let gate = two.gate().await;
    let (session, _) = Session::begin(gate.data).await;
    two.billing.answer(Reply::BreakOff);
    let refused = session.call("1", "settle").await;
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["data"]["executed"]),
        (&json!(-31502), &json!("no")),
        "{refused}"
    );
    assert!(text(&session.call("2", "count").await).starts_with("records count"));
    let begun = AtomicUsize::new(0);
    two.billing.answer_with(move |request: &Recorded| legacy("billing", &["find", "pay"], &begun, request));
    let back = async || text(&session.call("3", "settle").await).starts_with("billing pay");
    assert!(until(DEADLINE, back).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_broke_is_asked_for_at_the_server_whose_it_is() {
    let two = Two::start().await;
    let begun = AtomicUsize::new(0);
    let rest = r#"data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    two.billing.answer_with(move |request: &Recorded| {
        let message = request.json().unwrap_or_default();
        match (request.method.as_str(), message["method"].as_str(), request.head.first("last-event-id")) {
            ("GET", _, Some("billing 7")) => Reply::empty(400),
            ("GET", _, Some("7")) => Reply::Events(vec![rest.to_owned()], Ending::Clean),
            ("POST", Some("tools/call"), _) => Reply::Events(vec!["id: 7\ndata:".to_owned()], Ending::Clean),
            _ => legacy("billing", &["find", "pay"], &begun, request),
        }
    });
    let gate = two.gate().await;
    let (session, _) = Session::begin(gate.data).await;
    let broke = session.say(&tool_call("1", "settle", "{}")).await;
    assert!(broke.text().contains("id: billing 7\n"), "{}", broke.text());
    let resume = String::from_utf8(session.bodiless("GET")).unwrap();
    let resume = resume.replace("\r\n\r\n", "\r\nlast-event-id: billing 7\r\n\r\n");
    let mut stream = session.stream(resume.as_bytes()).await;
    hears(&mut stream, |it| it["id"] == 1 && it.get("result").is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_era_is_served_by_the_servers_that_speak_it() {
    let old = server("records", &["find", "count"]).await;
    let new = super::server("billing", &["find", "pay"]).await;
    let world = World::new(&old.url()).policy("records.yaml", RECORDS);
    let world = world.beside("billing", &format!("url: {}", new.url()), BILLING);
    let only =
        "  old: { servers: { records: { tools: [\"*\"] } } }\n  new: { servers: { billing: { tools: [\"*\"] } } }\n";
    let gate = world.policy("views.yaml", &format!("{ALL}{only}")).start().await;
    let both = async || super::listed(gate.data, "/mcp").await == ["find", "settle"];
    assert!(until(DEADLINE, both).await, "{}", gate.log.text());
    let itself = ask(gate.data, "/mcp", "server/discover", "", None).await.json().unwrap()["result"].clone();
    let legacy = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
    assert_eq!(itself["supportedVersions"], json!([&["2026-07-28"][..], &legacy].concat()));
    let (session, _) = Session::begin(gate.data).await;
    let list = session.say(&message("1", "tools/list", "{}")).await.json().unwrap();
    let names: Vec<_> = list["result"]["tools"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["count", "find"]);
    // Where no server speaks it, a client hears what is spoken, and may speak that.
    let asked = ask(gate.data, "/views/old/mcp", "server/discover", "", None).await;
    let error = asked.json().unwrap()["error"].clone();
    assert_eq!((asked.status, &error["code"], &error["data"]["supported"]), (400, &json!(-32022), &json!(legacy)));
    let begun =
        raw::call(gate.data, &at("/views/new/mcp", &with(ALICE, None, &message("0", "initialize", HELLO)))).await;
    assert_eq!((begun.status, &begun.json().unwrap()["error"]["data"]["supported"]), (400, &json!(["2026-07-28"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_of_a_session_speak_its_revision() {
    let two = Two::start().await;
    let begun = AtomicUsize::new(0);
    two.billing.answer_with(move |request: &Recorded| {
        let text = request.text().replace("2025-11-25", "2025-06-18");
        let request = Recorded { body: text.into_bytes(), ..request.clone() };
        legacy("billing", &["find", "pay"], &begun, &request)
    });
    let gate = two.gate().await;
    let (session, begun) = Session::begin(gate.data).await;
    assert_eq!(begun["protocolVersion"], "2025-06-18", "the latest that all of them speak");
    assert!(text(&session.call("1", "count").await).starts_with("records count"));
    let hello = two.records.since(0).into_iter().find(|it| it.text().contains("\"client\"")).unwrap();
    assert_eq!(hello.json().unwrap()["params"]["protocolVersion"], "2025-06-18");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_batch_goes_to_its_own_server() {
    let two = Two::start().await;
    let gate = two.world().listen("batches: true").start().await;
    let hello = HELLO.replace("2025-11-25", "2025-03-26");
    let headers = |session: Option<&str>, body: &str| {
        String::from_utf8(with(ALICE, session, body)).unwrap().replace(": 2025-11-25", ": 2025-03-26").into_bytes()
    };
    let begun = raw::call(gate.data, &headers(None, &message("0", "initialize", &hello))).await;
    let session = begun.head.first("mcp-session-id").unwrap_or_else(|| panic!("{}", begun.text()));
    let calls = [tool_call("1", "count", "{}"), tool_call("2", "settle", "{}"), message("3", "ping", "{}")];
    let answers =
        raw::call(gate.data, &headers(Some(session), &format!("[{}]", calls.join(",")))).await.json().unwrap();
    assert!(
        text(&answers[0]).starts_with("records count") && text(&answers[1]).starts_with("billing pay"),
        "{answers}"
    );
    assert_eq!(answers[2]["result"], json!({}));
}
