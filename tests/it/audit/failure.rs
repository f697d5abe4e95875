//! What becomes of calls that cannot be recorded (R26). The disk is full for the gate alone: no file of its may grow.

use std::process::Command;

use super::{Audited, search};
use crate::support::gate::Gate;
use crate::support::upstream::Upstream;
use crate::support::{DEADLINE, raw, until};

/// Whether the gate may write.
pub(crate) fn disk(gate: &Gate, limit: &str) {
    let done = Command::new("prlimit")
        .args([&format!("--fsize={limit}:unlimited"), "--pid", &gate.pid().to_string()])
        .status();
    assert!(done.unwrap().success(), "prlimit sets the limit of a process of our own");
}

pub(super) async fn is_ready(gate: &Gate) -> bool {
    raw::get(gate.admin, "/readyz").await.status == 200
}

pub(crate) async fn dropped(gate: &Gate) -> f64 {
    gate.metric("tollgate_audit_dropped_total").await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_disk_calls_are_refused_and_readiness_falls_until_there_is_room() {
    for mode in ["before_call", "interval"] {
        let (upstream, audited) = (Upstream::start().await, Audited::new());
        let interval = if mode == "interval" { ", interval: 10ms" } else { "" };
        let mut gate = audited.world(&upstream.url(), &format!("mode: {mode}{interval}")).start().await;
        assert!(until(DEADLINE, async || is_ready(&gate).await).await);
        assert_eq!(search(&gate).await.status, 200);

        disk(&gate, "0");
        assert!(until(DEADLINE, async || search(&gate).await.status == 503).await, "{mode}: a call is refused");
        let reached = upstream.count();
        let refused = search(&gate).await;
        assert_eq!(refused.status, 503);
        let error = refused.json().unwrap();
        assert_eq!(error["error"]["data"]["reason"], "audit_unavailable");
        assert_eq!(error["error"]["data"]["executed"], "no");
        assert_eq!(upstream.count(), reached, "{mode}: the server is not asked");
        assert!(until(DEADLINE, async || !is_ready(&gate).await).await, "{mode}: it is not ready");

        disk(&gate, "unlimited");
        assert!(until(DEADLINE, async || is_ready(&gate).await).await, "{mode}: it is ready again");
        assert!(until(DEADLINE, async || search(&gate).await.status == 200).await, "{mode}: calls pass again");
        assert_eq!(gate.terminate().await, Some(0));
        assert!(!audited.of_kind("gap").is_empty(), "{mode}: the gap is recorded");
        assert_eq!(audited.verify(&[]), 0, "{mode}: what there is follows from each other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_calls_pass_anyway_what_is_missing_is_counted_and_recorded_afterwards() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut gate = audited.world(&upstream.url(), "mode: before_call, failure: allow").start().await;
    assert!(until(DEADLINE, async || is_ready(&gate).await).await);
    disk(&gate, "0");
    for _ in 0..5 {
        assert_eq!(search(&gate).await.status, 200);
    }
    assert!(
        until(DEADLINE, async || dropped(&gate).await >= 10.0).await,
        "five decisions and five outcomes are missing"
    );
    assert!(is_ready(&gate).await);
    let missing = dropped(&gate).await;
    disk(&gate, "unlimited");
    let told = async || audited.of_kind("gap").iter().filter_map(|gap| gap["lost"].as_f64()).sum::<f64>() >= missing;
    assert!(until(DEADLINE, told).await, "a gap names the count");
    assert_eq!(gate.terminate().await, Some(0));
    assert_eq!(audited.verify(&[]), 0);
}
