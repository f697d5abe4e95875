//! R16: before memory is used up, fewer calls are let in, and all of them again when there is enough.

use tokio::task::JoinSet;

use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

/// What each call brings.
const ARGUMENT: usize = 900_000;
/// Together they are more than the gate may have: unoptimised it begins with some 30 MiB.
const CALLS: usize = 60;
const MOST: usize = 96 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_whose_memory_is_nearly_used_up_lets_fewer_in_and_recovers() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let policy = format!("{READERS}tools: {{ search_records: {{ timeout: 10m }} }}\n");
    let world = World::new(&upstream.url()).policy("records.yaml", &policy).top(&format!("max_memory_bytes: {MOST}"));
    let gate = world.listen("max_in_flight: 64").start().await;
    let call = |id: usize, text: &str| {
        post(ALICE, &tool_call(&id.to_string(), "search_records", &format!(r#"{{"q":"{text}"}}"#)))
    };
    let large = "x".repeat(ARGUMENT);
    let mut held = Vec::new();
    let short = async || gate.metric("tollgate_memory_short").await == Some(1.0);
    for id in 0..CALLS {
        let mut connection = Connection::open(gate.data).await;
        connection.send(&call(id, &large)).await.unwrap();
        held.push(connection);
        if short().await {
            break;
        }
    }
    assert!(until(DEADLINE, short).await, "{:?} KiB", gate.memory_kib());
    assert!(gate.log.says("memory is nearly used up (max_memory_bytes)").await);
    // More than an eighth of what it takes is under way already.
    let refused = raw::call(gate.data, &call(1000, "short")).await;
    assert_eq!((refused.status, refused.head.first("retry-after")), (503, Some("1")), "{}", refused.text());
    assert!(gate.peak_memory_kib().is_none_or(|kib| kib < MOST >> 10), "{:?} KiB", gate.peak_memory_kib());

    upstream.release();
    drop(held);
    // However much of it the system gets back: what was freed serves the next calls.
    assert!(until(DEADLINE, async || raw::call(gate.data, &call(1, "short")).await.status == 200).await);
    let mut later = JoinSet::new();
    for id in 0..4 {
        let (to, call) = (gate.data, call(id, "short"));
        later.spawn(async move { raw::call(to, &call).await.status });
    }
    assert!(later.join_all().await.into_iter().all(|status| status == 200));
}
