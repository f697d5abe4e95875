//! R1, R2: a gate that is told to end under load loses nothing, and does not hang. (Calls alone: `drain.rs`.)

use std::fs;
use std::time::{Duration, Instant};

use super::load::{Load, size};
use crate::support::demand::Demand;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, post, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

const CALLS: usize = 50;
const STREAMS: usize = 20;
const LOAD: usize = 16;
const SHORTENED: Demand = Demand {
    name: "R2, ended once it is asked again",
    most: Duration::from_secs(1),
    most_unoptimised: Duration::from_secs(8),
};

/// Streams stay open, calls of one tool wait to be released, all else is answered.
fn some_wait(request: &Recorded) -> Reply {
    if request.method == "GET" {
        return Reply::Events(vec![": open".to_owned()], Ending::StayOpen);
    }
    let obliging = Reply::obliging(request);
    if request.holds("get_statistics") { Reply::OnRelease(Box::new(obliging)) } else { obliging }
}

async fn stream(gate: &Gate) -> Connection {
    let mut request = String::from("GET /mcp HTTP/1.1\r\n");
    let kept = LEGACY.into_iter().filter(|(name, _)| !["accept", "content-type"].contains(name));
    for (name, value) in kept.chain([("accept", "text/event-stream"), ("x-api-key", ALICE)]) {
        request.extend([name, ": ", value, "\r\n"]);
    }
    let mut connection = Connection::open(gate.data).await;
    connection.send((request + "\r\n").as_bytes()).await.unwrap();
    connection.read_head().await.unwrap().expect("a head");
    assert_eq!(connection.read_chunk().await.unwrap().as_deref(), Some(&b": open\n\n"[..]));
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_accepted_is_lost_and_streams_end_clean() {
    for _ in 0..size(2, 50) {
        let upstream = Upstream::start().await;
        upstream.answer_with(some_wait);
        let mut gate = World::new(&upstream.url()).start().await;
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(stream(&gate).await);
        }
        let mut calls = Vec::new();
        for n in 0..CALLS {
            let mut connection = Connection::open(gate.data).await;
            connection.send(&post(ALICE, &tool_call(&n.to_string(), "get_statistics", "{}"))).await.unwrap();
            calls.push(connection);
        }
        let load = Load::start(gate.data, LOAD).await;
        assert!(upstream.wait_for(STREAMS + CALLS + LOAD, DEADLINE).await, "all are on their way");

        gate.signal_end();
        let admin = gate.admin;
        assert!(until(DEADLINE, async || raw::get(admin, "/readyz").await.status == 503).await);
        let report = load.ended().await;
        assert!(report.lost.is_empty() && report.answered >= LOAD, "{report:?}");
        upstream.release();
        for (n, mut call) in calls.into_iter().enumerate() {
            let answer = call.read().await;
            let whole = matches!(&answer, Answer::Response(answer) if answer.json().is_some_and(|it| it["id"] == n));
            assert!(whole, "call {n} ended as {answer:?}");
        }
        for mut stream in streams {
            while stream.read_chunk().await.expect("it ends with its last chunk").is_some() {}
        }
        assert_eq!(gate.exit_code(DEADLINE).await, Some(0), "{}", gate.log.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_twice_does_not_wait_for_what_never_ends() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::Hang);
    let policy = format!("{READERS}tools: {{ search_records: {{ timeout: 10m }} }}\n");
    let world = World::new(&upstream.url()).policy("records.yaml", &policy).top("drain_timeout: 10m");
    let mut took = Vec::new();
    for n in 1..=size(1, 3) {
        let mut gate = world.start().await;
        let mut connection = Connection::open(gate.data).await;
        connection.send(&post(ALICE, &tool_call("1", "search_records", "{}"))).await.unwrap();
        assert!(upstream.wait_for(n, DEADLINE).await);
        gate.signal_end();
        assert!(gate.log.says("stopping").await);
        assert!(gate.is_alive());
        let asked_again = Instant::now();
        assert_eq!(gate.terminate().await, Some(1), "something was lost, and that is said");
        took.push(asked_again.elapsed());
    }
    SHORTENED.judge(&mut took);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_twice_has_lost_nothing_where_nobody_waits() {
    let upstream = Upstream::start().await;
    let mut gate = World::new(&upstream.url()).start().await;
    let mut kept = Connection::open(gate.data).await;
    let answer = kept.exchange(&post(ALICE, &tool_call("1", "search_records", "{}"))).await;
    assert!(matches!(answer, Answer::Response(_)), "{answer:?}");
    gate.signal_end();
    assert!(gate.log.says("stopping").await);
    assert_eq!(gate.terminate().await, Some(0), "{}", gate.log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_change_meanwhile_do_not_keep_it() {
    for _ in 0..size(3, 50) {
        let upstream = Upstream::start().await;
        let mut gate = World::new(&upstream.url()).start().await;
        let load = Load::start(gate.data, 4).await;
        assert!(upstream.wait_for(8, DEADLINE).await);
        let file = gate.policies().join("records.yaml");
        fs::write(&file, format!("{READERS}# 1\n")).unwrap();
        gate.signal_end();
        fs::write(&file, format!("{READERS}# 2\n")).unwrap();
        let report = load.ended().await;
        assert!(report.lost.is_empty(), "{report:?}");
        assert_eq!(gate.exit_code(DEADLINE).await, Some(0), "{}", gate.log.text());
    }
}
