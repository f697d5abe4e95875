//! Bind, accept, serve; stop accepting, and let what was accepted end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::BoxError;

use crate::proxy::{self, Gateway, Guard, Peer};

/// A head arrives within this.
const HEAD: Duration = Duration::from_secs(10);
/// A connection without a message under way is kept for so long.
const IDLE: Duration = Duration::from_mins(1);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 100;
/// How long to wait when the machine has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Binds an address.
///
/// # Errors
/// The system's.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`; returns the connections that are still open. Dropping the listener, which happens here, makes
/// the system refuse new ones, so that callers turn to another replica at once.
pub(super) async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
    connections: TaskTracker,
) -> GracefulShutdown {
    let open = GracefulShutdown::new();
    let server = Arc::new(Server::new(gateway));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return open,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "small answers on this connection may wait for the next one");
                }
                let (server, open, stop) = (Arc::clone(&server), open.watcher(), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        speaks = speaks(&stream) => server.serve(stream, address, speaks, open).await,
                        () = stop.cancelled() => {} // nothing was asked yet
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; waiting a moment");
                sleep(NO_ROOM).await;
            }
        }
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// HTTP/1.1, or nothing at all.
    Http1,
    /// HTTP/2 it may be: its preface begins so (RFC 9113, 3.4).
    PerhapsHttp2,
}

/// Looks at the first bytes without taking them. Whoever reads them to find out must hand them on, and a buffer that they
/// were put back into stays twice as large for as long as a stream lasts.
async fn speaks(stream: &TcpStream) -> Speaks {
    let mut first = [0; 3];
    match timeout(IDLE, stream.peek(&mut first)).await {
        Ok(Ok(length)) if length > 0 && first.starts_with(b"PRI".get(..length).unwrap_or_default()) => {
            Speaks::PerhapsHttp2
        }
        _ => Speaks::Http1,
    }
}

/// How connections are served.
struct Server {
    gateway: Arc<Gateway>,
    http1: http1::Builder,
    either: auto::Builder<TokioExecutor>,
}

impl Server {
    fn new(gateway: Arc<Gateway>) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(IDLE);
        let mut either = auto::Builder::new(TokioExecutor::new());
        either.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
        either.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
        Self { gateway, http1, either }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, speaks: Speaks, open: Watcher) {
        let peer = Arc::new(Peer::new(address));
        let service = TowerToHyperService::new(proxy::service(Arc::clone(&self.gateway), Arc::clone(&peer)));
        let io = TokioIo::new(Guard::new(stream, peer, HEAD));
        let ended = match speaks {
            Speaks::Http1 => open.watch(self.http1.serve_connection(io, service)).await.map_err(BoxError::from),
            // In a box of its own: it is larger, and rare.
            Speaks::PerhapsHttp2 => Box::pin(open.watch(self.either.serve_connection(io, service))).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
