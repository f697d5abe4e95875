//! What a caller names by id, or hears of, is its own; and what it asks again is decided again.

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{message, post, post_modern};
use crate::support::raw::{self, Response};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;

const POLICY: &str = "\
server: records
roles:
  reader: { tools: [search_records], resources: [\"demo://*\"], methods: [subscriptions/listen] }
";

async fn call(gate: &Gate, key: &str, method: &str, params: &Value) -> Value {
    let response = raw::call(gate.data, &post(key, &message("1", method, &params.to_string()))).await;
    response.json().unwrap_or_else(|| panic!("{method}: {} {}", response.status, response.text()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_there_only_for_the_principal_who_began_it() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| {
        let task = json!({ "taskId": "t-1", "status": "working" });
        let result = match request.json().unwrap_or_default()["method"].as_str() {
            Some("tools/call") => json!({ "task": task }),
            _ => task,
        };
        Reply::json(&json!({ "jsonrpc": "2.0", "id": 1, "result": result }))
    });
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    let task = json!({ "taskId": "t-1" });
    assert_eq!(call(&gate, ALICE, "tasks/get", &task).await["error"]["code"], -32602, "nobody has begun it yet");
    let begun = call(&gate, ALICE, "tools/call", &json!({ "name": "search_records", "task": { "ttl": 1000 } })).await;
    assert_eq!(begun["result"]["task"]["taskId"], "t-1");
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let mark = upstream.count();
        let foreign = call(&gate, BOB, method, &task).await;
        assert_eq!(foreign["error"]["message"], "Task not found: t-1", "{method}");
        assert_eq!(upstream.count(), mark, "{method} has not reached the server");
        assert_eq!(call(&gate, ALICE, method, &task).await["result"]["status"], "working", "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_again_with_answers_is_decided_again() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    let answers = r#""arguments":{},"inputResponses":{"a":{"action":"accept"}},"requestState":"s""#;
    let asked = async |tool: &str| -> Response {
        let params = format!(r#""name":"{tool}",{answers}"#);
        raw::call(gate.data, &post_modern("tools/call", &params, Some(tool))).await
    };
    assert!(asked("search_records").await.json().unwrap().get("result").is_some());
    let mark = upstream.count();
    assert_eq!(asked("delete_record").await.json().unwrap()["error"]["code"], -32602);
    assert_eq!(upstream.count(), mark);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_brings_news_of_what_the_caller_may_see() {
    let upstream = Upstream::start().await;
    let updated = |uri: &str| {
        json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } }).to_string()
    };
    let acknowledged = |uris: &[&str]| {
        let params = json!({ "notifications": { "resourceSubscriptions": uris } });
        json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params }).to_string()
    };
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#.to_owned();
    let end = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}"#.to_owned();
    let events = |messages: &[String]| messages.iter().map(|message| format!("data: {message}")).collect::<Vec<_>>();
    let said = events(&[
        acknowledged(&["demo://a", "other://b"]),
        updated("other://b"),
        updated("demo://a"),
        changed.clone(),
        end.clone(),
    ]);
    upstream.answer(Reply::Events(said, Ending::Clean));
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    let filter = r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["demo://a","other://b"]}"#;
    let heard = raw::call(gate.data, &post_modern("subscriptions/listen", filter, None)).await;
    let expected = events(&[acknowledged(&["demo://a"]), updated("demo://a"), changed, end]);
    assert_eq!(heard.text(), expected.join("\n\n") + "\n\n");
}
