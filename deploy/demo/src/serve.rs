//! The demo server's process: a store, the MCP endpoint over it, a health check and a gauge. No policy.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Cluster, ClusterError};
use crate::store::{MemoryStore, PostgresStore, Source, Store, StoreError};
use crate::tools::{Records, Rows};

const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// `/health` answers sooner than a probe gives up.
const HEALTH_WITHIN: Duration = Duration::from_secs(1);

type McpService = StreamableHttpService<Records, LocalSessionManager>;
type Body = BoxBody<Bytes, Infallible>;

/// Where the records come from.
#[derive(Debug)]
pub(crate) enum Database {
    /// A Postgres that somebody else runs.
    At(String),
    /// A Postgres of our own, or memory where there is none.
    Private,
    Memory,
}

/// A store and what keeps it alive.
#[derive(Debug)]
pub(crate) struct Backing {
    pub(crate) store: Store,
    /// Why the records are in memory although Postgres was wanted.
    pub(crate) fallback: Option<ClusterError>,
    /// Stopped when this is dropped.
    cluster: Option<Cluster>,
}

impl Backing {
    pub(crate) async fn open(database: Database, pool_size: usize) -> Result<Self, StoreError> {
        let memory = || Store::Memory(MemoryStore::new());
        match database {
            Database::Memory => Ok(Self { store: memory(), fallback: None, cluster: None }),
            Database::At(url) => {
                let config = url.parse().map_err(StoreError::Query)?;
                let store = PostgresStore::open(config, pool_size).await?;
                Ok(Self { store: Store::Postgres(store), fallback: None, cluster: None })
            }
            Database::Private => match Cluster::start().await {
                Ok(cluster) => {
                    let store = PostgresStore::open(cluster.database(), pool_size).await?;
                    Ok(Self { store: Store::Postgres(store), fallback: None, cluster: Some(cluster) })
                }
                Err(error) => Ok(Self { store: memory(), fallback: Some(error), cluster: None }),
            },
        }
    }

    /// Makes ready for callers who see these rows.
    pub(crate) async fn prepare(&self, rows: Rows) -> Result<(), StoreError> {
        match (&self.store, rows) {
            (Store::Postgres(store), Rows::OwnStore) => store.secure_rows().await,
            (Store::Postgres(_) | Store::Memory(_), _) => Ok(()),
        }
    }

    /// Serves until `stop`, then drains. The cluster, if there is one, ends last.
    pub(crate) async fn serve(self, rows: Rows, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let Self { store, cluster, .. } = self;
        let server = Server::new(Arc::new(store), rows, &stop);
        server.accept(listener, &stop).await?;
        // Stopping Postgres waits, so it must not wait on a runtime thread.
        tokio::task::spawn_blocking(move || drop(cluster)).await.map_err(io::Error::other)
    }
}

/// What every connection shares.
#[derive(Clone)]
struct Server {
    store: Arc<Store>,
    mcp: McpService,
}

impl Server {
    fn new(store: Arc<Store>, rows: Rows, stop: &CancellationToken) -> Self {
        let records = Records::new(Arc::clone(&store), rows);
        // Sessions for the versions up to 2025-11-25, none from 2026-07-28 on: rmcp serves both eras side by side.
        let config = StreamableHttpServerConfig::default()
            .enforce_origin_validation()
            .with_max_request_body_bytes(1 << 20)
            .with_cancellation_token(stop.child_token());
        let mcp = McpService::new(move || Ok(records.clone()), Arc::default(), config);
        Self { store, mcp }
    }

    async fn accept(self, listener: TcpListener, stop: &CancellationToken) -> io::Result<()> {
        let connections = TaskTracker::new();
        let graceful = GracefulShutdown::new();
        let http = auto::Builder::new(TokioExecutor::new());
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _peer)) => stream,
                    Err(error) if is_passing(&error) => continue,
                    Err(error) => return Err(error),
                },
                () = stop.cancelled() => break,
            };
            let server = self.clone();
            let service = service_fn(move |request| server.clone().answer(request));
            let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
            connections.spawn(graceful.watch(connection));
        }
        tokio::time::timeout(DRAIN_WITHIN, graceful.shutdown()).await.ok();
        Ok(())
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let response = match (request.method(), request.uri().path()) {
            (_, "/mcp") => self.mcp.handle(request).await,
            (&Method::GET, "/health") => self.health().await,
            (&Method::GET, "/metrics") => self.metrics(),
            _ => plain(StatusCode::NOT_FOUND, "text/plain", "MCP is at /mcp\n".to_owned()),
        };
        Ok(response)
    }

    async fn health(&self) -> Response<Body> {
        let pool = self.store.pool();
        let alive = matches!(tokio::time::timeout(HEALTH_WITHIN, self.store.ping()).await, Ok(Ok(())));
        let (code, status) =
            if alive { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
        let body = json!({"status": status, "source": self.store.source(), "pool": pool});
        plain(code, "application/json", body.to_string())
    }

    fn metrics(&self) -> Response<Body> {
        let pool = self.store.pool();
        let text: String = [
            ("size", "Open database connections.", pool.size),
            ("max_size", "Most database connections that may be open.", pool.max_size),
            ("available", "Open database connections that nobody uses.", pool.available),
            ("waiting", "Calls that wait for a database connection.", pool.waiting),
        ]
        .map(|(name, help, value)| gauge(&format!("mcp_db_pool_{name}"), help, value))
        .concat();
        plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
    }
}

fn gauge(name: &str, help: &str, value: usize) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
}

/// Errors of one connection, or of a moment: the listener itself is sound.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

fn plain(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// The line by which whoever started this process learns where it listens.
pub(crate) fn ready_line(address: SocketAddr, source: Source) -> String {
    format!("serving MCP on http://{address}/mcp, records from {source}")
}

/// The reader of [`ready_line`].
pub(crate) fn read_ready_line(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("serving MCP on ")?.split_once(", records from ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_as_healthy_as_its_database() {
        let stop = CancellationToken::new();
        let health = async |store: Store| {
            let response = Server::new(Arc::new(store), Rows::All, &stop).health().await;
            let code = response.status();
            let body = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
            (code, String::from_utf8(body.to_vec()).unwrap())
        };
        let (code, body) = health(Store::Memory(MemoryStore::new())).await;
        assert_eq!((code, body.contains(r#""source":"memory""#)), (StatusCode::OK, true));

        let Ok(cluster) = Cluster::start().await else {
            return;
        };
        let open = async || Store::Postgres(PostgresStore::open(cluster.database(), 2).await.unwrap());
        let (code, body) = health(open().await).await;
        assert_eq!((code, body.contains(r#""status":"ok""#)), (StatusCode::OK, true), "{body}");
        let store = open().await;
        drop(cluster);
        let (code, body) = health(store).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    }

    #[test]
    fn the_ready_line_is_read_as_written() {
        let line = ready_line(SocketAddr::from(([127, 0, 0, 1], 4711)), Source::Memory);
        assert_eq!(read_ready_line(&line), Some(("http://127.0.0.1:4711/mcp", "memory")));
        assert_eq!(read_ready_line("hello"), None);
    }
}
