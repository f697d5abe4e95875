//! R10, R11, R12: peers that send or take as slowly as they can cost little, and disturb nobody.

use std::time::Duration;

use tokio::time::{interval, timeout};

use super::load::{Load, precise, size};
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

/// Heads must be there in 10 s, bodies come at 1 KiB a second from their sixth second on.
const IN_TIME: Duration = Duration::from_mins(1);
/// What each reader may cost that does not read, and what the first of anything costs.
const EACH_KIB: usize = 256;
const SOME_KIB: usize = 8 << 10;

fn call() -> Vec<u8> {
    post(ALICE, &tool_call("1", "search_records", r#"{"q":"some words"}"#))
}

/// Sends a byte a second of what comes behind `begun`, until the gate has enough of it.
async fn drip(gate: &Gate, begun: usize, count: usize) -> Vec<tokio::task::JoinHandle<Option<u16>>> {
    let request = call();
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(gate.data).await;
        connection.send(&request[..begun]).await.unwrap();
        let rest = request[begun..].to_vec();
        slow.push(tokio::spawn(async move {
            let mut second = interval(Duration::from_secs(1));
            for byte in rest.chunks(1) {
                second.tick().await;
                if connection.send(byte).await.is_err() {
                    break;
                }
            }
            match connection.read().await {
                Answer::Response(answer) => Some(answer.status),
                Answer::Closed | Answer::Nothing => None,
            }
        }));
    }
    slow
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_come_byte_by_byte_are_cut_off_and_nobody_else_notices() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    assert_eq!(raw::call(gate.data, &call()).await.status, 200);
    let (count, before) = (size(100, 1_000), gate.memory_kib());
    let slow = drip(&gate, 20, count).await;
    let load = Load::start(gate.data, 4).await;
    let cut_off = timeout(IN_TIME, async {
        for slow in slow {
            assert_eq!(slow.await.unwrap(), None, "nobody answers half a head");
        }
    });
    cut_off.await.expect("all are cut off");
    let report = load.stop().await;
    assert!(report.lost.is_empty() && report.answered > 0, "{report:?}");
    let grown = gate.memory_kib().zip(before).map(|(now, before)| now.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 32 << 10), "{grown:?} KiB more");
    let timed_out = r#"tollgate_connections_timed_out_total{timeout_kind="request.header"}"#;
    assert!(until(DEADLINE, async || gate.metric(timed_out).await.is_some_and(|it| it >= precise(count))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_come_byte_by_byte_disturb_nobody() {
    let upstream = Upstream::start().await;
    let gate =
        World::new(&upstream.url()).listen("max_in_flight: 2048").listen("timeouts: { body: 10m }").start().await;
    let (count, before) = (size(100, 1_000), gate.memory_kib());
    let head = call().windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let slow = drip(&gate, head, count).await;
    let load = Load::start(gate.data, 4).await;
    assert!(upstream.wait_for(500, DEADLINE * 6).await, "others are served");
    let report = load.stop().await;
    assert!(report.lost.is_empty() && report.answered > 0, "{report:?}");
    let grown = gate.memory_kib().zip(before).map(|(now, before)| now.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < 32 << 10), "{grown:?} KiB more");
    // Long before its time is over: a byte a second is too slow for anybody.
    let cut_off = timeout(IN_TIME, async {
        for slow in slow {
            assert_eq!(slow.await.unwrap(), Some(408));
        }
    });
    cut_off.await.expect("all are cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_reading_hold_the_server_up_and_are_cut_off() {
    // More than all buffers between the two hold.
    let event = format!(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"data\":\"{}\"}}}}",
        "x".repeat(20_000)
    );
    let upstream = Upstream::start().await;
    upstream.answer_with(move |request: &Recorded| {
        if request.holds("get_statistics") { Reply::Endless(event.clone()) } else { Reply::obliging(request) }
    });
    let gate = World::new(&upstream.url()).listen("timeouts: { write: 2s }").start().await;
    assert_eq!(raw::call(gate.data, &call()).await.status, 200);
    let (count, before) = (size(20, 200), gate.memory_kib());
    let mut deaf = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(gate.data).await;
        connection.send(&post(ALICE, &tool_call("1", "get_statistics", "{}"))).await.unwrap();
        connection.read_head().await.unwrap().expect("a head");
        deaf.push(connection);
    }
    let timed_out = r#"tollgate_connections_timed_out_total{timeout_kind="response.write"}"#;
    assert!(until(IN_TIME, async || gate.metric(timed_out).await == Some(precise(count))).await, "all are cut off");
    let grown = gate.peak_memory_kib().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    assert!(grown.is_none_or(|kib| kib < SOME_KIB + count * EACH_KIB), "{grown:?} KiB more for {count}");
    assert!(upstream.wait_for_hang_ups(count, DEADLINE).await, "and their server hears of it");
    assert!(until(DEADLINE, async || gate.metric("tollgate_exchanges_in_flight").await == Some(0.0)).await);
    assert_eq!(raw::call(gate.data, &call()).await.status, 200);
}
