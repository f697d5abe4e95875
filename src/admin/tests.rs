//! The routes, over real sockets.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::telemetry::{TelemetryGuard, TelemetrySettings};

fn behind(name: &str) -> Behind {
    let (answers, endpoints) = (AtomicBool::new(false), Vec::new());
    Behind { name: ServerName::new(name).unwrap(), answers, endpoints, assertions: None }
}

struct Admin {
    state: Arc<AdminState>,
    _guard: TelemetryGuard,
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    served: TaskTracker,
}

impl Admin {
    async fn start() -> Self {
        let (telemetry, guard) = Telemetry::start_with(&TelemetrySettings::quiet(), io::sink()).unwrap();
        let state = Arc::new(AdminState {
            readiness: Readiness::new(),
            telemetry,
            kill_switch: None,
            servers: ["records"].map(behind).into(),
            limits_store: None,
            config: watch::Sender::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, served) = (CancellationToken::new(), TaskTracker::new());
        served.spawn(serve(listener, Arc::clone(&state), shutdown.clone().cancelled_owned()));
        served.close();
        Self { state, _guard: guard, address, shutdown, served }
    }

    /// The whole answer to one request.
    async fn ask(&self, method: &str, path: &str) -> String {
        self.ask_as(method, path, "host: localhost:1").await
    }

    async fn ask_as(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask("GET", path).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

#[tokio::test]
async fn ready_when_every_latch_is_released() {
    let admin = Admin::start().await;
    let readiness = &admin.state.readiness;
    assert_eq!(admin.get("/livez").await, (200, "live\n".to_owned()));
    assert_eq!(admin.get("/readyz").await, (503, "[-] policies\n[-] upstream\n[-] issuers\nnot ready\n".to_owned()));
    readiness.release(Latch::Policies);
    assert_eq!(
        admin.get("/readyz?verbose").await,
        (
            503,
            "[+] policies\n[-] upstream\n[-] issuers\n[+] audit\n[+] draining\nconfig in_force\nnot ready\n".to_owned()
        )
    );
    readiness.release(Latch::Upstream);
    readiness.release(Latch::Issuers);
    assert!(readiness.is_ready());
    assert_eq!(admin.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = admin.get("/readyz?a=b&verbose=1").await;
    assert_eq!((status, text.lines().count()), (200, Latch::ALL.len() + 2), "{text}");
    readiness.hold(Latch::Draining);
    assert_eq!(admin.get("/readyz").await, (503, "[-] draining\nnot ready\n".to_owned()));
    assert_eq!(admin.get("/livez").await.0, 200);
}

#[tokio::test]
async fn the_rest_is_metrics_version_or_nothing() {
    let admin = Admin::start().await;
    admin.state.telemetry.policy(Arc::from("0123456789ab"));
    let answer = admin.ask("GET", "/metrics").await;
    assert!(answer.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\ntollgate_policy_info{digest=\"0123456789ab\"} 1\n"), "{answer}");
    let (_, text) = admin.get("/version").await;
    let version: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(version["policy"], "0123456789ab");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["protocol_versions"][4], "2026-07-28");
    for path in ["/", "/mcp", "/.well-known/jwks.json", "/livez/", "/metricsx", "//livez"] {
        assert_eq!(admin.get(path).await.0, 404, "{path}");
    }
    for method in ["POST", "DELETE", "OPTIONS", "PUT"] {
        let answer = admin.ask(method, "/livez").await;
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET"), "{answer}");
    }
}

#[tokio::test]
async fn a_web_page_hears_nothing() {
    let admin = Admin::start().await;
    for (headers, status) in [
        ("host: 127.0.0.1", 200),
        ("host: [::1]:9901", 200),
        ("host: evil.test:9901", 403),
        ("host: localhost@evil.test", 403),
        ("host: localhost\r\norigin: http://localhost", 403),
        ("x: y", 403),
    ] {
        for path in ["/livez", "/readyz", "/metrics", "/version", "/"] {
            let answer = admin.ask_as("GET", path, headers).await;
            let refused = answer.starts_with("HTTP/1.1 403");
            assert_eq!(refused, status == 403, "{path} {headers}: {answer}");
        }
    }
}

#[tokio::test]
async fn shutting_down_waits_for_nobody_who_is_idle() {
    let admin = Admin::start().await;
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    admin.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), admin.served.wait()).await.unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err());
}
