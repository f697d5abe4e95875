//! The fakes against each other: what the tests stand on must hold by itself.

use std::time::Duration;

use super::DEADLINE;
use super::keys::ALICE;
use super::message::{post, tool_call};
use super::raw::{self, Answer, Connection};
use super::upstream::{Ending, Reply, Upstream};

fn call() -> Vec<u8> {
    post(ALICE, &tool_call("1", "search_records", "{}"))
}

#[tokio::test]
async fn the_server_records_exact_bytes_and_the_client_reads_its_answer() {
    let upstream = Upstream::start().await;
    let answer = raw::call(upstream.address, &call()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().unwrap()["id"], 1);
    let [seen] = &upstream.since(0)[..] else {
        panic!("one request");
    };
    assert_eq!([&seen.head.raw[..], &seen.body].concat(), call());
    assert!(seen.holds(ALICE));
}

#[tokio::test]
async fn the_server_is_late_or_says_anything_when_asked() {
    let upstream = Upstream::start().await;
    let pause = Duration::from_millis(1);
    upstream.answer(Reply::Late(pause, Box::new(Reply::empty(418))));
    assert_eq!(raw::call(upstream.address, &call()).await.status, 418);
    let odd = b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end";
    upstream.answer(Reply::Raw(odd.to_vec()));
    let answer = raw::call(upstream.address, &call()).await;
    assert_eq!(answer.text(), "until the end");
    assert_eq!(answer.interim, [100]);
}

#[tokio::test]
async fn a_stream_is_read_event_by_event_while_it_is_open() {
    let upstream = Upstream::start().await;
    let events = vec!["data: {}".to_owned()];
    upstream.answer(Reply::Events(events, Ending::StayOpen));
    let mut connection = Connection::open(upstream.address).await;
    connection.send(&call()).await.unwrap();
    let head = connection.read_head().await.unwrap().unwrap();
    assert_eq!(head.first("content-type"), Some("text/event-stream"));
    let chunk = connection.read_chunk().await.unwrap();
    assert_eq!(chunk.as_deref(), Some(&b"data: {}\n\n"[..]));
    upstream.release();
    assert_eq!(connection.read_chunk().await.unwrap(), None);

    upstream.answer(Reply::Events(Vec::new(), Ending::Clean));
    let answer = connection.exchange(&call()).await;
    assert!(matches!(answer, Answer::Response(r) if r.body.is_empty()));
}

#[tokio::test]
async fn a_peer_that_gives_up_is_noticed() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::Hang);
    let mut connection = Connection::open(upstream.address).await;
    connection.send(&call()).await.unwrap();
    assert!(upstream.wait_for(1, DEADLINE).await);
    drop(connection);
    assert!(upstream.wait_for_hang_ups(1, DEADLINE).await);
}
