//! Cases about what the gate tells of a call: spans, metrics, lines and the audit log, while all of them are on.

use std::collections::BTreeSet;

use super::case::Case;
use super::*;
use crate::audit::Audited;
use crate::support::collector::{Collector, Mood};
use crate::support::raw;

/// So often a case is repeated at most: a series for each, or memory, would show by then.
const REPEATS: u32 = 2_000;
/// Series that one case may add, however often it is repeated (R31).
const MOST_SERIES: usize = 5;
/// What a case may leave in memory, in KiB.
const MOST_MEMORY: usize = 16 * 1024;
/// Sixteen rounds or so of one case have run by then: whatever is made once is there.
const FIRST: u32 = 16;

/// A series, without its value.
async fn series(gate: &Gate) -> BTreeSet<String> {
    let text = raw::get(gate.admin, "/metrics").await.text();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_a_call_is_no_way_in() {
    let cases: Vec<_> = Case::load().into_iter().filter(Case::is_of_telemetry).collect();
    let (collector, upstream) = (Collector::start(Mood::Ready).await, Upstream::start().await);
    let audited = Audited::new();
    let gate = audited
        .world(&upstream.url(), "")
        .environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())])
        .environment(&[("OTEL_LOGS_EXPORTER", "otlp".to_owned())])
        .environment(&[("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())])
        .environment(&[("OTEL_METRIC_EXPORT_INTERVAL", "50".to_owned())])
        .start()
        .await;
    let mut table = Table::new().only(&cases);
    let mut bench = Bench { setting: Setting::Default, gate, upstream, canary: Canary::start().await };
    for case in &cases {
        let before = bench.gate.decisions.count();
        let outcome = bench.run_told(case).await;
        table.enter(case, "told", outcome, (&bench.gate.decisions, before)).await;
    }
    bench.gate.signal_end();
    assert_eq!(bench.gate.exit_code(3 * DEADLINE).await, Some(0));
    let received = collector.received();
    assert!(received.spans.len() > cases.len() && !received.metrics.is_empty());
    let told = format!("{:?}", (received.spans, received.metrics, received.logs));
    let records = audited.records();
    assert!(
        records.iter().any(|record| record["principal"] == "alice")
            && !records.iter().any(|record| record["principal"] == "admin")
    );
    let audit = format!("{records:?}");
    for (place, text) in [
        ("spans, metrics and logs", told),
        ("the audit log", audit),
        ("the decisions", bench.gate.decisions.text()),
        ("the log", bench.gate.log.text()),
    ] {
        for secret in ["hunter2", "user.id=admin", "HYPERLINK", keys::ALICE] {
            if text.contains(secret) {
                table.fail_apart(place, &format!("{secret} in {place}"));
            }
        }
    }
    table.finish(&cases);
}

impl Bench {
    /// Puts a case as often as it says, and looks whether that adds series or memory.
    async fn run_told(&mut self, case: &Case) -> Result<(), String> {
        let bounded = case.repeat.is_some();
        let repeats = case.repeat.unwrap_or(1).min(REPEATS);
        let before = series(&self.gate).await;
        let mut memory = None;
        for n in 0..repeats {
            if n == FIRST {
                memory = self.gate.memory_kib();
            }
            self.run_once(&case.with(&[("{{random}}", &format!("{n}"))]), Run::Fresh).await?;
        }
        let after = series(&self.gate).await;
        let new: Vec<_> = after.difference(&before).filter(|series| !is_of_a_histogram(series)).collect();
        if bounded && new.len() > MOST_SERIES {
            return Err(format!("{} new series: {new:#?}", new.len()));
        }
        match (memory, self.gate.memory_kib()) {
            (Some(before), Some(after)) if after > before + MOST_MEMORY => {
                Err(format!("{before} KiB before, {after} KiB after"))
            }
            _ => Ok(()),
        }
    }
}

/// Of a histogram one series counts: buckets and sum belong to it.
fn is_of_a_histogram(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    name.ends_with("_bucket") || name.ends_with("_sum")
}
