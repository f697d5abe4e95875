//! R33: a gate with a thousand rules is there at once.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::support::demand::Demand;
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, raw, size, until};

const READY: Demand = Demand {
    name: "R33, ready with a thousand rules",
    most: Duration::from_millis(150),
    most_unoptimised: Duration::from_secs(6),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rules_are_in_force_before_anybody_waits() {
    let mut policy = String::from("server: records\nroles:\n  reader: { tools: [search_records] }\n");
    for n in 0..250 {
        writeln!(policy, "  role_{n}: {{ inherits: [reader], tools: [tool_{n}, \"family_{n}_*\"] }}").unwrap();
    }
    policy.push_str("tools:\n");
    for n in 0..250 {
        let arguments = "{ required: [id], properties: { id: { type: integer, minimum: 1 } } }";
        writeln!(
            policy,
            "  tool_{n}: {{ arguments: {arguments}, limits: [{{ calls: 60, every: 1m, per: principal }}] }}"
        )
        .unwrap();
    }
    let upstream = Upstream::start().await;
    let world = World::new(&upstream.url()).policy("records.yaml", &policy);
    let mut took = Vec::new();
    for _ in 0..size(1, 5) {
        let begun = Instant::now();
        let gate = world.start().await;
        assert!(until(DEADLINE, async || raw::get(gate.admin, "/readyz").await.status == 200).await);
        took.push(begun.elapsed());
    }
    READY.judge(&mut took);
}
