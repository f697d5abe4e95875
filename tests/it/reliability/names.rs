//! R29: the name of a server cannot be looked up for a while, or leads elsewhere.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::load::size;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::network::{self, NameServer, Says, TTL};
use crate::support::raw;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const PORT: u16 = 8000;
const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Calls at once.
const CROWD: usize = 4;

async fn search(gate: &Gate) {
    let answer = raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await;
    assert!(answer.json().unwrap().get("result").is_some(), "{}", answer.text());
}

/// Calls that are under way at once, each of which needs a connection.
async fn crowd(gate: &Gate, at: &Upstream) {
    at.hold();
    at.answer_with(|request| Reply::OnRelease(Box::new(Reply::obliging(request))));
    let (mark, to) = (at.count(), gate.data);
    let mut calls = JoinSet::new();
    for _ in 0..CROWD {
        calls.spawn(async move { raw::call(to, &post(ALICE, &tool_call("1", "search_records", "{}"))).await.status });
    }
    assert!(at.wait_for(mark + CROWD, DEADLINE).await, "all are there");
    at.release();
    assert!(calls.join_all().await.iter().all(|status| *status == 200));
    at.answer_with(Reply::obliging);
}

/// The same as ever, and then its connection is closed: the next call needs another.
fn hangs_up(request: &Recorded) -> Reply {
    match Reply::obliging(request) {
        Reply::Whole { status, mut headers, body } => {
            headers.push(("connection".to_owned(), "close".to_owned()));
            Reply::Whole { status, headers, body }
        }
        other => other,
    }
}

/// Calls go on for a while, each over a connection of its own.
async fn goes_on(gate: &Gate, at: &Upstream) {
    at.answer_with(hangs_up);
    let (mark, began, mut calls) = (at.count(), Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(size(3, 30) as u64) {
        search(gate).await;
        calls += 1;
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(at.count() - mark, calls);
    at.answer_with(Reply::obliging);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_fails_leads_where_it_led_and_one_that_moves_takes_all_calls_with_it() {
    let name = "a_name_that_fails_leads_where_it_led_and_one_that_moves_takes_all_calls_with_it";
    if !network::is_its_own(module_path!(), name) {
        return;
    }
    let names = NameServer::start(Says::At(OLD)).await;
    let (old, new) = (Upstream::start_at((OLD, PORT).into()).await, Upstream::start_at((NEW, PORT).into()).await);
    let mut gate = World::new(&format!("http://records.test:{PORT}/mcp")).start().await;
    search(&gate).await;

    names.says(Says::Fails);
    assert!(names.is_asked().await);
    goes_on(&gate, &old).await;

    // Its connections are kept, and lead to where the name leads no more.
    crowd(&gate, &old).await;
    names.says(Says::At(OLD));
    assert!(names.is_asked().await, "as late as can be before it is asked again");
    names.says(Says::At(NEW));
    let (moved, demanded) = (Instant::now(), Duration::from_secs(u64::from(TTL) + 1));
    let arrives = async || {
        search(&gate).await;
        new.count() > 0
    };
    assert!(until(DEADLINE, arrives).await);
    assert!(moved.elapsed() <= demanded, "{:?}", moved.elapsed());
    let mark = old.count();
    crowd(&gate, &new).await;
    assert_eq!(old.count(), mark, "nobody is led there any more");

    // A name server that is silent keeps nobody waiting: a call would give up before it had an answer.
    names.says(Says::Nothing);
    assert!(names.is_asked().await);
    goes_on(&gate, &new).await;
    assert_eq!(old.count(), mark);
    assert_eq!(gate.terminate().await, Some(0));
}
