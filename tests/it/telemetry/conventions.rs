//! A scripted run, and what a collector gets of it: names, kinds, attributes, parents, links, units and buckets.

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use crate::support::DEADLINE;
use crate::support::collector::{Collector, Mood, Received, attribute, hex, told};
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_modern, post_with, tool_call};
use crate::support::raw;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;

const META: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
const HTTP: (&str, &str) = ("11111111111111111111111111111111", "2222222222222222");

fn traceparent((trace, span): (&str, &str)) -> String {
    format!("00-{trace}-{span}-01")
}

/// A server that knows all kinds of answers.
fn scripted(request: &Recorded) -> Reply {
    let asked = request.json().unwrap_or_default();
    let error = |code: i64| json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": code, "message": "no" } });
    if request.method == "DELETE" {
        return Reply::empty(200);
    }
    match (asked["method"].as_str(), asked["params"]["name"].as_str()) {
        (Some("tools/call"), Some("get_record_detail")) => Reply::json(&error(-32603)),
        (Some("tools/call"), Some("get_statistics")) => Reply::json(&error(-32602)),
        (Some("tools/call"), Some("get_pool_status")) => Reply::json(&json!({
            "jsonrpc": "2.0", "id": asked["id"],
            "result": { "content": [{ "type": "text", "text": "it failed" }], "isError": true },
        })),
        (Some("initialize"), _) => match Reply::obliging(request) {
            Reply::Whole { status, mut headers, body } => {
                headers.push(("mcp-session-id".to_owned(), "theirs".to_owned()));
                Reply::Whole { status, headers, body }
            }
            other => other,
        },
        _ => Reply::obliging(request),
    }
}

const POLICY: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_record_detail, get_statistics, get_pool_status] }
";

async fn start(protocol: &str) -> (Collector, Upstream, Gate) {
    let (collector, upstream) = (Collector::start(Mood::Ready).await, Upstream::start().await);
    upstream.answer_with(scripted);
    let gate = World::new(&upstream.url())
        .policy("records.yaml", POLICY)
        .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())])
        .environment(&[("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned())])
        .environment(&[("OTEL_LOGS_EXPORTER", "otlp".to_owned())])
        .environment(&[("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())])
        .environment(&[("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned())])
        .environment(&[("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test".to_owned())])
        .start()
        .await;
    (collector, upstream, gate)
}

/// One message of every kind.
async fn run(gate: &Gate) {
    let meta =
        format!(r#"{{"name":"search_records","arguments":{{}},"_meta":{{"traceparent":"{}"}}}}"#, traceparent(META));
    let http = traceparent(HTTP);
    let mut headers = LEGACY.to_vec();
    headers.extend([("x-api-key", ALICE), ("traceparent", &http), ("x-request-id", "of-the-caller")]);
    let both = raw::call(gate.data, &post_with(&headers, &message("1", "tools/call", &meta))).await;
    assert_eq!(both.head.first("x-request-id"), Some("of-the-caller"));
    raw::call(gate.data, &post_with(&headers, &tool_call("\"two\"", "search_records", "{}"))).await;
    for tool in ["get_record_detail", "get_statistics", "get_pool_status", "delete_record"] {
        raw::call(gate.data, &post(ALICE, &tool_call("3", tool, "{}"))).await;
    }
    let params = r#""name":"search_records","arguments":{}"#;
    raw::call(gate.data, &post_modern("tools/call", params, Some("search_records"))).await;
    let hello = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    let begun = raw::call(gate.data, &post(ALICE, &message("5", "initialize", hello))).await;
    let session = begun.head.first("mcp-session-id").expect("a session").to_owned();
    let mut within = LEGACY.to_vec();
    within.extend([("x-api-key", ALICE), ("mcp-session-id", &session)]);
    raw::call(gate.data, &post_with(&within, &message("6", "tools/list", "{}"))).await;
    let end = format!(
        "DELETE /mcp HTTP/1.1\r\nhost: localhost:8080\r\nx-api-key: {ALICE}\r\nmcp-session-id: {session}\r\n\r\n"
    );
    raw::call(gate.data, end.as_bytes()).await;
}

/// The spans of a kind, in the order of the run.
fn of_kind(received: &Received, kind: SpanKind) -> Vec<&Span> {
    let mut spans: Vec<_> = received.spans.iter().filter(|span| span.kind == kind as i32).collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

fn metric<'a>(received: &'a Received, name: &str) -> &'a Metric {
    received.metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no metric {name}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_what_the_conventions_say() {
    for protocol in ["http/protobuf", "grpc"] {
        let (collector, upstream, mut gate) = start(protocol).await;
        run(&gate).await;
        gate.signal_end();
        assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
        let received = collector.received();
        assert!(told(&received.resource).contains(&"deployment.environment.name=test".to_owned()));
        let (servers, clients) = (of_kind(&received, SpanKind::Server), of_kind(&received, SpanKind::Client));
        ends(&servers, &clients);
        parents(&servers, &clients, &upstream);
        attributes(&servers, &clients, &upstream);
        buckets(&received);
        labels(&received, &upstream.url());
        units(&received);
    }
}

fn ends(servers: &[&Span], clients: &[&Span]) {
    // Name, `error.type`, `rpc.response.status_code`, outcome; and whether there was an attempt.
    let table = [
        ("tools/call search_records", None, None, "ok"),
        ("tools/call search_records", None, None, "ok"),
        ("tools/call get_record_detail", Some("-32603"), Some("-32603"), "upstream_error"),
        ("tools/call get_statistics", None, Some("-32602"), "upstream_error"),
        ("tools/call get_pool_status", Some("tool_error"), None, "tool_error"),
        ("tools/call delete_record", None, Some("-32602"), "denied"),
        ("tools/call search_records", None, None, "ok"),
        ("initialize", None, None, "ok"),
        ("tools/list", None, None, "ok"),
        ("session/end", None, None, "ok"),
    ];
    for (span, (name, error, code, outcome)) in servers.iter().zip(table) {
        let of = |name: &str| attribute(&span.attributes, name);
        assert_eq!(span.name, name);
        assert_eq!((of("error.type").as_deref(), of("rpc.response.status_code").as_deref()), (error, code), "{name}");
        assert_eq!(of("tollgate.outcome").as_deref(), Some(outcome), "{name}");
        assert_eq!(span.status.as_ref().is_some_and(|status| status.code == 2), error.is_some(), "{name}");
        assert_eq!(of("tollgate.principal").as_deref(), Some("alice"));
        assert_eq!(of("tollgate.policy.digest").map(|digest| digest.len()), Some(12));
        assert!(of("tollgate.decision.id").is_some());
    }
    assert_eq!((servers.len(), clients.len()), (table.len(), table.len() - 1), "what was refused has no attempt");
}

fn parents(servers: &[&Span], clients: &[&Span], upstream: &Upstream) {
    let (first, second) = (servers[0], servers[1]);
    assert_eq!((hex(&first.trace_id), hex(&first.parent_span_id)), (META.0.to_owned(), META.1.to_owned()));
    assert_eq!(first.links.iter().map(|link| hex(&link.trace_id)).collect::<Vec<_>>(), [HTTP.0]);
    assert_eq!((hex(&second.trace_id), hex(&second.parent_span_id)), (HTTP.0.to_owned(), HTTP.1.to_owned()));
    assert!(second.links.is_empty() && servers[2].parent_span_id.is_empty());
    assert_eq!(attribute(&first.attributes, "tollgate.request.id").as_deref(), Some("of-the-caller"));

    // What the server was shown is the attempt, in the header and in the message.
    for (client, request) in clients.iter().zip(upstream.since(0)) {
        let server = servers.iter().find(|server| server.span_id == client.parent_span_id).expect("its parent");
        assert_eq!((&server.trace_id, &server.name), (&client.trace_id, &client.name));
        let shown = traceparent((&hex(&client.trace_id), &hex(&client.span_id)));
        assert_eq!(request.head.all("traceparent"), [&*shown], "{}", client.name);
        let asked = request.json().unwrap_or_default();
        if request.method == "POST" {
            assert_eq!(asked["params"]["_meta"]["traceparent"], *shown, "{}", request.text());
        }
    }
}

fn attributes(servers: &[&Span], clients: &[&Span], upstream: &Upstream) {
    let (first, second) = (servers[0], servers[1]);
    let of = |span: &Span, name: &str| attribute(&span.attributes, name);
    let port = upstream.address.port().to_string();
    let table = [
        (first, "mcp.method.name", "tools/call"),
        (first, "gen_ai.operation.name", "execute_tool"),
        (first, "gen_ai.tool.name", "search_records"),
        (first, "jsonrpc.request.id", "1"),
        (second, "jsonrpc.request.id", "two"),
        (first, "mcp.protocol.version", "2025-11-25"),
        (servers[6], "mcp.protocol.version", "2026-07-28"),
        (first, "network.transport", "tcp"),
        (first, "network.protocol.name", "http"),
        (first, "network.protocol.version", "1.1"),
        (first, "client.address", "127.0.0.1"),
        (first, "tollgate.rule", "policies/records.yaml:3 roles.reader.tools"),
        (clients[0], "server.address", "127.0.0.1"),
        (clients[0], "server.port", &port),
        (clients[0], "http.response.status_code", "200"),
        // The sender of a message counts every error.
        (clients[3], "error.type", "-32602"),
    ];
    for (span, name, value) in table {
        assert_eq!(of(span, name).as_deref(), Some(value), "{name}");
    }
    // A session is told from others, and its name is not told.
    let session = of(servers[8], "mcp.session.id").expect("a legacy session");
    assert!(session.len() == 16 && of(servers[9], "mcp.session.id").as_deref() == Some(&*session));
    assert!(of(servers[6], "mcp.session.id").is_none() && of(first, "mcp.session.id").is_none());
}

fn buckets(received: &Received) {
    const SECONDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
    for (name, labels) in [
        ("mcp.server.operation.duration", 10),
        ("mcp.client.operation.duration", 12),
        ("mcp.server.session.duration", 3),
        ("mcp.client.session.duration", 3),
    ] {
        let metric = metric(received, name);
        let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{name} is no histogram") };
        assert_eq!(metric.unit, "s", "{name}");
        for point in &histogram.data_points {
            assert_eq!(point.explicit_bounds, SECONDS, "{name}");
            assert!(point.attributes.len() <= labels, "{name}: {:?}", told(&point.attributes));
        }
    }
}

fn labels(received: &Received, url: &str) {
    let labels = |name: &str| -> Vec<Vec<String>> {
        match &metric(received, name).data {
            Some(Data::Histogram(it)) => it.data_points.iter().map(|point| told(&point.attributes)).collect(),
            Some(Data::Sum(it)) => it.data_points.iter().map(|point| told(&point.attributes)).collect(),
            Some(Data::Gauge(it)) => it.data_points.iter().map(|point| told(&point.attributes)).collect(),
            other => panic!("{name}: {other:?}"),
        }
    };
    let attributes = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let own = "network.protocol.name=http network.protocol.version=1.1 network.transport=tcp";
    let table = [
        (
            "mcp.server.operation.duration",
            format!(
                "error.type=tool_error gen_ai.operation.name=execute_tool gen_ai.tool.name=get_pool_status \
                 mcp.method.name=tools/call mcp.protocol.version=2025-11-25 {own} tollgate.server=records"
            ),
        ),
        (
            "mcp.server.session.duration",
            "network.protocol.name=http network.transport=tcp tollgate.server=records".to_owned(),
        ),
        ("mcp.tool.calls", "outcome=ok server=records tool_name=search_records".to_owned()),
        // No rule names it.
        ("mcp.tool.calls", "outcome=denied server=records tool_name=_other".to_owned()),
        ("mcp.tool.errors", "outcome=tool_error server=records tool_name=get_pool_status".to_owned()),
        ("tollgate.decisions", "method=tools/list outcome=ok server=records".to_owned()),
        ("tollgate.reply.size", "method=tools/list server=records".to_owned()),
        ("tollgate.reply.tokens", "method=tools/call server=records tool_name=search_records".to_owned()),
        ("tollgate.upstream.circuit", format!("endpoint={url} server=records state=closed")),
        ("tollgate.upstream.in_flight", format!("endpoint={url} server=records")),
        ("tollgate.upstream.connections", "server=records".to_owned()),
        ("tollgate.sessions", "server=records".to_owned()),
        ("process.cpu.time", "cpu.mode=user".to_owned()),
        ("tollgate.policy.age", String::new()),
    ];
    for (name, expected) in table {
        let found = labels(name);
        assert!(found.contains(&attributes(&expected)), "{name} {expected}, but: {found:#?}");
    }
    let rule = vec![
        "outcome=ok".to_owned(),
        "rule=policies/records.yaml roles.reader.tools".to_owned(),
        "server=records".to_owned(),
    ];
    assert!(labels("tollgate.rule.decisions").contains(&rule), "{:?}", labels("tollgate.rule.decisions"));
}

fn units(received: &Received) {
    let units = [
        ("mcp.tool.duration", "ms"),
        ("tollgate.reply.size", "By"),
        ("tollgate.reply.tokens", "{token}"),
        ("process.memory.usage", "By"),
        ("process.unix.file_descriptor.count", "{file_descriptor}"),
    ];
    for (name, unit) in units {
        assert_eq!(metric(received, name).unit, unit, "{name}");
    }
}

/// A scraper reads the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scraper_reads_what_a_collector_gets() {
    let (collector, _upstream, gate) = start("http/protobuf").await;
    run(&gate).await;
    let text = raw::get(gate.admin, "/metrics").await.text();
    let received = collector.wait_for(|received| !received.metrics.is_empty()).await;
    for metric in &received.metrics {
        let name = metric.name.replace('.', "_");
        assert!(text.lines().any(|line| line.starts_with(&name)), "{name} is not at /metrics");
    }
}
