//! A server goes away and comes back (R6), is a black hole beside others (R7), or takes calls and never answers (R8).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::demand::Demand;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::shim::{BlackHole, Shim};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, half, until};

async fn search(gate: &Gate, id: usize) -> Value {
    raw::call(gate.data, &post(ALICE, &tool_call(&id.to_string(), "search_records", "{}"))).await.json().unwrap()
}

/// How often each call ran, by its id.
fn ran(upstream: &Upstream) -> HashMap<String, usize> {
    let mut ran = HashMap::new();
    for request in upstream.since(0) {
        *ran.entry(request.json().unwrap()["id"].to_string()).or_default() += 1;
    }
    ran
}

/// Every call: a second is longer than what else a machine does.
const TOLD: Demand =
    Demand { name: "R6, the slowest is told", most: Duration::from_secs(1), most_unoptimised: Duration::from_secs(5) };
const BACK: Demand =
    Demand { name: "R6, served again", most: Duration::from_millis(500), most_unoptimised: Duration::from_secs(5) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_is_noticed_soon_and_nothing_runs_twice() {
    let upstream = Upstream::start().await;
    upstream
        .answer_with(|request: &Recorded| Reply::Late(Duration::from_millis(2), Box::new(Reply::obliging(request))));
    let mut shim = Shim::start(upstream.address);
    let gate = World::new(&shim.url()).start().await;
    let mut id = 0;
    let mut next = async || {
        id += 1;
        search(&gate, id).await
    };
    let (mut slowest, mut back) = (Duration::ZERO, Vec::new());
    for _ in 0..3 {
        while next().await.get("result").is_none() {}
        shim.cut().await;
        for _ in 0..20 {
            let began = Instant::now();
            let answer = next().await;
            let code = answer["error"]["code"].as_i64();
            assert!(matches!(code, Some(-31502 | -31503)), "{answer}");
            slowest = slowest.max(began.elapsed());
        }
        shim.restore();
        let began = Instant::now();
        while next().await.get("result").is_none() {
            assert!(began.elapsed() < DEADLINE, "it is there again");
        }
        back.push(began.elapsed());
    }
    TOLD.judge(&mut [slowest]);
    BACK.judge(&mut back);
    let twice: Vec<_> = ran(&upstream).into_iter().filter(|(_, times)| *times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_places_one_is_a_black_hole_and_callers_do_not_see_it() {
    let (a, b, hole) = (Upstream::start().await, Upstream::start().await, BlackHole::start().await);
    let urls = format!("[{}, {}, {}]", hole.url(), a.url(), b.url());
    let gate = World::new(&urls).server("breaker: { failures: 2, pause: 1m }").start().await;
    let mut waited = 0;
    for id in 0..60 {
        let began = Instant::now();
        let answer = search(&gate, id).await;
        if began.elapsed() > Duration::from_millis(900) {
            waited += 1;
        }
        // At first nothing is saved for repeats.
        assert!(answer.get("result").is_some() || id < 20, "{answer}");
    }
    assert!(waited <= 4, "{waited} calls have waited for a connection that never stands");
    let open = format!("tollgate_upstream_circuit{{endpoint=\"{}\",server=\"records\",state=\"open\"}}", hole.url());
    assert_eq!(gate.metric(&open).await, Some(1.0));
    assert_eq!(ran(&a).values().chain(ran(&b).values()).filter(|times| **times > 1).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_by_itself_costs_its_connect_timeout_until_it_is_left_alone() {
    let hole = BlackHole::start().await;
    let world = World::new(&hole.url()).server("breaker: { failures: 3, pause: 1m }");
    let gate = world.start().await;
    for id in 0..3 {
        let answer = search(&gate, id).await;
        assert_eq!((&answer["error"]["code"], &answer["error"]["data"]["executed"]), (&(-31502).into(), &"no".into()));
    }
    let began = Instant::now();
    for id in 0..10 {
        assert_eq!(search(&gate, id).await["error"]["code"], -31503);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "ten at once, {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_server_that_never_answers_only_so_many_calls_wait_and_the_rest_is_refused_at_once() {
    const MOST: usize = 32;
    let upstream = Upstream::start().await;
    let policy = format!("{READERS}tools: {{ search_records: {{ timeout: 1h }} }}\n");
    let world = World::new(&upstream.url()).server(&format!("max_in_flight: {MOST}")).policy("records.yaml", &policy);
    let gate = world.start().await;
    let mut carried = Vec::new();
    for id in 0..MOST {
        let began = Instant::now();
        assert!(search(&gate, id).await.get("result").is_some());
        carried.push(began.elapsed());
    }
    upstream.answer(Reply::Hang);
    let mut waiting = Vec::new();
    for id in 0..MOST {
        let mut call = Connection::open(gate.data).await;
        call.send(&post(ALICE, &tool_call(&id.to_string(), "search_records", "{}"))).await.unwrap();
        waiting.push(call);
    }
    assert!(upstream.wait_for(2 * MOST, DEADLINE).await);
    let before = gate.memory_kib();
    let mut refused = Vec::new();
    for id in 0..200 {
        let began = Instant::now();
        let answer = search(&gate, MOST + id).await;
        refused.push(began.elapsed());
        assert_eq!(answer["error"]["data"]["reason"], "upstream_busy");
    }
    // To be refused is less work than to be carried.
    let most_unoptimised = half(&mut carried);
    Demand { name: "R8, refused at once", most: Duration::from_millis(10), most_unoptimised }.judge(&mut refused);
    if let (Some(before), Some(now)) = (before, gate.memory_kib()) {
        assert!(now < before + 8 * 1024, "{before} KiB before, {now} KiB now");
    }
    assert_eq!(upstream.count(), 2 * MOST);
    // Who goes away makes room.
    drop(waiting);
    upstream.answer_with(Reply::obliging);
    let again = async || search(&gate, 0).await.get("result").is_some();
    assert!(until(DEADLINE, again).await);
}
