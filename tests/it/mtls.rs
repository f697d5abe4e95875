//! Client certificates: who gets a connection by one, and who is somebody by one.

use std::time::{Duration, SystemTime};

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::gate::Gate;
use crate::support::http1;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, message, post, post_with, tool_call};
use crate::support::pki::{Authority, Pair, put};
use crate::support::raw::{self, Connection, Response};
use crate::support::tunnel::{Tunnel, client, connect};
use crate::support::upstream::{Recorded, Reply};
use crate::support::world::{World, principals};
use crate::support::{DEADLINE, until};
use crate::tls::Secure;

const BILLING: &str = "spiffe://example.org/ns/prod/sa/billing";
const CERTIFICATES: &str = "\
certificates:
  - { id: billing, uri: \"spiffe://example.org/ns/prod/sa/billing\", roles: [reader], claims: { store_id: s1 } }
  - { uri: \"spiffe://example.org/ns/prod/sa/*\", roles: [reader] }
  - { id: build, dns: build.example.com, roles: [reader] }
  - { id: ops, email: ops@example.com, roles: [reader] }
  - { id: site, uri: \"https://example.com/site\", roles: [reader] }
";

/// A gate that knows clients of an authority of their own.
struct Mutual {
    secure: Secure,
    clients: Authority,
}

impl Mutual {
    async fn start(clients: &str, more: &str, change: impl FnOnce(World) -> World) -> Self {
        let authority = Authority::new("clients");
        let world = |world: World| change(world.policy("principals.yaml", &format!("{}{more}", principals("reader"))));
        let secure = Secure::mutual(&authority.pem, clients, world).await;
        Self { secure, clients: authority }
    }

    /// The answer to a request on a connection with this certificate; `None` if there is none.
    async fn ask(&self, shows: Option<&Pair>, request: &[u8]) -> Option<Response> {
        let config = client(&self.secure.authority.pem, shows);
        let tunnel = Tunnel::start(self.secure.gate.data, config).await;
        match Connection::open(tunnel.address).await.exchange(request).await {
            raw::Answer::Response(response) => Some(response),
            _ => None,
        }
    }

    async fn status(&self, shows: Option<&Pair>, request: &[u8]) -> Option<u16> {
        self.ask(shows, request).await.map(|response| response.status)
    }

    fn gate(&self) -> &Gate {
        &self.secure.gate
    }
}

/// A call without a credential.
fn bare() -> Vec<u8> {
    post_with(&LEGACY, &tool_call("1", "search_records", "{}"))
}

fn keyed() -> Vec<u8> {
    post(ALICE, &tool_call("1", "search_records", "{}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_certificate_of_the_authority_gets_no_connection() {
    let mutual = Mutual::start("required", "", |world| world).await;
    let (ours, theirs) = (&mutual.clients, Authority::new("theirs"));
    let past = SystemTime::now() - Duration::from_mins(1);
    let (limited, chain) = ours.sub("below");
    let mut longer = limited.client(&[BILLING]);
    longer.certificate += &chain;
    let only = Authority::only_for("one domain", "example.com");
    put(&mutual.secure.client_ca(), &format!("{}{}", ours.pem, only.pem));
    assert!(mutual.gate().log.wait_since(0, DEADLINE, |line| line.contains("certificates reloaded")).await.is_some());

    for (what, shows, connects) in [
        ("nothing", None, false),
        ("one of ours", Some(ours.client(&[BILLING])), true),
        ("one without any name", Some(ours.client(&[])), true),
        ("one by an authority below ours", Some(longer), true),
        ("one by an authority below ours, alone", Some(limited.client(&[BILLING])), false),
        ("one of theirs", Some(theirs.client(&[BILLING])), false),
        ("one that has ended", Some(ours.client_with(&[BILLING], |params| params.not_after = past.into())), false),
        ("one for servers", Some(ours.server()), false),
        (
            "one for whatever is no client",
            Some(ours.client_with(&[BILLING], |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            })),
            false,
        ),
        ("one within the bounds of its authority", Some(only.client(&["build.example.com"])), true),
        ("one beyond them", Some(only.client(&["build.example.org"])), false),
    ] {
        // Without `certificates`, a certificate opens the connection, and whoever calls shows a key.
        let status = mutual.status(shows.as_ref(), &keyed()).await;
        assert_eq!(status, connects.then_some(200), "{what}: {}", mutual.gate().log.text());
        if connects {
            assert_eq!(mutual.status(shows.as_ref(), &bare()).await, Some(401), "{what}, and no key");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_somebody_by_a_name_in_it_and_never_by_its_common_name() {
    let mutual = Mutual::start("optional", CERTIFICATES, |world| world).await;
    let ours = &mutual.clients;
    for (names, who) in [
        (&[BILLING][..], Some("billing")),
        (&[BILLING, "billing.prod.svc"], Some("billing")),
        (&["spiffe://example.org/ns/prod/sa/web"], Some("spiffe://example.org/ns/prod/sa/web")),
        (&["build.example.com"], Some("build")),
        (&["BUILD.example.com", "other.example.com"], Some("build")),
        (&["ops@example.com"], Some("ops")),
        (&["https://example.com/site"], Some("site")),
        (&["spiffe://example.org/ns/prod/sa/a/b"], None),
        (&["spiffe://example.net/ns/prod/sa/billing"], None),
        (&[BILLING, "https://example.com/site"], None),
        (&[BILLING, "spiffe://example.org/ns/prod/sa/web"], None),
        (&["build.example.com", "ops@example.com"], None),
        (&["*.example.com"], None),
        (&["OPS@example.com"], None),
        (&["unknown.example.com"], None),
        (&[], None),
    ] {
        let common = |params: &mut rcgen::CertificateParams| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "build.example.com");
        };
        let mark = mutual.secure.upstream.count();
        let status = mutual.status(Some(&ours.client_with(names, common)), &bare()).await;
        assert_eq!(status, Some(if who.is_some() { 200 } else { 401 }), "{names:?}");
        let seen = mutual.secure.upstream.since(mark);
        let seen: Vec<_> = seen.iter().filter_map(|request| request.head.first("x-gateway-principal")).collect();
        assert_eq!(seen, who.into_iter().collect::<Vec<_>>(), "{names:?}");
    }
    let signs = ours.client_with(&[BILLING], |params| params.key_usages.push(KeyUsagePurpose::KeyCertSign));
    assert_eq!(mutual.status(Some(&signs), &bare()).await, Some(401), "a workload's key signs no others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_credential_is_one_and_a_bad_one_is_never_tried_as_another() {
    let mutual = Mutual::start("optional", CERTIFICATES, |world| world).await;
    let known = mutual.clients.client(&[BILLING]);
    let unknown = mutual.clients.client(&["unknown.example.com"]);
    let token = format!("Bearer {ALICE}");
    let bearer = [&LEGACY[..], &[("authorization", &*token)]].concat();
    let wrong = post("nobody-has-this-key", &tool_call("1", "search_records", "{}"));
    for (what, shows, request, status, reason) in [
        ("a certificate", Some(&known), bare(), 200, ""),
        ("a key", None, keyed(), 200, ""),
        ("neither", None, bare(), 401, "no_credential"),
        ("a certificate and a key", Some(&known), keyed(), 400, "several_credentials"),
        ("a certificate and a bearer", Some(&known), post_with(&bearer, "{}"), 400, "several_credentials"),
        ("a certificate and a wrong key", Some(&known), wrong, 400, "several_credentials"),
        ("an unknown certificate and a key", Some(&unknown), keyed(), 400, "several_credentials"),
        ("an unknown certificate", Some(&unknown), bare(), 401, "unknown_certificate"),
    ] {
        let mark = mutual.gate().decisions.count();
        assert_eq!(mutual.status(shows, &request).await, Some(status), "{what}");
        let told = |line: &str| line.contains(reason);
        assert!(mutual.gate().decisions.wait_since(mark, DEADLINE, told).await.is_some(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_belongs_to_the_certificate_that_began_it() {
    let mutual = Mutual::start("optional", CERTIFICATES, |world| world).await;
    mutual.secure.upstream.answer_with(|request: &Recorded| match Reply::obliging(request) {
        Reply::Whole { status, mut headers, body } if request.holds("initialize") => {
            headers.push(("mcp-session-id".to_owned(), "theirs".to_owned()));
            Reply::Whole { status, headers, body }
        }
        reply => reply,
    });
    let (billing, web) =
        (mutual.clients.client(&[BILLING]), mutual.clients.client(&["spiffe://example.org/ns/prod/sa/web"]));
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let begun = mutual.ask(Some(&billing), &post_with(&LEGACY, &message("1", "initialize", &hello.to_string()))).await;
    let session = begun.unwrap().head.first("mcp-session-id").expect("a session").to_owned();
    let headers = [&LEGACY[..], &[("mcp-session-id", &*session)]].concat();
    let call = post_with(&headers, &tool_call("2", "search_records", "{}"));
    assert_eq!(mutual.status(Some(&billing), &call).await, Some(200));
    assert_eq!(mutual.status(Some(&web), &call).await, Some(404), "by another certificate");
    let by_key = [&headers[..], &[("x-api-key", ALICE)]].concat();
    let call = post_with(&by_key, &tool_call("3", "search_records", "{}"));
    assert_eq!(mutual.status(None, &call).await, Some(404), "by a key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_taken_out_ends_what_its_certificates_opened() {
    let mutual = Mutual::start("optional", CERTIFICATES, |world| world).await;
    mutual.secure.upstream.answer(Reply::Pushed(": open".to_owned()));
    let shows = mutual.clients.client(&[BILLING]);
    let config = client(&mutual.secure.authority.pem, Some(&shows));
    let tunnel = Tunnel::start(mutual.gate().data, config.clone()).await;
    let mut stream = Connection::open(tunnel.address).await;
    let get = "GET /mcp HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/event-stream\r\n\r\n";
    stream.send(get.as_bytes()).await.unwrap();
    stream.read_head().await.unwrap();
    assert!(stream.read_chunk().await.unwrap().is_some());
    mutual.secure.upstream.answer_with(Reply::obliging);
    let mut kept_open = connect(mutual.gate().data, config.clone()).await.unwrap();
    kept_open.write_all(&bare()).await.unwrap();
    let mut begin = [0; 12];
    kept_open.read_exact(&mut begin).await.unwrap();
    assert_eq!(begin, *b"HTTP/1.1 200");

    put(&mutual.secure.client_ca(), &Authority::new("other").pem);
    assert_eq!(stream.read_chunk().await.unwrap(), None, "the stream ends");
    let refused = async || {
        let mut reader = tokio::io::BufReader::new(&mut kept_open);
        if reader.get_mut().write_all(&bare()).await.is_err() {
            return true;
        }
        matches!(http1::read_head(&mut reader).await, Ok(Some(head)) if head.start.contains("401"))
    };
    let mut refused = refused;
    assert!(
        tokio::time::timeout(DEADLINE, async { while !refused().await {} }).await.is_ok(),
        "so does the connection"
    );
    let anew = async || mutual.status(Some(&shows), &bare()).await.is_none();
    assert!(until(DEADLINE, anew).await, "and no new one is made");
}
