//! R28: the wall clock jumps: what is limited stays limited.

use std::net::SocketAddr;

use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::upstream::Upstream;
use crate::support::wall_clock::WallClock;
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, raw, until};

const LIMITED: &str = "limit of calls: at most 2 in 1h per principal";

async fn search(gate: SocketAddr) -> String {
    let answer = raw::call(gate, &post(ALICE, &tool_call("1", "search_records", "{}"))).await.json().unwrap();
    let message = answer["error"]["message"].as_str().unwrap_or("passed").to_owned();
    message.split(';').next().unwrap_or_default().to_owned()
}

fn world(upstream: &Upstream) -> World {
    let policy = format!("{READERS}limits: [{{ calls: 2, every: 1h, per: principal }}]\n");
    World::new(&upstream.url()).policy("records.yaml", &policy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_whose_wall_clock_jumps_gives_nobody_a_fresh_quota_and_locks_nobody_out() {
    let (upstream, clock) = (Upstream::start().await, WallClock::new());
    let gate = world(&upstream).environment(&clock.environment()).start().await;
    assert_eq!(search(gate.data).await, "passed");
    clock.is_off_by("-2h");
    assert_eq!(search(gate.data).await, "passed");
    assert_eq!(search(gate.data).await, LIMITED);
    clock.is_off_by("+2h");
    assert_eq!(search(gate.data).await, LIMITED);
    // The clock did jump: the lines of the calls say so.
    let hour = |line: &str| {
        let time = line.split("\"time\":\"").nth(1).and_then(|rest| rest.get(..16)).map(str::to_owned);
        time.unwrap_or_else(|| panic!("a line without a time: {line}"))
    };
    assert!(until(DEADLINE, async || gate.decisions.count() >= 4).await);
    let times: Vec<_> = gate.decisions.since(0).iter().map(|line| hour(line)).collect();
    assert!(times[1] < times[0] && times[3] > times[0], "{times:?}");
}
