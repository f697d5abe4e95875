//! R3, R4, R5: policies that change under load, well, badly and bit by bit. (Each by itself: `reload.rs`.)

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::load::{Load, precise, size};
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::upstream::Upstream;
use crate::support::world::{Layout, READERS, World, mount, principals};
use crate::support::{DEADLINE, raw, until};

/// Under load memory is taken that no reload is to blame for.
const GROWTH_KIB: usize = 32 << 10;

const WIDER: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_record_detail, get_statistics, get_pool_status] }
";

async fn may_see_the_pool(gate: &Gate) -> bool {
    let answer = raw::call(gate.data, &post(ALICE, &tool_call("1", "get_pool_status", "{}"))).await;
    answer.json().is_some_and(|message| message.get("result").is_some())
}

/// In one step, as editors do.
fn put(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(&next, file).unwrap();
}

/// How many changes were refused.
async fn refused(gate: &Gate) -> Option<f64> {
    gate.metric(r#"tollgate_policy_reloads_total{result="refused"}"#).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_again_and_again_disturbs_no_call_and_counts_at_once() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let load = Load::start(gate.data, 8).await;
    assert!(upstream.wait_for(2_000, DEADLINE * 6).await, "it is warm");
    let before = gate.memory_kib();
    let file = gate.policies().join("records.yaml");
    for round in 0..size(10, 100) {
        let wider = round % 2 == 0;
        put(&file, &format!("{}# {round}\n", if wider { WIDER } else { READERS }));
        assert!(until(DEADLINE, async || may_see_the_pool(&gate).await == wider).await, "round {round}");
    }
    let grown = gate.memory_kib().zip(before).map(|(now, before)| now.saturating_sub(before));
    let report = load.stop().await;
    assert!(report.lost.is_empty() && report.answered > 0, "{report:?}");
    assert!(grown.is_none_or(|kib| kib < GROWTH_KIB), "{grown:?} KiB more");
    assert_eq!(refused(&gate).await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_counted_and_changes_nothing() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let load = Load::start(gate.data, 4).await;
    let file = gate.policies().join("records.yaml");
    let count = size(10, 100);
    for round in 0..count {
        let broken = match round % 5 {
            0 => format!("roles: [ # {round}\n"),
            1 => format!("{WIDER}rolls_{round}: {{}}\n"),
            2 => format!("{WIDER}server: records\n# {round}"),
            3 => format!("{}x{round}: 1\n", WIDER.replace("get_pool_status", "&a get_pool_status")),
            _ => format!("{}\n# {round}", WIDER.replace("reader:", "\"reader \":")),
        };
        put(&file, &broken);
        assert!(
            until(DEADLINE, async || refused(&gate).await == Some(precise(round + 1))).await,
            "round {round}:\n{broken}"
        );
        assert!(!may_see_the_pool(&gate).await, "round {round}");
    }
    assert_eq!(refused(&gate).await, Some(precise(count)));
    let report = load.stop().await;
    assert!(report.lost.is_empty() && report.answered > 0, "{report:?}");
    assert!(!upstream.since(0).iter().any(|seen| seen.holds("get_pool_status")), "nothing forbidden was carried");
}

/// Which policy decided each call of the pool's status, and how.
fn decided(gate: &Gate) -> BTreeSet<(String, String)> {
    let lines = gate.decisions.since(0);
    let of_pool = lines.iter().filter(|line| line.contains(r#""tool":"get_pool_status""#));
    let read = of_pool.map(|line| line.parse::<Value>().unwrap());
    read.map(|line| (line["policy"].as_str().unwrap().to_owned(), line["outcome"].as_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_files_are_replaced_no_half_of_a_policy_ever_decides() {
    // Long enough that a half of it would be seen.
    let long = |policy: &str| format!("{policy}# {}\n", "x".repeat(200_000));
    let (narrow, wide) = (long(READERS), long(WIDER));
    let upstream = Upstream::start().await;
    let world = World::new(&upstream.url()).layout(Layout::ConfigMap).policy("records.yaml", &narrow);
    let gate = world.start().await;
    for round in 0..size(4, 40) {
        let wider = round % 2 == 0;
        let text = if wider { &wide } else { &narrow };
        let files = [("records.yaml".to_owned(), text.clone()), ("principals.yaml".to_owned(), principals("reader"))];
        mount(&gate.policies(), &format!("..2027_{round}"), &files);
        assert!(until(DEADLINE, async || may_see_the_pool(&gate).await == wider).await, "round {round}");
    }
    // The same file by hand: emptied and written, and renamed into its place.
    let file = gate.policies().join("records.yaml");
    fs::remove_file(&file).unwrap();
    for round in 0..size(4, 40) {
        let wider = round % 2 == 0;
        let text = if wider { &wide } else { &narrow };
        if round % 4 < 2 {
            fs::write(&file, text).unwrap();
        } else {
            put(&file, text);
        }
        assert!(until(DEADLINE, async || may_see_the_pool(&gate).await == wider).await, "round {round} by hand");
    }
    // Each of the two policies has decided in its own way, and no third one ever.
    let decided = decided(&gate);
    let policies: BTreeSet<_> = decided.iter().map(|(policy, _)| policy).collect();
    assert_eq!((policies.len(), decided.len()), (2, 2), "{decided:?}");
}
