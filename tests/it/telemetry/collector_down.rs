//! A collector that is down, slow or says nothing is nobody's business but its own (R24). `TOLLGATE_FULL=1` goes on for some
//! ten minutes each.

use std::time::{Duration, Instant};

use crate::support::collector::{Collector, Mood};
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, raw, size, until};

/// More than the queue of spans holds: two for each call, and it holds 2,048.
const CALLS: usize = 3_000;
const ALL_CALLS: usize = 600_000;
/// How much slower the slowest in a hundred calls may be than with a collector that takes all: more than a busy machine makes of
/// it, and far less than any wait for one.
const NOISE: Duration = Duration::from_millis(500);
/// What the queues may hold, in KiB.
const MOST_MEMORY: usize = 16 * 1024;
/// What is still to be sent at the end has five seconds; then the process goes.
const FLUSH: Duration = Duration::from_secs(5 + 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_do_not_wait_for_a_collector() {
    let down = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let ready = Collector::start(Mood::Ready).await;
    let silent = Collector::start(Mood::BlackHole).await;
    let slow = Collector::start(Mood::Slow(Duration::from_secs(10))).await;
    let usual = calls("ready", &ready.url).await;
    for (what, url) in [("down", &down), ("silent", &silent.url), ("slow", &slow.url)] {
        let slowest = calls(what, url).await;
        assert!(slowest < usual + NOISE, "{what}: {slowest:?} instead of {usual:?}");
    }
}

/// Makes them, and returns how long the slowest in a hundred took.
async fn calls(what: &str, url: &str) -> Duration {
    let (upstream, count) = (Upstream::start().await, size(CALLS, ALL_CALLS));
    let mut gate = World::new(&upstream.url())
        .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url.to_owned())])
        .environment(&[("OTEL_LOGS_EXPORTER", "otlp".to_owned())])
        .environment(&[("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())])
        .environment(&[("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned())])
        .start()
        .await;
    let mut connection = Connection::open(gate.data).await;
    let request = post(ALICE, &tool_call("1", "search_records", "{}"));
    let (mut memory, mut took) = (None, Vec::with_capacity(count));
    for n in 0..count {
        if n == count / 10 {
            memory = gate.memory_kib();
        }
        let asked = Instant::now();
        match connection.exchange(&request).await {
            Answer::Response(answer) => assert_eq!(answer.status, 200, "{what}: {}", answer.text()),
            other => panic!("{what}: {other:?}"),
        }
        took.push(asked.elapsed());
    }
    if let (Some(before), Some(after)) = (memory, gate.memory_kib()) {
        assert!(after < before + MOST_MEMORY, "{what}: {before} KiB before, {after} KiB after");
    }
    assert_eq!(upstream.count(), count, "{what}");
    // What found no room is counted, and told.
    if matches!(what, "silent" | "slow") {
        let lost = async || lost_spans(&gate).await > 0.0;
        assert!(until(DEADLINE, lost).await, "{what}: none counts as lost");
        let told = |line: &str| line.contains("BatchSpanProcessor") && line.contains("rop");
        assert!(gate.log.wait_since(0, DEADLINE, told).await.is_some(), "{what}: {}", gate.log.text());
    }
    gate.signal_end();
    assert_eq!(gate.exit_code(FLUSH).await, Some(0), "{what}: it ends in time");
    took.sort();
    took[count / 100 * 99]
}

/// Spans that found no room, as the SDK counts them.
async fn lost_spans(gate: &Gate) -> f64 {
    let text = raw::get(gate.admin, "/metrics").await.text();
    let lost = text.lines().filter(|line| {
        line.starts_with("otel_sdk_processor_span_processed_total{") && line.contains("error_type=\"queue_full\"")
    });
    lost.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
