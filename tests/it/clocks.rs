//! R28: the wall clock jumps: what is limited stays limited, what says when it ends goes by the clock, the books tell of it.

use std::net::SocketAddr;

use crate::audit::Audited;
use crate::support::issuer::{Issuer, Signer, published};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::upstream::Upstream;
use crate::support::wall_clock::WallClock;
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, raw, until};
use crate::tokens;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_by_the_wall_clock_and_the_books_tell_when_that_jumps() {
    let (upstream, clock, books) = (Upstream::start().await, WallClock::new(), Audited::new());
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let world = books.world(&upstream.url(), "").policy("principals.yaml", &tokens::tokens(&issuer, ""));
    let mut gate = world.environment(&clock.environment()).start().await;
    let call = tokens::call(&signer.token(&tokens::claims(&issuer, 600)));
    let status = async || raw::call(gate.data, &call).await.status;
    assert!(until(DEADLINE, async || status().await == 200).await);
    let told = || books.of_kind("clock").iter().map(|record| record["clock_us"].as_i64().unwrap()).collect::<Vec<_>>();
    clock.is_off_by("+2h");
    assert_eq!(status().await, 401, "it has ended");
    assert!(until(DEADLINE, async || told().len() == 1).await, "also while nobody calls");
    clock.is_off_by("+0");
    assert_eq!(status().await, 200);
    assert!(until(DEADLINE, async || told().len() == 2).await);
    assert_eq!(gate.terminate().await, Some(0));

    let hours: Vec<_> = told().iter().map(|by| (by + by.signum() * 1_000_000) / 3_600_000_000).collect();
    assert_eq!(hours, [2, -2]);
    assert_eq!(books.verify(&[]), 0);
    // Each stands before the first record that has the other time.
    let records = books.records();
    let of = |wanted: &str| records.iter().position(|record| record.to_string().contains(wanted)).unwrap();
    assert!(of(r#""kind":"clock""#) < of(r#""effect":"deny""#), "{records:?}");
}
