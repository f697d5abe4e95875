//! What deploy/telemetry.md lists is what there is: every attribute on its span, every metric, and nothing beside them.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use crate::audit::Audited;
use crate::support::DEADLINE;
use crate::support::collector::{Collector, Mood, Received, attribute};
use crate::support::gate::Gate;
use crate::support::issuer::{Issuer, Signer, published, seconds};
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_with, tool_call};
use crate::support::raw;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::principals;

const PAGE: &str = include_str!("../../../deploy/telemetry.md");

const POLICY: &str = "\
server: records
redact: [{ find: [email], then: mask }]
roles:
  reader:
    tools: [search_records, get_record_detail, get_statistics, get_pool_status]
    prompts: [\"*\"]
    resources: [\"demo://*\"]
tools:
  search_records: { mode: shadow, arguments: { required: [store_id] } }
  get_record_detail: { cache: { for: 1h, per: everyone } }
  get_statistics: { timeout: 100ms }
";

/// Metrics that need what this run does not bring about, and who has them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("tollgate.questions.declined", "questions.rs"),
    ("tollgate.authentication.failures", "tokens.rs"),
    ("tollgate.connections.timed_out", "reliability/"),
    ("tollgate.catalogue.age", "views/catalogue.rs"),
    ("tollgate.catalogue.callers", "views/callers.rs"),
    ("tollgate.catalogue.evicted", "views/callers.rs"),
    ("tollgate.cache.shared.looks", "shared_answers.rs"),
    ("tollgate.limits.store.circuit_open", "limits_store.rs"),
    ("tollgate.limits.store.replicas", "limits_store.rs"),
    ("tollgate.limits.store.calls", "limits_store.rs"),
    ("tollgate.tls.handshakes", "tls.rs"),
    ("tollgate.tls.reloads", "tls.rs"),
    ("tollgate.accept.failures", "reliability/descriptors.rs"),
    ("tollgate.audit.copies", "audit/copies.rs"),
];

/// What stands between backquotes in the first cell of each row of the tables behind this heading, with the second cell.
fn listed(heading: &str) -> Vec<(String, String)> {
    let behind = PAGE.split_once(heading).expect("the heading").1;
    let part = behind.split_once("\n## ").map_or(behind, |(part, _)| part);
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let names = rows.flat_map(|(names, rest)| {
        let second = rest.split(" | ").next().unwrap_or_default().to_owned();
        let names = names.trim_end_matches('`').split("`, `").map(str::to_owned).collect::<Vec<_>>();
        names.into_iter().map(move |name| (name, second.clone()))
    });
    names.collect()
}

fn names_on(spans: &[&Span]) -> BTreeSet<String> {
    spans.iter().flat_map(|span| &span.attributes).map(|attribute| attribute.key.clone()).collect()
}

fn answers(request: &Recorded) -> Reply {
    let asked = request.json().unwrap_or_default();
    match asked["params"]["name"].as_str() {
        Some("get_statistics") => Reply::Hang,
        Some("get_pool_status") => Reply::json(&json!({
            "jsonrpc": "2.0", "id": asked["id"], "error": { "code": -32603, "message": "no" },
        })),
        _ => match (request.method.as_str(), asked["method"].as_str(), Reply::obliging(request)) {
            ("DELETE", ..) => Reply::empty(200),
            (_, Some("initialize"), Reply::Whole { status, mut headers, body }) => {
                headers.push(("mcp-session-id".to_owned(), "theirs".to_owned()));
                Reply::Whole { status, headers, body }
            }
            (_, _, reply) => reply,
        },
    }
}

async fn start(collector: &Collector, upstream: &Upstream, issuer: &Issuer, audited: &Audited) -> Gate {
    upstream.answer_with(answers);
    let token = format!(
        "{}tokens:\n  - {{ issuer: \"{}\", audience: here, allow_addresses: [127.0.0.0/8], roles: {{ claim: groups, map: {{ a: reader }} }} }}\n",
        principals("reader"),
        issuer.url()
    );
    audited
        .world(&upstream.url(), "")
        .policy("records.yaml", POLICY)
        .policy("principals.yaml", &token)
        .top("max_memory_bytes: 1000000000")
        .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())])
        .environment(&[("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true".to_owned())])
        .environment(&[("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned())])
        .start()
        .await
}

/// One message for each thing that may be told.
async fn run(gate: &Gate, token: &str) {
    let bearer = format!("Bearer {token}");
    let mut headers = LEGACY.to_vec();
    headers.extend([("authorization", &*bearer), ("x-request-id", "of-the-caller")]);
    let mail = tool_call("1", "search_records", r#"{"to":"jane@example.com"}"#);
    raw::call(gate.data, &post_with(&headers, &mail)).await;
    for tool in ["get_record_detail", "get_record_detail", "get_statistics", "get_pool_status", "delete_record"] {
        raw::call(gate.data, &post(ALICE, &tool_call("2", tool, "{}"))).await;
    }
    for (method, params) in
        [("prompts/get", r#"{"name":"greet","arguments":{}}"#), ("resources/read", r#"{"uri":"demo://one"}"#)]
    {
        raw::call(gate.data, &post(ALICE, &message("3", method, params))).await;
    }
    let mut within = LEGACY.to_vec();
    let hello = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    let begun = raw::call(gate.data, &post(ALICE, &message("4", "initialize", hello))).await;
    let session = begun.head.first("mcp-session-id").expect("a session").to_owned();
    within.extend([("x-api-key", ALICE), ("mcp-session-id", &session)]);
    raw::call(gate.data, &post_with(&within, &message("5", "tools/list", "{}"))).await;
    let end = format!(
        "DELETE /mcp HTTP/1.1\r\nhost: localhost:8080\r\nx-api-key: {ALICE}\r\nmcp-session-id: {session}\r\n\r\n"
    );
    raw::call(gate.data, end.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_listed_is_told_and_nothing_else() {
    let (collector, upstream, audited) = (Collector::start(Mood::Ready).await, Upstream::start().await, Audited::new());
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let claims = json!({ "iss": issuer.url(), "aud": "here", "sub": "carol", "exp": seconds(600), "groups": ["a"] });
    let mut gate = start(&collector, &upstream, &issuer, &audited).await;
    run(&gate, &signer.token(&claims)).await;
    gate.signal_end();
    assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
    let received = collector.received();
    spans(&received, &issuer.url());
    metrics(&received);
}

fn spans(received: &Received, issuer: &str) {
    let of = |kind: SpanKind| received.spans.iter().filter(|span| span.kind == kind as i32).collect::<Vec<_>>();
    let (servers, clients) = (of(SpanKind::Server), of(SpanKind::Client));
    let listed = listed("\n## Spans\n");
    let on = |kind: &str| -> BTreeSet<String> {
        let there = listed.iter().filter(|(_, on)| on == "both" || on == kind);
        there.map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names_on(&servers), on("SERVER"));
    assert_eq!(names_on(&clients), on("CLIENT"));
    let table = [
        ("tools/call search_records", "tollgate.principal", "carol"),
        ("tools/call search_records", "tollgate.auth", "token"),
        ("tools/call search_records", "tollgate.issuer", issuer),
        ("tools/call search_records", "tollgate.would_deny", "arguments"),
        (
            "tools/call search_records",
            "tollgate.would_deny.rule",
            "policies/records.yaml:9 tools.search_records.arguments",
        ),
        ("tools/call search_records", "tollgate.redacted", "email"),
        ("tools/call search_records", "gen_ai.tool.call.arguments", r#"{"to":"[redacted: email]"}"#),
        ("tools/call get_record_detail", "tollgate.cache", "miss"),
        ("tools/call get_statistics", "tollgate.timeout.kind", "upstream.first_byte"),
        ("tools/call get_pool_status", "error.type", "-32603"),
        ("tools/call delete_record", "tollgate.refused", "not_granted"),
        ("prompts/get greet", "gen_ai.prompt.name", "greet"),
        ("resources/read", "mcp.resource.uri", "demo://one"),
    ];
    for (span, name, value) in table {
        let span = servers.iter().find(|server| server.name == span).unwrap_or_else(|| panic!("no span {span}"));
        assert_eq!(attribute(&span.attributes, name).as_deref(), Some(value), "{}: {name}", span.name);
    }
}

fn metrics(received: &Received) {
    let listed: BTreeSet<String> = listed("\n## Metrics\n").into_iter().map(|(name, _)| name).collect();
    let sent: BTreeSet<String> = received.metrics.iter().map(|metric| metric.name.clone()).collect();
    let elsewhere: BTreeMap<_, _> = ELSEWHERE.iter().copied().collect();
    let unlisted: Vec<_> = sent.iter().filter(|name| !listed.contains(*name)).collect();
    assert!(unlisted.is_empty(), "deploy/telemetry.md does not list {unlisted:?}");
    let missing: Vec<_> =
        listed.iter().filter(|name| !sent.contains(*name) && !elsewhere.contains_key(&***name)).collect();
    assert!(missing.is_empty(), "nothing is told of {missing:?}");
    let there: Vec<_> = elsewhere.keys().filter(|name| sent.contains(**name)).collect();
    assert!(there.is_empty(), "they need nothing else: {there:?}");
}
