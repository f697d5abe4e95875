//! Spans, their parents and their faults.

use super::*;
use crate::telemetry::context;
use crate::upstream::{Attempts as _, UpstreamError};

#[test]
fn the_message_names_the_parent_and_http_is_linked() {
    let cases = [
        (META, Some(HTTP), META, 1),
        (META, None, META, 0),
        (META, Some(META), META, 0),
        ("garbage", Some(HTTP), HTTP, 0),
    ];
    for (meta, http, parent, links) in cases {
        let fixture = Fixture::sampling(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
        let headers = http.map(headers).unwrap_or_default();
        fixture.telemetry.open(traced(meta), &headers).close(Outcome::Ok);
        let span = of_kind(&fixture.spans(), &SpanKind::Server);
        let expected = context::parse(parent, opentelemetry::trace::TraceState::default()).unwrap();
        assert_eq!(span.span_context.trace_id(), expected.trace_id());
        assert_eq!(span.parent_span_id, expected.span_id());
        assert!(span.parent_span_is_remote);
        assert_eq!(span.links.len(), links);
        assert_eq!(fixture.lines()[0]["trace_id"], format!("{:032x}", expected.trace_id()));
    }
}

#[test]
fn the_attempt_is_the_parent_of_what_the_upstream_does() {
    let fixture = Fixture::sampling(Sampler::AlwaysOn);
    let mut recorder = fixture.telemetry.open(search(), &HeaderMap::new());
    let sent = recorder.begin(&url()).unwrap();
    recorder.answered(200_u16);
    recorder.close(Outcome::Ok);
    let spans = fixture.spans();
    let (server, client) = (of_kind(&spans, &SpanKind::Server), of_kind(&spans, &SpanKind::Client));
    assert_eq!(server.parent_span_id, SpanId::INVALID);
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    let expected = format!("00-{:032x}-{:016x}-01", client.span_context.trace_id(), client.span_context.span_id());
    assert_eq!(sent.traceparent, expected);
    assert!(server.start_time <= client.start_time && client.end_time <= server.end_time);
    assert_eq!(server.name, "tools/call search");
    assert_eq!(attribute(&client, "http.response.status_code").as_deref(), Some("200"));
    let table = [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "search"),
        ("jsonrpc.request.id", "7"),
        ("network.transport", "tcp"),
        ("client.address", "192.0.2.7"),
        ("tollgate.principal", "alice"),
        ("tollgate.server", "records"),
        ("tollgate.outcome", "ok"),
        ("tollgate.rule", "policies/records.yaml:4 roles.reader.tools"),
        ("tollgate.policy.digest", "0123456789ab"),
    ];
    for (name, value) in table {
        assert_eq!(attribute(&server, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(attribute(&server, "error.type"), None);
}

#[test]
fn an_attempt_that_is_repeated_has_two_spans() {
    let fixture = Fixture::sampling(Sampler::AlwaysOn);
    let mut recorder = fixture.telemetry.open(search(), &HeaderMap::new());
    drop(recorder.begin(&url()));
    recorder.fail(&UpstreamError::Unwritten("closed".to_owned()));
    drop(recorder.begin(&url()));
    recorder.close(Outcome::Ok);
    let spans = fixture.spans();
    let clients: Vec<_> = spans.iter().filter(|span| span.span_kind == SpanKind::Client).collect();
    assert_eq!(clients.len(), 2);
    assert_eq!(clients[0].status, Status::error(""));
    assert_eq!(attribute(clients[0], "error.type").as_deref(), Some("upstream_error"));
    assert_eq!(attribute(clients[0], "server.port").as_deref(), Some("8000"));
    assert_eq!(clients[1].status, Status::Unset);
    assert!(fixture.metric("mcp_client_operation_duration_seconds_count{error_type=\"upstream_error\",gen_ai_operation_name=\"execute_tool\",gen_ai_tool_name=\"search\",\
         mcp_method_name=\"tools/call\",network_protocol_name=\"http\",network_protocol_version=\"1.1\",network_transport=\"tcp\",\
         server_address=\"127.0.0.1\",server_port=\"8000\",tollgate_server=\"records\"} 1"));
    assert!(fixture.metric("mcp_client_operation_duration_seconds_count{gen_ai_operation_name=\"execute_tool\",gen_ai_tool_name=\"search\",\
         mcp_method_name=\"tools/call\",network_protocol_name=\"http\",network_protocol_version=\"1.1\",network_transport=\"tcp\",\
         server_address=\"127.0.0.1\",server_port=\"8000\",tollgate_server=\"records\"} 1"));
}

#[test]
fn a_trace_that_is_not_sampled_is_said_to_be_so_and_one_without_tracing_is_left_alone() {
    let unsampled = HTTP.replace("-01", "-00");
    let fixture = Fixture::sampling(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    let mut recorder = fixture.telemetry.open(search(), &headers(&unsampled));
    let header = recorder.begin(&url()).unwrap().traceparent;
    assert!(header.starts_with("00-11111111111111111111111111111111-") && header.ends_with("-00"), "{header}");
    recorder.close(Outcome::Ok);
    assert!(fixture.spans().is_empty());

    let fixture = Fixture::untraced();
    let mut recorder = fixture.telemetry.open(search(), &headers(HTTP));
    assert_eq!(recorder.begin(&url()), None);
    recorder.close(Outcome::Ok);
    assert_eq!(fixture.lines()[0]["trace_id"], "11111111111111111111111111111111");
}

#[test]
fn only_what_is_not_the_callers_fault_is_an_error() {
    use Outcome::{Cancelled, Denied, Invalid, Limited, Ok, ServerError, Timeout, ToolError, UpstreamError};
    let cases = [
        (Ok, None, None),
        (Denied, None, None),
        (Limited, None, None),
        (Invalid, None, None),
        (Cancelled, None, Some("cancelled")),
        (ServerError(-32602), None, Some("-32602")),
        (ServerError(-32603), Some("-32603"), Some("-32603")),
        (ServerError(12345), Some("12345"), Some("12345")),
        (ToolError, Some("tool_error"), Some("tool_error")),
        (Timeout, Some("timeout"), Some("timeout")),
        (UpstreamError, Some("upstream_error"), Some("upstream_error")),
    ];
    for (outcome, received, sent) in cases {
        let fixture = Fixture::sampling(Sampler::AlwaysOn);
        let mut recorder = fixture.telemetry.open(search(), &HeaderMap::new());
        drop(recorder.begin(&url()));
        recorder.close(outcome);
        let spans = fixture.spans();
        let (server, client) = (of_kind(&spans, &SpanKind::Server), of_kind(&spans, &SpanKind::Client));
        assert_eq!(attribute(&server, "error.type").as_deref(), received, "{outcome:?}");
        assert_eq!(attribute(&client, "error.type").as_deref(), sent, "{outcome:?}");
        assert_eq!(server.status != Status::Unset, received.is_some(), "{outcome:?}");
    }
}

#[test]
fn what_is_said_stands_on_spans_only_where_that_is_switched_on() {
    let answer = Bytes::from_static(br#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#);
    let told = |content| {
        let (fixture, mut exchange) = (Fixture::showing(content), search());
        exchange.answer = Some(answer.clone());
        let mut recorder = fixture.telemetry.open(exchange, &HeaderMap::new());
        drop(recorder.begin(&url()));
        recorder.close(Outcome::Ok);
        let spans = fixture.spans();
        let of = |span: SpanData| {
            ["gen_ai.tool.call.arguments", "gen_ai.tool.call.result"].map(|name| attribute(&span, name))
        };
        [SpanKind::Server, SpanKind::Client].map(|kind| of(of_kind(&spans, &kind)))
    };
    let shown = [r#"{"a":"s3cret"}"#, r#"{"content":[]}"#].map(|text| Some(text.to_owned()));
    assert_eq!(told(Content::OnSpans), [shown.clone(), shown]);
    assert_eq!(told(Content::Hidden), [[None, None], [None, None]]);
}
