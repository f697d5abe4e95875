//! What opens the server and the store of limits for the gate, and what a caller says of a stream that it lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tollgate::upstream::SigningKey;

use super::{Said, admin, lines, logged};
use crate::support::front::Front;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::pki::Authority;
use crate::support::raw;
use crate::support::upstream::{Reply, Upstream};
use crate::support::world::World;

const CLIENT_SECRET: &str = "seed-client-secret-Lw2q";
const TOKEN: &str = "seed-fetched-token-Ub7y";
const NEXT_TOKEN: &str = "seed-fetched-token-Kc9s";
const STORE_PASSWORD: &str = "seed-store-password-Ei3z";
const CACHE_KEY: &str = "seed-cache-key-Qk8v-0123456789abcdef";
const LAST_EVENT: &str = "seed-last-event-Pn6d";

fn gives(tokens: &Upstream, token: &'static str) {
    tokens.answer(Reply::json(&json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_the_way_behind_the_gate_is_seen() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    gives(&tokens, TOKEN);
    let front = Front::start(upstream.address, &servers.server(), &clients.pem).await;
    let (mine, signing) = (clients.client(&["gate.example.com"]), SigningKey::generate().unwrap());
    let ways = format!(
        "tls: {{ ca: ca.crt, certificate: tls.crt, key: 'file:HOME/tls.key' }}, credential: {{ client_credentials: \
         {{ token_url: '{}', client_id: gate, client_secret: 'file:HOME/secret', allow_addresses: [127.0.0.0/8] }} }}, \
         assertion: {{ keys: ['file:HOME/signing'], issuer: 'https://gate.test/mcp' }}",
        tokens.url()
    );
    let mut gate = World::new(&format!("https://{}/mcp", front.address))
        .server(&ways)
        .top("limits_store: { url: 'file:HOME/store', when_down: local_share }")
        .top("cache: { shared: { key: 'file:HOME/cache-key' } }")
        .policy(
            "records.yaml",
            "roles: { reader: { tools: [search_records] } }\nlimits: [{ calls: 900, every: 1m, per: principal }]\n\
             tools: { search_records: { cache: { for: 1s } } }\n",
        )
        .file("secret", CLIENT_SECRET)
        .file("ca.crt", &servers.pem)
        .file("tls.crt", &mine.certificate)
        .file("tls.key", &mine.key)
        .file("signing", signing.expose())
        .file("cache-key", CACHE_KEY)
        .file("store", &format!("redis://gate:{STORE_PASSWORD}@127.0.0.1:9/"))
        .environment(&[("RUST_LOG", "debug".to_owned())])
        .start()
        .await;
    let mut said = Said(Vec::new());
    let call = post(ALICE, &tool_call("1", "search_records", "{}"));
    let answer = raw::call(gate.data, &call).await;
    assert!(answer.text().contains("result"), "{}", answer.text());

    let stream = format!(
        "GET /mcp HTTP/1.1\r\nhost: localhost:8080\r\nx-api-key: {ALICE}\r\naccept: text/event-stream\r\n\
         last-event-id: {LAST_EVENT}\r\n\r\n"
    );
    upstream.answer(Reply::empty(405));
    let answer = raw::call(gate.data, stream.as_bytes()).await;
    said.add("an answer", answer.text());
    assert!(upstream.since(0).iter().any(|request| request.holds(LAST_EVENT)), "it is the server's");

    // A token that is not taken any more, and then no token at all.
    gives(&tokens, NEXT_TOKEN);
    upstream.answer(Reply::status(401, &json!({ "token": "not taken" })));
    said.add("an answer", raw::call(gate.data, &call).await.text());
    tokens.answer(Reply::status(500, &json!({ "error": "out of order" })));
    for _ in 0..2 {
        said.add("an answer", raw::call(gate.data, &call).await.text());
    }
    admin(&gate, &mut said).await;
    said.add("the keys", raw::get(gate.admin, "/.well-known/jwks.json").await.text());
    let basic = STANDARD.encode(format!("gate:{CLIENT_SECRET}"));
    assert!(tokens.since(0).iter().any(|request| request.holds(&basic)), "the secret belongs to the token endpoint");
    assert!(upstream.since(0).iter().any(|request| request.holds(TOKEN)), "the token belongs to the server");
    assert!(gate.log.says("store").await, "the store is not there: {}", gate.log.text());
    logged(&mut gate, &mut said).await;

    let seeds = seeds(&basic, &mine.key, signing.expose());
    let leaks = said.leaks(&seeds);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

fn seeds(basic: &str, tls: &str, signing: &str) -> Vec<(String, String)> {
    let plain = [
        ("the client's secret", CLIENT_SECRET),
        ("the client's secret, encoded", basic),
        ("a fetched token", TOKEN),
        ("another fetched token", NEXT_TOKEN),
        ("the password of the store", STORE_PASSWORD),
        ("the key of shared answers", CACHE_KEY),
        ("the last event", LAST_EVENT),
    ];
    let mut seeds: Vec<_> = plain.map(|(place, seed)| (place.to_owned(), seed.to_owned())).into();
    seeds.extend(lines("the key of TLS towards the server", tls));
    seeds.extend(lines("the key of assertions", signing));
    seeds
}
