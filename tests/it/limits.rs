//! How much callers may have, as they see it.

use std::net::SocketAddr;

use crate::support::keys::{ALICE, BOB};
use crate::support::message::{message, post, tool_call};
use crate::support::raw::{self, Response};
use crate::support::upstream::Upstream;
use crate::support::world::{READERS, World};

async fn search(gate: SocketAddr, key: &str) -> Response {
    raw::call(gate, &post(key, &tool_call("1", "search_records", "{}"))).await
}

fn refusal(response: &Response) -> String {
    response.json().unwrap()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_has_got_counts_against_its_bytes_and_nobody_elses() {
    let upstream = Upstream::start().await;
    let policy = format!("{READERS}limits: [{{ bytes: 100, every: 1h, per: principal }}]\n");
    let gate = World::new(&upstream.url()).policy("records.yaml", &policy).start().await;
    let first = search(gate.data, ALICE).await;
    assert!(first.text().contains("result") && first.body.len() > 10, "{}", first.text());
    // However long the answers are, soon there is no room for another one.
    let mut last = first;
    for _ in 0..20 {
        last = search(gate.data, ALICE).await;
    }
    assert!(refusal(&last).starts_with("limit of bytes: at most 100 in 1h per principal"), "{}", last.text());
    assert!(last.head.first("retry-after").is_some());
    assert_eq!(refusal(&search(gate.data, BOB).await), "", "another caller has bytes of its own");
    let listing = raw::call(gate.data, &post(ALICE, &message("1", "tools/list", "{}"))).await;
    assert_eq!(refusal(&listing), "", "what there is can still be asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_told_what_is_left_where_that_is_set() {
    let upstream = Upstream::start().await;
    let policy = format!(
        "{READERS}limits:\n  - {{ calls: 100, every: 1h, per: server }}\n  - {{ cost: 10, every: 1m, per: principal }}\n\
         tools: {{ search_records: {{ cost: 4 }} }}\n"
    );
    let world = World::new(&upstream.url()).policy("records.yaml", &policy);
    let told = |response: &Response| response.head.first("ratelimit").map(str::to_owned);
    assert_eq!(told(&search(world.start().await.data, ALICE).await), None);
    let gate = world.listen("rate_limit_header: true").start().await;
    assert_eq!(told(&search(gate.data, ALICE).await).as_deref(), Some("\"cost\";r=6;t=60"));
    assert_eq!(told(&search(gate.data, ALICE).await).as_deref(), Some("\"cost\";r=2;t=60"));
    assert_eq!(
        refusal(&search(gate.data, ALICE).await).split(';').next(),
        Some("limit of cost: at most 10 in 1m per principal")
    );
    assert_eq!(told(&search(gate.data, BOB).await).as_deref(), Some("\"cost\";r=6;t=60"));
}
