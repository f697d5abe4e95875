//! R15: without descriptors the gate waits, quietly, and goes on when there are some.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::demand::Demand;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, size, until};

const DESCRIPTORS: u64 = 256;
/// A second without descriptors has so much of a processor.
const WORKED: Demand = Demand {
    name: "R15, worked in a second without descriptors",
    most: Duration::from_millis(200),
    most_unoptimised: Duration::from_millis(250),
};
const RECOVERED: Demand =
    Demand { name: "R15, served again", most: Duration::from_secs(1), most_unoptimised: DEADLINE };
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

    let (mut worked, mut took) = (Vec::new(), Vec::new());
    for _ in 0..size(1, 3) {
        let idle = exhaust(&gate).await;
        worked.extend(wait_without(&gate).await);
        let released = Instant::now();
        drop(idle);
        assert!(until(DEADLINE, async || raw::call(gate.data, &call).await.status == 200).await);
        took.push(released.elapsed());
    }
    if !worked.is_empty() {
        WORKED.judge(&mut worked);
    }
    RECOVERED.judge(&mut took);
    assert!(gate.metric("tollgate_accept_failures_total").await.is_some_and(|count| count >= 3.0));
}

/// Takes all that it has, and somewhat more.
async fn exhaust(gate: &Gate) -> Vec<Connection> {
    let (heard, mut idle) = (gate.log.count(), Vec::new());
    for _ in 0..DESCRIPTORS + 50 {
        idle.push(Connection::open(gate.data).await);
    }
    assert!(gate.log.wait_since(heard, DEADLINE, |line| line.contains(COMPLAINT)).await.is_some());
    idle
}

/// Lets it wait for some seconds: how long of each it was on a processor.
async fn wait_without(gate: &Gate) -> Option<Duration> {
    let (begun, before, heard) = (Instant::now(), gate.cpu(), gate.log.count());
    // It goes on complaining, and each time is one second at least.
    let complaints = || gate.log.since(heard).iter().filter(|line| line.contains(COMPLAINT)).count();
    assert!(until(DEADLINE, async || complaints() >= 2).await);
    let (took, told) = (begun.elapsed(), complaints());
    assert!(took >= Duration::from_millis(1_500), "{told} lines in {took:?}");
    let worked = gate.cpu()?.saturating_sub(before?);
    Some(worked.div_f64(took.as_secs_f64()))
}
