//! R16: before memory is used up, fewer calls are let in, and all of them again when there is enough.

use std::io::{Write as _, stderr};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::support::control_group::ControlGroup;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, network, until};

/// What a call brings that is short, and one that is long.
const SHORT: usize = 15_000;
const LONG: usize = 900_000;
/// So many short ones, with their connections, are more than the gate may have: unoptimised it begins with some 57 MiB, and has
/// more than an eighth of what it takes under way before memory is short.
const CALLS: usize = 1600;
const MOST: usize = 92 << 20;
/// So many long ones would be three times as much as the group has, and come faster than anybody looks. Beside a quarter of it,
/// which is theirs, it has room for what is read of each before it is refused and for an unoptimised gate.
const CROWD: usize = 400;
const GROUP: usize = 128 << 20;
/// A quarter of this is room for three that are longer.
const LITTLE: usize = 64 << 20;
const LONGER: usize = 5_000_000;
/// Each of these takes all of the machine: an unoptimised gate beside the other one would be too late to refuse anybody.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_whose_memory_is_nearly_used_up_lets_fewer_in_and_recovers() {
    let _alone = ALONE.lock().await;
    let upstream = Upstream::start().await;
    let world = world(&upstream).top(&format!("max_memory_bytes: {MOST}"));
    let gate = world.listen("max_in_flight: 2048").start().await;
    let mut held = Vec::new();
    let short = async || gate.metric("tollgate_memory_short").await == Some(1.0);
    for id in 0..CALLS {
        held.push(begun(&gate, call(id, SHORT)).await);
        if id % 10 == 0 && short().await {
            break;
        }
    }
    assert!(until(DEADLINE, short).await, "{:?} KiB", gate.memory_kib());
    assert!(gate.log.says("memory is nearly used up (max_memory_bytes)").await);
    assert!(gate.peak_memory_kib().is_none_or(|kib| kib < MOST >> 10), "{:?} KiB", gate.peak_memory_kib());
    // More than an eighth of what it takes is under way already.
    refused(&gate, SHORT).await;
    recovers(&gate, &upstream, held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_long_calls_is_refused_before_the_control_group_has_no_memory() {
    let _alone = ALONE.lock().await;
    let name = "a_crowd_of_long_calls_is_refused_before_the_control_group_has_no_memory";
    if !network::is_its_own(module_path!(), name) {
        return;
    }
    let group = match ControlGroup::new(GROUP) {
        Ok(group) => group,
        Err(error) => {
            writeln!(stderr(), "not tested: no control group can be made here ({error})").expect("it may be said");
            return;
        }
    };
    let upstream = Upstream::start().await;
    group.enter();
    let mut gate = world(&upstream).start().await;
    group.leave();
    assert!(gate.log.says(&format!("memory is bounded by {}", group.bound().display())).await);
    let mut crowd = JoinSet::new();
    for id in 0..CROWD {
        let (to, call) = (gate.data, call(id, LONG));
        crowd.spawn(async move {
            let mut connection = Connection::open(to).await;
            // Who is refused need not be heard out.
            connection.send(&call).await.ok();
            connection
        });
    }
    let held = crowd.join_all().await;
    let full = async || raw::call(gate.data, &call(CROWD, LONG)).await.status == 503;
    assert!(until(DEADLINE, full).await);
    refused(&gate, LONG).await;
    // There is room for others.
    let mark = upstream.count();
    let beside = begun(&gate, call(CROWD, SHORT)).await;
    assert!(upstream.wait_for(mark + 1, DEADLINE).await);
    drop(beside);
    recovers(&gate, &upstream, held).await;
    assert!(gate.is_alive(), "{}", gate.log.text());
    assert_eq!(group.ended(), 0, "the system had to end somebody");
}

#[tokio::test]
async fn of_a_crowd_of_long_calls_whoever_is_let_in_has_room_for_all_of_it() {
    let upstream = Upstream::start().await;
    let world = World::new(&upstream.url()).policy("records.yaml", READERS);
    let world = world.listen(&format!("max_body_bytes: {}", LITTLE / 8));
    let gate = world.top(&format!("max_memory_bytes: {LITTLE}")).start().await;
    let most = LITTLE / 4 / LONGER;
    let mut let_in = Vec::new();
    for id in 0..most {
        // Who is told to go on has been let in, and has sent nothing yet.
        let call = String::from_utf8(call(id, LONGER)).unwrap();
        let (line, rest) = call.split_once("\r\n").unwrap();
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        let mut connection = Connection::open(gate.data).await;
        connection.send(format!("{line}\r\nexpect: 100-continue\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(connection.read_head().await.unwrap().unwrap().start, "HTTP/1.1 100 Continue", "{id}");
        let_in.push((connection, body.to_owned()));
    }
    let refused = raw::call(gate.data, &call(most, LONGER)).await;
    assert_eq!((refused.status, refused.head.first("retry-after")), (503, Some("1")));
    assert!(refused.text().contains("too many long bodies are under way"), "{}", refused.text());
    for (mut connection, body) in let_in {
        match connection.exchange(body.as_bytes()).await {
            Answer::Response(response) => assert_eq!(response.status, 200, "{:.200}", response.text()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(raw::call(gate.data, &call(most, LONGER)).await.status, 200, "there is room again");
}

/// A gate before a server that answers when it is told to.
fn world(upstream: &Upstream) -> World {
    upstream.answer_with(|request: &Recorded| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let policy = format!("{READERS}tools: {{ search_records: {{ timeout: 10m }} }}\n");
    World::new(&upstream.url()).policy("records.yaml", &policy)
}

/// A call with an argument so long.
fn call(id: usize, length: usize) -> Vec<u8> {
    let argument = "x".repeat(length);
    post(ALICE, &tool_call(&id.to_string(), "search_records", &format!(r#"{{"q":"{argument}"}}"#)))
}

async fn begun(gate: &Gate, call: Vec<u8>) -> Connection {
    let mut connection = Connection::open(gate.data).await;
    connection.send(&call).await.unwrap();
    connection
}

async fn refused(gate: &Gate, length: usize) {
    let refused = raw::call(gate.data, &call(CALLS + 1, length)).await;
    assert_eq!((refused.status, refused.head.first("retry-after")), (503, Some("1")), "{:.200}", refused.text());
}

async fn recovers(gate: &Gate, upstream: &Upstream, held: Vec<Connection>) {
    upstream.release();
    drop(held);
    // However much of it the system gets back: what was freed serves the next calls.
    assert!(until(DEADLINE, async || raw::call(gate.data, &call(1, SHORT)).await.status == 200).await);
    let mut later = JoinSet::new();
    for id in 0..4 {
        let (to, call) = (gate.data, call(id, SHORT));
        later.spawn(async move { raw::call(to, &call).await.status });
    }
    assert!(later.join_all().await.into_iter().all(|status| status == 200));
}
