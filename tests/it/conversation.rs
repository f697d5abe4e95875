//! What goes on for longer than one message: batches, silent streams, streams of 2024-11-05, and what lists teach.

use serde_json::{Value, json};

use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, message, post, post_modern, post_with, tool_call};
use crate::support::raw::{self, Answer, Connection, Response};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

fn post_batch(version: &str, body: &str) -> Vec<u8> {
    let mut headers = LEGACY.to_vec();
    headers[3].1 = version;
    headers.push(("x-api-key", ALICE));
    post_with(&headers, body)
}

fn ids(messages: &Value) -> Vec<&Value> {
    messages.as_array().unwrap().iter().map(|message| &message["id"]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_batch_is_decided_by_itself_and_the_server_sees_no_batch() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).listen("batches: true").start().await;
    let allowed = tool_call("1", "search_records", "{}");
    let denied = tool_call("2", "delete_record", "{}");
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let list = message("3", "tools/list", "{}");
    let batch = format!("[{allowed}, {denied},{notification},{list}]");
    let response = raw::call(gate.data, &post_batch("2025-03-26", &batch)).await;
    let answers = response.json().unwrap();
    assert_eq!((response.status, ids(&answers)), (200, vec![&json!(1), &json!(2), &json!(3)]));
    assert!(answers[0].get("result").is_some());
    assert_eq!(answers[1]["error"]["code"], -32602);
    assert!(!answers[2].to_string().contains("delete_record"), "the list in a batch is filtered too");
    let mut seen: Vec<_> = upstream.since(0).iter().map(Recorded::without_context).collect();
    seen.sort();
    // Where there is nothing else in `params`, the context is all there is.
    let mut carried = [allowed, notification.to_owned(), list].map(String::into_bytes);
    carried.sort();
    assert_eq!(seen, carried);
    let decided = async || gate.decisions.count() == 4;
    assert!(until(DEADLINE, decided).await, "each is recorded:\n{}", gate.decisions.text());

    let only_notifications = raw::call(gate.data, &post_batch("2025-03-26", &format!("[{notification}]"))).await;
    assert_eq!((only_notifications.status, only_notifications.body.len()), (202, 0));
    for (version, body) in [
        ("2025-06-18", format!("[{}]", tool_call("1", "search_records", "{}"))),
        ("2025-03-26", "[]".to_owned()),
        ("2025-03-26", format!("[{}]", message("1", "initialize", "{}"))),
        ("2025-03-26", format!("[{}, 7]", tool_call("1", "search_records", "{}"))),
    ] {
        let mark = upstream.count();
        let refused = raw::call(gate.data, &post_batch(version, &body)).await;
        assert_eq!((refused.status, upstream.count()), (400, mark), "{version} {body}: {}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_in_a_batch_go_back_as_one_stream_event_by_event() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| {
        let id = request.json().unwrap()["id"].clone();
        let event = |message: Value| format!("data: {message}");
        let progress = event(json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "of": id } }));
        let answer = event(json!({ "jsonrpc": "2.0", "id": id, "result": {} }));
        match id.as_u64() {
            Some(3) => Reply::obliging(request),
            _ => Reply::Events(vec![progress, answer], Ending::Clean),
        }
    });
    let gate = World::new(&upstream.url()).listen("batches: true").start().await;
    let batch = [1, 2, 3].map(|id| tool_call(&id.to_string(), "search_records", "{}")).join(",");
    let response = raw::call(gate.data, &post_batch("2025-03-26", &format!("[{batch}]"))).await;
    assert_eq!(response.head.first("content-type"), Some("text/event-stream"));
    let text = response.text();
    let messages = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let messages: Vec<Value> = messages.map(|data| serde_json::from_str(data).expect(data)).collect();
    let mut answered: Vec<_> = messages.iter().filter_map(|message| message["id"].as_u64()).collect();
    answered.sort_unstable();
    assert_eq!((answered, messages.len()), (vec![1, 2, 3], 5), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_a_batch_is_not_held_back_for_what_is_not_answered_yet() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| match request.json().unwrap()["id"].as_u64() {
        Some(1) => Reply::Events(
            vec![
                r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#.to_owned(),
                r#"data: {"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
            ],
            Ending::Clean,
        ),
        _ => Reply::OnRelease(Box::new(Reply::obliging(request))),
    });
    let gate = World::new(&upstream.url()).listen("batches: true").start().await;
    let batch = [2, 1].map(|id| tool_call(&id.to_string(), "search_records", "{}")).join(",");
    let mut connection = Connection::open(gate.data).await;
    connection.send(&post_batch("2025-03-26", &format!("[{batch}]"))).await.unwrap();
    let begun = connection.read_head().await.unwrap().unwrap();
    assert_eq!(begun.first("content-type"), Some("text/event-stream"));
    let mut said = String::new();
    let mut until_it_says = async |wanted: &str| {
        while !said.contains(wanted) {
            said += &String::from_utf8(connection.read_chunk().await.unwrap().unwrap()).unwrap();
        }
    };
    until_it_says(r#""id":1"#).await;
    upstream.release();
    until_it_says(r#""id":2"#).await;
    assert_eq!(connection.read_chunk().await.unwrap(), None, "that is all:\n{said}");
    assert!(said.contains("notifications/progress") && !said.contains("error"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_is_kept_alive_by_comments() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::Events(Vec::new(), Ending::StayOpen));
    let gate = World::new(&upstream.url()).listen("keep_alive: 1s").start().await;
    let mut connection = Connection::open(gate.data).await;
    let get =
        format!("GET /mcp HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\nx-api-key: {ALICE}\r\n\r\n");
    connection.send(get.as_bytes()).await.unwrap();
    assert_eq!(connection.read_head().await.unwrap().unwrap().first("content-type"), Some("text/event-stream"));
    for _ in 0..2 {
        assert_eq!(connection.read_chunk().await.unwrap().unwrap(), b": keep-alive\n\n");
    }
}

/// A server of 2024-11-05: its stream says where messages go, and what the test pushes.
fn stream_and_messages(request: &Recorded) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/sse") => Reply::Pushed("event: endpoint\ndata: /messages/?session_id=theirs".to_owned()),
        ("POST", "/messages/?session_id=theirs") => Reply::empty(202),
        _ => Reply::empty(404),
    }
}

/// An open stream of 2024-11-05.
struct Stream {
    connection: Connection,
    /// Where its messages go.
    place: String,
}

impl Stream {
    async fn open(gate: std::net::SocketAddr) -> Self {
        let mut connection = Connection::open(gate).await;
        let get = format!(
            "GET /sse HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\nx-api-key: {ALICE}\r\n\r\n"
        );
        connection.send(get.as_bytes()).await.unwrap();
        connection.read_head().await.unwrap().unwrap();
        let first = String::from_utf8(connection.read_chunk().await.unwrap().unwrap()).unwrap();
        let place = first.strip_prefix("event: endpoint\ndata: ").unwrap_or_else(|| panic!("{first}"));
        Self { connection, place: place.trim_end().to_owned() }
    }

    fn post(&self, key: &str, body: &str) -> Vec<u8> {
        let request = String::from_utf8(post(key, body)).unwrap();
        request.replace("POST /mcp ", &format!("POST {} ", self.place)).into_bytes()
    }

    async fn next(&mut self) -> Value {
        let event = String::from_utf8(self.connection.read_chunk().await.unwrap().unwrap()).unwrap();
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(data.unwrap_or_else(|| panic!("{event}"))).unwrap()
    }
}

async fn sse_world(upstream: &Upstream) -> crate::support::gate::Gate {
    upstream.answer_with(stream_and_messages);
    let sse = format!("sse: http://{}/sse", upstream.address);
    let policy = "server: records\nroles:\n  reader: { tools: [search_records, get_statistics] }\nserver_may: [roots]\ntools:\n  get_statistics: { timeout: 1s }\n";
    World::new(&upstream.url()).server(&sse).policy("records.yaml", policy).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2024_client_speaks_to_a_2024_server_and_sees_only_the_gate() {
    let upstream = Upstream::start().await;
    let gate = sse_world(&upstream).await;
    let mut stream = Stream::open(gate.data).await;
    assert!(stream.place.starts_with("/messages/") && !stream.place.contains("theirs"), "{}", stream.place);

    let call = tool_call("7", "search_records", "{}");
    let accepted = raw::call(gate.data, &stream.post(ALICE, &call)).await;
    assert_eq!((accepted.status, accepted.text().as_str()), (202, ""));
    assert_eq!(upstream.since(1)[0].without_context(), call.as_bytes());
    assert_eq!(gate.decisions.count(), 0, "it is decided when it is answered");
    upstream.push(r#"data: {"jsonrpc":"2.0","id":8,"result":{"not":"asked for"}}"#);
    upstream.push(r#"data: {"jsonrpc":"2.0","id":7,"result":{"isError":true}}"#);
    assert_eq!(stream.next().await, json!({ "jsonrpc": "2.0", "id": 7, "result": { "isError": true } }));
    let decision = gate.decisions.wait_since(0, DEADLINE, |_| true).await.unwrap();
    assert!(decision.contains(r#""outcome":"tool_error""#), "{decision}");

    raw::call(gate.data, &stream.post(ALICE, &message("9", "tools/list", "{}"))).await;
    let tools = json!([{ "name": "search_records" }, { "name": "delete_record" }]);
    upstream.push(&format!("data: {}", json!({ "jsonrpc": "2.0", "id": 9, "result": { "tools": tools } })));
    assert_eq!(stream.next().await["result"], json!({ "tools": [{ "name": "search_records" }] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_2024_server_may_not_ask_is_declined_where_its_messages_go() {
    let upstream = Upstream::start().await;
    let gate = sse_world(&upstream).await;
    let mut stream = Stream::open(gate.data).await;
    raw::call(gate.data, &stream.post(ALICE, &tool_call("7", "search_records", "{}"))).await;
    upstream.push(r#"data: {"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{}}"#);
    assert!(upstream.wait_for(3, DEADLINE).await, "the server is told");
    let told = &upstream.since(2)[0];
    let error = &told.json().unwrap()["error"];
    assert_eq!((told.path.as_str(), &error["code"]), ("/messages/?session_id=theirs", &json!(-32601)));
    let answer = stream.post(ALICE, r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
    assert_eq!(raw::call(gate.data, &answer).await.status, 400, "the client was not asked");

    upstream.push(r#"data: {"jsonrpc":"2.0","id":1,"method":"roots/list"}"#);
    assert_eq!(stream.next().await["method"], "roots/list", "this one the policy names");
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#;
    assert_eq!(raw::call(gate.data, &stream.post(ALICE, answer)).await.status, 202);
    assert_eq!(upstream.since(3)[0].text(), answer);
    upstream.push(r#"data: {"jsonrpc":"2.0","id":7,"result":{}}"#);
    assert_eq!(stream.next().await["id"], 7);

    raw::call(gate.data, &stream.post(ALICE, &tool_call("8", "get_statistics", "{}"))).await;
    upstream.push(r#"data: {"jsonrpc":"2.0","id":8,"error":{"code":-32042,"message":"open an address"}}"#);
    let told = stream.next().await;
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(8), &json!(-31504)), "what does not pass is no answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_overtakes_the_reply_to_its_request_counts() {
    let upstream = Upstream::start().await;
    let gate = sse_world(&upstream).await;
    let mut stream = Stream::open(gate.data).await;
    upstream.answer(Reply::OnRelease(Box::new(Reply::empty(202))));
    let mut posting = Connection::open(gate.data).await;
    posting.send(&stream.post(ALICE, &tool_call("7", "search_records", "{}"))).await.unwrap();
    assert!(upstream.wait_for(2, DEADLINE).await);
    upstream.push(r#"data: {"jsonrpc":"2.0","id":7,"result":{"isError":true}}"#);
    assert_eq!(stream.next().await["id"], 7);
    upstream.release();
    assert!(matches!(posting.read().await, Answer::Response(accepted) if accepted.status == 202));
    let decision = gate.decisions.wait_since(0, DEADLINE, |_| true).await.unwrap();
    assert!(decision.contains(r#""outcome":"tool_error""#), "{decision}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2024_stream_is_its_principals_and_ends_with_its_connection() {
    let upstream = Upstream::start().await;
    let gate = sse_world(&upstream).await;
    let mut stream = Stream::open(gate.data).await;
    let call = tool_call("7", "search_records", "{}");
    assert_eq!(raw::call(gate.data, &stream.post(BOB, &call)).await.status, 404);
    let denied = raw::call(gate.data, &stream.post(ALICE, &tool_call("8", "delete_record", "{}"))).await;
    let told = stream.next().await;
    assert_eq!((denied.status, &told["id"], &told["error"]["code"]), (202, &json!(8), &json!(-32602)));
    assert_eq!(upstream.count(), 1, "neither has reached the server");

    let silent = tool_call("9", "get_statistics", "{}");
    assert_eq!(raw::call(gate.data, &stream.post(ALICE, &silent)).await.status, 202);
    let told = stream.next().await;
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(9), &json!(-31504)), "a silent server is told of");

    let gone = stream.post(ALICE, &call);
    drop(stream);
    assert!(upstream.wait_for_hang_ups(1, DEADLINE).await, "the server's stream ends, too");
    let dead = async || raw::call(gate.data, &gone).await.status == 404;
    assert!(until(DEADLINE, dead).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2024_stream_answers_what_it_owes_before_the_gate_ends() {
    let upstream = Upstream::start().await;
    let mut gate = sse_world(&upstream).await;
    let mut stream = Stream::open(gate.data).await;
    raw::call(gate.data, &stream.post(ALICE, &tool_call("7", "search_records", "{}"))).await;
    gate.signal_end();
    assert!(until(DEADLINE, async || Connection::try_open(gate.data).await.is_err()).await, "no new connections");
    upstream.push(r#"data: {"jsonrpc":"2.0","id":7,"result":{}}"#);
    assert_eq!(stream.next().await["id"], 7);
    assert_eq!(stream.connection.read_chunk().await.unwrap(), None, "and then it ends");
    assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_a_listed_tool_asks_for_must_say_what_the_arguments_say() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| {
        let schema =
            json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
        let list = json!({ "tools": [{ "name": "search_records", "inputSchema": schema }] });
        match request.json().unwrap_or_default()["method"].as_str() {
            Some("tools/list") => Reply::json(&json!({ "jsonrpc": "2.0", "id": 1, "result": list })),
            _ => Reply::obliging(request),
        }
    });
    let gate = World::new(&upstream.url()).start().await;
    let call = |header: Option<&str>, region: &str| {
        let params = format!(r#""name":"search_records","arguments":{{"region":{region}}}"#);
        let request = String::from_utf8(post_modern("tools/call", &params, Some("search_records"))).unwrap();
        let header = header.map(|value| format!("mcp-param-region: {value}\r\n")).unwrap_or_default();
        request.replacen("\r\n", &format!("\r\n{header}"), 1).into_bytes()
    };
    let sent = async |request: Vec<u8>| -> Response { raw::call(gate.data, &request).await };
    assert_eq!(sent(call(Some("eu"), "\"us\"")).await.status, 200, "nobody has said yet what the header means");
    sent(post_modern("tools/list", "", None)).await;
    assert_eq!(sent(call(Some("eu"), "\"eu\"")).await.status, 200);
    assert_eq!(sent(call(None, "null")).await.status, 200);
    let mark = upstream.count();
    for (header, region) in [(Some("eu"), "\"us\""), (None, "\"us\"")] {
        let refused = sent(call(header, region)).await;
        let error = refused.json().unwrap()["error"].clone();
        assert_eq!(
            (refused.status, &error["code"], &error["data"]["header"]),
            (400, &json!(-32020), &json!("mcp-param-region"))
        );
    }
    assert_eq!(upstream.count(), mark);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_its_client_comes_back_for_is_filtered_like_any_other() {
    for ending in [Ending::Clean, Ending::BreakOff] {
        comes_back(ending).await;
    }
}

/// The server's stream ends so before the answer, and the client asks for the rest.
async fn comes_back(ending: Ending) {
    let upstream = Upstream::start().await;
    let tools = json!([{ "name": "search_records" }, { "name": "delete_record" }]);
    let answer = format!("id: 2\ndata: {}", json!({ "jsonrpc": "2.0", "id": 5, "result": { "tools": tools } }));
    upstream.answer_with(move |request| {
        match (request.method.as_str(), request.json().unwrap_or_default()["method"].as_str()) {
            ("POST", Some("initialize")) => match Reply::obliging(request) {
                Reply::Whole { status, mut headers, body } => {
                    headers.push(("mcp-session-id".to_owned(), "theirs".to_owned()));
                    Reply::Whole { status, headers, body }
                }
                other => other,
            },
            ("POST", Some("tools/list")) => Reply::Events(vec!["id: 1\nretry: 10\ndata:".to_owned()], ending),
            ("GET", _) => Reply::Events(vec![answer.clone()], Ending::Clean),
            _ => Reply::obliging(request),
        }
    });
    let gate = World::new(&upstream.url()).start().await;
    let begun =
        raw::call(gate.data, &post(ALICE, &message("1", "initialize", r#"{"protocolVersion":"2025-11-25"}"#))).await;
    let session = begun.head.first("mcp-session-id").unwrap().to_owned();
    assert_ne!(session, "theirs");
    let mut headers = LEGACY.to_vec();
    headers.extend([("x-api-key", ALICE), ("mcp-session-id", &session)]);
    let mut polled = Connection::open(gate.data).await;
    polled.send(&post_with(&headers, &message("5", "tools/list", "{}"))).await.unwrap();
    polled.read_head().await.unwrap();
    assert_eq!(polled.read_chunk().await.unwrap().unwrap(), b"id: 1\nretry: 10\ndata:\n\n");
    // It ends as the server ended it, so that the client does what it would do without a gate.
    assert_eq!(polled.read_chunk().await.is_ok_and(|rest| rest.is_none()), ending == Ending::Clean, "{ending:?}");
    let get = String::from_utf8(post_with(&headers, ""))
        .unwrap()
        .replace("POST ", "GET ")
        .replace("content-length: 0\r\n", "last-event-id: 1\r\n");
    for shown in [Some(json!([{ "name": "search_records" }])), None] {
        let resumed = raw::call(gate.data, get.as_bytes()).await;
        assert_eq!(resumed.json().map(|message| message["result"]["tools"].clone()), shown, "once: {}", resumed.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_not_the_answer_becomes_a_refusal_with_a_reason() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).server("max_reply_bytes: 1000").start().await;
    let json = |body: &str| Reply::Whole {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.as_bytes().to_vec(),
    };
    let progress =
        r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let events = |events: &[&str]| Reply::Events(events.iter().map(|&event| event.to_owned()).collect(), Ending::Clean);
    for (reply, reason) in [
        (json(r#"{"jsonrpc":"2.0","id":"1","result":{}}"#), "reply_wrong_id"),
        (json(r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#), "reply_malformed"),
        (json(r#"{"jsonrpc":"2.0","id":1,"result":{"#), "reply_malformed"),
        (json(""), "reply_missing"),
        (Reply::empty(202), "reply_missing"),
        (events(&[progress]), "reply_missing"),
        (events(&[progress, r#"data: {"jsonrpc":"2.0","id":2,"result":{}}"#]), "reply_wrong_id"),
        (events(&[progress, "data: nonsense"]), "reply_malformed"),
        (events(&[progress; 20]), "reply_too_long"),
    ] {
        upstream.answer(reply.clone());
        let before = gate.decisions.count();
        let response = raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await;
        let message = response.json().unwrap_or_else(|| panic!("{reply:?}: {}", response.text()));
        let told = (response.status, &message["id"], &message["error"]["code"], &message["error"]["data"]["reason"]);
        assert_eq!(told, (200, &json!(1), &json!(-31502), &json!(reason)), "{reply:?}");
        let decision = gate.decisions.wait_since(before, DEADLINE, |_| true).await.unwrap();
        assert!(decision.contains(r#""outcome":"upstream_error""#), "{decision}");
    }
    let answer = r#"data: {"jsonrpc":"2.0","id":1,"result":{}}"#;
    upstream.answer(events(&[answer, answer]));
    let mut connection = Connection::open(gate.data).await;
    let Answer::Response(response) = connection.exchange(&post(ALICE, &tool_call("1", "search_records", "{}"))).await
    else {
        panic!("the first answer stands");
    };
    assert_eq!(response.text(), format!("{answer}\n\n"));
}
