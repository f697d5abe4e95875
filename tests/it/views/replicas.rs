//! Several gates before the same servers: a client of an earlier revision goes on at another one than began its session.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::session::{HELLO, Two, greeted};
use super::text;
use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{LEGACY, at, message, post_with, tool_call};
use crate::support::raw::{self, Response};
use crate::support::shim::Shim;
use crate::support::store::Store;
use crate::support::world::World;
use crate::support::{DEADLINE, until};

/// A server by itself, and a view of several.
const PATHS: [(&str, &str); 2] = [("/records/mcp", "records"), ("/mcp", "_none")];

pub(super) fn sealing(world: World, keys: &[&str]) -> World {
    let named: Vec<_> = (0..keys.len()).map(|n| format!("\"env:SEALING_{n}\"")).collect();
    let set = |world: World, (n, key): (usize, &&str)| world.environment(&[(&format!("SEALING_{n}"), key.repeat(32))]);
    let world = world.top(&format!("sealing_keys: [{}]", named.join(", ")));
    keys.iter().enumerate().fold(world, set)
}

fn with_store(world: World, url: &str) -> World {
    world.file("store", url).top("limits_store: { url: \"file:HOME/store\", timeout: 1s }")
}

fn headers<'a>(key: &'a str, session: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let session = session.map(|session| ("mcp-session-id", session));
    LEGACY.into_iter().chain([("x-api-key", key)]).chain(session).collect()
}

async fn begin(gate: SocketAddr, path: &str, hello: &str) -> String {
    let hello = at(path, &post_with(&headers(ALICE, None), &message("0", "initialize", hello)));
    let begun = raw::call(gate, &hello).await;
    begun.head.first("mcp-session-id").unwrap_or_else(|| panic!("{}", begun.text())).to_owned()
}

async fn call(gate: SocketAddr, path: &str, within: (&str, &str)) -> Response {
    say(gate, path, within, &tool_call("1", "count", "{}")).await
}

async fn say(gate: SocketAddr, path: &str, (key, session): (&str, &str), body: &str) -> Response {
    raw::call(gate, &at(path, &post_with(&headers(key, Some(session)), body))).await
}

async fn end(gate: SocketAddr, path: &str, session: &str) -> u16 {
    let end = format!(
        "DELETE {path} HTTP/1.1\r\nhost: localhost:8080\r\nx-api-key: {ALICE}\r\nmcp-session-id: {session}\r\n\r\n"
    );
    raw::call(gate, end.as_bytes()).await.status
}

/// How many sessions that came from elsewhere became what.
async fn became(gate: &Gate, server: &str, result: &str) -> Option<f64> {
    let name = format!("tollgate_sessions_resumptions_total{{result=\"{result}\",server=\"{server}\"}}");
    gate.metric(&name).await
}

/// Waits until the store knows of so many sessions that have ended.
async fn noted(store: &Store, count: usize) -> bool {
    let keys = async || store.ask("KEYS tollgate:sessions:ended:*").await.unwrap_or_default();
    until(DEADLINE, async || keys().await.lines().filter(|line| line.starts_with("tollgate:")).count() == count).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_at_another_gate_when_the_one_that_began_it_is_killed() {
    let two = Two::start().await;
    let world = sealing(two.world(), &["a"]);
    let (one, other) = (world.start().await, world.start().await);
    let mut begun = Vec::new();
    for (path, server) in PATHS {
        let id = begin(one.data, path, HELLO).await;
        assert!(id.bytes().all(|b| (0x21..=0x7e).contains(&b)) && id.len() < 1000, "{id}");
        let answer = call(one.data, path, (ALICE, &id)).await;
        begun.push((path, server, id, text(&answer.json().unwrap()).to_owned()));
    }
    let before = greeted(&two.records);
    drop(one); // SIGKILL
    for (path, server, id, said) in begun {
        for _ in 0..3 {
            let answer = call(other.data, path, (ALICE, &id)).await;
            let went_on = answer.json().unwrap_or_else(|| panic!("{path}: {} {}", answer.status, answer.text()));
            match server {
                "records" => assert_eq!(text(&went_on), said, "the session at the server is the same"),
                _ => assert!(text(&went_on).starts_with("records count records-"), "{went_on}"),
            }
        }
        assert_eq!(
            (became(&other, server, "ok").await, became(&other, server, "ended").await),
            (Some(1.0), Some(0.0)),
            "{path}"
        );
        assert_eq!(end(other.data, path, &id).await, 200, "{path}");
        assert_eq!(call(other.data, path, (ALICE, &id)).await.status, 404, "{path}: it has ended here");
    }
    assert_eq!(greeted(&two.records), before + 1, "a view greets a server anew, and nobody else does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_goes_on_with_a_session_that_is_not_theirs() {
    let two = Two::start().await;
    let world = sealing(two.world(), &["a"]);
    let (one, other) = (world.start().await, world.start().await);
    let (of_server, of_view) = (begin(one.data, "/records/mcp", HELLO).await, begin(one.data, "/mcp", HELLO).await);
    let list = message("1", "tools/list", "{}");
    let unknown = say(other.data, "/mcp", (ALICE, "made-up"), &list).await;
    for (path, who, id) in [
        ("/records/mcp", BOB, &of_server),
        ("/billing/mcp", ALICE, &of_server),
        ("/mcp", ALICE, &of_server),
        ("/mcp", BOB, &of_view),
        ("/views/some/mcp", ALICE, &of_view),
        ("/records/mcp", ALICE, &of_view),
    ] {
        let answer = say(other.data, path, (who, id), &list).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert_eq!(answer.json().unwrap()["error"]["message"], unknown.json().unwrap()["error"]["message"]);
    }
    for place in (0..of_server.len()).step_by(11).chain([of_server.len() - 1]) {
        let mut changed = of_server.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(call(other.data, "/records/mcp", (ALICE, &changed)).await.status, 404, "{place}");
    }
    for (path, id) in [("/records/mcp", &of_server), ("/mcp", &of_view)] {
        assert_eq!(call(other.data, path, (ALICE, id)).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_at_one_gate_goes_on_at_none() {
    let (two, store) = (Two::start().await, Store::start().await);
    let world = with_store(sealing(two.world(), &["a"]), &store.url());
    let (one, other) = (world.start().await, world.start().await);
    for (count, (path, server)) in (1..).zip(PATHS) {
        let id = begin(one.data, path, HELLO).await;
        assert_eq!(call(one.data, path, (ALICE, &id)).await.status, 200);
        assert_eq!(end(one.data, path, &id).await, 200);
        assert!(noted(&store, if server == "records" { 1 } else { 3 }).await, "{path}: {count}");
        for gate in [&one, &other] {
            assert_eq!(call(gate.data, path, (ALICE, &id)).await.status, 404, "{path}");
            assert_eq!(became(gate, server, "ended").await, Some(1.0), "{path}");
        }
    }
    let names = store.ask("KEYS tollgate:sessions:ended:*").await.unwrap();
    for name in names.lines().filter(|line| line.starts_with("tollgate:")) {
        let left: i64 = store.ask(&format!("PTTL {name}")).await.unwrap()[1..].trim().parse().unwrap();
        assert!((1..=7 * 24 * 3600 * 1000).contains(&left), "it is forgotten when no ticket of it is good: {left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_knows_what_has_ended_nothing_goes_on_and_what_ends_is_told_later() {
    let (two, mut store) = (Two::start().await, Store::start().await);
    let world = with_store(sealing(two.world(), &["a"]), &store.url());
    let (one, other) = (world.start().await, world.start().await);
    let (ended, alive) = (begin(one.data, "/records/mcp", HELLO).await, begin(one.data, "/records/mcp", HELLO).await);
    store.kill();
    assert_eq!(call(other.data, "/records/mcp", (ALICE, &alive)).await.status, 404);
    assert_eq!(became(&other, "records", "unasked").await, Some(1.0));
    assert_eq!(call(one.data, "/records/mcp", (ALICE, &alive)).await.status, 200, "where it is, nobody need be asked");
    assert_eq!(end(one.data, "/records/mcp", &ended).await, 200);
    store.come_back().await;
    let goes_on = async || call(other.data, "/records/mcp", (ALICE, &alive)).await.status == 200;
    assert!(noted(&store, 1).await && until(DEADLINE, goes_on).await);
    assert_eq!(call(other.data, "/records/mcp", (ALICE, &ended)).await.status, 404);
    assert_eq!(became(&other, "records", "ended").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_without_an_end_of_sessions() {
    let two = Two::start().await;
    let gate = async |keys: &[&str]| sealing(two.world(), keys).start().await;
    let (old, both, new) = (gate(&["a"]).await, gate(&["b", "a"]).await, gate(&["b"]).await);
    for (path, _) in PATHS {
        let id = begin(old.data, path, HELLO).await;
        assert_eq!(call(both.data, path, (ALICE, &id)).await.status, 200, "{path}");
        assert_eq!(call(new.data, path, (ALICE, &id)).await.status, 404, "{path}: the old key is gone");
        let id = begin(both.data, path, HELLO).await;
        assert_eq!(call(new.data, path, (ALICE, &id)).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_elsewhere_is_one_and_takes_the_room_of_one() {
    let (two, store) = (Two::start().await, Store::start().await);
    // All ask it before any of them is answered.
    let slow = Shim::slow(store.address, Duration::from_millis(100));
    let world = with_store(sealing(two.world(), &["a"]), &format!("redis://{}/", slow.address));
    let (one, other) = (world.start().await, world.top("sessions: { max_per_principal: 1 }").start().await);
    for (path, server) in PATHS {
        let (id, more) = (begin(one.data, path, HELLO).await, begin(one.data, path, HELLO).await);
        let at_once = join_all((0..16).map(|_| call(other.data, path, (ALICE, &id)))).await;
        let statuses: Vec<_> = at_once.iter().map(|answer| answer.status).collect();
        assert_eq!((statuses, became(&other, server, "ok").await), (vec![200; 16], Some(1.0)), "{path}");
        assert_eq!(call(other.data, path, (ALICE, &more)).await.status, 429, "{path}");
        assert_eq!(became(&other, server, "no_room").await, Some(1.0), "{path}");
        assert_eq!(end(other.data, path, &id).await, 200);
        assert_eq!(call(other.data, path, (ALICE, &more)).await.status, 200, "{path}");
        assert_eq!(end(other.data, path, &more).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_or_with_too_much_to_carry_a_session_stays_where_it_began() {
    let two = Two::start().await;
    let (one, other) = (two.world().start().await, two.world().start().await);
    let stays = async |one: &Gate, other: &Gate, path: &str, hello: &str| {
        let id = begin(one.data, path, hello).await;
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert_eq!(call(one.data, path, (ALICE, &id)).await.status, 200);
        assert_eq!(call(other.data, path, (ALICE, &id)).await.status, 404);
    };
    for (path, _) in PATHS {
        stays(&one, &other, path, HELLO).await;
    }
    let world = sealing(two.world(), &["a"]);
    let (one, other) = (world.start().await, world.start().await);
    let long = HELLO.replace("\"name\":\"client\"", &format!("\"name\":\"client\",\"title\":\"{}\"", "x".repeat(5000)));
    stays(&one, &other, "/mcp", &long).await;
}
