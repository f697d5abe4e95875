//! What servers ask of clients: what `server_may` names reaches them, and nothing else does.

use std::fs;

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_with, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

const QUESTION: &str = r#"data: {"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"Who?"}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{}}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;

async fn gate(upstream: &Upstream, may: &str) -> Gate {
    World::new(&upstream.url()).policy("records.yaml", &format!("{READERS}{may}\n")).start().await
}

/// A server with sessions: what it is called for, and a stream, open with a question.
fn asking(request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    match (request.method.as_str(), message["method"].as_str()) {
        ("POST", Some("initialize")) => match Reply::obliging(request) {
            Reply::Whole { status, mut headers, body } => {
                headers.push(("mcp-session-id".to_owned(), "theirs".to_owned()));
                Reply::Whole { status, headers, body }
            }
            other => other,
        },
        ("POST", Some("tools/call")) | ("GET", _) => Reply::Pushed(QUESTION.to_owned()),
        _ => Reply::empty(202),
    }
}

/// A session with such a server.
struct Session {
    gate: Gate,
    headers: Vec<(&'static str, String)>,
}

impl Session {
    async fn begin(upstream: &Upstream, may: &str) -> Self {
        upstream.answer_with(asking);
        let gate = gate(upstream, may).await;
        let begun = message("1", "initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}}}"#);
        let begun = raw::call(gate.data, &post(ALICE, &begun)).await;
        let mut headers: Vec<_> = LEGACY.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        headers.push(("x-api-key", ALICE.to_owned()));
        headers.push(("mcp-session-id", begun.head.first("mcp-session-id").unwrap().to_owned()));
        Self { gate, headers }
    }

    fn post(&self, body: &str) -> Vec<u8> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post_with(&headers, body)
    }

    /// Sends a request and reads the head of its stream.
    async fn stream(&self, request: &[u8]) -> Connection {
        let mut connection = Connection::open(self.gate.data).await;
        connection.send(request).await.unwrap();
        assert_eq!(connection.read_head().await.unwrap().unwrap().first("content-type"), Some("text/event-stream"));
        connection
    }

    async fn call(&self) -> Connection {
        self.stream(&self.post(&tool_call("7", "search_records", "{}"))).await
    }

    /// Opens a listening stream, as a client does that sends nothing: without a type of a body.
    async fn listen(&self) -> Connection {
        let post = String::from_utf8(self.post("")).unwrap();
        let get = post.replace("POST ", "GET ").replace("content-length: 0\r\n", "");
        self.stream(get.replace("content-type: application/json\r\n", "").as_bytes()).await
    }
}

async fn next(stream: &mut Connection) -> String {
    String::from_utf8(stream.read_chunk().await.unwrap().unwrap()).unwrap()
}

/// The server is told no, once, in its session and for this principal.
async fn assert_told(upstream: &Upstream, mark: usize, asked: &str) {
    assert!(upstream.wait_for(mark + 1, DEADLINE).await, "the server hears of it");
    let told = &upstream.since(mark)[0];
    let answer = told.json().unwrap();
    assert_eq!((told.method.as_str(), &answer["id"], &answer["error"]["code"]), ("POST", &json!("q"), &json!(-32601)));
    assert_eq!(answer["error"]["message"], format!("Method not found: {asked}"));
    for (name, value) in [
        ("mcp-session-id", "theirs"),
        ("mcp-protocol-version", "2025-11-25"),
        ("content-type", "application/json"),
        ("x-gateway-principal", "alice"),
    ] {
        assert_eq!(told.head.first(name), Some(value));
    }
    assert_eq!(told.head.first("x-api-key"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_may_ask_reaches_the_client_and_the_answer_the_server() {
    let upstream = Upstream::start().await;
    let session = Session::begin(&upstream, "server_may: [elicitation]").await;
    assert_eq!(upstream.since(0)[0].json().unwrap()["params"]["capabilities"], json!({ "elicitation": {} }));
    let mut stream = session.call().await;
    assert_eq!(next(&mut stream).await, format!("{QUESTION}\n\n"));
    let mark = upstream.count();
    let answered = raw::call(session.gate.data, &session.post(ANSWER)).await;
    assert_eq!((answered.status, upstream.since(mark)[0].text().as_str()), (202, ANSWER));
    upstream.push(&format!("data: {RESULT}"));
    assert_eq!(next(&mut stream).await, format!("data: {RESULT}\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_may_not_ask_is_declined_by_the_gate_and_the_call_goes_on() {
    let upstream = Upstream::start().await;
    let session = Session::begin(&upstream, "server_may: [sampling, roots]").await;
    assert_eq!(upstream.since(0)[0].json().unwrap()["params"]["capabilities"], json!({}), "it is not offered");
    let mut stream = session.call().await;
    assert_told(&upstream, 2, "elicitation/create").await;
    let answered = raw::call(session.gate.data, &session.post(ANSWER)).await;
    assert_eq!((answered.status, upstream.count()), (400, 3), "the client was not asked: {}", answered.text());
    upstream.push(&format!("data: {RESULT}"));
    assert_eq!(next(&mut stream).await, format!("data: {RESULT}\n\n"), "the client sees nothing but the answer");

    let warned = |line: &str| line.contains("server_may") && line.contains("elicitation/create");
    assert!(session.gate.log.wait_since(0, DEADLINE, warned).await.is_some());
    let metrics = raw::get(session.gate.admin, "/metrics").await.text();
    let counted = metrics.lines().find(|line| line.starts_with("tollgate_questions_declined_total{")).unwrap();
    assert!(counted.contains(r#"method="elicitation/create""#) && counted.ends_with(" 1"), "{counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listening_stream_goes_on_and_is_judged_by_the_policy_in_force() {
    let upstream = Upstream::start().await;
    let session = Session::begin(&upstream, "").await;
    let mut stream = session.listen().await;
    assert_told(&upstream, 2, "elicitation/create").await;
    let notice = r#"data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    upstream.push(notice);
    assert_eq!(next(&mut stream).await, format!("{notice}\n\n"));

    let ping = r#"data: {"jsonrpc":"2.0","id":"p","method":"ping"}"#;
    upstream.push(ping);
    assert_eq!(next(&mut stream).await, format!("{ping}\n\n"), "what is no such question passes");

    let digest = async || raw::get(session.gate.admin, "/metrics").await.text();
    let before = digest().await;
    let wider = format!("{READERS}server_may: [elicitation]\n");
    fs::write(session.gate.policies().join("records.yaml"), wider).unwrap();
    let policy = |text: &str| text.lines().find(|line| line.starts_with("tollgate_policy_info")).map(str::to_owned);
    let reloaded = async || policy(&digest().await) != policy(&before);
    assert!(until(DEADLINE, reloaded).await);
    upstream.push(QUESTION);
    assert_eq!(next(&mut stream).await, format!("{QUESTION}\n\n"));
}

/// A call of 2026-07-28 whose client can be asked anything.
fn modern_call() -> (String, Vec<u8>) {
    let meta = r#""_meta":{"io.modelcontextprotocol/clientCapabilities":{"roots":{}, "elicit\u0061tion":{"url":{}}},"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let body = message("1", "tools/call", &format!(r#"{{"name":"search_records","arguments":{{"n":1.10}},{meta}}}"#));
    let mut headers = LEGACY.to_vec();
    headers[3].1 = "2026-07-28";
    headers.extend([("x-api-key", ALICE), ("mcp-method", "tools/call"), ("mcp-name", "search_records")]);
    let request = post_with(&headers, &body);
    (body, request)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_modern_server_is_offered_and_may_ask_what_the_policy_names() {
    let upstream = Upstream::start().await;
    let asks = json!({ "a": { "method": "roots/list" } });
    let result = json!({ "resultType": "input_required", "inputRequests": asks });
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
    let (body, request) = modern_call();
    for (may, carried, passes) in [
        ("server_may: [elicitation, roots]", body.clone(), true),
        ("server_may: [roots]", body.replace(r#", "elicit\u0061tion":{"url":{}}"#, ""), true),
        ("server_may: [elicitation]", body.replace(r#""roots":{}, "#, " "), false),
        ("", body.replace(r#""roots":{}, "elicit\u0061tion":{"url":{}}"#, ""), false),
    ] {
        let gate = gate(&upstream, may).await;
        for reply in [Reply::json(&answer), Reply::Events(vec![format!("data: {answer}")], Ending::Clean)] {
            let mark = upstream.count();
            upstream.answer(reply);
            let told: Value = raw::call(gate.data, &request).await.json().unwrap();
            assert_eq!(upstream.since(mark)[0].without_context(), carried.as_bytes(), "{may}");
            if passes {
                assert_eq!(told["result"], result);
            } else {
                assert_eq!(told["error"]["data"]["reason"], "reply_asks", "{may}: {told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_sends_the_user_to_an_address_asks_like_any_question() {
    let upstream = Upstream::start().await;
    let data =
        json!({ "elicitations": [{ "mode": "url", "elicitationId": "e", "url": "https://a.test/", "message": "" }] });
    let error = json!({ "code": -32042, "message": "first this", "data": data });
    upstream.answer(Reply::json(&json!({ "jsonrpc": "2.0", "id": 1, "error": error })));
    for (may, passes) in [("server_may: [elicitation]", true), ("server_may: [roots]", false)] {
        let gate = gate(&upstream, may).await;
        let call = post(ALICE, &tool_call("1", "search_records", "{}"));
        let answer: Value = raw::call(gate.data, &call).await.json().unwrap();
        assert_eq!(answer["error"] == error, passes, "{answer}");
        assert_eq!(answer["error"]["data"]["reason"] == "reply_asks", !passes, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_masked_on_its_way_to_the_server_and_refused_where_it_must_not_go() {
    let upstream = Upstream::start().await;
    let rules =
        "server_may: [elicitation]\nredact:\n  - { find: [email], then: mask }\n  - { find: [card], then: block }";
    let session = Session::begin(&upstream, rules).await;
    let mut stream = session.call().await;
    next(&mut stream).await;
    let answer = |text: &str| ANSWER.replace(r#""content":{}"#, &format!(r#""content":{{"name":"{text}"}}"#));
    let mark = upstream.count();
    let refused = raw::call(session.gate.data, &session.post(&answer("4111 1111 1111 1111"))).await;
    assert_eq!((refused.status, upstream.count()), (400, mark), "{}", refused.text());
    assert!(refused.text().contains("card"), "{}", refused.text());
    let answered = raw::call(session.gate.data, &session.post(&answer("jane@example.com"))).await;
    assert_eq!((answered.status, upstream.since(mark)[0].text()), (202, answer("[redacted: email]")));
}
