//! What a server sees of a caller and of the gate: nothing that the protocol does not need and nobody listed, and the
//! credential that is configured for it.

use std::fs;

use crate::support::gate::Gate;
use crate::support::keys::{self, ALICE};
use crate::support::message::{LEGACY, post, post_with, tool_call};
use crate::support::raw;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{self, World};
use crate::support::{DEADLINE, until};

/// One call by alice with these header fields beside the usual ones; what the server saw of it.
async fn seen(gate: &Gate, upstream: &Upstream, extra: &[(&str, &str)]) -> Recorded {
    let before = upstream.count();
    let mut headers = LEGACY.to_vec();
    headers.push(("x-api-key", ALICE));
    headers.extend(extra);
    let answer = raw::call(gate.data, &post_with(&headers, &tool_call("1", "search_records", "{}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    upstream.since(before).pop().expect("it reached the server")
}

fn names(request: &Recorded) -> Vec<&str> {
    let mut names: Vec<_> = request.head.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// What callers send, and servers have believed.
const OFFERED: [(&str, &str); 13] = [
    ("cookie", "session=1"),
    ("user-agent", "t/1"),
    ("accept-language", "de"),
    ("x-request-source", "batch"),
    ("x-request_source", "spoofed"),
    ("x-user-id", "admin"),
    ("x-gateway-principal", "admin"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-http-method-override", "DELETE"),
    ("x-tollgate-identity", "forged"),
    ("proxy-authorization", "Basic eDp5"),
    ("baggage", "user=admin"),
    ("x-custom", "1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_sees_what_the_protocol_needs_and_what_is_listed() {
    let upstream = Upstream::start().await;
    let protocol = [
        "accept",
        "content-length",
        "content-type",
        "host",
        "mcp-protocol-version",
        "traceparent",
        "x-forwarded-for",
        "x-gateway-principal",
        "x-request-id",
    ];

    let gate = World::new(&upstream.url()).start().await;
    let request = seen(&gate, &upstream, &OFFERED).await;
    assert_eq!(names(&request), protocol);
    assert_eq!(request.head.first("x-gateway-principal"), Some("alice"));

    let gate = World::new(&upstream.url()).server("forward_headers: [X-Request-Source, user-agent]").start().await;
    let request = seen(&gate, &upstream, &OFFERED).await;
    let mut listed = [&protocol[..], &["user-agent", "x-request-source"]].concat();
    listed.sort_unstable();
    assert_eq!(names(&request), listed);
    assert_eq!(request.head.all("x-request-source"), ["batch"]);
    assert!(!request.holds(ALICE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_the_gates_own_is_shown_and_follows_its_file() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url())
        .server("credential: { header: { name: X-Api-Key, value: 'file:HOME/secret' } }")
        .file("secret", "first-7Gq2\n")
        .start()
        .await;
    let request = seen(&gate, &upstream, &[]).await;
    assert_eq!(request.head.all("x-api-key"), ["first-7Gq2"], "and nothing of the caller's");

    // As a kubelet swaps a mounted Secret: by a rename.
    fs::write(gate.file("next"), "second-1Xv8\n").unwrap();
    fs::rename(gate.file("next"), gate.file("secret")).unwrap();
    let follows =
        until(DEADLINE, || async { seen(&gate, &upstream, &[]).await.head.all("x-api-key") == ["second-1Xv8"] });
    assert!(follows.await, "{}", gate.log.text());

    fs::remove_file(gate.file("secret")).unwrap();
    let told = gate.log.wait_since(0, DEADLINE, |line| line.contains("the old stays")).await;
    assert!(told.is_some(), "{}", gate.log.text());
    assert_eq!(seen(&gate, &upstream, &[]).await.head.all("x-api-key"), ["second-1Xv8"]);
    let written = gate.log.text() + &gate.decisions.text();
    for secret in ["first-7Gq2", "second-1Xv8", ALICE] {
        assert!(!written.contains(secret), "{written}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gate_says_of_its_own_shows_the_same_credential() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url())
        .server("credential: { bearer: 'file:HOME/token' }")
        .file("token", "gate-token-5Tr1")
        .policy("records.yaml", &format!("{}tools: {{ search_records: {{ timeout: 50ms }} }}\n", world::READERS))
        .start()
        .await;
    upstream.answer_with(|request| if request.holds("tools/call") { Reply::Hang } else { Reply::empty(202) });
    let answer = raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await;
    assert!(answer.text().contains("-31504"), "{}", answer.text());
    assert!(upstream.wait_for(2, DEADLINE).await, "the server hears that nobody waits any more");
    let told = upstream.since(0);
    assert!(told[1].holds("notifications/cancelled"), "{}", told[1].text());
    for request in told {
        assert_eq!(request.head.all("authorization"), ["Bearer gate-token-5Tr1"]);
        assert!(keys::ALL.iter().all(|key| !request.holds(key)));
    }
    let probed = upstream.probe().expect("the gate looks whether it is there");
    assert_eq!(probed.head.all("authorization"), ["Bearer gate-token-5Tr1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_secret_the_gate_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("policies")).unwrap();
    let config = "servers: { records: { url: 'http://127.0.0.1:9/mcp', credential: { bearer: 'env:NOBODY_SET_THIS' } } }\n\
                  listen: { address: '127.0.0.1:0' }\nadmin: { address: '127.0.0.1:0' }\n";
    fs::write(home.path().join("tollgate.yaml"), config).unwrap();
    fs::write(home.path().join("policies/records.yaml"), world::READERS).unwrap();
    fs::write(home.path().join("policies/keys.yaml"), world::principals("reader")).unwrap();
    let said = Gate::refuses(&home.path().join("tollgate.yaml"));
    assert!(said.contains("credential.bearer: env:NOBODY_SET_THIS: the variable is not set"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_tells_who_asks_is_the_gates_alone() {
    let upstream = Upstream::start().await;
    let policy = format!(
        "{}upstream_headers:\n  x-rls-user-id: {{ claim: sub }}\n  x-tenant: {{ claim: tenant, optional: true }}\n  x-roles: {{ principal: roles }}\n",
        world::READERS
    );
    let keys = world::principals("reader").replacen("roles: [reader]", "roles: [reader], claims: { sub: u-1 }", 1);
    let gate = World::new(&upstream.url())
        .server("forward_headers: [x-rls-user-id, x_rls_user_id, X-Tenant]")
        .policy("records.yaml", &policy)
        .policy("principals.yaml", &keys)
        .start()
        .await;
    let spoofed = [
        ("x-rls-user-id", "u-2"),
        ("X-RLS-User-Id", "u-2"),
        ("x_rls_user_id", "u-2"),
        ("X-Tenant", "t-2"),
        ("x-roles", "admin"),
        ("connection", "x-rls-user-id"),
    ];
    let request = seen(&gate, &upstream, &spoofed).await;
    assert_eq!(request.head.all("x-rls-user-id"), ["u-1"]);
    assert_eq!(request.head.all("x-roles"), ["reader"]);
    assert!(!request.holds("u-2"), "{}", String::from_utf8_lossy(&request.head.raw));
    // Nobody knows bob's `sub`: nothing of his reaches the server, and he does not learn what is there.
    let before = upstream.count();
    for tool in ["search_records", "get_statistics"] {
        let lines = gate.decisions.count();
        let answer = raw::call(gate.data, &post(keys::BOB, &tool_call("1", tool, "{}"))).await;
        assert!(answer.text().contains("your identity lacks what this server must know of you"), "{}", answer.text());
        let line =
            gate.decisions.wait_since(lines, DEADLINE, |line| line.contains(r#""principal":"bob""#)).await.unwrap();
        let rule = "policies/records.yaml:5 upstream_headers.x-rls-user-id";
        assert!(line.contains("unfit_claim") && line.contains(rule), "{line}");
    }
    assert_eq!(upstream.count(), before);
}
