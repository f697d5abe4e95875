//! What must not be seen by everyone: masked, refused or only told, in calls and in what comes back.

use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{message, post, post_modern, tool_call};
use crate::support::raw;
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;

const POLICY: &str = r#"server: records
redact:
  - { find: [secrets, card], then: block, in: arguments }
  - { find: [email, url_password], then: mask }
  - { find: [private_key], in: results, then: block }
roles:
  reader:
    tools: [search_records, get_statistics, get_record_detail]
    prompts: ["*"]
tools:
  get_statistics:
    redact:
      - { pattern: "EMP-[0-9]{6}", name: employee, in: results, then: mask }
      - { find: [iban], then: alert }
  get_record_detail: { mode: shadow, redact: [{ find: [iban], then: block }] }
"#;

/// What the server answers to each call, by its arguments' `say`.
fn says(request: &Recorded) -> Reply {
    let asked = request.json().unwrap_or_default();
    let say = asked["params"]["arguments"]["say"].clone();
    let Some(say) = say.as_str() else {
        return Reply::obliging(request);
    };
    let text = match say {
        "secret" => "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        "personal" => "Jane <jane@example.com>, EMP-123456, DE89370400440532013000",
        "failing" | "telling" => "cannot connect to postgres://app:s3cret@db/records",
        other => panic!("{other}"),
    };
    let id = &asked["id"];
    let result = json!({
        "jsonrpc": "2.0", "id": id,
        "result": { "content": [{ "type": "text", "text": text }], "structuredContent": { "text": text } },
    });
    match say {
        "failing" => Reply::json(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": text } })),
        "telling" => {
            let told = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "error", "data": text } });
            Reply::Events(vec![format!("data: {told}"), format!("data: {result}")], Ending::Clean)
        }
        _ => Reply::json(&result),
    }
}

async fn call(gate: &Gate, tool: &str, arguments: &str) -> (String, Value) {
    let before = gate.decisions.count();
    let answer = raw::call(gate.data, &post(ALICE, &tool_call("7", tool, arguments))).await;
    let line = gate.decisions.wait_since(before, DEADLINE, |_| true).await.expect("it is recorded");
    (answer.text(), serde_json::from_str(&line).expect("a line"))
}

async fn world() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    upstream.answer_with(says);
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    (upstream, gate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_masked_in_a_call_never_reaches_the_server_and_the_rest_does_as_it_came() {
    let (upstream, gate) = world().await;
    let sent = r#"{"to": "j\u0061ne@example.com",  "n": 1.50, "bob@example.com": [true]}"#;
    let (_, line) = call(&gate, "search_records", sent).await;
    let got = upstream.since(0).pop().expect("a call").text();
    assert!(
        got.contains(r#""arguments":{"to": "[redacted: email]",  "n": 1.50, "[redacted: email 1]": [true]}"#),
        "{got}"
    );
    assert!(!got.contains("example.com"), "{got}");
    assert_eq!((&line["outcome"], &line["redacted"]), (&json!("ok"), &json!({ "email": "mask" })));
    assert!(!line.to_string().contains("example.com"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_sent_is_refused_in_words_that_a_model_can_act_on() {
    let (upstream, gate) = world().await;
    for (arguments, found) in [
        (r#"{"q": "use AKIAIOSFODNN7EXAMPLE"}"#, "aws_key"),
        (r#"{"q": {"deep": [4111111111111111]}}"#, "card"),
        (r#"{"q": "4111-1111-1111-1111"}"#, "card"),
    ] {
        let (answer, line) = call(&gate, "search_records", arguments).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(found) && text.contains("leave it out"), "{text}");
        assert_eq!((&line["outcome"], &line["refused"]), (&json!("denied"), &json!("sensitive")));
        assert_eq!(line["rule"], "policies/records.yaml:3 redact");
    }
    assert_eq!(upstream.count(), 0, "nothing reached the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_is_masked_in_results_errors_and_notifications() {
    let (_upstream, gate) = world().await;
    let (answer, line) = call(&gate, "get_statistics", r#"{"say": "personal"}"#).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let masked = "Jane <[redacted: email]>, [redacted: employee], DE89370400440532013000";
    assert_eq!(answer["result"]["content"][0]["text"], masked);
    assert_eq!(answer["result"]["structuredContent"]["text"], masked, "both forms alike");
    assert_eq!(line["redacted"], json!({ "email": "mask", "employee": "mask", "iban": "alert" }));

    let (answer, _) = call(&gate, "search_records", r#"{"say": "personal"}"#).await;
    assert!(
        answer.contains("EMP-123456") && answer.contains("[redacted: email]"),
        "its own rules are its own: {answer}"
    );
    for say in ["failing", "telling"] {
        let (answer, line) = call(&gate, "search_records", &format!(r#"{{"say": "{say}"}}"#)).await;
        assert!(answer.contains("postgres://[redacted: url_password]@db"), "{say}: {answer}");
        assert!(!answer.contains("s3cret"), "{say}: {answer}");
        assert_eq!(line["redacted"], json!({ "url_password": "mask" }));
    }
    let counted = "tollgate_redactions_total{action=\"mask\",detector=\"email\",in=\"results\"";
    let metrics = raw::get(gate.admin, "/metrics").await.text();
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_on_both_ways_is_told_once() {
    let (_upstream, gate) = world().await;
    call(&gate, "get_statistics", r#"{"say": "personal", "to": "bob@example.com", "iban": "DE89370400440532013000"}"#)
        .await;
    let line = gate.decisions.text();
    assert_eq!(line.matches("\"email\":\"mask\"").count(), 1, "{line}");
    assert_eq!(line.matches("\"iban\":").count(), 1, "{line}");
    let metrics = raw::get(gate.admin, "/metrics").await.text();
    for flow in ["arguments", "results"] {
        let counted = format!("tollgate_redactions_total{{action=\"mask\",detector=\"email\",in=\"{flow}\"");
        assert!(metrics.contains(&counted), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_what_must_not_pass_is_withheld_and_says_that_the_call_ran() {
    let (upstream, gate) = world().await;
    let (answer, line) = call(&gate, "search_records", r#"{"say": "secret"}"#).await;
    assert!(!answer.contains("MIIE"), "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-31451)), "{answer}");
    assert_eq!(
        (&answer["error"]["data"]["executed"], &answer["error"]["data"]["reason"]),
        (&json!("yes"), &json!("withheld"))
    );
    assert_eq!((&line["outcome"], &line["refused"]), (&json!("denied"), &json!("withheld")));
    assert_eq!(line["rule"], "policies/records.yaml:5 redact");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shadow_it_passes_and_the_line_says_what_would_have_come_of_it() {
    let (upstream, gate) = world().await;
    let (_, line) = call(&gate, "get_record_detail", r#"{"to": "DE89370400440532013000"}"#).await;
    assert!(upstream.since(0).pop().expect("a call").holds("DE89370400440532013000"));
    assert_eq!(line["redacted"], json!({ "iban": "alert" }));
    assert_eq!(
        (&line["would_deny"], &line["would_deny_rule"]),
        (&json!("sensitive"), &json!("policies/records.yaml:15 tools.get_record_detail.redact"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_argument_that_a_header_repeats_is_masked_there_too() {
    let (upstream, gate) = world().await;
    let request = String::from_utf8(post_modern(
        "tools/call",
        r#""name":"search_records","arguments":{"to":"jane@example.com"}"#,
        Some("search_records"),
    ))
    .unwrap();
    let request = request.replacen(
        "\r\n",
        "\r\nMcp-Param-To: jane@example.com\r\nMcp-Param-From: =?base64?amFuZUBleGFtcGxlLmNvbQ==?=\r\n",
        1,
    );
    raw::call(gate.data, request.as_bytes()).await;
    let seen = upstream.since(0).pop().expect("a call");
    assert_eq!(seen.head.first("mcp-param-to"), Some("[redacted: email]"), "{seen:?}");
    assert_eq!(seen.head.first("mcp-param-from"), Some("[redacted: email]"), "{seen:?}");
    assert!(!seen.holds("example.com"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_to_call_is_shown_as_it_is() {
    let (upstream, gate) = world().await;
    upstream.answer_with(|request| {
        let id = request.json().unwrap_or_default()["id"].clone();
        let tool = json!({ "name": "search_records", "description": "ask jane@example.com", "inputSchema": { "type": "object" } });
        Reply::json(&json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": [tool] } }))
    });
    let answer = raw::call(gate.data, &post(ALICE, &message("1", "tools/list", "{}"))).await;
    assert!(answer.text().contains("ask jane@example.com"), "{}", answer.text());
}

/// What a tool may not let out, a call of it that runs as a task may not, either: in whatever is said of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_brings_is_masked_as_its_tool_is() {
    let (upstream, gate) = world().await;
    let long = " ".repeat(300 * 1024);
    upstream.answer_with(move |request: &Recorded| {
        let asked = request.json().unwrap_or_default();
        let result = match asked["method"].as_str().unwrap_or_default() {
            "tools/call" => json!({ "task": { "taskId": "t-1", "status": "working" } }),
            _ => json!({ "content": [{ "type": "text", "text": format!("{long}EMP-123456") }] }),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "EMP-123456" } });
        match asked["method"].as_str() {
            Some("tasks/get") => Reply::Events(vec![format!("data: {told}"), format!("data: {answer}")], Ending::Clean),
            _ => Reply::json(&answer),
        }
    });
    let params = r#"{"name":"get_statistics","arguments":{},"task":{"ttl":1000}}"#;
    let begun = raw::call(gate.data, &post(ALICE, &message("1", "tools/call", params))).await;
    assert!(begun.text().contains("t-1"), "{}", begun.text());
    for (method, times) in [("tasks/result", 1), ("tasks/get", 2)] {
        let answer = raw::call(gate.data, &post(ALICE, &message("1", method, r#"{"taskId":"t-1"}"#))).await.text();
        let masked = answer.matches("[redacted: employee]").count();
        assert!(masked == times && !answer.contains("EMP-"), "{method}: {masked}: {}", answer.trim_end());
    }
}

/// A web server's own error page is no message of MCP, and may tell as much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_page_is_masked_and_withheld_like_an_answer() {
    let (upstream, gate) = world().await;
    let page = json!({ "detail": "cannot connect to postgres://app:s3cret@db/records", "by": "jane@example.com" });
    upstream.answer(Reply::status(500, &page));
    let (answer, line) = call(&gate, "search_records", "{}").await;
    assert!(
        answer.contains("postgres://[redacted: url_password]@db") && answer.contains("[redacted: email]"),
        "{answer}"
    );
    assert!(!answer.contains("s3cret") && !answer.contains("jane"), "{answer}");
    assert_eq!(line["redacted"], json!({ "email": "mask", "url_password": "mask" }));

    upstream.answer(Reply::status(500, &json!({ "detail": "-----BEGIN PRIVATE KEY-----\nMIIE" })));
    let (answer, line) = call(&gate, "search_records", "{}").await;
    assert!(answer.contains("-31451") && !answer.contains("MIIE"), "{answer}");
    assert_eq!(line["refused"], "withheld");
}

/// What a client says to a server that has asked it (2026-07-28, MRTR) goes the way of arguments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_answers_to_a_question_is_masked_and_refused_like_arguments() {
    let (upstream, gate) = world().await;
    let answers = |text: &str| {
        let said = format!(r#"{{"who":{{"action":"accept","content":{{"name":"{text}"}}}}}}"#);
        let params = format!(
            r#""name":"search_records","arguments":{{"to":"bob@example.com"}},"inputResponses":{said},"requestState":"s@t.com""#
        );
        post_modern("tools/call", &params, Some("search_records"))
    };
    raw::call(gate.data, &answers("jane@example.com")).await;
    let got = upstream.since(0).pop().expect("a call").text();
    assert!(got.contains(r#""arguments":{"to":"[redacted: email]"}"#), "{got}");
    assert!(got.contains(r#""content":{"name":"[redacted: email]"}"#), "{got}");
    assert!(got.contains(r#""requestState":"s@t.com""#), "what is the server's own comes back as it was: {got}");

    let before = upstream.count();
    let answer = raw::call(gate.data, &answers("4111 1111 1111 1111")).await.text();
    assert!(answer.contains("isError") && answer.contains("card") && answer.contains("leave it out"), "{answer}");
    assert_eq!(upstream.count(), before, "nothing reached the server");
}

/// What must not be sent to a tool, must not be sent to its task, either: nor is it, by whatever the task asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_answers_to_a_task_is_masked_and_refused_as_its_tool_says() {
    let upstream = Upstream::start().await;
    let more = r#"      - { pattern: "PIN-[0-9]{4}", name: pin, in: arguments, then: mask }
      - { pattern: "TOP-[0-9]{4}", name: top, in: arguments, then: block }
  get_record_detail:"#;
    let policy = POLICY.replace("  get_record_detail:", more);
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    upstream.answer_with(|request: &Recorded| {
        let asked = request.json().unwrap_or_default();
        let result = match (asked["method"].as_str(), asked["params"]["name"].as_str()) {
            (Some("tools/call"), Some(tool)) => {
                json!({ "resultType": "task", "taskId": format!("of-{tool}"), "status": "working", "ttlMs": null })
            }
            _ => json!({ "resultType": "complete" }),
        };
        Reply::json(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
    });
    let ask = async |method: &str, params: &str, name: &str| {
        let request = String::from_utf8(post_modern(method, params, Some(name))).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let has = r#"/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        let body = body.replace(r#"/clientCapabilities":{}"#, has);
        let head = head.split_once("content-length").unwrap().0;
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        raw::call(gate.data, request.as_bytes()).await.json().unwrap()
    };
    let answers = |tool: &str, text: &str| {
        let said = format!(r#"{{"who":{{"action":"accept","content":{{"name":"{text}"}}}}}}"#);
        format!(r#""taskId":"of-{tool}","inputResponses":{said}"#)
    };
    for (tool, hidden) in [("get_statistics", true), ("search_records", false)] {
        let begun = ask("tools/call", &format!(r#""name":"{tool}","arguments":{{}}"#), tool).await;
        assert_eq!(begun["result"]["resultType"], "task", "{begun}");
        let task = format!("of-{tool}");
        let taken = ask("tasks/update", &answers(tool, "PIN-1234, jane@example.com"), &task).await;
        assert_eq!(taken["result"]["resultType"], "complete", "{taken}");
        let got = upstream.since(0).pop().expect("an update").text();
        let pin = if hidden { "[redacted: pin]" } else { "PIN-1234" };
        assert!(got.contains(&format!(r#""name":"{pin}, [redacted: email]""#)), "the server's rules hold, too: {got}");

        let before = upstream.count();
        let answer = ask("tasks/update", &answers(tool, "TOP-1234"), &task).await;
        assert_eq!((answer["error"]["code"] == -32602, upstream.count() == before), (hidden, hidden), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_with_what_must_not_be_sent_is_refused_as_a_prompt_is() {
    let (upstream, gate) = world().await;
    let asked = message("1", "prompts/get", r#"{"name":"greet","arguments":{"card":"4111111111111111"}}"#);
    let answer = raw::call(gate.data, &post(ALICE, &asked)).await.json().expect("JSON");
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("card")), "{answer}");
    assert_eq!(upstream.count(), 0);
}
