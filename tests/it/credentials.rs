//! Tokens for a server: the gate's own by the client credentials grant, one for each caller in exchange, or the caller's
//! own where that is spelt out. The token endpoint is real; what it does wrong is injected.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::issuer::{Issuer, Signer, published, seconds};
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, at, message, post, post_with, tool_call};
use crate::support::raw::{self, Response};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World, principals};
use crate::support::{DEADLINE, until};

const SECRET: &str = "s3cret/+ä";

/// A token endpoint that gives out `t-1`, `t-2` and so on, each good for so many seconds.
async fn endpoint(expires_in: u64) -> Upstream {
    let endpoint = Upstream::start().await;
    gives(&endpoint, expires_in);
    endpoint
}

fn gives(endpoint: &Upstream, expires_in: u64) {
    let count = Arc::new(AtomicUsize::new(0));
    endpoint.answer_with(move |_| {
        let token = format!("t-{}", count.fetch_add(1, Ordering::Relaxed) + 1);
        Reply::json(&json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in }))
    });
}

/// A credential of this grant, by this endpoint.
fn grant(name: &str, endpoint: &Upstream, more: &str) -> String {
    let url = endpoint.url();
    format!(
        "credential: {{ {name}: {{ token_url: '{url}', client_id: 'gate:1', client_secret: 'file:HOME/secret', \
         allow_addresses: [127.0.0.0/8]{more} }} }}"
    )
}

fn world(upstream: &Upstream, credential: &str) -> World {
    World::new(&upstream.url()).server(credential).file("secret", SECRET)
}

fn search() -> String {
    tool_call("1", "search_records", "{}")
}

async fn call(gate: &Gate) -> Response {
    raw::call(gate.data, &post(ALICE, &search())).await
}

/// A call by this token of an identity provider.
async fn call_by(gate: &Gate, token: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let mut headers = LEGACY.to_vec();
    headers.push(("authorization", &bearer));
    raw::call(gate.data, &post_with(&headers, &search())).await
}

/// What servers were shown.
fn shown(requests: &[Recorded]) -> Vec<&str> {
    requests.iter().flat_map(|request| request.head.all("authorization")).collect()
}

/// A form, decoded.
fn form(request: &Recorded) -> Vec<(String, String)> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

fn is_answered(answer: &Response) -> bool {
    answer.json().is_some_and(|message| message.get("result").is_some())
}

fn error(answer: &Response) -> Value {
    answer.json().map(|message| message["error"].clone()).unwrap_or_default()
}

fn refused(answer: &Response, reason: &str) {
    let error = error(answer);
    assert_eq!((&error["code"], &error["data"]["executed"]), (&json!(-31502), &json!("no")), "{}", answer.text());
    assert_eq!(error["data"]["reason"], reason, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_of_the_gates_own_is_fetched_and_serves_every_call() {
    let (upstream, tokens) = (Upstream::start().await, endpoint(3600).await);
    let more = ", scopes: [records.read, records.write], audience: records, resource: 'https://records.internal/mcp'";
    let gate = world(&upstream, &grant("client_credentials", &tokens, more)).start().await;
    let calls: Vec<_> = (0..20).map(|_| call(&gate)).collect();
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let seen = upstream.since(0);
    assert_eq!(shown(&seen), ["Bearer t-1"; 20]);
    assert!(seen.iter().all(|request| !request.holds(ALICE)));
    let asked = tokens.since(0);
    assert_eq!(asked.len(), 1, "one fetch for all of them");
    // RFC 6749, 2.3.1: each is encoded as in a form, then both together.
    assert_eq!(asked[0].head.all("authorization"), ["Basic Z2F0ZSUzQTE6czNjcmV0JTJGJTJCJUMzJUE0"]);
    let expected = [
        ("grant_type", "client_credentials"),
        ("scope", "records.read records.write"),
        ("audience", "records"),
        ("resource", "https://records.internal/mcp"),
    ];
    assert_eq!(form(&asked[0]), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let written = gate.log.text() + &gate.decisions.text();
    assert!(!written.contains("t-1") && !written.contains("s3cret"), "{written}");
    assert_eq!(upstream.probe().unwrap().head.all("authorization"), ["Bearer t-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_before_it_ends_and_no_call_waits_for_that() {
    let (upstream, tokens) = (Upstream::start().await, endpoint(2).await);
    let gate =
        world(&upstream, &grant("client_credentials", &tokens, ", token_endpoint_auth_method: client_secret_post"))
            .start()
            .await;
    let renewed = until(DEADLINE, async || {
        assert_eq!(call(&gate).await.status, 200);
        shown(&upstream.since(0)).last() == Some(&"Bearer t-3")
    });
    assert!(renewed.await, "{}", gate.log.text());
    let asked = tokens.since(0);
    let (id, secret) = (("client_id".to_owned(), "gate:1".to_owned()), ("client_secret".to_owned(), SECRET.to_owned()));
    assert!(form(&asked[0]).contains(&id) && form(&asked[0]).contains(&secret), "{}", asked[0].text());
    assert!(asked[0].head.first("authorization").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_a_token_costs_one_more_and_no_call_is_sent_twice() {
    let (upstream, tokens) = (Upstream::start().await, endpoint(3600).await);
    upstream.answer(Reply::empty(401));
    let gate = world(&upstream, &grant("client_credentials", &tokens, "")).start().await;
    for _ in 0..5 {
        let answer = call(&gate).await;
        assert_eq!(error(&answer)["data"]["upstreamStatus"], 401, "{}", answer.text());
    }
    assert_eq!(upstream.count(), 5, "each call once");
    assert_eq!(shown(&upstream.since(0))[..2], ["Bearer t-1", "Bearer t-2"]);
    assert_eq!(tokens.count(), 2, "and not one for each call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_nothing_is_sent_and_the_log_says_why() {
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    let elsewhere = endpoint(3600).await;
    let redirect =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let token = |more: Value| {
        let mut answer = json!({ "access_token": "leaked-4Kq9", "token_type": "Bearer", "expires_in": 60 });
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Reply::json(&answer)
    };
    let failures = [
        (Reply::empty(500), "answered with 500"),
        (Reply::status(401, &json!({ "error": "invalid_client" })), "answered with 401 (invalid_client)"),
        (Reply::status(400, &json!({ "error": "leaked-4Kq9" })), "answered with 400"),
        (Reply::Raw(redirect.into_bytes()), "answered with 307"),
        (Reply::json(&json!("leaked-4Kq9")), "token_type"),
        (token(json!({ "token_type": "mac" })), "token_type"),
        (token(json!({ "expires_in": 0 })), "expires_in"),
        (token(json!({ "access_token": "leaked-4Kq9\nx: y" })), "no header can have"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"access".to_vec()), "body"),
        (Reply::BreakOff, "connection"),
    ];
    tokens.answer(Reply::empty(500));
    let gate = world(&upstream, &grant("client_credentials", &tokens, "")).start().await;
    for (failure, says) in failures {
        tokens.answer(failure);
        let told = gate.log.wait_since(0, DEADLINE, |line| line.contains(says));
        assert!(told.await.is_some(), "{says}: {}", gate.log.text());
        refused(&call(&gate).await, "credential_unavailable");
    }
    assert_eq!((upstream.count(), elsewhere.count()), (0, 0), "nothing was sent, and nobody was asked elsewhere");
    assert!(upstream.probe().is_none(), "not even to look whether the server is there");
    assert!(raw::get(gate.admin, "/readyz").await.text().contains("[-] upstream"));
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("credential_unavailable")).await.unwrap();
    assert!(line.contains("upstream_error"), "{line}");
    let written = gate.log.text() + &gate.decisions.text();
    assert!(!written.contains("leaked-4Kq9") && !written.contains("s3cret"), "{written}");
    gives(&tokens, 3600);
    assert!(until(DEADLINE, async || is_answered(&call(&gate).await)).await, "it goes on by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_token_endpoint_is_waited_for_and_asked_once() {
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    let token = json!({ "access_token": "slow", "token_type": "Bearer" });
    tokens.answer(Reply::Late(Duration::from_millis(500), Box::new(Reply::json(&token))));
    let gate = world(&upstream, &grant("client_credentials", &tokens, "")).start().await;
    // The first goes away before the token is there: that is no reason to ask again for the others.
    let impatient = tokio::time::timeout(Duration::from_millis(50), call(&gate)).await;
    let answers = futures_util::future::join_all((0..10).map(|_| call(&gate))).await;
    assert!(impatient.is_err() || tokens.count() > 0);
    assert!(answers.iter().all(is_answered));
    assert_eq!(tokens.count(), 1);
}

/// A gate whose server is shown callers' tokens so; alice and bob have keys, and whoever has a token may read.
async fn with_issuer(issuer: &Issuer, upstream: &Upstream, credential: &str) -> Gate {
    start(with_tokens(issuer, upstream, credential)).await
}

fn with_tokens(issuer: &Issuer, upstream: &Upstream, credential: &str) -> World {
    let entry = format!(
        "issuer: \"{}\", audience: \"gate\", allow_addresses: [127.0.0.0/8], roles: {{ claim: groups }}",
        issuer.url()
    );
    let callers = format!("{}tokens:\n  - {{ {entry} }}\n", principals("reader"));
    world(upstream, credential)
        .policy("principals.yaml", &callers)
        .policy("records.yaml", &format!("{READERS}tools: {{ search_records: {{ timeout: 200ms }} }}\n"))
}

async fn start(world: World) -> Gate {
    let gate = world.start().await;
    assert!(until(DEADLINE, async || raw::get(gate.admin, "/readyz").await.status == 200).await);
    gate
}

fn token(signer: &Signer, issuer: &Issuer, who: &str, ends: i64) -> String {
    let claims = json!({ "iss": issuer.url(), "aud": "gate", "sub": who, "exp": seconds(ends), "groups": ["reader"] });
    signer.token(&claims)
}

/// A token endpoint that exchanges: what it gives out names the caller.
fn exchanges(tokens: &Upstream, expires_in: u64) {
    tokens.answer_with(move |request| {
        let form = form(request);
        let subject = form.iter().find(|(name, _)| name == "subject_token").map(|(_, token)| token.clone());
        let claims = subject.and_then(|token| token.split('.').nth(1).map(str::to_owned)).unwrap_or_default();
        let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        match claims["sub"].as_str() {
            Some("mallory") | None => Reply::status(400, &json!({ "error": "invalid_grant" })),
            Some(who) => Reply::json(&json!({
                "access_token": format!("for-{who}"), "token_type": "Bearer", "expires_in": expires_in,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            })),
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_has_a_token_of_its_own_in_exchange_and_whoever_has_none_is_refused() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    exchanges(&tokens, 3600);
    let gate = with_issuer(&issuer, &upstream, &grant("token_exchange", &tokens, ", audience: records")).await;
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|who| token(&signer, &issuer, who, 600));
    for _ in 0..3 {
        for (caller, is_shown) in [(&alice, "Bearer for-alice"), (&bob, "Bearer for-bob")] {
            let before = upstream.count();
            assert!(is_answered(&call_by(&gate, caller).await));
            let seen = upstream.since(before);
            assert_eq!(shown(&seen), [is_shown]);
            assert!(!seen[0].holds(caller), "its own token does not pass");
        }
    }
    assert_eq!(tokens.count(), 2, "one exchange for each caller's token");
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", alice.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", "records"),
    ];
    assert_eq!(form(&tokens.since(0)[0]), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let before = upstream.count();
    refused(&call_by(&gate, &mallory).await, "exchange_refused");
    refused(&call(&gate).await, "caller_without_token");
    assert_eq!(upstream.count(), before);
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("caller_without_token")).await.unwrap();
    assert!(line.contains(r#""outcome":"denied""#), "{line}");
    let written = gate.log.text() + &gate.decisions.text();
    for secret in [&alice, &bob, &mallory, "for-alice"] {
        assert!(!written.contains(secret), "{written}");
    }
    // What the gate says of its own on behalf of alice, it says as alice.
    upstream.answer_with(|request| if request.holds("tools/call") { Reply::Hang } else { Reply::empty(202) });
    let before = upstream.count();
    assert!(call_by(&gate, &alice).await.text().contains("-31504"));
    assert!(upstream.wait_for(before + 2, DEADLINE).await);
    assert_eq!(shown(&upstream.since(before)), ["Bearer for-alice"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_for_each_caller_is_asked_with_the_callers_token() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    exchanges(&tokens, 3600);
    let said = grant("token_exchange", &tokens, ", audience: records") + ", catalogue: { per: caller }";
    let views = "views: { all: { servers: { records: { tools: [\"*\"] } } } }\n";
    let gate = start(with_tokens(&issuer, &upstream, &said).policy("views.yaml", views)).await;
    let say = async |who: &str, session: Option<&str>, body: &str| {
        let bearer = format!("Bearer {}", token(&signer, &issuer, who, 600));
        let mut headers = LEGACY.to_vec();
        headers.push(("authorization", &bearer));
        headers.extend(session.map(|session| ("mcp-session-id", session)));
        raw::call(gate.data, &at("/views/all/mcp", &post_with(&headers, body))).await
    };
    let hello = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
    for (who, tools) in [("alice", 3), ("mallory", 0), ("bob", 3)] {
        let before = upstream.count();
        let begun = say(who, None, &message("0", "initialize", hello)).await;
        let session = begun.head.first("mcp-session-id").unwrap_or_else(|| panic!("{}", begun.text()));
        let list = say(who, Some(session), &message("1", "tools/list", "{}")).await.json().unwrap();
        assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(tools), "{who}: {list}");
        let seen = upstream.since(before);
        let listed = seen.iter().filter(|request| request.holds("tools/list")).count();
        assert_eq!(listed, usize::from(tools > 0), "nobody asks for who has no token there");
        assert!(seen.iter().all(|request| shown(std::slice::from_ref(request)) == [format!("Bearer for-{who}")]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchanged_token_counts_no_longer_than_either() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    exchanges(&tokens, 1);
    let gate = with_issuer(&issuer, &upstream, &grant("token_exchange", &tokens, ", audience: records")).await;
    let alice = token(&signer, &issuer, "alice", 600);
    let again = until(DEADLINE, async || {
        assert!(is_answered(&call_by(&gate, &alice).await));
        tokens.count() > 2
    });
    assert!(again.await, "its own end counts");
    exchanges(&tokens, 3600);
    // The gate's leeway of 30 s included, this one is good for a second.
    let short = token(&signer, &issuer, "bob", -29);
    assert!(is_answered(&call_by(&gate, &short).await));
    let over = until(DEADLINE, async || call_by(&gate, &short).await.status == 401);
    assert!(over.await, "and so does the caller's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_own_token_passes_only_where_that_is_spelt_out() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let upstream = Upstream::start().await;
    let gate = with_issuer(&issuer, &upstream, "credential: { passthrough: authorization }").await;
    let alice = token(&signer, &issuer, "alice", 600);
    assert!(is_answered(&call_by(&gate, &alice).await));
    assert_eq!(shown(&upstream.since(0)), [format!("Bearer {alice}")]);
    refused(&call(&gate).await, "caller_without_token");
    assert_eq!(upstream.count(), 1);
    assert!(!(gate.log.text() + &gate.decisions.text()).contains(&alice));
}
