//! R15: without descriptors the gate waits, quietly, and goes on when there are some.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const DESCRIPTORS: u64 = 256;
const COMPLAINT: &str = "no connection can be accepted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_without_descriptors_neither_spins_nor_shouts_and_recovers() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    assert_eq!(raw::call(gate.data, &call).await.status, 200);
    let few = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    let pid = Pid::from_raw(i32::try_from(gate.pid()).unwrap()).unwrap();
    prlimit(Some(pid), Resource::Nofile, few).expect("a process may bound its child");

    let mut idle = Vec::new();
    for _ in 0..DESCRIPTORS + 50 {
        idle.push(Connection::open(gate.data).await);
    }
    assert!(gate.log.says(COMPLAINT).await);
    let (begun, before) = (Instant::now(), gate.cpu());
    // It goes on complaining, and each time is one second at least.
    let complaints = || gate.log.since(0).iter().filter(|line| line.contains(COMPLAINT)).count();
    assert!(until(DEADLINE, async || complaints() >= 3).await);
    let (took, told) = (begun.elapsed(), complaints());
    assert!(took >= Duration::from_millis(1_500), "{told} lines in {took:?}");
    let worked = gate.cpu().zip(before).map(|(after, before)| after.saturating_sub(before));
    assert!(worked.is_none_or(|worked| worked < took / 4), "{worked:?} of {took:?} on a processor");
    let failures = || gate.metric("tollgate_accept_failures_total");
    drop(idle);
    assert!(until(DEADLINE, async || raw::call(gate.data, &call).await.status == 200).await);
    assert!(failures().await.is_some_and(|count| count >= 3.0));
}
