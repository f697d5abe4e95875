//! The end of a gate: calls that it has taken are answered, probes hear at once, the exit is clean.

use std::time::{Duration, Instant};

use crate::commands::{home, said, tollgate};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const CALLS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_in_flight_is_answered_before_the_gate_ends() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let mut gate = World::new(&upstream.url()).start().await;
    let mut calls = Vec::new();
    for n in 0..CALLS {
        let mut connection = Connection::open(gate.data).await;
        let call = tool_call(&n.to_string(), "search_records", "{}");
        connection.send(&post(ALICE, &call)).await.unwrap();
        calls.push(connection);
    }
    assert!(upstream.wait_for(CALLS, DEADLINE).await, "all are on their way");
    let admin = gate.admin;
    let ready = async || raw::get(admin, "/readyz").await.status == 200;
    assert!(until(DEADLINE, ready).await);

    gate.signal_end();
    let signalled = Instant::now();
    let unready = async || raw::get(admin, "/readyz").await.status == 503;
    assert!(until(DEADLINE, unready).await, "/readyz says that it ends");
    let heard = signalled.elapsed();
    assert!(heard < Duration::from_secs(1), "only after {heard:?}");
    assert!(gate.is_alive(), "it waits for the calls");

    upstream.release();
    for (n, mut connection) in calls.into_iter().enumerate() {
        match connection.read().await {
            Answer::Response(r) => {
                let message = r.json().expect("a message");
                assert_eq!(message["id"], n);
                assert!(message.get("result").is_some(), "call {n}: {message}");
            }
            other => panic!("call {n} ended as {other:?}"),
        }
    }
    assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlives_the_drain_timeout_does_not_keep_the_gate_but_is_told_of() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::Hang);
    let world = World::new(&upstream.url()).top("drain_timeout: 1s");
    let mut gate = world.start().await;
    let mut connection = Connection::open(gate.data).await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    connection.send(&call).await.unwrap();
    assert!(upstream.wait_for(1, DEADLINE).await);
    assert_eq!(gate.terminate().await, Some(1), "something was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_gate_does_not_wait_for_the_drain_timeout() {
    let upstream = Upstream::start().await;
    let mut gate = World::new(&upstream.url()).start().await;
    let mut idle = Connection::open(gate.data).await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    assert!(matches!(idle.exchange(&call).await, Answer::Response(r) if r.status == 200));
    gate.signal_end();
    assert!(idle.closes().await, "a kept connection is closed");
    assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_on_a_kept_connection_while_the_gate_ends_is_answered_as_the_last_one() {
    let upstream = Upstream::start().await;
    let mut gate = World::new(&upstream.url()).start().await;
    let mut kept = Connection::open(gate.data).await;
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    assert!(matches!(kept.exchange(&call).await, Answer::Response(r) if r.status == 200));
    gate.signal_end();
    let admin = gate.admin;
    let unready = async || raw::get(admin, "/readyz").await.status == 503;
    assert!(until(DEADLINE, unready).await);
    match kept.exchange(&call).await {
        Answer::Response(r) => {
            assert_eq!((r.status, r.head.first("connection")), (200, Some("close")));
        }
        other => panic!("the call was lost: {other:?}"),
    }
    assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_without_a_shell_can_end_the_gate_and_nothing_else() {
    let upstream = Upstream::start().await;
    let mut gate = World::new(&upstream.url()).start().await;
    let home = home(&[]);
    let ours = std::process::id().to_string();
    let refused = said(&tollgate(home.path(), &["drain", "--pid", &ours]).await);
    assert!(refused.starts_with("exit 2\n") && refused.contains("not a gate"), "{refused}");
    let done = said(&tollgate(home.path(), &["drain", "--pid", &gate.pid().to_string()]).await);
    assert_eq!(done, "exit 0\n");
    assert_eq!(gate.exit_code(DEADLINE).await, Some(0));
}
