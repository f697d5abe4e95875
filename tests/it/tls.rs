//! TLS on the port that clients speak to: who gets a connection, what is spoken on it, and what changes while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::pki::{Authority, Pair, put};
use crate::support::raw::{self, Connection, Response};
use crate::support::tunnel::{Tunnel, client, client_of, connect};
use crate::support::upstream::Upstream;
use crate::support::world::{World, mount};
use crate::support::{DEADLINE, until};

/// A gate that speaks TLS, the authority behind its certificate, and where its files are.
pub(crate) struct Secure {
    pub(crate) gate: Gate,
    pub(crate) authority: Authority,
    pub(crate) folder: TempDir,
    pub(crate) upstream: Upstream,
}

impl Secure {
    async fn start() -> Self {
        Self::with("", |world| world).await
    }

    /// `more` stands behind certificate and key.
    pub(crate) async fn with(more: &str, world: impl FnOnce(World) -> World) -> Self {
        Self::of(Authority::new("gate"), tempfile::tempdir().unwrap(), more, world).await
    }

    async fn of(authority: Authority, folder: TempDir, more: &str, world: impl FnOnce(World) -> World) -> Self {
        authority.server().write(folder.path());
        let upstream = Upstream::start().await;
        let gate = world(World::new(&upstream.url()).listen(&tls(folder.path(), more))).start().await;
        Self { gate, authority, folder, upstream }
    }

    /// Clients are asked for a certificate of this authority.
    pub(crate) async fn mutual(clients: &str, said: &str, world: impl FnOnce(World) -> World) -> Self {
        let (authority, folder) = (Authority::new("gate"), tempfile::tempdir().unwrap());
        put(&folder.path().join("ca.crt"), clients);
        let more = format!(", client_ca: {}/ca.crt, client_certificates: {said}", folder.path().display());
        Self::of(authority, folder, &more, world).await
    }

    pub(crate) fn client_ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    fn renew(&self, authority: &Authority) -> Pair {
        let pair = authority.server();
        pair.write(self.folder.path());
        pair
    }
}

/// The line under `listen:`.
pub(crate) fn tls(folder: &Path, more: &str) -> String {
    let folder = folder.display();
    format!("tls: {{ certificate: {folder}/tls.crt, key: \"file:{folder}/tls.key\"{more} }}")
}

fn search() -> Vec<u8> {
    post(ALICE, &tool_call("1", "search_records", "{}"))
}

/// Whether a call of alice is answered on a connection that trusts this authority only.
async fn answers(gate: &Gate, authority: &Authority) -> bool {
    let Ok(mut stream) = connect(gate.data, client(&authority.pem, None)).await else {
        return false;
    };
    let mut heard = [0; 12];
    stream.write_all(&search()).await.is_ok()
        && stream.read_exact(&mut heard).await.is_ok()
        && heard == *b"HTTP/1.1 200"
}

async fn handshakes(gate: &Gate, result: &str) -> Option<f64> {
    gate.metric(&format!("tollgate_tls_handshakes_total{{result=\"{result}\"}}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_passes_by_tls_1_2_and_1_3_and_what_speaks_otherwise_hears_nothing() {
    let secure = Secure::start().await;
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let tunnel = Tunnel::start(secure.gate.data, client_of(&secure.authority.pem, None, versions)).await;
        let Response { status, .. } = raw::call(tunnel.address, &search()).await;
        assert_eq!(status, 200, "{versions:?}");
    }
    assert_eq!(secure.upstream.count(), 2);
    assert_eq!(handshakes(&secure.gate, "ok").await, Some(2.0));

    let mut plain = Connection::open(secure.gate.data).await;
    plain.send(&search()).await.unwrap();
    assert!(plain.closes().await);
    let told = |line: &str| line.contains("WARN") && line.contains("plain HTTP") && line.contains("https://");
    assert!(secure.gate.log.wait_since(0, DEADLINE, told).await.is_some(), "{}", secure.gate.log.text());
    assert_eq!(handshakes(&secure.gate, "plain").await, Some(1.0));
    assert_eq!(secure.upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spoken_is_what_was_agreed() {
    let secure = Secure::start().await;
    for (offered, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let mut config = client(&secure.authority.pem, None);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let stream = connect(secure.gate.data, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
    }
    // Neither takes the other's bytes.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (agreed, sent, begins) in [("h2", &search()[..], "HTTP/"), ("http/1.1", preface, "\0")] {
        let mut config = client(&secure.authority.pem, None);
        config.alpn_protocols = vec![agreed.as_bytes().to_vec()];
        let mut stream = connect(secure.gate.data, config).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "{agreed}: the connection ends");
        assert!(!String::from_utf8_lossy(&heard).starts_with(begins), "{agreed}: {heard:?}");
    }
    assert_eq!(secure.upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_while_it_runs_and_a_wrong_one_is_not() {
    let secure = Secure::start().await;
    assert!(answers(&secure.gate, &secure.authority).await);

    let next = Authority::new("next");
    let pair = secure.renew(&next);
    assert!(until(DEADLINE, async || answers(&secure.gate, &next).await).await, "the new certificate is shown");

    let other = next.server();
    let expired =
        next.sign(&["localhost"], |params| params.not_after = (SystemTime::now() - Duration::from_mins(1)).into());
    let certificate = secure.folder.path().join("tls.crt");
    for (what, text, says) in [
        ("of another key", other.certificate.as_str(), "not that of the certificate"),
        ("no PEM", "-----BEGIN CERTIFICATE-----\nnonsense\n", "not sound PEM"),
        ("expired", &expired.certificate, "has expired"),
        ("empty", "", "there is nothing"),
    ] {
        let before = secure.gate.log.count();
        put(&certificate, text);
        let told = |line: &str| line.contains("ERROR") && line.contains(says) && line.contains("the old ones stay");
        assert!(
            secure.gate.log.wait_since(before, DEADLINE, told).await.is_some(),
            "{what}: {}",
            secure.gate.log.text()
        );
        assert!(answers(&secure.gate, &next).await, "{what}: the old one is shown");
    }
    for (result, least) in [("ok", 1.0), ("refused", 4.0)] {
        let reloads = secure.gate.metric(&format!("tollgate_tls_reloads_total{{result=\"{result}\"}}")).await;
        assert!(reloads >= Some(least), "{result}: {reloads:?}");
    }
    fs::remove_file(&certificate).unwrap();
    assert!(answers(&secure.gate, &next).await);
    put(&certificate, &pair.certificate);
    let left = secure.gate.metric("tollgate_credential_time_left_seconds{credential=\"certificate\"}").await.unwrap();
    assert!((89.0..90.0).contains(&(left / 86_400.0)), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_secret_is_swapped_as_a_whole() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let folder = tempfile::tempdir().unwrap();
    mount(folder.path(), "..2026_01_01", &first.server().files());
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
    }
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).listen(&tls(folder.path(), "")).start().await;
    assert!(answers(&gate, &first).await);
    let before = gate.log.count();
    mount(folder.path(), "..2026_01_02", &second.server().files());
    fs::remove_dir_all(folder.path().join("..2026_01_01")).unwrap();
    assert!(until(DEADLINE, async || answers(&gate, &second).await).await);
    assert!(!gate.log.since(before).iter().any(|line| line.contains("ERROR")), "{}", gate.log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_not_finished_keep_nobody_out() {
    let secure = Secure::start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(secure.gate.data).await.unwrap());
    }
    assert!(answers(&secure.gate, &secure.authority).await, "who says nothing takes no room");
    // A record of a handshake that says it is longer than any may be.
    let mut long = TcpStream::connect(secure.gate.data).await.unwrap();
    long.write_all(&[22, 3, 1, 0xff, 0xff]).await.unwrap();
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, long.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "it is ended at once, not when the time for a handshake is over");
    // The connection ends first, and is counted then.
    let counted = async || handshakes(&secure.gate, "refused").await == Some(1.0);
    assert!(until(DEADLINE, counted).await, "it is counted once");
}
