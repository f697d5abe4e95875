//! Calls that run as tasks: their client has a name for each, which leads to the one server that has it.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;

use serde_json::{Value, json};

use super::replicas::sealing;
use super::session::{HELLO, Session, hears, legacy, with};
use super::{ALL, BILLING, RECORDS, modern};
use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, at, message, post_with};
use crate::support::raw::{self, Response};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const RELATED: &str = "io.modelcontextprotocol/related-task";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A server of 2025-11-25 that runs every call as a task. All servers call their first task the same.
async fn legacy_server(name: &'static str, tools: &'static [&'static str]) -> Upstream {
    let (upstream, begun) = (Upstream::start().await, AtomicUsize::new(0));
    upstream.answer_with(move |request: &Recorded| legacy_tasks(name, tools, &begun, request));
    upstream
}

fn legacy_tasks(name: &str, tools: &[&str], begun: &AtomicUsize, request: &Recorded) -> Reply {
    let asked = request.json().unwrap_or_default();
    let is_there = request.head.first("mcp-session-id").unwrap_or_default().starts_with(name);
    let task = |status: &str| json!({ "taskId": asked["params"]["taskId"], "status": status, "statusMessage": name });
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let Reply::Whole { status, headers, body } = legacy(name, tools, begun, request) else {
                panic!("it is greeted")
            };
            let mut answer: Value = serde_json::from_slice(&body).unwrap();
            answer["result"]["capabilities"]["tasks"] =
                json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
            return Reply::Whole { status, headers, body: answer.to_string().into_bytes() };
        }
        "tools/call" if is_there => json!({ "task": { "taskId": "t-1", "status": "working", "statusMessage": name } }),
        "tasks/get" if is_there => task("working"),
        "tasks/cancel" if is_there => task("cancelled"),
        "tasks/result" if is_there => {
            let related = json!({ RELATED: { "taskId": asked["params"]["taskId"] } });
            json!({ "content": [{ "type": "text", "text": format!("done by {name}") }], "_meta": related })
        }
        // Two pages; somebody else's task is on the second, too.
        "tasks/list" if is_there && asked["params"]["cursor"] == "" => {
            json!({ "tasks": [{ "taskId": "t-0", "status": "working" }] })
        }
        "tasks/list" if is_there => json!({ "tasks": [{ "taskId": "t-1", "statusMessage": name }], "nextCursor": "" }),
        _ => return legacy(name, tools, begun, request),
    };
    Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
}

struct Two {
    records: Upstream,
    billing: Upstream,
}

impl Two {
    async fn legacy() -> Self {
        Self {
            records: legacy_server("records", &["find", "count"]).await,
            billing: legacy_server("billing", &["find", "pay"]).await,
        }
    }

    async fn modern() -> Self {
        Self {
            records: modern_server("records", &["find", "count"]).await,
            billing: modern_server("billing", &["find", "pay"]).await,
        }
    }

    fn world(&self) -> World {
        let listing = |policy: &str| policy.replace("tools:", "methods: [tasks/list], tools:");
        let may = "server_may: [elicitation]\n";
        let world = World::new(&self.records.url()).policy("records.yaml", &format!("{}{may}", listing(RECORDS)));
        let billing = format!("url: {}", self.billing.url());
        world.beside("billing", &billing, &format!("{}{may}", listing(BILLING))).policy("views.yaml", ALL)
    }

    /// What each of them was asked by this method.
    fn asked(&self, method: &str) -> [Vec<Recorded>; 2] {
        let of = |it: &Recorded| it.json().is_some_and(|message| message["method"] == method);
        [&self.records, &self.billing].map(|server| server.since(0).into_iter().filter(of).collect())
    }
}

/// The name that its client has for a task that begins with this call.
async fn begun(session: &Session, id: &str, tool: &str) -> String {
    let params = format!(r#"{{"name":"{tool}","arguments":{{}},"task":{{"ttl":60000}}}}"#);
    let answer = session.say(&message(id, "tools/call", &params)).await.json().unwrap();
    let task = answer["result"]["task"]["taskId"].as_str();
    task.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn of_task(session: &Session, method: &str, task: &str) -> Value {
    session.say(&message("9", method, &json!({ "taskId": task }).to_string())).await.json().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_a_session_is_asked_for_at_the_server_that_has_it() {
    let two = Two::legacy().await;
    let gate = two.world().start().await;
    let (session, hello) = Session::begin(gate.data).await;
    let offered = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    assert_eq!(hello["capabilities"]["tasks"], offered);
    let (one, other) = (begun(&session, "1", "count").await, begun(&session, "2", "settle").await);
    assert!(one != other && one != "t-1", "{one} {other}");
    for (task, server) in [(&one, "records"), (&other, "billing")] {
        for method in ["tasks/get", "tasks/cancel"] {
            let answer = of_task(&session, method, task).await;
            assert_eq!(
                (&answer["result"]["taskId"], &answer["result"]["statusMessage"]),
                (&json!(task), &json!(server))
            );
        }
        let done = of_task(&session, "tasks/result", task).await["result"].clone();
        assert_eq!(
            (&done["_meta"][RELATED]["taskId"], &done["content"][0]["text"]),
            (&json!(task), &json!(format!("done by {server}")))
        );
    }
    for asked in two.asked("tasks/result") {
        let named: Vec<_> = asked.iter().map(|it| it.json().unwrap()["params"]["taskId"].clone()).collect();
        assert_eq!(named, ["t-1"]);
    }
    // Nobody else's, nowhere else, and under no other name.
    let theirs = raw::call(gate.data, &with(BOB, None, &message("0", "initialize", HELLO))).await;
    let theirs = theirs.head.first("mcp-session-id").unwrap().to_owned();
    let counts = || two.asked("tasks/get").map(|asked| asked.len());
    let before = counts();
    let changed = format!("{}{}", if one.starts_with('A') { "B" } else { "A" }, &one[1..]);
    for (key, session, task) in [
        (BOB, &theirs, &*one),
        (ALICE, &session.id, "t-1"),
        (ALICE, &session.id, &changed),
        (ALICE, &session.id, "none"),
    ] {
        let params = json!({ "taskId": task }).to_string();
        let answer = raw::call(gate.data, &with(key, Some(session), &message("1", "tasks/get", &params))).await;
        let error = answer.json().unwrap()["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!(-32602), &json!(format!("Task not found: {task}"))));
    }
    assert_eq!(counts(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_of_a_task_reaches_its_client_under_its_name() {
    let two = Two::legacy().await;
    let gate = two.world().start().await;
    let (session, _) = Session::begin(gate.data).await;
    let task = begun(&session, "1", "count").await;
    let mut stream = session.stream(&session.bodiless("GET")).await;
    let listens = async || two.records.since(0).iter().any(|it| it.method == "GET");
    assert!(until(DEADLINE, listens).await);
    let say = |method: &str, params: Value| {
        let said = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        two.records.push(&format!("data: {said}"));
    };
    // Of what this client has not begun, it hears nothing.
    say("notifications/tasks/status", json!({ "taskId": "t-0", "status": "completed" }));
    say("notifications/tasks/status", json!({ "taskId": "t-1", "status": "completed" }));
    let told = hears(&mut stream, |it| it["method"] == "notifications/tasks/status").await;
    assert_eq!(told["params"], json!({ "taskId": task, "status": "completed" }));

    let asks = json!({ "message": "Who?", "_meta": { RELATED: { "taskId": "t-1" } } });
    let asks = json!({ "jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": asks });
    two.records.push(&format!("data: {asks}"));
    let asked = hears(&mut stream, |it| it["method"] == "elicitation/create").await;
    assert_eq!(asked["params"]["_meta"][RELATED]["taskId"], json!(task));
    let about = json!({ RELATED: { "taskId": task } });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "accept", "_meta": about } });
    assert_eq!(session.say(&answer.to_string()).await.status, 202);
    let heard =
        two.records.since(0).into_iter().filter_map(|it| it.json()).find(|it| it["result"]["action"] == "accept");
    let heard = heard.expect("the server hears it");
    assert_eq!((&heard["id"], &heard["result"]["_meta"][RELATED]["taskId"]), (&json!(7), &json!("t-1")));
}

/// All pages of a session's list of tasks.
async fn listed(session: &Session) -> Vec<Vec<(String, String)>> {
    let (mut pages, mut params) = (Vec::new(), json!({}));
    loop {
        let answer = session.say(&message("9", "tasks/list", &params.to_string())).await.json().unwrap();
        let tasks = answer["result"]["tasks"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pages.push(tasks.iter().map(|task| (text(&task["taskId"]), text(&task["statusMessage"]))).collect());
        match answer["result"]["nextCursor"].as_str() {
            Some(next) => params = json!({ "cursor": next }),
            None => return pages,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_has_the_tasks_of_all_servers_and_one_that_is_away_hides_none() {
    let two = Two::legacy().await;
    let gate = two.world().start().await;
    let (session, _) = Session::begin(gate.data).await;
    let (one, other) = (begun(&session, "1", "count").await, begun(&session, "2", "settle").await);
    let (of_billing, of_records) = (vec![(other, "billing".to_owned())], vec![(one, "records".to_owned())]);
    assert_eq!(listed(&session).await, [of_billing, vec![], of_records.clone(), vec![]]);

    let first = session.say(&message("9", "tasks/list", "{}")).await.json().unwrap();
    let cursor = json!({ "cursor": first["result"]["nextCursor"] }).to_string();
    let theirs = raw::call(gate.data, &with(BOB, None, &message("0", "initialize", HELLO))).await;
    let theirs = with(BOB, theirs.head.first("mcp-session-id"), &message("1", "tasks/list", &cursor));
    assert_eq!(
        raw::call(gate.data, &theirs).await.json().unwrap()["error"]["code"],
        -32602,
        "a cursor is its caller's"
    );

    two.billing.answer(Reply::BreakOff);
    let broken = session.say(&message("9", "tasks/list", &cursor)).await.json().unwrap();
    assert_eq!(broken["error"]["code"], -31502, "the rest of what was begun is not passed over: {broken}");
    assert_eq!(listed(&session).await, [of_records, vec![]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_server_does_is_not_offered() {
    let two = super::session::Two::start().await;
    let gate = two.world().start().await;
    let (session, hello) = Session::begin(gate.data).await;
    assert_eq!(hello["capabilities"].get("tasks"), None, "{hello}");
    let answer = session.say(&message("9", "tasks/list", "{}")).await.json().unwrap();
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
}

/// A server of 2026-07-28 that runs every call as a task, the same way.
async fn modern_server(name: &'static str, tools: &'static [&'static str]) -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_with(move |request: &Recorded| {
        let asked = request.json().unwrap_or_default();
        let task = json!({ "taskId": "t-1", "status": "working", "statusMessage": name, "ttlMs": null });
        let mut result = match asked["method"].as_str().unwrap_or_default() {
            "server/discover" => {
                let Reply::Whole { body, .. } = modern(name, tools, request) else { panic!("it answers") };
                let mut told: Value = serde_json::from_slice(&body).unwrap();
                told["result"]["capabilities"]["extensions"] = json!({ EXTENSION: {} });
                return Reply::json(&told);
            }
            "tools/call" | "tasks/get" => task,
            "tasks/update" | "tasks/cancel" => json!({}),
            _ => return modern(name, tools, request),
        };
        result["resultType"] = json!(if asked["method"] == "tools/call" { "task" } else { "complete" });
        Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
    });
    upstream
}

/// Asks as a client of 2026-07-28 that has these extensions.
async fn ask(gate: SocketAddr, (path, key): (&str, &str), method: &str, params: &Value, has: &Value) -> Response {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "extensions": has },
    });
    let name = params.get("name").or(params.get("taskId")).and_then(Value::as_str).map(str::to_owned);
    let mut headers = LEGACY.to_vec();
    headers[3].1 = "2026-07-28";
    headers.extend([("x-api-key", key), ("mcp-method", method)]);
    headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
    raw::call(gate, &at(path, &post_with(&headers, &message("1", method, &params.to_string())))).await
}

async fn asked(gate: &Gate, method: &str, params: Value) -> Value {
    ask(gate.data, ("/mcp", ALICE), method, &params, &json!({ EXTENSION: {} })).await.json().unwrap()
}

async fn begins(gate: &Gate, tool: &str) -> String {
    let answer = asked(gate, "tools/call", json!({ "name": tool, "arguments": {} })).await;
    assert_eq!(answer["result"]["resultType"], "task", "{answer}");
    answer["result"]["taskId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_2026_07_28_is_asked_for_at_the_server_that_has_it() {
    let two = Two::modern().await;
    let gate = two.world().start().await;
    let itself = asked(&gate, "server/discover", json!({})).await;
    assert_eq!(itself["result"]["capabilities"]["extensions"], json!({ EXTENSION: {} }), "{itself}");
    let (one, other) = (begins(&gate, "count").await, begins(&gate, "settle").await);
    assert!(one != other && one != "t-1", "{one} {other}");
    for (task, server) in [(&one, "records"), (&other, "billing")] {
        let answer = asked(&gate, "tasks/get", json!({ "taskId": task })).await;
        assert_eq!((&answer["result"]["taskId"], &answer["result"]["statusMessage"]), (&json!(task), &json!(server)));
        let responses = json!({ "taskId": task, "inputResponses": { "a": { "action": "accept" } } });
        assert_eq!(asked(&gate, "tasks/update", responses).await["result"]["resultType"], "complete");
        assert_eq!(asked(&gate, "tasks/cancel", json!({ "taskId": task })).await["result"]["resultType"], "complete");
    }
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for asked in two.asked(method) {
            assert_eq!(asked.len(), 1, "{method}");
            let (asked, headers) = (asked[0].json().unwrap(), &asked[0].head);
            assert_eq!(
                (&asked["params"]["taskId"], headers.first("mcp-name")),
                (&json!("t-1"), Some("t-1")),
                "{method}"
            );
        }
    }
    let (knows, knows_not) = (json!({ EXTENSION: {} }), json!({}));
    let of = json!({ "taskId": one });
    let undeclared = ask(gate.data, ("/mcp", ALICE), "tasks/get", &of, &knows_not).await.json().unwrap();
    assert_eq!(undeclared["error"]["code"], -32021, "{undeclared}");
    for (path, key, task) in [
        ("/mcp", BOB, &*one),
        ("/views/some/mcp", ALICE, &other),
        ("/records/mcp", ALICE, &one),
        ("/mcp", ALICE, "t-1"),
    ] {
        let answer = ask(gate.data, (path, key), "tasks/get", &json!({ "taskId": task }), &knows).await.json().unwrap();
        assert_eq!(answer["error"]["message"], format!("Task not found: {task}"), "{path}");
    }
    assert_eq!(two.asked("tasks/get").map(|asked| asked.len()), [1, 1]);

    // Whoever may not call its tool any more may not ask for it, either.
    std::fs::write(gate.policies().join("records.yaml"), "server: records\nroles: { reader: { tools: [find] } }\n")
        .unwrap();
    let gone = async || {
        asked(&gate, "tasks/get", json!({ "taskId": one })).await["error"]["message"]
            == format!("Task not found: {one}")
    };
    assert!(until(DEADLINE, gone).await);
    assert_eq!(asked(&gate, "tasks/get", json!({ "taskId": other })).await["result"]["statusMessage"], "billing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_shown_no_longer_has_its_tasks_all_the_same() {
    let two = Two::modern().await;
    let billing = format!("url: {}, catalogue: {{ shown_for: 2s }}", two.billing.url());
    let world = World::new(&two.records.url()).policy("records.yaml", RECORDS).beside("billing", &billing, BILLING);
    let gate = world.policy("views.yaml", ALL).start().await;
    let task = begins(&gate, "settle").await;
    two.billing.answer(Reply::BreakOff);
    assert!(until(DEADLINE, async || super::listed(gate.data, "/mcp").await == ["count", "find"]).await);
    let away = asked(&gate, "tasks/get", json!({ "taskId": task })).await["error"].clone();
    assert_eq!(away["data"]["io.tollgate/origin"], "gateway", "{away}");
    assert!(!away["message"].as_str().unwrap().contains("not found"), "{away}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_goes_on_at_another_gate_with_the_same_key_under_the_same_name() {
    let two = Two::modern().await;
    let gate = async |keys: &[&str]| sealing(two.world(), keys).start().await;
    let (old, both, new, none) =
        (gate(&["a"]).await, gate(&["b", "a"]).await, gate(&["b"]).await, two.world().start().await);
    let task = begins(&old, "count").await;
    drop(old); // SIGKILL
    let theirs =
        ask(both.data, ("/mcp", BOB), "tasks/get", &json!({ "taskId": task }), &json!({ EXTENSION: {} })).await;
    assert_eq!(theirs.json().unwrap()["error"]["code"], -32602);
    for _ in 0..2 {
        let answer = asked(&both, "tasks/get", json!({ "taskId": task })).await;
        assert_eq!(
            (&answer["result"]["taskId"], &answer["result"]["statusMessage"]),
            (&json!(task), &json!("records"))
        );
    }
    for gate in [&new, &none] {
        let answer = asked(gate, "tasks/get", json!({ "taskId": task })).await;
        assert_eq!(answer["error"]["message"], format!("Task not found: {task}"));
    }
    let anew = begins(&both, "settle").await;
    assert_eq!(asked(&new, "tasks/get", json!({ "taskId": anew })).await["result"]["taskId"], json!(anew));
    assert_eq!(begins(&new, "settle").await, anew, "it is the same task, to its server and so to its client");
}
