//! Callers with tokens of an identity provider: keys that change under load, an issuer that is down, streams that end.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::issuer::{Answer, Issuer, Signer, published, seconds};
use crate::support::message::{LEGACY, post_with, tool_call};
use crate::support::raw::{Answer as Heard, Connection};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{World, principals};
use crate::support::{DEADLINE, raw, until};

const AUDIENCE: &str = "https://gateway.test/mcp";

fn tokens(issuer: &Issuer, more: &str) -> String {
    let url = issuer.url();
    let roles = "roles: { claim: groups, map: { analysts: reader } }";
    let entry = format!("issuer: \"{url}\", audience: \"{AUDIENCE}\", allow_addresses: [127.0.0.0/8], {roles}{more}");
    format!("{}tokens:\n  - {{ {entry} }}\n", principals("reader"))
}

fn claims(issuer: &Issuer, ends: i64) -> Value {
    json!({ "iss": issuer.url(), "aud": AUDIENCE, "sub": "alice", "exp": seconds(ends), "groups": ["analysts"] })
}

fn call(token: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let mut headers = LEGACY.to_vec();
    headers.push(("authorization", &bearer));
    post_with(&headers, &tool_call("1", "search_records", "{}"))
}

async fn ready(gate: &Gate) -> bool {
    raw::get(gate.admin, "/readyz").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_changes_its_keys_under_load_and_no_call_fails() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let issuer = Issuer::start(published(&[&old])).await;
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).policy("principals.yaml", &tokens(&issuer, "")).start().await;
    assert!(until(DEADLINE, async || ready(&gate).await).await);
    let (by_old, by_new) = (old.token(&claims(&issuer, 600)), new.token(&claims(&issuer, 600)));
    let rotated = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let [by_old, by_new] = [&by_old, &by_new].map(|token| call(token));
            tokio::spawn(call_on(gate.data, by_old, by_new, Arc::clone(&rotated)))
        })
        .collect();
    assert!(upstream.wait_for(100, DEADLINE).await);
    issuer.answer(published(&[&new, &old]));
    rotated.store(true, Ordering::Release);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(issuer.asked(), 2, "once at the start, and once for the new key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_nobody_is_let_in_and_the_gate_says_that_it_is_not_ready() {
    let signer = Signer::rs256("k1");
    let issuer = Issuer::start(Answer::Down).await;
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).policy("principals.yaml", &tokens(&issuer, "")).start().await;
    let token = signer.token(&claims(&issuer, 600));
    let refused = raw::call(gate.data, &call(&token)).await;
    assert_eq!((refused.status, refused.head.first("retry-after")), (503, Some("5")), "{}", refused.text());
    assert!(refused.head.first("www-authenticate").is_none(), "another token would fare no better");
    assert!(raw::get(gate.admin, "/readyz").await.text().contains("[-] issuers"));
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("issuer_unavailable")).await;
    assert!(line.is_some(), "{}", gate.decisions.text());
    assert_eq!(upstream.count(), 0);
    issuer.answer(published(&[&signer]));
    assert!(until(DEADLINE, async || raw::call(gate.data, &call(&token)).await.status == 200).await);
    assert!(until(DEADLINE, async || ready(&gate).await).await);
    let metrics = raw::get(gate.admin, "/metrics").await.text();
    assert!(metrics.contains("tollgate_authentication_failures_total{reason=\"issuer_unavailable\"}"), "{metrics}");
    assert!(metrics.contains("tollgate_issuer_keys_age_seconds{issuer="), "{metrics}");
}

/// Calls with the old token, and a hundred times with the new one once it is there. Every call is answered.
async fn call_on(to: SocketAddr, by_old: Vec<u8>, by_new: Vec<u8>, rotated: Arc<AtomicBool>) {
    let (mut connection, mut after) = (Connection::open(to).await, 0);
    while after < 100 {
        let is_rotated = rotated.load(Ordering::Acquire);
        let heard = connection.exchange(if is_rotated { &by_new } else { &by_old }).await;
        let Heard::Response(response) = heard else { panic!("{heard:?}") };
        assert_eq!(response.status, 200, "{}", response.text());
        after += usize::from(is_rotated);
    }
}

/// A stream that stays open by itself.
fn held_open(request: &Recorded) -> Reply {
    if request.method == "GET" {
        return Reply::Events(Vec::new(), Ending::StayOpen);
    }
    Reply::obliging(request)
}

/// Opens a stream with this token.
async fn open(gate: &Gate, token: &str) -> Connection {
    let mut request = String::from("GET /mcp HTTP/1.1\r\n");
    let bearer = format!("Bearer {token}");
    let kept = LEGACY.into_iter().filter(|(name, _)| !["accept", "content-type"].contains(name));
    for (name, value) in kept.chain([("accept", "text/event-stream"), ("authorization", bearer.as_str())]) {
        request.extend([name, ": ", value, "\r\n"]);
    }
    let mut connection = Connection::open(gate.data).await;
    connection.send((request + "\r\n").as_bytes()).await.unwrap();
    let head = connection.read_head().await.unwrap().unwrap();
    assert_eq!(head.first("content-type"), Some("text/event-stream"));
    connection
}

/// Reads until the stream ends.
async fn ends(mut stream: Connection) -> bool {
    let reading = async { while let Ok(Some(_)) = stream.read_chunk().await {} };
    tokio::time::timeout(DEADLINE, reading).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_token_and_with_its_issuer() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let upstream = Upstream::start().await;
    upstream.answer_with(held_open);
    let gate = World::new(&upstream.url()).policy("principals.yaml", &tokens(&issuer, ", leeway: 0s")).start().await;
    assert!(until(DEADLINE, async || ready(&gate).await).await);
    let short = open(&gate, &signer.token(&claims(&issuer, 2))).await;
    let long = open(&gate, &signer.token(&claims(&issuer, 600))).await;
    assert!(ends(short).await, "it ends when its token does");
    assert_eq!(gate.metric("tollgate_streams").await, Some(1.0), "the other goes on");
    fs::write(gate.policies().join("principals.yaml"), principals("reader")).unwrap();
    assert!(ends(long).await, "it ends when its issuer is taken out");
}
