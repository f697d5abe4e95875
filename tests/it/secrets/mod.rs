//! Secrets in every place that takes one. Nothing that the gate writes, measures, exports or answers shows any of them.

mod server;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tollgate::identity::peppered_entry;
use tollgate::secret::Reference;

use crate::audit::new_key;
use crate::commands::{said, tollgate};
use crate::support::gate::Gate;
use crate::support::issuer::{Answer, Issuer, Signer, published, seconds};
use crate::support::message::{LEGACY, post_with, tool_call};
use crate::support::pki::Authority;
use crate::support::tunnel::{Tunnel, client};
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, keys, raw, until};
use crate::tls::tls;

/// Each place that takes a secret, and what is put there.
const SEEDS: &[(&str, &str)] = &[
    ("a key in x-api-key", "seed-key-Qm41xVb7"),
    ("a key of our form after Bearer", "tg_seedKeyBearer0123456789abcdefghi_00000000"),
    ("a key with a pepper", "seed-peppered-key-Zt8w"),
    ("an unknown key", "seed-unknown-key-Lk29"),
    ("an opaque token", "seed-opaque-token-Ru5e"),
    ("an opaque token that is worth nothing", "seed-opaque-revoked-Wy0d"),
    ("an opaque token that nobody can ask about", "seed-opaque-unasked-Bf6c"),
    ("a claim that is not kept", "seed-claim-Hv3s"),
    ("a cookie", "seed-cookie-Jn7p"),
    ("proxy-authorization", "seed-proxy-Ga2k"),
    ("basic credentials", "seed-basic-Xc8u"),
    ("a header that is forwarded", "seed-forwarded-Pe4i"),
    ("a session that is not there", "seed-session-To9a"),
    ("a query", "seed-query-Mu1r"),
    ("arguments", "seed-argument-Dw5b"),
    ("a body that cannot be read", "seed-broken-body-Ky6n"),
    ("what a failing server says", "seed-upstream-error-Iv0z"),
    ("the credential at the server", "seed-upstream-credential-Sx3h"),
    ("the pepper", "seed-pepper-of-the-gate-Oq7f"),
    ("the secret of introspection", "seed-introspection-Ve2g"),
    ("the bearer for keys", "seed-jwks-bearer-Nl8t"),
    ("the key of digests of arguments", "seed-arguments-key-Cj4m"),
    ("the key of the kill switch", "seed-kill-switch-key-Yb9o"),
    ("another key at the kill switch", "seed-wrong-kill-key-Fr1w"),
    ("headers of OTLP", "seed-otlp-header-Ad6e"),
];

fn seed(place: &str) -> &'static str {
    SEEDS.iter().find(|(known, _)| *known == place).unwrap_or_else(|| panic!("no seed for {place}")).1
}

const POLICY: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_statistics] }
tools:
  get_statistics:
    arguments: { required: [q], properties: { q: { enum: [a, b] } } }
";

/// Everything that the gate has said, and where.
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    /// Every secret in it, with some of what stands around it.
    fn leaks(&self, seeds: &[(String, String)]) -> Vec<String> {
        let mut leaks = Vec::new();
        for (place, text) in &self.0 {
            // Whoever calls hears its own words, and those of the server.
            let own =
                |secret: &str| place == "an answer" && ["arguments", "what a failing server says"].contains(&secret);
            let seen = seeds.iter().filter(|(secret, seed)| !own(secret) && text.contains(seed.as_str()));
            for (secret, seed) in seen {
                let line = text.lines().find(|line| line.contains(seed.as_str())).unwrap_or_default();
                leaks.push(format!("{place} shows {secret}: {line:.400}"));
            }
        }
        leaks
    }
}

fn principals(issuer: &Issuer, folder: &Path) -> String {
    fs::write(folder.join("pepper"), seed("the pepper")).unwrap();
    let pepper = Reference::File(folder.join("pepper"));
    let peppered = peppered_entry(seed("a key with a pepper"), "p1", &pepper).unwrap();
    let url = issuer.url();
    let common = "audience: gate, allow_addresses: [127.0.0.0/8], roles: { claim: groups, map: { a: reader } }";
    format!(
        "keys:\n  - {{ id: alice, hash: \"{}\", roles: [reader], expires: 2099-01-01 }}\n  \
         - {{ id: dora, hash: \"{peppered}\", roles: [reader], expires: 2099-01-01 }}\n\
         tokens:\n  - {{ issuer: \"{url}\", {common}, bearer: env:SEED_JWKS }}\n  \
         - {{ issuer: \"{url}/opaque\", {common}, introspection: {{ url: \"{url}/introspect\", client_id: gate, \
         client_secret: env:SEED_INTROSPECTION, cache: 0s }} }}\n\
         certificates: [{{ id: build, dns: build.test, roles: [reader] }}]\n",
        keys::hash(seed("a key in x-api-key")),
    )
}

/// The world with a secret wherever one can be.
fn world(upstream: &Upstream, issuer: &Issuer, folder: &Path) -> World {
    let audit = folder.join("audit-key");
    new_key(&audit, "gate.test/audit");
    let folder = folder.display();
    World::new(&upstream.url())
        .policy("records.yaml", POLICY)
        .policy("principals.yaml", &principals(issuer, Path::new(&folder.to_string())))
        .listen(&tls(Path::new(&folder.to_string()), &format!(", client_ca: {folder}/ca.crt, client_certificates: optional")))
        .server("credential: { header: { name: x-records-key, value: env:SEED_UPSTREAM } }, forward_headers: [x-request-source]")
        .top(&format!("peppers: {{ p1: \"file:{folder}/pepper\" }}"))
        .top("kill_switch: { api: { key: env:SEED_KILL, state: kills.yaml } }")
        .top(&format!(
            "audit: {{ file: HOME/log, key: \"file:{}\", arguments_key: env:SEED_ARGUMENTS, mode: before_call }}",
            audit.display()
        ))
}

async fn start(world: World, collector: &Upstream) -> Gate {
    let headers = format!("authorization=Bearer%20{}", seed("headers of OTLP"));
    let endpoint = format!("http://{}", collector.address);
    let variables = [
        ("RUST_LOG", "debug"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("SEED_JWKS", seed("the bearer for keys")),
        ("SEED_INTROSPECTION", seed("the secret of introspection")),
        ("SEED_UPSTREAM", seed("the credential at the server")),
        ("SEED_KILL", seed("the key of the kill switch")),
        ("SEED_ARGUMENTS", seed("the key of digests of arguments")),
    ];
    world.environment(&variables.map(|(name, value)| (name, value.to_owned()))).start().await
}

/// A call with these headers beside the usual ones.
fn call(headers: &[(&str, &str)], tool: &str, arguments: &str) -> Vec<u8> {
    post_with(&[&LEGACY, headers].concat(), &tool_call("1", tool, arguments))
}

/// Calls that are answered, each with its own credential.
async fn succeed(to: std::net::SocketAddr, jwt: &str) {
    let [opaque, jwt] = [seed("an opaque token"), jwt].map(|token| format!("Bearer {token}"));
    let arguments = json!({ "q": seed("arguments") }).to_string();
    for credential in [
        ("x-api-key", seed("a key in x-api-key")),
        ("x-api-key", seed("a key with a pepper")),
        ("authorization", opaque.as_str()),
        ("authorization", jwt.as_str()),
    ] {
        let beside =
            [credential, ("cookie", seed("a cookie")), ("x-request-source", seed("a header that is forwarded"))];
        let answer = raw::call(to, &call(&beside, "search_records", &arguments)).await;
        assert_eq!(answer.status, 200, "{credential:?}: {}", answer.text());
    }
}

/// Requests that are refused, each for its own reason; what is answered goes to `said`.
async fn fail(to: std::net::SocketAddr, jwt: &str, said: &mut Said) {
    let alice = ("x-api-key", seed("a key in x-api-key"));
    let arguments = json!({ "q": seed("arguments") }).to_string();
    let [form, revoked, forged] =
        [seed("a key of our form after Bearer"), seed("an opaque token that is worth nothing"), &format!("{jwt}x")]
            .map(|token| format!("Bearer {token}"));
    let basic = format!("Basic {}", STANDARD.encode(seed("basic credentials")));
    let search = |headers: &[(&str, &str)]| call(headers, "search_records", &arguments);
    let broken = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","{0}":1,"{0}":2}}"#,
        seed("a body that cannot be read")
    );
    let mut with_query = search(&[alice]);
    with_query.splice(..b"POST /mcp".len(), format!("POST /mcp?key={}", seed("a query")).into_bytes());
    for (status, request) in [
        (401, search(&[])),
        (401, search(&[("cookie", seed("a cookie")), ("proxy-authorization", seed("proxy-authorization"))])),
        (401, search(&[("x-api-key", seed("an unknown key"))])),
        (401, search(&[("authorization", &form)])),
        (401, search(&[("authorization", &revoked)])),
        (401, search(&[("authorization", &forged)])),
        (401, search(&[("authorization", &basic)])),
        (400, search(&[alice, ("authorization", &revoked)])),
        (400, with_query),
        (404, search(&[alice, ("mcp-session-id", seed("a session that is not there"))])),
        (400, post_with(&[&LEGACY[..], &[alice]].concat(), &broken)),
        (400, post_with(&[&LEGACY[..], &[alice]].concat(), seed("a body that cannot be read"))),
        (200, call(&[alice], "delete_record", &arguments)),
        (200, call(&[alice], "get_statistics", &arguments)),
    ] {
        let answer = raw::call(to, &request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        said.add("an answer", format!("{}{}", String::from_utf8_lossy(&answer.head.raw), answer.text()));
    }
}

/// What stands under the admin port, with the right key and with another one.
async fn admin(gate: &Gate, said: &mut Said) {
    for key in [seed("the key of the kill switch"), seed("another key at the kill switch")] {
        let request = format!("GET /kills HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n");
        said.add("/kills", raw::call(gate.admin, request.as_bytes()).await.text());
    }
    for path in ["/metrics", "/readyz", "/readyz?verbose", "/livez", "/version"] {
        said.add(path, raw::get(gate.admin, path).await.text());
    }
}

/// All files below a folder.
fn files(folder: &Path, said: &mut Said) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), said);
        } else {
            said.add(&entry.path().display().to_string(), String::from_utf8_lossy(&fs::read(entry.path()).unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_seen_in_what_the_gate_writes_exports_or_answers() {
    let (folder, authority, signer) = (tempfile::tempdir().unwrap(), Authority::new("gate"), Signer::es256("k1"));
    let (pair, mine) = (authority.server(), authority.client(&["build.test"]));
    pair.write(folder.path());
    fs::write(folder.path().join("ca.crt"), &authority.pem).unwrap();
    let issuer = Issuer::start(published(&[&signer])).await;
    let (upstream, collector) = (Upstream::start().await, Upstream::start().await);
    collector.answer(Reply::empty(200));
    let world = world(&upstream, &issuer, folder.path());
    let mut gate = start(world, &collector).await;
    assert!(until(DEADLINE, async || raw::get(gate.admin, "/readyz").await.status == 200).await);
    let tunnel = Tunnel::start(gate.data, client(&authority.pem, None)).await;
    let mut said = Said(Vec::new());

    let member = |name: &str| json!({ "active": true, "aud": "gate", "sub": name, "groups": ["a"], "nonce": seed("a claim that is not kept") });
    let mut claims = member("john");
    claims["iss"] = issuer.url().into();
    claims["exp"] = seconds(600).into();
    let jwt = signer.token(&claims);
    issuer.say(Answer::Json(member("olga")));
    succeed(tunnel.address, &jwt).await;
    issuer.say(Answer::Json(json!({ "active": false, "nonce": seed("a claim that is not kept") })));
    fail(tunnel.address, &jwt, &mut said).await;
    issuer.say(Answer::Down);
    let unasked = format!("Bearer {}", seed("an opaque token that nobody can ask about"));
    let answer = raw::call(tunnel.address, &call(&[("authorization", &unasked)], "search_records", "{}")).await;
    assert_eq!(answer.status, 503);
    said.add("an answer", answer.text());
    let by_certificate = Tunnel::start(gate.data, client(&authority.pem, Some(&mine))).await;
    let answer = raw::call(by_certificate.address, &call(&[], "delete_record", "{}")).await;
    said.add("an answer", answer.text());
    for reply in [Reply::status(500, &json!(seed("what a failing server says"))), Reply::BreakOff] {
        upstream.answer(reply);
        let alice = ("x-api-key", seed("a key in x-api-key"));
        let answer = raw::call(tunnel.address, &call(&[alice], "search_records", "{}")).await;
        said.add("an answer", answer.text());
    }
    admin(&gate, &mut said).await;
    used(&upstream, &issuer);
    written(&mut gate, &collector, &mut said).await;
    let audit_key = fs::read_to_string(folder.path().join("audit-key")).unwrap();
    let seeds = seeds(&jwt, [("the key of TLS", &pair.key), ("the key of the audit log", &audit_key)]);
    let leaks = said.leaks(&seeds);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

/// All of them, and how they look where they are encoded.
fn seeds(jwt: &str, keys: [(&str, &str); 2]) -> Vec<(String, String)> {
    let mut seeds: Vec<_> = SEEDS.iter().map(|(place, seed)| ((*place).to_owned(), (*seed).to_owned())).collect();
    seeds.extend([
        ("a token".to_owned(), jwt.to_owned()),
        ("a signature".to_owned(), jwt.rsplit('.').next().unwrap().to_owned()),
    ]);
    seeds.push(("basic credentials, encoded".to_owned(), STANDARD.encode(seed("basic credentials"))));
    seeds.push((
        "the secret of introspection, encoded".to_owned(),
        STANDARD.encode(format!("gate:{}", seed("the secret of introspection"))),
    ));
    seeds.extend(keys.into_iter().flat_map(|(place, pem)| lines(place, pem)));
    seeds
}

/// What makes a key in PEM a secret.
fn lines(place: &str, pem: &str) -> Vec<(String, String)> {
    let lines = pem.lines().filter(|line| line.len() > 20 && !line.contains("---"));
    lines.map(|line| (place.to_owned(), line.to_owned())).collect()
}

/// Ends the gate, and takes what it has written and exported.
async fn written(gate: &mut Gate, collector: &Upstream, said: &mut Said) {
    logged(gate, said).await;
    files(&gate.file("log"), said);
    let exported = collector.since(0);
    assert!(exported.iter().any(|request| request.holds(seed("headers of OTLP"))), "{} exports", exported.len());
    for Recorded { path, body, .. } in &exported {
        said.add(&format!("what is exported to {path}"), String::from_utf8_lossy(body));
    }
    let records = said.0.iter().filter(|(place, _)| place.contains("/log/")).map(|(_, text)| text.lines().count());
    assert!(records.sum::<usize>() > 10 && gate.log.count() > 20, "there is something to look through");
}

/// Ends the gate, and takes what it has said of its own.
async fn logged(gate: &mut Gate, said: &mut Said) {
    assert_eq!(gate.terminate().await, Some(0));
    said.add("the log", gate.log.text());
    said.add("the decisions", gate.decisions.text());
}

/// The secrets were shown where they belong: or that they are not seen elsewhere would say nothing.
fn used(upstream: &Upstream, issuer: &Issuer) {
    let asked = upstream.since(0);
    for place in ["the credential at the server", "a header that is forwarded", "arguments"] {
        assert!(asked.iter().any(|request| request.holds(seed(place))), "{place}");
    }
    for place in ["a cookie", "a key in x-api-key", "an opaque token"] {
        assert!(!asked.iter().any(|request| request.holds(seed(place))), "{place} has reached the server");
    }
    let heard = issuer.heard().join("\n");
    let basic = STANDARD.encode(format!("gate:{}", seed("the secret of introspection")));
    assert!(heard.contains(&basic) && heard.contains(seed("an opaque token")));
    for place in ["a key in x-api-key", "a key of our form after Bearer"] {
        assert!(!heard.contains(seed(place)), "{place} was shown to the issuer");
    }
}

#[tokio::test]
async fn a_secret_in_a_file_is_not_quoted_by_what_is_said_of_the_file() {
    const SECRET: &str = "hunter2-Zw81-hunter2-Zw81";
    let server = "servers: { records: { url: 'http://127.0.0.1:1/mcp' } }\n";
    let key = "keys:\n  - { id: alice, roles: [reader], expires: 2099-01-01, hash: ";
    let issuer = "tokens:\n  - { issuer: 'https://a.test', audience: a";
    let principals = format!("{key}\"{}\" }}\n", keys::hash(keys::ALICE));
    for (config, principals) in [
        (format!("servers: {{ records: {{ url: 'http://user:{SECRET}@127.0.0.1:1/mcp' }} }}\n"), principals.clone()),
        (format!("{server}listen: {{ public_url: 'https://user:{SECRET}@gate.test/mcp' }}\n"), principals.clone()),
        (server.replace("/mcp'", &format!("/mcp', credential: {{ bearer: {SECRET} }}")), principals.clone()),
        (server.replace("/mcp'", &format!("/mcp', credential: {{ token: {SECRET} }}")), principals.clone()),
        (server.replace("/mcp'", &format!("/mcp', credential: {SECRET}")), principals.clone()),
        (format!("{server}peppers: {{ p1: {SECRET} }}\n"), principals.clone()),
        (format!("{server}peppers: {SECRET}\n"), principals.clone()),
        (format!("{server}audit: {SECRET}\n"), principals.clone()),
        (format!("{server}audit: {{ file: log, key: {SECRET} }}\n"), principals.clone()),
        (format!("{server}audit: {{ file: log, key: env:K, arguments_key: {SECRET} }}\n"), principals.clone()),
        (format!("{server}kill_switch: {{ api: {{ key: {SECRET}, state: k }} }}\n"), principals.clone()),
        (format!("{server}listen: {{ tls: {{ certificate: a, key: {SECRET} }} }}\n"), principals.clone()),
        (server.to_owned(), format!("{key}{SECRET} }}\n")),
        (server.to_owned(), format!("{key}\"sha256:{SECRET}\" }}\n")),
        (server.to_owned(), format!("{key}\"{}\", key: {SECRET} }}\n", keys::hash(keys::ALICE))),
        (server.to_owned(), format!("{issuer}, bearer: {SECRET} }}\n")),
        (server.to_owned(), format!("{issuer}, jwks_url: 'https://user:{SECRET}@a.test/keys' }}\n")),
        (server.to_owned(), format!("tokens:\n  - {{ issuer: 'https://user:{SECRET}@a.test', audience: a }}\n")),
        (server.to_owned(), format!("{issuer}, jwks_url: 'https://:{SECRET}@a.test/keys' }}\n")),
        (
            server.to_owned(),
            format!(
                "{issuer}, introspection: {{ url: 'https://a.test/i', client_id: a, client_secret: {SECRET} }} }}\n"
            ),
        ),
        (
            server.to_owned(),
            format!(
                "{issuer}, introspection: {{ url: 'https://u:{SECRET}@a.test', client_id: a, client_secret: env:A }} }}\n"
            ),
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("policies")).unwrap();
        for (name, text) in [
            ("tollgate.yaml", config.as_str()),
            ("policies/records.yaml", POLICY),
            ("policies/principals.yaml", &principals),
        ] {
            fs::write(home.path().join(name), text).unwrap();
        }
        for args in [
            &["check"][..],
            &["check", "--format", "json"],
            &["check", "--format", "sarif"],
            &["check", "--format", "github"],
            &["run"],
        ] {
            let told = said(&tollgate(home.path(), args).await);
            assert!(told.starts_with("exit 1") || told.starts_with("exit 2"), "{args:?} {config}{principals}: {told}");
            assert!(!told.contains(SECRET), "{args:?} shows it: {told}");
        }
    }
}
