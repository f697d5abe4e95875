//! Callers with tokens of an identity provider: keys that change under load, an issuer that is down, streams that end.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::issuer::{Answer, Issuer, Signer, published, seconds};
use crate::support::message::{LEGACY, message, post_with, tool_call};
use crate::support::raw::{Answer as Heard, Connection};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World, principals};
use crate::support::{DEADLINE, keys, raw, until};

const AUDIENCE: &str = "https://gateway.test/mcp";

pub(crate) fn tokens(issuer: &Issuer, more: &str) -> String {
    let url = issuer.url();
    let roles = "roles: { claim: groups, map: { analysts: reader } }";
    let entry = format!("issuer: \"{url}\", audience: \"{AUDIENCE}\", allow_addresses: [127.0.0.0/8], {roles}{more}");
    format!("{}tokens:\n  - {{ {entry} }}\n", principals("reader"))
}

/// The same without any key beside it.
fn only_tokens(issuer: &Issuer) -> String {
    tokens(issuer, "").split_once("tokens:\n").map(|(_, tokens)| format!("tokens:\n{tokens}")).unwrap()
}

pub(crate) fn claims(issuer: &Issuer, ends: i64) -> Value {
    json!({ "iss": issuer.url(), "aud": AUDIENCE, "sub": "alice", "exp": seconds(ends), "groups": ["analysts"] })
}

pub(crate) fn call(token: &str) -> Vec<u8> {
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
    let gate = World::new(&upstream.url()).policy("principals.yaml", &only_tokens(&issuer)).start().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_down_keeps_out_nobody_but_its_own_callers() {
    let signer = Signer::es256("k1");
    let (well, down) = (Issuer::start(published(&[&signer])).await, Issuer::start(Answer::Down).await);
    let upstream = Upstream::start().await;
    let both = tokens(&well, "") + &only_tokens(&down).replace("tokens:\n", "");
    for principals in [both.clone(), both.replace("keys:", "# keys:").replace("  - { id:", "  # - { id:")] {
        let gate = World::new(&upstream.url()).policy("principals.yaml", &principals).start().await;
        assert!(until(DEADLINE, async || ready(&gate).await).await, "{}", raw::get(gate.admin, "/readyz").await.text());
        let answer = raw::call(gate.data, &call(&signer.token(&claims(&well, 600)))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = raw::call(gate.data, &call(&signer.token(&claims(&down, 600)))).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    let with_keys = tokens(&down, "");
    let gate = World::new(&upstream.url()).policy("principals.yaml", &with_keys).start().await;
    assert!(until(DEADLINE, async || ready(&gate).await).await, "callers with keys need no issuer");
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
    open_with(gate, ("authorization", &format!("Bearer {token}"))).await
}

/// Opens a stream with this credential.
async fn open_with(gate: &Gate, credential: (&str, &str)) -> Connection {
    let mut request = String::from("GET /mcp HTTP/1.1\r\n");
    let kept = LEGACY.into_iter().filter(|(name, _)| !["accept", "content-type"].contains(name));
    for (name, value) in kept.chain([("accept", "text/event-stream"), credential]) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_key_without_a_reload() {
    let upstream = Upstream::start().await;
    upstream.answer_with(held_open);
    let end = jiff::Timestamp::from_second(seconds(3)).unwrap();
    let hashes = [(keys::ALICE, end.to_string()), (keys::BOB, "2099-01-01".to_owned())]
        .map(|(key, end)| format!("{{ hash: \"{}\", expires: \"{end}\" }}", keys::hash(key)));
    let principals = format!("keys:\n  - {{ id: alice, roles: [reader], hashes: [{}] }}\n", hashes.join(", "));
    let gate = World::new(&upstream.url()).policy("principals.yaml", &principals).start().await;
    let short = open_with(&gate, ("x-api-key", keys::ALICE)).await;
    let _long = open_with(&gate, ("x-api-key", keys::BOB)).await;
    assert!(ends(short).await, "it ends when its key does");
    assert_eq!(gate.metric("tollgate_streams").await, Some(1.0), "what the other key of the id has opened goes on");
    let metrics = raw::get(gate.admin, "/metrics").await.text();
    let left = "tollgate_credential_time_left_seconds{credential=\"api_key\"}";
    assert!(metrics.contains(left), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gate_says_which_keys_end_soon() {
    let upstream = Upstream::start().await;
    let end = jiff::Timestamp::from_second(seconds(2 * 24 * 3600)).unwrap();
    let principals = principals("reader").replacen("2099-01-01", &format!("\"{end}\""), 1);
    let gate = World::new(&upstream.url()).policy("principals.yaml", &principals).start().await;
    let said = gate.log.wait_since(0, DEADLINE, |line| line.contains("the key ends soon")).await;
    assert!(said.is_some_and(|line| line.contains("alice")), "{}", gate.log.text());
}

/// Whoever calls with a token that its issuer is asked about.
fn asked(issuer: &Issuer) -> String {
    let url = issuer.url();
    let introspection =
        format!("introspection: {{ url: \"{url}/introspect\", client_id: gate, client_secret: env:CLIENT_SECRET }}");
    tokens(issuer, &format!(", {introspection}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opaque_token_is_asked_about_and_nobody_is_let_in_while_that_cannot_be() {
    let issuer = Issuer::start(Answer::Down).await;
    let mut answer = claims(&issuer, 600);
    answer["active"] = true.into();
    issuer.say(Answer::Json(answer));
    let upstream = Upstream::start().await;
    let world = World::new(&upstream.url()).policy("principals.yaml", &asked(&issuer));
    let variables = [("CLIENT_SECRET", "hunter2-of-the-gate"), ("RUST_LOG", "debug")];
    let gate = world.environment(&variables.map(|(name, value)| (name, value.to_owned()))).start().await;
    assert!(until(DEADLINE, async || ready(&gate).await).await, "it needs no keys of such an issuer");
    let answered = raw::call(gate.data, &call("opaque-and-good")).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    assert_eq!(issuer.heard().len(), 1);
    let line = gate.decisions.wait_since(0, DEADLINE, |line| line.contains("\"outcome\":\"ok\"")).await.unwrap();
    assert!(line.contains("\"principal\":\"alice\""), "{line}");

    issuer.say(Answer::Json(json!({ "active": false })));
    let refused = raw::call(gate.data, &call("opaque-and-revoked")).await;
    assert_eq!((refused.status, refused.head.first("www-authenticate")), (401, Some("Bearer error=\"invalid_token\"")));
    issuer.say(Answer::Down);
    let refused = raw::call(gate.data, &call("opaque-and-unknown")).await;
    assert_eq!((refused.status, refused.head.first("retry-after")), (503, Some("5")), "{}", refused.text());
    assert!(refused.head.first("www-authenticate").is_none(), "another token would fare no better");
    assert_eq!(raw::call(gate.data, &call("opaque-and-good")).await.status, 200, "what is known goes on");
    for reason in ["token_inactive", "issuer_unavailable"] {
        assert!(gate.decisions.wait_since(0, DEADLINE, |line| line.contains(reason)).await.is_some(), "{reason}");
    }
    assert_eq!(upstream.count(), 2);
    let metrics = raw::get(gate.admin, "/metrics").await.text();
    assert!(metrics.contains("tollgate_issuer_fetches_total{issuer="), "{metrics}");
    let written = format!("{}{}{metrics}", gate.log.text(), gate.decisions.text());
    assert!(!written.contains("opaque-and") && !written.contains("hunter2"), "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_and_a_token_that_call_somebody_the_same_are_two_callers() {
    let signer = Signer::es256("k1");
    let issuer = Issuer::start(published(&[&signer])).await;
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| match request.json().unwrap_or_default()["method"].as_str() {
        Some("tools/call") => Reply::json(
            &json!({ "jsonrpc": "2.0", "id": 1, "result": { "task": { "taskId": "t-1", "status": "working" } } }),
        ),
        _ => Reply::json(&json!({ "jsonrpc": "2.0", "id": 1, "result": { "taskId": "t-1", "status": "working" } })),
    });
    let policy = format!("{READERS}limits: [{{ calls: 1, every: 1h, per: principal }}]\n");
    let log = tempfile::tempdir().unwrap();
    let key = log.path().join("key");
    crate::audit::new_key(&key, "gate.test/audit");
    let world =
        World::new(&upstream.url()).policy("records.yaml", &policy).policy("principals.yaml", &tokens(&issuer, ""));
    let gate = world
        .top(&format!("audit: {{ file: HOME/log, key: \"file:{}\", mode: before_call }}", key.display()))
        .start()
        .await;
    assert!(until(DEADLINE, async || ready(&gate).await).await);
    let token = format!("Bearer {}", signer.token(&claims(&issuer, 600)));
    let (by_key, by_token) = (("x-api-key", keys::ALICE), ("authorization", token.as_str()));
    let said = async |credential: (&str, &str), body: &str| {
        raw::call(gate.data, &post_with(&[&LEGACY[..], &[credential]].concat(), body)).await.json().unwrap()
    };
    let begin =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_records","task":{"ttl":1000}}}"#;
    let get = message("1", "tasks/get", r#"{"taskId":"t-1"}"#);
    assert_eq!(said(by_key, begin).await["result"]["task"]["taskId"], "t-1");
    assert_eq!(said(by_token, &get).await["error"]["message"], "Task not found: t-1");
    assert_eq!(said(by_key, &get).await["result"]["taskId"], "t-1");
    assert_eq!(said(by_key, begin).await["error"]["code"], -31429, "one call each");
    upstream.answer_with(Reply::obliging);
    let other = said(by_token, &tool_call("1", "search_records", "{}")).await;
    assert!(other.get("result").is_some(), "the token's is another one: {other}");
    let mine = |auth: &str, issuer: &str| format!("\"principal\":\"alice\",\"auth\":\"{auth}\"{issuer},");
    for wanted in [mine("api_key", ""), mine("token", &format!(",\"issuer\":\"{}\"", issuer.url()))] {
        assert!(gate.decisions.wait_since(0, DEADLINE, |line| line.contains(&wanted)).await.is_some(), "{wanted}");
    }
    let log = fs::read_dir(gate.file("log")).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let log = log.collect::<String>();
    for wanted in ["\"auth\":\"api_key\"".to_owned(), format!("\"issuer\":\"{}\"", issuer.url())] {
        assert!(log.contains(&wanted), "{wanted}: {log}");
    }
}
