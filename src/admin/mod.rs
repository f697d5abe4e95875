//! Health and metrics, on a port of their own: never on the one that callers reach.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 `ready`, or 503 and the latches that are not released; `?verbose` lists all |
//! | `/metrics` | all metrics, in the text format of Prometheus |
//! | `/version` | version, policy digest, protocol revisions, as JSON |
//! | `/.well-known/jwks.json` | what verifies assertions of who asks: a JWK Set; 404 where none are made |
//! | `/kills` | what the kill switch stops; POST stops something, DELETE lets it go on; with a credential only |
//!
//! Everywhere else only GET is answered, and no request body is read. No web page has any business here: whatever names an `Origin` is
//! refused, and on a loopback address whatever names another `Host` than that (DNS rebinding).

mod kills;
mod readiness;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::breaker::Phase;
use crate::json;
use crate::kill_switch::KillSwitch;
use crate::mcp::{ProtocolVersion, ServerName};
use crate::telemetry::Telemetry;
use crate::upstream::{Assertions, Endpoint};

pub use readiness::{Latch, Readiness};

/// How long a client may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest head of a request.
const HEADER_BYTES: usize = 16 * 1024;
/// The most connections at once; probes and scrapers are few.
const CONNECTIONS: usize = 64;
/// How long to wait before accepting again after that has failed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long answers that are being written may take at the end.
const GRACE: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const JWKS: &str = "application/jwk-set+json";
const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What the admin port tells of.
#[derive(Debug)]
pub struct AdminState {
    /// Whether the gate is ready.
    pub readiness: Readiness,
    /// The metrics and the policy in force.
    pub telemetry: Arc<Telemetry>,
    /// What operators stop, if that can be asked for here.
    pub kill_switch: Option<Arc<KillSwitch>>,
    /// The servers behind the gate.
    pub servers: Vec<Behind>,
    /// Whether the store of limits is left alone because it fails, if there is one.
    pub limits_store: Option<watch::Receiver<Phase>>,
    /// Whether the gate runs on what its configuration file says.
    pub config: watch::Sender<Standing>,
}

/// What has become of the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is what the gate runs on.
    #[default]
    InForce,
    /// This of it counts after a restart, by its names in the file.
    Waits(Vec<String>),
    /// No gate would start with it. The gate runs on what it said before.
    Refused,
}

impl Standing {
    /// As `/readyz?verbose` says it.
    fn told(&self) -> String {
        match self {
            Self::InForce => "config in_force\n".to_owned(),
            Self::Waits(names) => format!("config waits_for_restart {}\n", names.join(" ")),
            Self::Refused => "config refused\n".to_owned(),
        }
    }
}

/// A server behind the gate.
#[derive(Debug)]
pub struct Behind {
    /// What it is called.
    pub name: ServerName,
    /// Whether it answered when it was looked for last.
    pub answers: AtomicBool,
    /// Where it is, and whether it is left alone there because it fails.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What signs who asks, if it is told so.
    pub assertions: Option<Arc<Assertions>>,
}

impl AdminState {
    /// Whoever looks for a server has noted whether it answers. The upstream latch is held while none does.
    pub fn looked(&self) {
        let any = || self.servers.iter().any(|behind| behind.answers.load(Ordering::SeqCst));
        // Two may be noted at once: whoever comes last has seen both.
        while any() == self.readiness.holds(Latch::Upstream) {
            if any() {
                self.readiness.release(Latch::Upstream);
            } else {
                self.readiness.hold(Latch::Upstream);
            }
        }
    }
}

/// Answers until `shutdown` is done.
pub async fn serve(listener: TcpListener, state: Arc<AdminState>, shutdown: impl Future<Output = ()>) {
    let connections = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let called = if loopback { Called::Loopback } else { Called::Anything };
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let state = Arc::clone(&state);
        let service = service_fn(move |request: Request<Incoming>| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(answer(request, called, &state).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the admin port broke off");
            }
        });
    }
    drop(listener);
    connections.close();
    // Whoever has not read an answer by then has gone away.
    let _ = tokio::time::timeout(GRACE, async { tokio::join!(graceful.shutdown(), connections.wait()) }).await;
}

/// A connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// What the port may be called in `Host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    /// What this machine calls itself, with any port: one may be forwarded here.
    Loopback,
    /// Whatever the network calls it.
    Anything,
}

fn is_foreign<B>(request: &Request<B>, called: Called) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let named = match called {
        Called::Loopback => host.is_some_and(|host| matches!(host.host(), "localhost" | "127.0.0.1" | "[::1]")),
        Called::Anything => host.is_some(),
    };
    !named || request.headers().contains_key(ORIGIN)
}

async fn answer(request: Request<Incoming>, called: Called, state: &AdminState) -> Response<Full<Bytes>> {
    type Route = fn(&Request<Incoming>, &AdminState) -> Response<Full<Bytes>>;
    if is_foreign(&request, called) {
        return respond(StatusCode::FORBIDDEN, TEXT, "foreign Host or Origin\n");
    }
    let route: Route = match request.uri().path() {
        "/livez" => |_, _| respond(StatusCode::OK, TEXT, "live\n"),
        "/readyz" => ready,
        "/metrics" => metrics,
        "/kills" => return kills::answer(request, state.kill_switch.as_ref()).await,
        JWKS_PATH => jwks,
        "/version" => |_, state| respond(StatusCode::OK, JSON, version(state.telemetry.digest().as_deref())),
        _ => return respond(StatusCode::NOT_FOUND, TEXT, "not found\n"),
    };
    if request.method() != Method::GET {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    route(&request, state)
}

/// In the format that can name traces, for who takes it.
fn metrics(request: &Request<Incoming>, state: &AdminState) -> Response<Full<Bytes>> {
    let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    if types.any(|name| name.trim().eq_ignore_ascii_case("application/openmetrics-text")) {
        return respond(StatusCode::OK, OPEN_METRICS, state.telemetry.open_metrics());
    }
    respond(StatusCode::OK, METRICS, state.telemetry.metrics_text())
}

fn ready(request: &Request<Incoming>, state: &AdminState) -> Response<Full<Bytes>> {
    let (query, readiness) = (request.uri().query(), &state.readiness);
    let held: Vec<_> = Latch::ALL.into_iter().filter(|latch| readiness.holds(*latch)).collect();
    let mut text = String::new();
    for latch in Latch::ALL {
        let mark = if held.contains(&latch) { "[-]" } else { "[+]" };
        if is_verbose(query) || held.contains(&latch) {
            text.extend([mark, " ", latch.name(), "\n"]);
        }
    }
    if is_verbose(query) {
        for server in &state.servers {
            text.push_str(&told(server, &state.servers));
        }
        if let Some(store) = &state.limits_store {
            text.extend(["limits_store ", store.borrow().word(), "\n"]);
        }
        text.push_str(&state.config.borrow().told());
    }
    if held.is_empty() {
        text.push_str("ready\n");
        return respond(StatusCode::OK, TEXT, text);
    }
    text.push_str("not ready\n");
    respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
}

/// Its circuits; before those of one of several, whether it answers.
fn told(server: &Behind, all: &[Behind]) -> String {
    let mut told = String::new();
    if all.len() > 1 {
        let mark = if server.answers.load(Ordering::Relaxed) { "[+]" } else { "[-]" };
        told.extend([mark, " upstream ", server.name.as_str(), "\n"]);
    }
    for endpoint in &server.endpoints {
        told.extend(["circuit ", &endpoint.url().to_string(), " ", endpoint.phases().borrow().word(), "\n"]);
    }
    told
}

/// The keys of all servers' assertions: each has its own, or shares one.
fn jwks(_: &Request<Incoming>, state: &AdminState) -> Response<Full<Bytes>> {
    let assertions: Vec<_> = state.servers.iter().filter_map(|server| server.assertions.as_deref()).collect();
    if assertions.is_empty() {
        return respond(StatusCode::NOT_FOUND, TEXT, "no assertions are made\n");
    }
    respond(StatusCode::OK, JWKS, Assertions::jwks(&assertions))
}

fn is_verbose(query: Option<&str>) -> bool {
    query.unwrap_or_default().split('&').any(|pair| pair.split('=').next() == Some("verbose"))
}

fn version(digest: Option<&str>) -> String {
    let mut text = String::from("{\"version\":");
    json::quote(env!("CARGO_PKG_VERSION"), &mut text);
    text.push_str(",\"policy\":");
    match digest {
        Some(digest) => json::quote(digest, &mut text),
        None => text.push_str("null"),
    }
    text.push_str(",\"protocol_versions\":[");
    for (index, version) in ProtocolVersion::all().enumerate() {
        if index > 0 {
            text.push(',');
        }
        json::quote(version.name(), &mut text);
    }
    text.push_str("]}\n");
    text
}

fn respond(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
