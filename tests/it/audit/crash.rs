//! What a killed process leaves (R27). `TOLLGATE_FULL=1` kills it 200 times.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;

use tokio::sync::mpsc::{Sender, channel};

use super::{Audited, search, segments};
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::size;
use crate::support::upstream::Upstream;

/// How many callers there are when the process is killed, and how many answers they have got by then at least.
const CALLERS: usize = 16;
const ANSWERS: usize = 200;

/// Calls again and again, and tells of each answer.
async fn calls_until_killed(to: SocketAddr, tell: Sender<()>) {
    let mut connection = Connection::open(to).await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    while let Answer::Response(answer) = connection.exchange(&call).await {
        assert_eq!(answer.status, 200);
        tell.send(()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_call_is_missing_after_kill_9_in_the_strict_mode() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut answered = 0;
    let rounds = size(3, 200);
    for round in 1..=rounds {
        let gate = audited.world(&upstream.url(), "mode: before_call, segment_bytes: 65536").start().await;
        let to = gate.data;
        let (tell, mut told) = channel(4096);
        let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(calls_until_killed(to, tell.clone()))).collect();
        drop(tell);
        for _ in 0..ANSWERS {
            told.recv().await.expect("callers are answered");
            answered += 1;
        }
        // SIGKILL, in the middle of it.
        drop(gate);
        while told.recv().await.is_some() {
            answered += 1;
        }
        for caller in callers {
            caller.await.unwrap();
        }
        let allowed = audited.of_kind("decision").iter().filter(|it| it["effect"] == "allow").count();
        let reached = upstream.count();
        assert!(allowed >= answered, "round {round}: {answered} answers and {allowed} decisions");
        assert!(allowed >= reached, "round {round}: {reached} calls at the server and {allowed} decisions");
        let log = audited.log().display().to_string();
        let verified = super::tollgate(&["audit", "verify", &log, "--key", &audited.key]);
        assert!(matches!(verified.status.code(), Some(0 | 1)), "round {round}: {verified:?}");
    }
    // What the last one left is taken up, and signed.
    let mut gate = audited.world(&upstream.url(), "mode: before_call").start().await;
    assert_eq!(gate.terminate().await, Some(0));
    assert_eq!(audited.verify(&[]), 0);
    assert_eq!(audited.of_kind("start").len(), rounds + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_end_is_cut_off_and_recorded() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut gate = audited.world(&upstream.url(), "").start().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    let torn = br#"{"decision":"0123"#;
    let last = segments(&audited.log()).pop().unwrap();
    OpenOptions::new().append(true).open(&last).unwrap().write_all(torn).unwrap();
    assert_eq!(audited.verify(&[]), 1, "an end that is no line is an end that nobody has signed");

    let mut gate = audited.world(&upstream.url(), "").start().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    let recoveries = audited.of_kind("recovery");
    assert_eq!(recoveries.len(), 1);
    assert_eq!(recoveries[0]["bytes"], torn.len());
    assert_eq!(audited.verify(&[]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_what_was_signed_is_evidence_and_stops_the_start() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    let mut gate = audited.world(&upstream.url(), "").start().await;
    search(&gate).await;
    assert_eq!(gate.terminate().await, Some(0));
    let last = segments(&audited.log()).pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    fs::write(&last, text.replacen("alice", "alicf", 1)).unwrap();
    let home = tempfile::tempdir().unwrap();
    let config = audited.world(&upstream.url(), "").write_to(home.path());
    let said = Gate::refuses(&config);
    assert!(said.contains("is damaged at byte") && said.contains("tollgate audit verify"), "{said}");
    assert_eq!(fs::read_to_string(&last).unwrap(), text.replacen("alice", "alicf", 1), "it stays as it is");
    assert_eq!(audited.verify(&[]), 11);
}

/// However long the log is, the gate is soon there: it reads the last segment, and none before it (R27).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_does_not_make_the_start_long() {
    let (upstream, audited) = (Upstream::start().await, Audited::new());
    // Each call is written by itself, however busy the machine is, so none of them shares a segment with all others.
    let mut gate = audited.world(&upstream.url(), "mode: before_call, segment_bytes: 1500").start().await;
    for _ in 0..8 {
        search(&gate).await;
    }
    assert_eq!(gate.terminate().await, Some(0));
    let before = segments(&audited.log());
    assert!(before.len() > 2, "{before:?}");
    // A gibibyte of nothing that could be read as a log, on no disk.
    OpenOptions::new().write(true).truncate(true).open(&before[0]).unwrap().set_len(1 << 30).unwrap();
    let mut gate = audited.world(&upstream.url(), "").start().await;
    assert_eq!(search(&gate).await.status, 200);
    assert_eq!(gate.terminate().await, Some(0));
    assert_eq!(audited.verify(&[]), 10, "who verifies reads all");
    fs::remove_file(&before[0]).unwrap();
    assert_eq!(audited.verify(&["--partial"]), 0);
}
