//! `tollgate.yaml`, flags, and what they say together.

use std::fs;
use std::path::Path;

use super::{HASH, lines};
use crate::config::{self, Hosts, Kept, Loaded, Overrides, RequestDecompression};
use crate::diagnostic::Diagnostics;
use crate::state::Per;
use crate::upstream::{Balance, CredentialSettings, Timeouts};

/// A folder with a policy for the server `records`, and this `tollgate.yaml`.
pub(super) fn deployment(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    let keys = format!("keys: [{{ id: alice, hash: \"{HASH}\", roles: [reader] }}]\n");
    fs::write(folder.path().join("policies/principals.yaml"), keys).unwrap();
    fs::write(folder.path().join("policies/records.yaml"), "server: records\nroles: { reader: { tools: [a] } }\n")
        .unwrap();
    fs::write(folder.path().join("tollgate.yaml"), config).unwrap();
    folder
}

fn load(overrides: &Overrides) -> Result<Loaded, Diagnostics> {
    config::load(overrides, Kept::Here)
}

pub(super) fn file_of(folder: &Path) -> Overrides {
    Overrides { config: Some(folder.join("tollgate.yaml")), ..Overrides::default() }
}

fn loaded(config: &str) -> Result<Loaded, Diagnostics> {
    load(&file_of(deployment(config).path()))
}

/// What is told about this `tollgate.yaml`, but for the policies.
fn told(config: &str) -> String {
    let folder = deployment(config);
    let found = load(&file_of(folder.path())).map_or_else(|found| found, |loaded| loaded.warnings);
    let all = lines(&found).replace(&format!("{}/", folder.path().display()), "");
    all.lines().filter(|line| !line.contains("never expires")).collect::<Vec<_>>().join("\n")
}

#[test]
fn defaults_stand_where_nothing_is_written() {
    let config = loaded("servers: { records: { url: http://127.0.0.1:8000/mcp } }\n").unwrap().config;
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listen.hosts, Hosts::Loopback);
    assert!(config.listen.origins.is_empty());
    assert_eq!((config.listen.max_body_bytes, config.listen.max_in_flight), (1_048_576, 1024));
    assert_eq!(config.listen.request_decompression, RequestDecompression::Off);
    assert_eq!(config.admin.to_string(), "127.0.0.1:9901");
    assert_eq!(config.servers[0].name.as_str(), "records");
    assert_eq!(config.servers[0].endpoints.streamable()[0], "http://127.0.0.1:8000/mcp");
    assert_eq!(config.drain_timeout.as_secs(), 30);
}

#[test]
fn a_server_is_in_one_place_or_in_several() {
    let server = |said: &str| format!("servers: {{ records: {{ {said} }} }}\n");
    let several = "url: [http://a/mcp, 'http://b/mcp'], sse: http://a/sse, balance: round_robin, max_in_flight: 7";
    let config = loaded(&server(several)).unwrap().config.servers.remove(0);
    assert_eq!(config.endpoints.streamable(), ["http://a/mcp", "http://b/mcp"]);
    assert_eq!(config.endpoints.sse(), ["http://a/sse"]);
    assert_eq!((config.shown.balance, config.shown.max_in_flight), (Balance::RoundRobin, 7));
    for (said, problem) in [
        ("url: []", "nothing says where this server is"),
        ("url: [http://a/mcp, http://b/mcp, http://a/mcp]", "`http://a/mcp` stands there twice"),
        ("url: [http://a/mcp, 'ftp://b/mcp']", "this is not the URL of an MCP server"),
        ("url: 7", "a list of them"),
        ("url: [http://a/mcp, 7]", "put text in quotes"),
        ("url: http://a/mcp, max_in_flight: 0", "expected a number from 1 to 100000"),
        ("url: http://a/mcp, balance: random", "random"),
    ] {
        let told = told(&server(said));
        assert!(told.starts_with("tollgate.yaml:1:") && told.contains(problem), "{said}: {told}");
    }
}

#[test]
fn how_long_a_server_may_take_is_said_for_each_part() {
    let server = |said: &str| format!("servers: {{ records: {{ url: http://a/mcp, timeouts: {{ {said} }} }} }}\n");
    let read = |said: &str| loaded(&server(said)).unwrap().config.servers[0].shown.timeouts;
    assert_eq!(read(""), Timeouts::default());
    let millis = |timeouts: Timeouts| {
        [timeouts.connect, timeouts.first_byte, timeouts.stream_idle, timeouts.total].map(|it| it.as_millis())
    };
    let said = read("connect: 11ms, first_byte: 12ms, stream_idle: 13ms, total: 14ms");
    assert_eq!(millis(said), [11, 12, 13, 14]);
    for (said, problem) in [
        ("connect: 2m", "2m"),
        ("first_byte: 0s", "0s"),
        ("stream_idle: 7d", "7d"),
        ("total: forever", "forever"),
        ("idle: 1s", "idle"),
    ] {
        let told = told(&server(said));
        assert!(told.starts_with("tollgate.yaml:1:") && told.contains(problem), "{said}: {told}");
    }
}

#[test]
fn what_is_written_counts() {
    let text = "listen:\n  address: 0.0.0.0:8081\n  hosts: [MCP.example.com, localhost:8081]\n  origins: [https://app.example.com]\n  max_body_bytes: 2048\n  max_in_flight: 3\n  request_decompression: true\nadmin: { address: '127.0.0.1:0' }\nservers: { records: { url: https://records.internal/mcp } }\npolicies: policies/\ndrain_timeout: 500ms\n";
    let config = loaded(text).unwrap().config;
    assert_eq!(config.listen.hosts, Hosts::Only(vec!["mcp.example.com".to_owned(), "localhost:8081".to_owned()]));
    assert_eq!(config.listen.origins, ["https://app.example.com"]);
    assert_eq!((config.listen.max_body_bytes, config.listen.max_in_flight), (2048, 3));
    assert_eq!(config.listen.request_decompression, RequestDecompression::Gzip);
    assert_eq!(config.drain_timeout.as_millis(), 500);
    let open =
        loaded("listen: { address: '0.0.0.0:80' }\nservers: { records: { url: http://a/mcp } }\n").unwrap().config;
    assert_eq!(open.listen.hosts, Hosts::Any);
}

#[test]
fn where_clients_reach_the_gate_is_a_url_that_tokens_may_go_to() {
    let at =
        |url: &str| format!("listen: {{ public_url: '{url}' }}\nservers: {{ records: {{ url: http://a/mcp }} }}\n");
    for good in ["https://mcp.example.com/mcp", "https://mcp.example.com", "http://localhost:8080/mcp"] {
        assert!(loaded(&at(good)).unwrap().config.listen.public_url.is_some(), "{good}");
    }
    for bad in [
        "http://mcp.example.com/mcp",
        "https://mcp.example.com/mcp?a=b",
        "https://mcp.example.com/mcp#a",
        "https://user:secret@mcp.example.com/mcp",
        "mcp.example.com",
        "",
    ] {
        let told = told(&at(bad));
        assert!(told.contains("this is not where clients can reach the gate"), "{bad}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn a_limit_above_what_the_gate_takes_at_once_is_told() {
    let folder = deployment("listen: { max_in_flight: 8 }\nservers: { records: { url: http://a/mcp } }\n");
    let policy = |most: u32| {
        format!("limits: [{{ in_flight: {most}, per: server }}]\nroles: {{ reader: {{ tools: [search_records] }} }}\n")
    };
    for (most, told) in [(7, false), (8, true), (4_000_000_000, true)] {
        fs::write(folder.path().join("policies/records.yaml"), policy(most)).unwrap();
        let found = lines(&load(&file_of(folder.path())).unwrap().warnings);
        assert_eq!(found.contains("takes no more than 8 messages at once"), told, "{most}: {found}");
    }
}

#[test]
fn answers_that_are_said_to_be_given_again_and_never_are_are_told_of() {
    let policy = |cache: &str| {
        format!("server: records\nroles: {{ reader: {{ tools: [a] }} }}\ntools: {{ a: {{ timeout: 1s{cache} }} }}\n")
    };
    let cached = ", cache: { for: 5m }";
    for (credential, cache, told) in [
        ("passthrough: authorization", cached, true),
        ("passthrough: authorization", "", false),
        ("bearer: 'env:PATH'", cached, false),
    ] {
        let server = format!("url: 'https://a/mcp', credential: {{ {credential} }}");
        let folder = deployment(&format!("servers: {{ records: {{ {server} }} }}\n"));
        fs::write(folder.path().join("policies/records.yaml"), policy(cache)).unwrap();
        let found = lines(&load(&file_of(folder.path())).unwrap().warnings);
        let says = "no answer of this server is given again, though";
        assert_eq!(found.contains(says) && found.contains("records.yaml:3"), told, "{credential}{cache}: {found}");
    }
}

#[test]
fn what_is_each_callers_own_in_no_view_is_told_of() {
    let views = "views: { all: { servers: { records: { tools: [a] } } } }\n";
    let rows = [("url", "caller", views, false), ("url", "caller", "", true), ("url", "server", "", false)];
    for (url, per, shown, told) in rows.into_iter().chain([("sse", "caller", views, true)]) {
        let server = format!("servers: {{ records: {{ {url}: http://a/x, catalogue: {{ per: {per} }} }} }}\n");
        let folder = deployment(&server);
        if !shown.is_empty() {
            fs::write(folder.path().join("policies/views.yaml"), shown).unwrap();
        }
        let found = lines(&load(&file_of(folder.path())).unwrap().warnings);
        assert_eq!(found.contains("`catalogue.per` says nothing"), told, "{server}{shown}: {found}");
    }
}

#[test]
fn flags_beat_the_file() {
    let folder = deployment(
        "listen: { address: '127.0.0.1:1' }\nadmin: { address: '127.0.0.1:2' }\nservers: { records: { url: http://a/mcp } }\npolicies: nowhere\n",
    );
    let flags = Overrides {
        server: Some("http://b/mcp".to_owned()),
        policies: Some(folder.path().join("policies")),
        listen: Some("127.0.0.1:3".to_owned()),
        admin: Some("[::1]:4".to_owned()),
        ..file_of(folder.path())
    };
    let config = load(&flags).unwrap().config;
    assert_eq!(config.listen.address.port(), 3);
    assert_eq!(config.admin.port(), 4);
    assert_eq!(config.servers.len(), 1);
    assert_eq!(config.servers[0].name.as_str(), "records");
    assert_eq!(config.servers[0].endpoints.streamable()[0].host(), Some("b"));
}

#[test]
fn a_flag_says_where_a_server_is_and_the_file_the_rest_of_it() {
    let folder = deployment(
        "servers: { records: { url: http://a/mcp, credential: { bearer: 'env:TOKEN' }, max_reply_bytes: 7 } }\n",
    );
    let flags = |server: &str| Overrides { server: Some(server.to_owned()), ..file_of(folder.path()) };
    for flag in ["http://b/mcp", "records=http://b/mcp"] {
        let server = load(&flags(flag)).unwrap().config.servers.remove(0);
        assert_eq!(server.endpoints.streamable()[0].host(), Some("b"), "{flag}");
        assert!(matches!(server.shown.credential, CredentialSettings::Bearer(_)), "{flag}");
        assert_eq!(server.max_reply_bytes, 7, "{flag}");
    }
    fs::write(
        folder.path().join("tollgate.yaml"),
        "servers: { other: { url: http://a/mcp }, records: { url: http://a/mcp, credential: { bearer: 'env:TOKEN' } } }\n",
    )
    .unwrap();
    let named = load(&flags("records=http://b/mcp")).unwrap().config.servers.remove(0);
    assert!(matches!(named.shown.credential, CredentialSettings::Bearer(_)));
    let unnamed = lines(&load(&flags("http://b/mcp")).unwrap_err());
    assert!(unnamed.contains("the file has several servers"), "{unnamed}");
}

#[test]
fn a_server_without_a_name_is_the_one_that_the_policies_name() {
    let folder = deployment("");
    let flags = |server: &str| Overrides {
        server: Some(server.to_owned()),
        policies: Some(folder.path().join("policies")),
        ..Overrides::default()
    };
    assert_eq!(load(&flags("http://b/mcp")).unwrap().config.servers[0].name.as_str(), "records");
    assert_eq!(load(&flags("records=http://b/mcp?")).unwrap_err().count(crate::diagnostic::Severity::Error), 1);
    let wrong = lines(&load(&flags("recrods=http://b/mcp")).unwrap_err());
    assert!(wrong.contains("unknown server `records` | did you mean `recrods`?"), "{wrong}");
    fs::write(folder.path().join("policies/other.yaml"), "server: other\nallowed_tools: [a]\n").unwrap();
    let several = lines(&load(&flags("http://b/mcp")).unwrap_err());
    assert!(several.contains("several servers: other, records"), "{several}");
}

#[test]
fn problems() {
    let server = "servers: { records: { url: 'http://127.0.0.1:8000/mcp' } }\n";
    let cases = [
        "",
        "listen: { adress: '127.0.0.1:1' }\n",
        "servers: {}\n",
        "servers: { records: { url: 'http://a/mcp' }, other: { url: 'http://b/mcp' } }\n",
        "servers: { Records: { url: 'http://a/mcp' } }\n",
        "servers: { records: { url: 'http://user:pass@a/mcp' } }\n",
        "servers: { records: { url: 'http://a/mcp?key=1' } }\n",
        "servers: { records: { url: 'ftp://a/mcp' } }\n",
        "servers: { records: { url: '127.0.0.1:8000' } }\n",
        "servers: { records: {} }\n",
        &format!("{server}listen: {{ address: 'localhost:8080' }}\n"),
        &format!("{server}listen: {{ hosts: [] }}\n"),
        &format!("{server}listen: {{ hosts: ['*', 'http://a'], origins: ['null', '*', 'https://a/'] }}\n"),
        &format!("{server}listen: {{ max_body_bytes: 0, max_in_flight: 0 }}\n"),
        &format!("{server}listen: {{ max_body_bytes: 99999999999, request_decompression: 1 }}\n"),
        &format!("{server}admin: {{ address: '0.0.0.0:9901' }}\n"),
        &format!("{server}drain_timeout: 5\n"),
        &format!("{server}policies: elsewhere\n"),
        &format!("{server}listen: {{ tls: {{ certificate: tls.crt }} }}\n"),
        &format!("{server}listen: {{ tls: {{ certificate: tls.crt, key: 'file:/nowhere/tls.key' }} }}\n"),
        &format!("{server}listen: {{ tls: {{ certificate: tls.crt, key: /nowhere/tls.key }} }}\n"),
        &format!("{server}listen: {{ tls: {{ certificate: a, key: 'env:A', client_certificates: required }} }}\n"),
        &format!(
            "{server}listen: {{ tls: {{ certificate: a, key: 'env:A', client_ca: b, client_certificates: maybe }} }}\n"
        ),
    ];
    let rows: Vec<_> = cases
        .iter()
        .map(|case| format!("{}\n    {}", case.trim_end().replace('\n', " ⏎ "), told(case).replace('\n', "\n    ")))
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn problems_of_what_a_server_is_shown() {
    let cases = [
        "forward_headers: []",
        "forward_headers: [x-request-source, Authorization, X_Api_Key, Cookie, proxy-authorization]",
        "forward_headers: [mcp-session-id, content_length, x-forwarded-for, X-Gateway-Tenant]",
        "forward_headers: ['not a name']",
        "credential: {}",
        "credential: { bearer: hunter2 }",
        "credential: { bearer: 'file:relative' }",
        "credential: { header: { name: x-api-key, value: hunter2 } }",
        "credential: { header: { name: host, value: env:X } }",
        "credential: { header: { name: x-api-key, value: env:X }, bearer: env:X }",
        "credential: { header: { name: x-api-key, value: env:X } }",
        "credential: { bearer: 'file:/run/secrets/token' }",
    ];
    let rows: Vec<_> = cases
        .iter()
        .map(|case| {
            let said = told(&format!("servers: {{ records: {{ url: 'http://a/mcp', {case} }} }}\n"));
            assert!(!said.contains("hunter2"), "{said}");
            format!("{case}\n    {}", said.replace('\n', "\n    "))
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn problems_of_tokens_for_a_server() {
    const ENDPOINT: &str = "token_url: 'https://login.test/token', client_id: gate";
    let grant = |name: &str, more: &str| format!("credential: {{ {name}: {{ {ENDPOINT}{more} }} }}");
    let cases = [
        grant("client_credentials", ", client_secret: 'env:S', scopes: [records.read]"),
        grant("client_credentials", ", private_key: 'env:S'"),
        grant("client_credentials", ""),
        grant("client_credentials", ", client_secret: hunter2"),
        grant("client_credentials", ", client_secret: 'env:S', private_key: 'env:S'"),
        grant("client_credentials", ", private_key: 'env:S', token_endpoint_auth_method: client_secret_post"),
        grant("client_credentials", ", client_secret: 'env:S', token_endpoint_auth_method: none"),
        grant("client_credentials", ", client_secret: 'env:S', scopes: ['a b'], audience: '', resource: 'a b'"),
        grant("client_credentials", ", client_secret: 'env:S', allow_addresses: [], ca_file: ca.crt"),
        grant("client_credentials", ", client_secret: 'env:S'").replace("https:", "http:"),
        grant("client_credentials", ", client_secret: 'env:S'").replace("login.test", "u:hunter2@login.test"),
        grant("client_credentials", ", client_secret: 'env:S', allow_addresses: [10.0.0.0/8]")
            .replace("https:", "http:"),
        grant("token_exchange", ", client_secret: 'env:S'"),
        grant("token_exchange", ", client_secret: 'env:S', audience: records"),
        "credential: { passthrough: authorization }".to_owned(),
        "credential: { passthrough: cookie }".to_owned(),
        "credential: { passthrough: authorization, bearer: 'env:T' }".to_owned(),
    ];
    insta::assert_snapshot!(rows("http://a/mcp", &cases));
}

#[test]
fn problems_of_who_asks_and_who_answers() {
    let cases = [
        "assertion: { keys: ['env:K'], issuer: 'https://gate.test', claims: [store_id] }",
        "assertion: { keys: [], issuer: ' ' }",
        "assertion: { issuer: gate }",
        "assertion: { keys: [hunter2], issuer: gate, audience: '', lifetime: 1h, header: host }",
        "assertion: { keys: ['env:K'], issuer: gate, claims: [sub, a, a] }",
        "assertion: { keys: ['env:K'], issuer: gate, claims: [] }",
        "assertion: { keys: ['env:K'], issuer: gate, header: x-gateway-principal }",
        "assertion: { keys: ['env:K'], issuer: gate, header: authorization }, credential: { bearer: 'env:T' }",
        "assertion: { keys: ['env:K'], issuer: gate, header: x-who }, forward_headers: [x_who]",
        "assertion: { keys: ['env:K'], issuer: gate, header: authorization }",
        "tls: {}",
        "tls: { ca: ca.crt, certificate: tls.crt }",
        "tls: { certificate: tls.crt, key: hunter2, server_name: 'a b' }",
        "tls: { ca: tollgate.yaml }",
    ];
    insta::assert_snapshot!(rows("https://a/mcp", &cases.map(str::to_owned)));
    let plain = told("servers: { records: { url: 'http://a/mcp', tls: { ca: ca.crt } } }\n");
    assert!(plain.contains("the server is not reached by https"), "{plain}");
}

/// What is told of a server there that is described so.
fn rows(url: &str, cases: &[String]) -> String {
    let row = |case: &String| {
        let said = told(&format!("servers: {{ records: {{ url: '{url}', {case} }} }}\n"));
        assert!(!said.contains("hunter2"), "{said}");
        format!("{case}\n    {}", said.replace('\n', "\n    "))
    };
    cases.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn problems_of_the_audit_log() {
    let cases = [
        "{ file: audit/, key: env:K }",
        "{ file: audit/ }",
        "{ key: env:K }",
        "{ file: audit/, stdout: true, key: env:K }",
        "{ file: audit/, key: hunter2 }",
        "{ file: audit/, key: env:K, arguments_key: hunter2 }",
        "{ file: audit/, key: env:K, mode: before_call, interval: 1s }",
        "{ file: audit/, key: env:K, mode: strict }",
        "{ file: audit/, key: env:K, failure: ignore }",
        "{ file: audit/, key: env:K, interval: 1ms, segment_age: 1s, segment_bytes: 0 }",
        "{ file: audit/, key: env:K, path: x }",
        "{ file: audit/, key: env:K, otlp: checkpoints, arguments: redacted }",
        "{ file: audit/, key: env:K, checkpoints: fetched }",
        "{ file: audit/, key: env:K, checkpoints: here }",
        "{ stdout: true, key: env:K }",
        "{ file: audit/, key: env:K, otlp: all, checkpoints: gone, arguments: plain }",
    ];
    let rows: Vec<_> = cases
        .iter()
        .map(|case| {
            let said = told(&format!("servers: {{ records: {{ url: 'http://a/mcp' }} }}\naudit: {case}\n"));
            assert!(!said.contains("hunter2"), "{said}");
            format!("{case}\n    {}", said.replace('\n', "\n    "))
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn problems_of_answers_that_are_given_again() {
    let cases = [
        "cache: { max_bytes: 0 }",
        "cache: { lists: 5m }",
        "cache: { lists: true }",
        "cache: { lists: 2d }",
        "cache: { shared: { key: env:K } }",
        "cache: { shared: { key: hunter2 } }\nlimits_store: { url: env:U }",
        "cache: { shared: { key: env:K, timeout: 2s } }\nlimits_store: { url: env:U }",
        "cache: { shared: { timeout: 2ms } }\nlimits_store: { url: env:U }",
        "cache: { shared: true }\nlimits_store: { url: env:U }",
        "cache: { lists: 1h, shared: { key: env:K, timeout: 2ms } }\nlimits_store: { url: env:U }",
    ];
    let rows = cases.map(|case| {
        let said = told(&format!("servers: {{ records: {{ url: 'http://a/mcp' }} }}\n{case}\n"));
        assert!(!said.contains("hunter2"), "{said}");
        format!("{case}\n    {}", said.replace('\n', "\n    "))
    });
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn what_the_policies_count_on_to_know_callers_must_be_there() {
    let told = |config: &str, principals: &str| {
        let folder = deployment(&format!("servers: {{ records: {{ url: 'http://a/mcp' }} }}\n{config}\n"));
        fs::write(folder.path().join("pepper"), "hunter2-hunter2-hunter2").unwrap();
        fs::write(folder.path().join("short"), "hunter2").unwrap();
        fs::write(folder.path().join("policies/principals.yaml"), principals).unwrap();
        let (at, file) = (format!("{}/", folder.path().display()), folder.path().join("tollgate.yaml"));
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("HOME/", &at)).unwrap();
        let found = load(&file_of(folder.path())).map_or_else(|found| found, |loaded| loaded.warnings);
        let said = lines(&found).replace(&at, "");
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    let key = |hash: &str| format!("keys: [{{ id: alice, hash: \"{hash}\", roles: [reader], expires: 2027-06-01 }}]\n");
    let peppered = key(&HASH.replace("sha256:", "hmac-sha256:p1:"));
    let cases = [
        "",
        "peppers: { p1: file:HOME/pepper }",
        "peppers: { p2: file:HOME/pepper }",
        "peppers: { p1: file:HOME/short }",
        "peppers: { p1: file:/nowhere }",
        "peppers: { p1: hunter2-hunter2-hunter2 }",
        "peppers: { P1: file:HOME/pepper }",
        "peppers: { a: file:HOME/pepper, b: file:HOME/pepper, c: file:HOME/pepper, d: file:HOME/pepper, p1: file:HOME/pepper }",
    ];
    let mut rows: Vec<_> =
        cases.iter().map(|case| format!("{case}\n    {}", told(case, &peppered).replace('\n', "\n    "))).collect();
    let certificates = "certificates: [{ id: billing, dns: billing.test, roles: [reader] }]\n";
    rows.push(told("", &format!("{}{certificates}", key(HASH))));
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn problems_of_all_files_are_told_at_once() {
    let folder = deployment("listen: { adress: x }\n");
    fs::write(folder.path().join("policies/records.yaml"), "roles: { reader: { tools: ['**'] } }\n").unwrap();
    let found = load(&file_of(folder.path())).unwrap_err();
    assert_eq!(found.count(crate::diagnostic::Severity::Error), 2, "{found}");
}

#[test]
fn nobody_is_let_in_anonymously_from_the_network() {
    let folder = deployment("listen: { address: '0.0.0.0:8080' }\nservers: { records: { url: http://a/mcp } }\n");
    fs::write(folder.path().join("policies/principals.yaml"), "anonymous: true\n").unwrap();
    fs::write(folder.path().join("policies/records.yaml"), "roles: { anonymous: { tools: [a] } }\n").unwrap();
    let found = lines(&load(&file_of(folder.path())).unwrap_err());
    assert!(found.contains("the gate listens to the network"), "{found}");
    let flags = Overrides { listen: Some("127.0.0.1:0".to_owned()), ..file_of(folder.path()) };
    assert!(load(&flags).unwrap().policies.authenticators.admits_anonymous());
}

#[test]
fn gates_share_keys_that_are_kept_elsewhere() {
    let server = "servers: { records: { url: http://a/mcp } }\n";
    let keys = |said: &str| format!("{server}sealing_keys: {said}\n");
    for said in [keys("[env:NEW, file:/run/old]"), keys("[env:NEW, file:/run/old]").replace("sealing", "cursor")] {
        let config = loaded(&said).unwrap().config;
        let kept: Vec<_> = config.sealing_keys.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["env:NEW", "file:/run/old"], "{said}");
    }
    assert!(told(&keys("[]")).contains("`sealing_keys` is empty"));
    assert!(told(&keys("[0123456789abcdef0123456789abcdef]")).contains("does not say where a secret is kept"));
}

#[test]
fn what_a_server_has_is_asked_and_shown_for_so_long() {
    let server = |said: &str| format!("servers: {{ records: {{ url: http://a/mcp{said} }} }}\n");
    let kept = |said: &str| loaded(&server(said)).unwrap().config.servers[0].catalogue;
    assert_eq!((kept("").timeout.as_secs(), kept("").shown_for.as_secs()), (10, 600));
    let said = kept(", catalogue: { timeout: 250ms, shown_for: 1h }");
    assert_eq!((said.timeout.as_millis(), said.shown_for.as_secs()), (250, 3600));
    assert_eq!((said.per, said.max_bytes), (Per::Server, 64 << 20));
    let said = kept(", catalogue: { per: caller, max_bytes: 5000 }");
    assert_eq!((said.per, said.max_bytes), (Per::Caller, 5000));
    assert!(told(&server(", catalogue: { shown_for: 31d }")).contains("is not a span of time that fits here"));
}
