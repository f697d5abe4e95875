//! Metrics, their labels, and what recording costs.

use super::*;
use crate::audit::Audit;
use crate::telemetry::{attribute, line};
use crate::upstream::Attempts as _;

#[test]
fn labels_come_from_closed_sets() {
    let fixture = Fixture::untraced();
    for number in 0..300 {
        let call = call("tools/call", &serde_json::json!({"name": format!("made-up-{number}")}));
        fixture.telemetry.open(exchange(Some(call)), &HeaderMap::new()).close(Outcome::ServerError(number));
        let mut unknown = exchange(Some(self::call(&format!("made/up{number}"), &serde_json::json!({}))));
        unknown.tool = ToolLabel::Name;
        fixture.telemetry.open(unknown, &HeaderMap::new()).close(Outcome::Denied);
    }
    fixture.telemetry.open(search(), &HeaderMap::new()).close(Outcome::Denied);
    let text = fixture.telemetry.metrics_text();
    assert!(!text.contains("made"), "{text}");
    let expected = [
        "mcp_tool_calls_total{outcome=\"upstream_error\",server=\"records\",tool_name=\"_other\"} 300",
        "mcp_tool_errors_total{outcome=\"denied\",server=\"records\",tool_name=\"search\"} 1",
        "mcp_tool_duration_milliseconds_count{outcome=\"denied\",server=\"records\",tool_name=\"search\"} 1",
        "tollgate_decisions_total{method=\"_other\",outcome=\"denied\",server=\"records\"} 300",
        "mcp_server_operation_duration_seconds_count{error_type=\"_OTHER\",gen_ai_operation_name=\"execute_tool\",\
         gen_ai_tool_name=\"_other\",mcp_method_name=\"tools/call\",network_protocol_name=\"http\",\
         network_protocol_version=\"1.1\",network_transport=\"tcp\",rpc_response_status_code=\"_OTHER\",\
         tollgate_server=\"records\"} 300",
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
    let stream = fixture.telemetry.streams().count();
    let recorder = fixture.telemetry.open(search(), &HeaderMap::new());
    assert!(fixture.metric("tollgate_policy_info{digest=\"bbbbbbbbbbbb\"} 1"));
    assert!(fixture.metric("tollgate_policy_reloads_total{result=\"refused\"} 1"));
    assert!(fixture.metric("tollgate_streams 1"));
    assert!(fixture.metric("tollgate_exchanges_in_flight 1"));
    assert!(fixture.metric("tollgate_log_dropped_total{log=\"decisions\"} 0"));
    drop((stream, recorder));
    assert!(fixture.metric("tollgate_streams 0"));
    fixture.telemetry.policy(Arc::from("cccccccccccc"));
    assert!(!fixture.telemetry.metrics_text().contains("bbbbbbbbbbbb"));
}

#[test]
fn the_bucket_of_a_message_names_its_trace_where_that_can_be_looked_up() {
    let fixture = Fixture::sampling(Sampler::AlwaysOn);
    fixture.telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    let span = fixture.spans()[0].span_context.clone();
    let named = format!(" # {{trace_id=\"{:032x}\",span_id=\"{:016x}\"}} ", span.trace_id(), span.span_id());
    let text = fixture.telemetry.open_metrics();
    for histogram in ["mcp_server_operation_duration_seconds_bucket{", "mcp_tool_duration_milliseconds_bucket{"] {
        let buckets: Vec<_> = text.lines().filter(|line| line.starts_with(histogram)).collect();
        let first = buckets.iter().position(|line| line.contains("} 1")).unwrap();
        let naming: Vec<_> = buckets.iter().enumerate().filter(|(_, line)| line.contains(&named)).collect();
        assert!(matches!(naming[..], [(nth, _)] if nth == first), "{text}");
        let (_, value) = buckets[first].rsplit_once("} ").unwrap();
        let (value, at) = value.split_once(' ').unwrap();
        assert!(value.parse::<f64>().unwrap() > 0.0 && at.parse::<f64>().unwrap() > 1.7e9, "{value} {at}");
    }
    assert!(text.contains("# TYPE mcp_tool_calls counter\nmcp_tool_calls_total{") && text.contains("le=\"1.0\"} 1"));
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);

    let fixture = Fixture::sampling(Sampler::AlwaysOff);
    fixture.telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    assert!(!fixture.telemetry.open_metrics().contains("trace_id"));
}

/// `cargo test --release telemetry -- --ignored --nocapture cost` tells what one message costs.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_one_message() {
    let (off, guard) = Telemetry::start_with(&TelemetrySettings::quiet(), io::sink()).unwrap();
    parts(&off);
    measure("tracing off", &off, &HeaderMap::new());
    guard.shutdown();
    for (what, sampler) in [("not sampled", Sampler::AlwaysOff), ("sampled", Sampler::AlwaysOn)] {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let settings = TelemetrySettings::quiet();
        let meters = Meters::start(&settings).unwrap();
        let nothing = (Audit::off(), Observed::default());
        let (on, guard) = Telemetry::assemble((meters, Some(provider)), settings.content, io::sink(), nothing).unwrap();
        measure(what, &on, &headers(HTTP));
        guard.shutdown();
    }
}

fn parts(telemetry: &Arc<Telemetry>) {
    let exchange = search();
    let facts = attribute::Facts { exchange: &exchange, outcome: Outcome::Ok, content: Content::Hidden };
    let took = Duration::from_micros(1234);
    each("  begin", || drop(exchange_like(&exchange)));
    each("  metrics", || {
        telemetry.metrics.record(&facts, (took, Some(took)), None);
    });
    let mut text = String::new();
    each("  line", || {
        text.clear();
        line::write(&facts, took, None, &mut text);
    });
    each("  line and queue", || {
        telemetry.lines.push(|text| line::write(&facts, took, None, text));
    });
}

fn measure(what: &str, telemetry: &Arc<Telemetry>, headers: &HeaderMap) {
    let prepared = search();
    each(what, || {
        let mut recorder = telemetry.open(exchange_like(&prepared), headers);
        drop(recorder.begin(&url()));
        recorder.close(Outcome::Ok);
    });
}

/// An exchange as it is when its message is read.
fn exchange_like(prepared: &Exchange) -> Exchange {
    let policy = Arc::clone(&prepared.policy);
    let mut exchange = Exchange::begin(prepared.peer, prepared.server.clone(), policy);
    exchange.principal.clone_from(&prepared.principal);
    exchange.rule.clone_from(&prepared.rule);
    exchange.call.clone_from(&prepared.call);
    exchange.tool = prepared.tool;
    exchange
}

#[expect(clippy::print_stderr, reason = "a measurement is for whoever runs it")]
fn each(what: &str, mut work: impl FnMut()) {
    const TIMES: u64 = 200_000;
    let begun = processor_time();
    (0..TIMES).for_each(|_| work());
    eprintln!("{what}: {} ns", (processor_time() - begun) / TIMES);
}

/// What this thread has had of a processor, in nanoseconds: others may be busy.
fn processor_time() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse().unwrap()
}
