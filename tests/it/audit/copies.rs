//! The copy of the log at a collector: whoever has it can show what became of the original, and nobody waits for it.

use std::fs;

use serde_json::Value;

use super::{Audited, search, verified};
use crate::support::collector::{Collector, Mood, text};
use crate::support::gate::Gate;
use crate::support::upstream::Upstream;
use crate::support::{DEADLINE, until};

/// A gate whose audit log is copied there.
async fn copied_to(url: &str, audited: &Audited, said: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let world = audited
        .world(&upstream.url(), said)
        .environment(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", format!("{url}/v1/logs"))])
        .environment(&[("OTEL_LOGS_EXPORTER", "otlp".to_owned())])
        .environment(&[("OTEL_BLRP_SCHEDULE_DELAY", "50".to_owned())]);
    let gate = world.start().await;
    (upstream, gate)
}

/// The lines that have come, in the order of their indices; the process's own log comes there, too.
fn lines(collector: &Collector) -> Vec<String> {
    let records = collector.received().logs;
    let of_audit = records.iter().filter(|record| record.event_name == "tollgate.audit.record");
    let mut lines: Vec<_> = of_audit.map(|record| text(record.body.as_ref())).collect();
    lines.sort_by_key(|line| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64());
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copy_of_all_records_is_the_log_and_is_verified_by_itself() {
    let (collector, audited) = (Collector::start(Mood::Ready).await, Audited::new());
    let (_upstream, mut gate) = copied_to(&collector.url, &audited, "otlp: records, segment_bytes: 1500").await;
    for _ in 0..12 {
        search(&gate).await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    let (copy, log) = (lines(&collector), audited.records());
    assert_eq!(copy.len(), log.len(), "every line is there once");
    let file = audited.home.path().join("copy.jsonl");
    fs::write(&file, copy.join("\n") + "\n").unwrap();
    assert_eq!(verified(&file, &audited.key, &[]), 0, "segments and all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_at_the_collector_shows_what_is_done_to_the_log_later() {
    let (collector, audited) = (Collector::start(Mood::Ready).await, Audited::new());
    let (_upstream, mut gate) = copied_to(&collector.url, &audited, "otlp: checkpoints").await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    let copy: Vec<Value> = lines(&collector).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!copy.is_empty() && copy.iter().all(|line| line["kind"] == "checkpoint"), "{copy:?}");
    let kept = audited.home.path().join("kept");
    fs::write(&kept, copy.last().unwrap()["note"].as_str().unwrap()).unwrap();
    let kept = ["--checkpoint", kept.to_str().unwrap()];
    assert_eq!(audited.verify(&kept), 0);
    let only = super::segments(&audited.log()).pop().unwrap();
    let whole = super::lines(&only);
    fs::write(&only, whole[..2].join("\n") + "\n").unwrap();
    assert_eq!(audited.verify(&kept), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_collector_does_the_log_is_written_and_what_the_copy_lost_is_counted() {
    let down = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let silent = Collector::start(Mood::BlackHole).await;
    for (what, url, result, calls) in [("down", &down, "failed", 10), ("silent", &silent.url, "dropped", 1500)] {
        let audited = Audited::new();
        let (_upstream, mut gate) = copied_to(url, &audited, "otlp: records").await;
        for _ in 0..calls {
            assert_eq!(search(&gate).await.status, 200, "{what}");
        }
        let metric = format!("tollgate_audit_copies_total{{result=\"{result}\"}}");
        let lost = async || gate.metric(&metric).await.is_some_and(|lost| lost > 0.0);
        assert!(until(DEADLINE, lost).await, "{what}: {result}");
        assert_eq!(gate.terminate().await, Some(0), "{what}");
        assert_eq!(audited.verify(&[]), 0, "{what}");
        assert_eq!(audited.of_kind("outcome").len(), calls, "{what}: the log has all");
    }
}

#[test]
fn a_copy_that_could_go_nowhere_is_told_at_the_start() {
    let (audited, home) = (Audited::new(), tempfile::tempdir().unwrap());
    let config = audited.world("http://127.0.0.1:1/mcp", "otlp: records").write_to(home.path());
    let said = Gate::refuses(&config);
    assert!(said.contains("audit.otlp") && said.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{said}");
}
