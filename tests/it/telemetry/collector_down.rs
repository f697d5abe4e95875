//! A collector that is down, slow or says nothing is nobody's business but its own (R24).

use std::time::Duration;

use crate::support::DEADLINE;
use crate::support::collector::{Collector, Mood};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::Upstream;
use crate::support::world::World;

/// More than the queue of spans holds: two for each call, and it holds 2,048.
const CALLS: usize = 3_000;
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
    let silent = Collector::start(Mood::BlackHole).await;
    let slow = Collector::start(Mood::Slow(Duration::from_secs(10))).await;
    for (what, url) in [("down", &down), ("silent", &silent.url), ("slow", &slow.url)] {
        let upstream = Upstream::start().await;
        let mut gate = World::new(&upstream.url())
            .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url.clone())])
            .environment(&[("OTEL_LOGS_EXPORTER", "otlp".to_owned())])
            .environment(&[("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())])
            .environment(&[("OTEL_METRIC_EXPORT_INTERVAL", "100".to_owned())])
            .start()
            .await;
        let mut connection = Connection::open(gate.data).await;
        let request = post(ALICE, &tool_call("1", "search_records", "{}"));
        let mut memory = None;
        for n in 0..CALLS {
            if n == CALLS / 10 {
                memory = gate.memory_kib();
            }
            match connection.exchange(&request).await {
                Answer::Response(answer) => assert_eq!(answer.status, 200, "{what}: {}", answer.text()),
                other => panic!("{what}: {other:?}"),
            }
        }
        if let (Some(before), Some(after)) = (memory, gate.memory_kib()) {
            assert!(after < before + MOST_MEMORY, "{what}: {before} KiB before, {after} KiB after");
        }
        assert_eq!(upstream.count(), CALLS, "{what}");
        // What found no room is told; of spans the SDK says it.
        if what != "down" {
            let told = |line: &str| line.contains("BatchSpanProcessor") && line.contains("rop");
            assert!(gate.log.wait_since(0, DEADLINE, told).await.is_some(), "{what}: {}", gate.log.text());
        }
        gate.signal_end();
        assert_eq!(gate.exit_code(FLUSH).await, Some(0), "{what}: it ends in time");
    }
}
