//! Clients of 2026-07-28 that have subscribed: one stream brings the news of single resources and tasks, whosever they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::session::{HELLO, hears, legacy, with};
use super::{ALL, BILLING, RECORDS, modern};
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, at, message, post_with, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const LISTEN: &str = "notifications/subscriptions/acknowledged";

/// A server that has one resource, runs every call as a task, and tells of both.
async fn server(name: &'static str, tools: &'static [&'static str], listens: &Arc<AtomicBool>) -> Upstream {
    let (upstream, listens) = (Upstream::start().await, Arc::clone(listens));
    upstream.answer_with(move |request: &Recorded| {
        let asked = request.json().unwrap_or_default();
        let mut result = match asked["method"].as_str().unwrap_or_default() {
            "server/discover" => {
                let Reply::Whole { body, .. } = modern(name, tools, request) else { panic!("it answers") };
                let mut told: Value = serde_json::from_slice(&body).unwrap();
                told["result"]["capabilities"]["resources"] = json!({ "subscribe": true });
                told["result"]["capabilities"]["extensions"] = json!({ "io.modelcontextprotocol/tasks": {} });
                return Reply::json(&told);
            }
            "resources/list" => json!({ "resources": [{ "uri": format!("doc://{name}"), "name": name }] }),
            "resources/templates/list" => json!({ "resourceTemplates": [] }),
            "tools/call" => json!({ "resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": null }),
            "subscriptions/listen" if listens.load(Ordering::SeqCst) => {
                let of = &asked["params"]["notifications"];
                return Reply::Pushed(said(LISTEN, json!({ "notifications": of })));
            }
            _ => return modern(name, tools, request),
        };
        if result.get("resultType").is_none() {
            result["resultType"] = json!("complete");
        }
        Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
    });
    upstream
}

/// What is said to whoever has subscribed by a request with the id 1.
fn said(method: &str, mut params: Value) -> String {
    params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": 1 });
    format!("data: {}", json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

fn request(method: &str, mut params: Value, name: Option<&str>) -> Vec<u8> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
    });
    let mut headers = LEGACY.to_vec();
    headers[3].1 = "2026-07-28";
    headers.extend([("x-api-key", ALICE), ("mcp-method", method)]);
    headers.extend(name.map(|name| ("mcp-name", name)));
    post_with(&headers, &message("1", method, &params.to_string()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_subscription_brings_news_of_the_resources_and_tasks_of_all_servers() {
    let (takes, refuses) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let records = server("records", &["find", "count"], &takes).await;
    let billing = server("billing", &["find", "pay"], &refuses).await;
    let grants = "methods: [subscriptions/listen], resources: [\"doc://*\"], tools:";
    let world = World::new(&records.url()).policy("records.yaml", &RECORDS.replace("tools:", grants));
    let world = world.beside("billing", &format!("url: {}", billing.url()), &BILLING.replace("tools:", grants));
    let shows = "{ resources: [\"doc://*\"], tools:";
    let views = ALL
        .replace("records: { tools:", &format!("records: {shows}"))
        .replace("billing: { tools: [find", &format!("billing: {shows} [find"));
    let gate = world.policy("views.yaml", &views).start().await;
    let call = async |tool: &str| -> String {
        let request = request("tools/call", json!({ "name": tool, "arguments": {} }), Some(tool));
        let answer = raw::call(gate.data, &request).await.json().unwrap();
        answer["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let (one, other) = (call("count").await, call("settle").await);
    let itself = raw::call(gate.data, &request("server/discover", json!({}), None)).await.json().unwrap();
    let can = json!({ "listChanged": true, "subscribe": true });
    assert_eq!(itself["result"]["capabilities"]["resources"], can, "{itself}");

    let listen = async |resources: &[&str], tasks: &[&str]| {
        let wanted = json!({ "toolsListChanged": true, "resourceSubscriptions": resources, "taskIds": tasks });
        let mut stream = Connection::open(gate.data).await;
        stream.send(&request("subscriptions/listen", json!({ "notifications": wanted }), None)).await.unwrap();
        stream.read_head().await.unwrap().unwrap();
        let first = hears(&mut stream, |_| true).await;
        (stream, first)
    };
    let (mut stream, first) = listen(&["doc://records", "doc://billing", "doc://none"], &[&one, &other, "t-1"]).await;
    let told = json!({ "toolsListChanged": true, "resourceSubscriptions": ["doc://records"], "taskIds": [one] });
    assert_eq!(
        (&first["method"], &first["params"]["notifications"]),
        (&json!(LISTEN), &told),
        "what comes, and no more"
    );
    let of = |upstream: &Upstream| {
        let asked = upstream.since(0).into_iter().filter_map(|it| it.json());
        let asked = asked
            .filter(|it| it["method"] == "subscriptions/listen" && it["params"]["notifications"]["taskIds"].is_array());
        asked.map(|it| it["params"]["notifications"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&records), [json!({ "resourceSubscriptions": ["doc://records"], "taskIds": ["t-1"] })]);

    records.push(&said("notifications/tasks", json!({ "taskId": "t-0", "status": "completed" })));
    records.push(&said("notifications/tasks", json!({ "taskId": "t-1", "status": "completed" })));
    let news = hears(&mut stream, |it| it["method"] == "notifications/tasks").await;
    assert_eq!(news["params"]["taskId"], json!(one), "nobody hears of a task that is not theirs");
    records.push(&said("notifications/resources/updated", json!({ "uri": "doc://records" })));
    assert_eq!(
        hears(&mut stream, |it| it["method"] == "notifications/resources/updated").await["params"]["uri"],
        "doc://records"
    );
    // One server that has no more to say ends nothing.
    records.push(r#"data: {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}"#);
    records.push(&said("notifications/tasks", json!({ "taskId": "t-1", "status": "cancelled" })));
    let next = hears(&mut stream, |it| it["params"]["status"] == "cancelled" || it.get("result").is_some()).await;
    assert_eq!(next["params"]["taskId"], json!(one), "{next}");

    refuses.store(true, Ordering::SeqCst);
    let (_, first) = listen(&["doc://billing"], &[&other]).await;
    assert_eq!(first["params"]["notifications"]["taskIds"], json!([other]));
    drop(stream);
    assert!(records.wait_for_hang_ups(1, DEADLINE).await, "servers hear that nobody hears any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_opened_after_a_change_of_policy_is_judged_by_it() {
    let (records, begun) = (Upstream::start().await, AtomicUsize::new(0));
    records.answer_with(move |request: &Recorded| legacy("records", &["find", "count"], &begun, request));
    let grants = RECORDS.replace("tools:", "resources: [\"doc://*\"], tools:");
    let views = "views: { all: { servers: { records: { tools: [\"*\"] } } } }\n";
    let gate = World::new(&records.url()).policy("records.yaml", &grants).policy("views.yaml", views).start().await;
    let hello = at("/views/all/mcp", &with(ALICE, None, &message("0", "initialize", HELLO)));
    let session = raw::call(gate.data, &hello).await.head.first("mcp-session-id").unwrap().to_owned();
    let mut stream = Connection::open(gate.data).await;
    let listens = with(ALICE, Some(&session), "");
    let listens = String::from_utf8(at("/views/all/mcp", &listens)).unwrap().replace("POST ", "GET ");
    stream.send(listens.as_bytes()).await.unwrap();
    stream.read_head().await.unwrap().unwrap();
    std::fs::write(gate.policies().join("records.yaml"), RECORDS).unwrap();
    hears(&mut stream, |it| it["method"] == "notifications/tools/list_changed").await;
    // The stream of the server begins with the first call.
    let call = with(ALICE, Some(&session), &tool_call("1", "records_count", "{}"));
    assert_eq!(raw::call(gate.data, &at("/views/all/mcp", &call)).await.status, 200);
    let opened =
        async || records.since(0).iter().any(|it| it.method == "GET" && it.head.first("x-gateway-principal").is_some());
    assert!(until(DEADLINE, opened).await);
    for (method, params) in [
        ("notifications/resources/updated", json!({ "uri": "doc://secret" })),
        ("notifications/message", json!({ "level": "info", "data": "next" })),
    ] {
        records.push(&format!("data: {}", json!({ "jsonrpc": "2.0", "method": method, "params": params })));
    }
    let first = hears(&mut stream, |it| it.get("method").is_some()).await;
    assert_eq!(first["method"], "notifications/message", "{first}");
}
