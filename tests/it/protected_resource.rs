//! What a client finds that looks for a token: metadata and challenges, where tokens are taken and nowhere else.

use std::fs;
use std::net::SocketAddr;

use serde_json::json;

use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_with};
use crate::support::raw::{self, Answer, Connection, Response};
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const TOKENS: &str = "\
tokens:
  - issuer: https://idp.test/realms/a
    audience: https://mcp.test/records/mcp
    ask_for: [records:read]
  - issuer: https://other.test/
    audience: https://mcp.test/records/mcp
    ask_for: [records:read, openid]
";
const PUBLIC: &str = "public_url: https://mcp.test/records/mcp";
const METADATA: &str = "/.well-known/oauth-protected-resource/records/mcp";

async fn get(gate: SocketAddr, line: &str, host: &str) -> Response {
    raw::call(gate, format!("{line} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await
}

async fn challenged(gate: SocketAddr, headers: &[(&str, &str)]) -> (u16, String) {
    let ping = message("1", "ping", "{}");
    let mut all = vec![
        ("host", "localhost:8080"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    all.extend(headers);
    let response = raw::call(gate, &post_with(&all, &ping)).await;
    (response.status, response.head.first("www-authenticate").unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_says_where_to_log_in_and_challenges_say_where_it_is() {
    let upstream = Upstream::start().await;
    let running = World::new(&upstream.url()).listen(PUBLIC).policy("tokens.yaml", TOKENS).start().await;
    let gate = running.data;
    for path in [METADATA, "/.well-known/oauth-protected-resource"] {
        let response = get(gate, &format!("GET {path}"), "localhost:8080").await;
        assert_eq!((response.status, response.head.first("content-type")), (200, Some("application/json")), "{path}");
        let document = json!({
            "resource": "https://mcp.test/records/mcp",
            "authorization_servers": ["https://idp.test/realms/a", "https://other.test/"],
            "scopes_supported": ["records:read", "openid"],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(response.json().unwrap(), document, "{path}");
    }
    let told = format!("scope=\"records:read openid\", resource_metadata=\"https://mcp.test{METADATA}\"");
    let bad = format!("Bearer error=\"invalid_token\", {told}");
    assert_eq!(challenged(gate, &[]).await, (401, format!("Bearer {told}")));
    assert_eq!(challenged(gate, &[("authorization", "Basic YTpi")]).await, (401, format!("Bearer {told}")));
    assert_eq!(challenged(gate, &[("authorization", "Bearer eyJhbGciOiJub25lIn0.e30.")]).await, (401, bad.clone()));
    assert_eq!(challenged(gate, &[("authorization", "Bearer \"quoted\"")]).await, (401, bad));
    let two = challenged(gate, &[("x-api-key", ALICE), ("authorization", "Bearer a")]).await;
    assert_eq!(two.0, 400);
    assert!(two.1.starts_with("Bearer error=\"invalid_request\", resource_metadata="), "{}", two.1);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_challenged_comes_again_on_the_same_connection() {
    let upstream = Upstream::start().await;
    let running = World::new(&upstream.url()).start().await;
    let mut connection = Connection::open(running.data).await;
    let without = post_with(&LEGACY, &message("1", "ping", "{}"));
    // Clients send the head first and the body behind it.
    let at = without.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = without.split_at(at);
    for _ in 0..50 {
        connection.send(head).await.unwrap();
        match connection.exchange(body).await {
            Answer::Response(response) => assert_eq!(response.status, 401),
            other => panic!("{other:?}"),
        }
    }
    match connection.exchange(&post(ALICE, &message("1", "ping", "{}"))).await {
        Answer::Response(response) => assert_eq!(response.status, 200),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_of_oauth_is_there_and_metadata_has_the_guards_of_everything() {
    let upstream = Upstream::start().await;
    let running = World::new(&upstream.url()).listen(PUBLIC).policy("tokens.yaml", TOKENS).start().await;
    let gate = running.data;
    for (line, host, status) in [
        ("GET /.well-known/oauth-authorization-server", "localhost:8080", 404),
        ("GET /.well-known/openid-configuration", "localhost:8080", 404),
        ("GET /.well-known/oauth-protected-resource/mcp", "localhost:8080", 404),
        ("GET /.well-known/oauth-protected-resource/records/mcp/", "localhost:8080", 404),
        ("GET /authorize", "localhost:8080", 404),
        ("POST /token", "localhost:8080", 404),
        ("POST /register", "localhost:8080", 404),
        (&format!("OPTIONS {METADATA}"), "localhost:8080", 404),
        (&format!("POST {METADATA}"), "localhost:8080", 404),
        (&format!("GET {METADATA}"), "evil.test", 403),
    ] {
        assert_eq!(get(gate, line, host).await.status, status, "{line} at {host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tokens_nobody_is_sent_to_log_in_and_a_reload_changes_that() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).listen(PUBLIC).start().await;
    let metadata = async || get(gate.data, &format!("GET {METADATA}"), "localhost:8080").await.status;
    assert_eq!(metadata().await, 404);
    assert_eq!(challenged(gate.data, &[]).await, (401, "Bearer".to_owned()));
    fs::write(gate.policies().join("tokens.yaml"), TOKENS).unwrap();
    assert!(until(DEADLINE, async || metadata().await == 200).await);
    assert!(challenged(gate.data, &[]).await.1.contains("resource_metadata="));
    // Keys go on beside tokens.
    assert_eq!(raw::call(gate.data, &post(ALICE, &message("1", "ping", "{}"))).await.status, 200);
}
