//! Metrics, their labels, and what recording costs.

use super::*;

#[test]
fn labels_come_from_closed_sets() {
    let fixture = Fixture::untraced();
    for number in 0..300 {
        let call = call(
            "tools/call",
            &serde_json::json!({"name": format!("made-up-{number}")}),
        );
        fixture
            .telemetry
            .open(exchange(Some(call)), &HeaderMap::new())
            .close(Outcome::ServerError(number));
        let mut unknown = exchange(Some(self::call(
            &format!("made/up{number}"),
            &serde_json::json!({}),
        )));
        unknown.tool = ToolLabel::Name;
        fixture
            .telemetry
            .open(unknown, &HeaderMap::new())
            .close(Outcome::Denied);
    }
    fixture
        .telemetry
        .open(search(), &HeaderMap::new())
        .close(Outcome::Denied);
    let text = fixture.telemetry.metrics_text();
    assert!(!text.contains("made"), "{text}");
    let expected = [
        "mcp_tool_calls_total{outcome=\"upstream_error\",server=\"records\",tool_name=\"_other\"} 300",
        "mcp_tool_errors_total{outcome=\"denied\",server=\"records\",tool_name=\"search\"} 1",
        "mcp_tool_duration_milliseconds_count{outcome=\"denied\",server=\"records\",tool_name=\"search\"} 1",
        "tollgate_decisions_total{method=\"_other\",outcome=\"denied\",server=\"records\"} 300",
        "mcp_server_operation_duration_seconds_count{error_type=\"_OTHER\",gen_ai_tool_name=\"_other\",\
         mcp_method_name=\"tools/call\",rpc_response_status_code=\"_OTHER\",tollgate_server=\"records\"} 300",
    ];
    for line in expected {
        assert!(fixture.metric(line), "{line}\n{text}");
    }
    assert!(!text.contains("otel_scope"));
}

#[test]
fn the_gates_own_state_is_a_metric() {
    let fixture = Fixture::untraced();
    assert!(fixture.metric("tollgate_policy_reloads_total{result=\"ok\"} 0"));
    fixture.telemetry.policy(Arc::from("aaaaaaaaaaaa"));
    fixture.telemetry.policy(Arc::from("bbbbbbbbbbbb"));
    fixture.telemetry.reloaded(Reload::Refused);
    fixture.telemetry.sessions().set(3);
    let stream = fixture.telemetry.streams().count();
    let recorder = fixture.telemetry.open(search(), &HeaderMap::new());
    assert!(fixture.metric("tollgate_policy_info{digest=\"bbbbbbbbbbbb\"} 1"));
    assert!(fixture.metric("tollgate_policy_reloads_total{result=\"refused\"} 1"));
    assert!(fixture.metric("tollgate_sessions 3"));
    assert!(fixture.metric("tollgate_streams 1"));
    assert!(fixture.metric("tollgate_exchanges_in_flight 1"));
    assert!(fixture.metric("tollgate_log_dropped_total 0"));
    drop((stream, recorder));
    assert!(fixture.metric("tollgate_streams 0"));
    fixture.telemetry.policy(Arc::from("cccccccccccc"));
    assert!(!fixture.telemetry.metrics_text().contains("bbbbbbbbbbbb"));
}

/// `cargo test --release telemetry -- --ignored --nocapture cost` tells what one message costs.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_one_message() {
    const MESSAGES: u32 = 300_000;
    let measure = |what: &str, fixture: &Arc<Telemetry>, wanted: HeaderMap| {
        let prepared = search();
        let mut sent = HeaderMap::new();
        let begun = clock::monotonic();
        for _ in 0..MESSAGES {
            let mut exchange = exchange_like(&prepared);
            exchange.attempt = None;
            let mut recorder = fixture.open(exchange, &wanted);
            recorder.begin_attempt().apply(&mut sent);
            recorder.close(Outcome::Ok);
        }
        let all = begun.elapsed();
        let begun = clock::monotonic();
        for _ in 0..MESSAGES {
            std::hint::black_box(exchange_like(&prepared));
        }
        let took = (all.saturating_sub(begun.elapsed())) / MESSAGES;
        report(what, took, fixture.observed.dropped.value());
    };
    let (off, guard) = Telemetry::start_with(&TelemetrySettings::quiet(), io::sink()).unwrap();
    measure("tracing off", &off, HeaderMap::new());
    guard.shutdown();
    for (what, sampler) in [
        ("not sampled", Sampler::AlwaysOff),
        ("sampled", Sampler::AlwaysOn),
    ] {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let (on, guard) =
            Telemetry::assemble(&TelemetrySettings::quiet(), Some(provider), io::sink()).unwrap();
        measure(what, &on, headers(HTTP));
        guard.shutdown();
    }
}

fn exchange_like(prepared: &Exchange) -> Exchange {
    let mut exchange = Exchange::begin(
        prepared.peer,
        prepared.server.clone(),
        Arc::clone(&prepared.policy),
    );
    exchange.principal.clone_from(&prepared.principal);
    exchange.rule.clone_from(&prepared.rule);
    exchange.call.clone_from(&prepared.call);
    exchange.tool = prepared.tool;
    exchange
}

#[expect(clippy::print_stderr, reason = "a measurement is for whoever runs it")]
fn report(what: &str, took: Duration, dropped: i64) {
    eprintln!("{what}: {took:?} a message, {dropped} lines dropped");
}
