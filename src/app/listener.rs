//! Bind, accept, serve; stop accepting, and let what was accepted end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
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
                let peer = Arc::new(Peer::new(address));
                let service = proxy::service(Arc::clone(&gateway), Arc::clone(&peer));
                let io = TokioIo::new(Guard::new(stream, peer, HEAD));
                let connection = server.serve_connection(io, TowerToHyperService::new(service)).into_owned();
                let connection = open.watch(connection);
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
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
