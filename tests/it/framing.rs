//! Framing that other readers may read otherwise is refused whenever it comes: with the head, or long after it.

use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::Upstream;
use crate::support::world::World;

/// A head that asks for leave to send its body. Once that is given, the gate has judged the head and reads on.
fn head() -> String {
    let mut head = String::from("POST /mcp HTTP/1.1\r\n");
    let rest = [("x-api-key", ALICE), ("expect", "100-continue"), ("transfer-encoding", "chunked")];
    for (name, value) in LEGACY.into_iter().chain(rest) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head + "\r\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flaw_in_a_body_that_comes_later_is_refused_like_one_that_comes_at_once() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let call = tool_call("1", "search_records", "{}");
    let size = format!("{:x}", call.len());
    let long = "a".repeat(300);
    let bodies = [
        ("sound", format!("{size};a=b\r\n{call}\r\n0\r\n\r\n"), 200),
        ("a long chunk extension", format!("{size};{long}\r\n{call}\r\n0\r\n\r\n"), 400),
        ("bare line feeds", format!("{size}\n{call}\n0\n\n"), 400),
        ("no line end behind a chunk", format!("{size}\r\n{call}xx0\r\n\r\n"), 400),
    ];
    for (what, body, status) in bodies {
        let mut connection = Connection::open(gate.data).await;
        connection.send(head().as_bytes()).await.unwrap();
        let leave = connection.read_head().await.unwrap().expect("leave to go on");
        assert!(leave.start.contains("100"), "{what}: {}", leave.start);
        let before = upstream.count();
        match connection.exchange(body.as_bytes()).await {
            Answer::Response(r) => assert_eq!(r.status, status, "{what}: {}", r.text()),
            other => panic!("{what}: {other:?}"),
        }
        let carried = usize::from(status == 200);
        assert_eq!(upstream.count() - before, carried, "{what}");
        if status != 200 {
            assert!(connection.closes().await, "{what}: the connection is done");
        }
    }
}
