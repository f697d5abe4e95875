//! One record per message, and its line.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Condvar;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::telemetry::{attribute, line};

#[test]
fn a_message_is_recorded_once_however_it_ends() {
    let fixture = Fixture::sampling(Sampler::AlwaysOn);
    let open = || fixture.telemetry.open(search(), &HeaderMap::new());
    open().close(Outcome::Ok);
    drop(open());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _recorder = open();
        panic!("a step panics");
    }));
    assert!(panicked.is_err());
    let outcomes: Vec<_> = fixture.lines().iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["ok", "cancelled", "cancelled"]);
    assert_eq!(fixture.lines()[2]["refused"], "gate.panicked");
    assert_eq!(fixture.spans().len(), 3);
    assert!(
        fixture.metric("tollgate_decisions_total{method=\"tools/call\",outcome=\"cancelled\",server=\"records\"} 2")
    );
    assert!(fixture.metric("tollgate_exchanges_in_flight 0"));
}

#[test]
fn the_line_tells_the_decision_and_no_argument() {
    let fixture = Fixture::untraced();
    let mut recorder = fixture.telemetry.open(search(), &HeaderMap::new());
    recorder.refused = Some("policy.not_granted");
    recorder.code = Some(code::INVALID_PARAMS);
    let id = recorder.id.to_string();
    recorder.close(Outcome::Denied);
    let mut line = fixture.lines().remove(0);
    assert!(line["duration_ms"].take().is_number());
    let time = line["time"].take();
    assert!(time.as_str().unwrap().starts_with("20") && time.as_str().unwrap().ends_with('Z'));
    let expected = serde_json::json!({
        "time": null, "decision": id, "principal": "alice", "auth": "api_key", "server": "records", "method": "tools/call",
        "tool": "search", "outcome": "denied", "refused": "policy.not_granted", "code": -32602,
        "rule": "policies/records.yaml:4 roles.reader.tools", "policy": "0123456789ab", "duration_ms": null,
        "trace_id": null,
    });
    assert_eq!(line, expected);
    assert!(!fixture.telemetry.metrics_text().contains("s3cret"));
}

#[test]
fn whatever_is_no_request_gets_a_line_as_well() {
    let fixture = Fixture::untraced();
    let calls = [None, Some(Method::OpenStream), Some(Method::EndSession), Some(Method::Initialized)];
    for method in calls {
        let call = method.map(|method| Arc::new(Call::without_message(method)));
        fixture.telemetry.open(exchange(call), &HeaderMap::new()).close(Outcome::Ok);
    }
    let methods: Vec<_> = fixture.lines().iter().map(|line| line["method"].as_str().unwrap().to_owned()).collect();
    assert_eq!(methods, ["_other", "stream/open", "session/end", "notifications/initialized"]);
}

/// Standard output that nobody reads, until the gate is opened.
#[derive(Clone, Default)]
struct Blocked(Arc<(Mutex<Option<usize>>, Condvar)>);

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (open, changed) = &*self.0;
        let mut written = changed.wait_while(open.lock().unwrap(), |open| open.is_none()).unwrap();
        *written.as_mut().unwrap() += lines(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_blocked_reader_costs_lines_and_no_time() {
    const MESSAGES: usize = 20_000;
    let sink = Blocked::default();
    let (telemetry, guard) = Telemetry::start_with(&TelemetrySettings::quiet(), sink.clone()).unwrap();
    for _ in 0..MESSAGES {
        telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    }
    let dropped = usize::try_from(telemetry.observed.dropped.value()).unwrap();
    assert!((1..=MESSAGES - 8192).contains(&dropped), "{dropped}");
    let (open, changed) = &*sink.0;
    *open.lock().unwrap() = Some(0);
    changed.notify_all();
    guard.shutdown();
    assert_eq!(open.lock().unwrap().unwrap(), MESSAGES - dropped);
}

#[test]
fn a_closed_reader_is_counted_as_loss() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (telemetry, guard) = Telemetry::start_with(&TelemetrySettings::quiet(), Closed).unwrap();
    telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    guard.shutdown();
    assert_eq!(telemetry.observed.dropped.value(), 1);
}

#[test]
fn shutting_down_sends_what_is_queued() {
    let fixture = Fixture::sampling(Sampler::AlwaysOn);
    fixture.telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    let Fixture { guard, sink, .. } = fixture;
    guard.shutdown();
    assert_eq!(lines(&sink.0.lock().unwrap()), 1);
}

proptest! {
    #[test]
    fn a_line_is_one_line_and_reads_back(name in "\\PC{1,40}|[a-z\"\\\\/\u{2028}\u{85}]{1,10}", rule in ".{0,60}") {
        let call = mcp::read(
            &Bytes::from(serde_json::json!({
                "jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": name},
            }).to_string()),
            &Bounds::default(),
        );
        let mut exchange = exchange(call.ok().map(Arc::new));
        let known = exchange.call.is_some();
        exchange.rule = Some(RuleId::at("a\nb.yaml", 1, &rule));
        let facts = attribute::Facts { exchange: &exchange, outcome: Outcome::Ok, content: Content::Hidden };
        let mut line = String::new();
        line::write(&facts, Duration::from_micros(1_002_003), None, &mut line);
        prop_assert!(line.ends_with('\n'));
        prop_assert_eq!(line.trim_end_matches('\n').chars().filter(|c| c.is_control()).count(), 0);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&read["rule"], &format!("a\nb.yaml:1 {rule}"));
        prop_assert_eq!(&read["duration_ms"], 1002.003);
        if known {
            prop_assert_eq!(&read["prompt"], &name);
        }
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}
