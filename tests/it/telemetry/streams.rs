//! What is told of an answer that comes in a stream is what is told of one that does not.

use serde_json::json;

use crate::support::collector::{Collector, Mood, attribute};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw;
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};

const MAIL: &str = "jane.roe@example.com";

/// The same answer: as a stream with a word before it to who searches, and as it is to who asks for one.
fn streamed_or_not(request: &Recorded) -> Reply {
    let asked = request.json().unwrap_or_default();
    let result = json!({ "content": [{ "type": "text", "text": format!("no {MAIL}") }], "isError": true });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
    let word =
        json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "." } });
    match asked["params"]["name"].as_str() {
        Some("search_records") => {
            Reply::Events(vec![format!("data: {word}"), format!("data: {answer}")], Ending::Clean)
        }
        _ => Reply::json(&answer),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_streams_say_how_the_tool_ended_how_much_it_said_and_what() {
    let (collector, upstream) = (Collector::start(Mood::Ready).await, Upstream::start().await);
    upstream.answer_with(streamed_or_not);
    let mut gate = World::new(&upstream.url())
        .policy("records.yaml", &format!("{READERS}redact: [{{ find: [email], then: mask }}]\n"))
        .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())])
        .environment(&[("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true".to_owned())])
        .start()
        .await;
    for tool in ["search_records", "get_record_detail"] {
        let heard = raw::call(gate.data, &post(ALICE, &tool_call("1", tool, "{}"))).await.text();
        assert!(heard.contains("[redacted: email]"), "{heard}");
    }
    assert_eq!(gate.terminate().await, Some(0));
    let received = collector.received();
    let told = |tool: &str, name: &str| {
        let of_it = |name: &str, is: &str, span: &[_]| attribute(span, name).as_deref() == Some(is);
        let servers = received.spans.iter().filter(|span| of_it("tollgate.outcome", "tool_error", &span.attributes));
        let span = servers.into_iter().find(|span| of_it("gen_ai.tool.name", tool, &span.attributes)).expect("a span");
        attribute(&span.attributes, name)
    };
    for name in ["error.type", "gen_ai.tool.call.result"] {
        assert_eq!(told("search_records", name), told("get_record_detail", name), "{name}");
    }
    assert_eq!(told("search_records", "error.type").as_deref(), Some("tool_error"));
    let result = told("search_records", "gen_ai.tool.call.result").expect("its result");
    assert!(result.contains("no [redacted: email]") && !result.contains("jsonrpc"), "{result}");
    for tool in ["search_records", "get_record_detail"] {
        let number = |name: &str| told(tool, name).expect(name).parse::<usize>().unwrap();
        let (bytes, tokens) = (number("tollgate.reply.size"), number("tollgate.reply.tokens"));
        assert!(bytes > 100 && tokens == bytes.div_ceil(4), "{tool}: {bytes} bytes, {tokens} tokens");
    }
    assert!(told("search_records", "tollgate.reply.size") > told("get_record_detail", "tollgate.reply.size"));
}
