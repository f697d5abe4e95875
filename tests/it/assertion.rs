//! Who asks, as the gate signs it for the server.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate::upstream::SigningKey;

use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, post_with, tool_call};
use crate::support::pki::put;
use crate::support::raw;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World, principals};
use crate::support::{DEADLINE, until};

pub(crate) const ISSUER: &str = "https://gate.test/mcp";

pub(crate) fn key() -> String {
    SigningKey::generate().unwrap().expose().to_owned()
}

fn world(upstream: &Upstream, more: &str) -> World {
    let said = format!("assertion: {{ keys: ['file:HOME/new', 'file:HOME/old'], issuer: '{ISSUER}'{more} }}");
    let callers =
        principals("reader").replacen("roles: [reader]", "roles: [reader], claims: { store_id: s1, sub: root }", 1);
    World::new(&upstream.url())
        .server(&said)
        .file("new", &key())
        .file("old", &key())
        .policy("principals.yaml", &callers)
}

/// What the server saw of a call with these headers.
async fn seen(gate: &Gate, upstream: &Upstream, extra: &[(&str, &str)]) -> Recorded {
    let before = upstream.count();
    let mut headers = LEGACY.to_vec();
    headers.push(("x-api-key", ALICE));
    headers.extend(extra);
    let answer = raw::call(gate.data, &post_with(&headers, &tool_call("1", "search_records", "{\"a\":1}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    upstream.since(before).pop().expect("it reached the server")
}

pub(crate) async fn jwks(gate: &Gate) -> JwkSet {
    let answer = raw::get(gate.admin, "/.well-known/jwks.json").await;
    assert_eq!(answer.head.first("content-type"), Some("application/jwk-set+json"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// The claims of an assertion that these keys verify.
pub(crate) fn verified(token: &str, keys: &JwkSet) -> Value {
    let header = decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("tollgate-assertion+jwt"));
    let key = keys.find(&header.kid.unwrap()).expect("its key is published");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["records"]);
    validation.set_issuer(&[ISSUER]);
    decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

pub(crate) fn digest(body: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_can_verify_who_asks_and_for_what() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream, ", claims: [store_id, nobody_has_it]").start().await;
    let forged = [("x-tollgate-assertion", "forged"), ("x_tollgate_assertion", "forged")];
    let request = seen(&gate, &upstream, &forged).await;
    assert!(!request.holds("forged"), "{}", String::from_utf8_lossy(&request.head.raw));
    let [token] = request.head.all("x-tollgate-assertion")[..] else { panic!("one assertion") };
    let keys = jwks(&gate).await;
    let claims = verified(token, &keys);
    assert_eq!(keys.keys.len(), 2);
    let members = ["iss", "sub", "aud", "principal", "roles", "store_id", "jti", "body_sha256"];
    let told: Vec<_> = members.iter().map(|name| claims[name].clone()).collect();
    let id = request.head.first("x-request-id").unwrap();
    let expected = json!([ISSUER, "alice", "records", "alice", ["reader"], "s1", id, digest(&request.body)]);
    assert_eq!(Value::from(told), expected);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert_eq!(claims.as_object().unwrap().len(), 10, "nothing else is said: {claims}");
    assert!(!(gate.log.text() + &gate.decisions.text()).contains(token));
    let public = serde_json::to_string(&keys).unwrap();
    assert!(!public.contains("\"d\""), "only public halves are published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gate_says_of_its_own_is_signed_too_and_beside_a_credential() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url())
        .server(&format!(
            "credential: {{ header: {{ name: x-api-key, value: 'file:HOME/secret' }} }}, \
             assertion: {{ keys: ['file:HOME/new'], issuer: '{ISSUER}', header: authorization, lifetime: 5s }}"
        ))
        .file("new", &key())
        .file("secret", "s-7Gq2")
        .policy("records.yaml", &format!("{READERS}tools: {{ search_records: {{ timeout: 50ms }} }}\n"))
        .start()
        .await;
    upstream.answer_with(|request| if request.holds("tools/call") { Reply::Hang } else { Reply::empty(202) });
    let keys = jwks(&gate).await;
    seen(&gate, &upstream, &[]).await;
    assert!(upstream.wait_for(2, DEADLINE).await, "the server hears that nobody waits any more");
    let told = upstream.since(0);
    assert!(told[1].holds("notifications/cancelled"), "{}", told[1].text());
    for request in told {
        assert_eq!(request.head.all("x-api-key"), ["s-7Gq2"]);
        let [bearer] = request.head.all("authorization")[..] else { panic!("one assertion") };
        let claims = verified(bearer.strip_prefix("Bearer ").unwrap(), &keys);
        assert_eq!((&claims["sub"], &claims["body_sha256"]), (&json!("alice"), &json!(digest(&request.body))));
    }
    assert!(upstream.probe().unwrap().head.first("authorization").is_none(), "nobody asks when the gate looks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_signs_once_it_is_there_and_the_old_one_still_verifies() {
    let upstream = Upstream::start().await;
    let gate = world(&upstream, "").start().await;
    let before = seen(&gate, &upstream, &[]).await.head.first("x-tollgate-assertion").unwrap().to_owned();
    put(&gate.file("old"), &std::fs::read_to_string(gate.file("new")).unwrap());
    put(&gate.file("new"), &key());
    let kid = |token: &str| decode_header(token).unwrap().kid;
    let rotated = until(DEADLINE, async || {
        let now = seen(&gate, &upstream, &[]).await.head.first("x-tollgate-assertion").unwrap().to_owned();
        verified(&now, &jwks(&gate).await);
        kid(&now) != kid(&before) && jwks(&gate).await.find(&kid(&before).unwrap()).is_some()
    });
    assert!(rotated.await, "{}", gate.log.text());
    assert_eq!(verified(&before, &jwks(&gate).await)["sub"], "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_signs_nothing_publishes_nothing() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    assert_eq!(raw::get(gate.admin, "/.well-known/jwks.json").await.status, 404);
    assert_eq!(
        raw::call(gate.data, b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost:8080\r\n\r\n").await.status,
        404
    );
}
