//! Bind, accept, serve; stop accepting, and let what was accepted end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::BoxError;

use super::handshake::{Handshakes, Shaken};
use super::seldom::Seldom;
use super::workers::Workers;
use crate::config::ListenTimeouts;
use crate::exchange::TimeoutKind;
use crate::proxy::{self, Gateway, Guard, Peer, Streams};

/// How long connections are kept that are about to end, for calls that are on their way. Shorter than anybody's impatience: that
/// nobody called any more is no loss.
pub(super) const LINGER: Duration = Duration::from_millis(700);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 100;
/// So much of an answer waits for a client that is slow, and so long may a head be.
const BUFFER: usize = 128 << 10;
/// How long to wait when the machine has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// That there is none is said so often at most.
const COMPLAINTS: Duration = Duration::from_secs(1);

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

/// Accepts until `stop`. Dropping the listener, which happens here, makes the system refuse new connections, so that callers
/// turn to another replica at once. The workers go on with what was accepted.
pub(super) async fn serve(
    listener: TcpListener,
    port: Port,
    workers: Workers,
    stop: CancellationToken,
    connections: TaskTracker,
) -> Workers {
    let server = Arc::new(Server::new(port));
    let complaints = Seldom::every(COMPLAINTS);
    loop {
        let accepted = tokio::select! {
            biased; // whom the system has connected already is served, too
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return workers,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "small answers on this connection may wait for the next one");
                }
                let server = Arc::clone(&server);
                let serving = async move |stream| {
                    tokio::select! {
                        begun = server.begin(stream, address) => server.serve(begun).await,
                        () = server.port.closing.cancelled() => {} // nothing was asked
                    }
                };
                if let Err(error) = workers.serve(stream, &connections, serving) {
                    tracing::warn!(%error, "a connection that was accepted cannot be served");
                }
            }
            // Whoever it was has gone again.
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                server.port.gateway.telemetry.not_accepted();
                if complaints.may_tell() {
                    tracing::warn!(%error, "no connection can be accepted; trying again every {NO_ROOM:?}");
                }
                tokio::select! {
                    () = sleep(NO_ROOM) => {}
                    () = stop.cancelled() => return workers,
                }
            }
        }
    }
}

/// Whether it says something of one connection only, and nothing of the next.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// What is behind the port.
pub(super) struct Port {
    pub(super) gateway: Arc<Gateway>,
    /// TLS, if it is spoken.
    pub(super) handshakes: Option<Handshakes>,
    /// Cancelled when connections are to end.
    pub(super) closing: CancellationToken,
}

/// A connection on which something may be asked.
enum Begun {
    Plain(TcpStream, Peer, Speaks),
    // In a box of its own: it is larger by far.
    Tls(Box<TlsStream<TcpStream>>, Peer, Speaks),
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP/1.1, or nothing at all.
    Http1,
    /// HTTP/2 it may be: its preface begins so (RFC 9113, 3.4).
    PerhapsHttp2,
    /// HTTP/2 and nothing else: so it was agreed.
    Http2,
}

/// Looks at the first bytes without taking them. Whoever reads them to find out must hand them on, and a buffer that they
/// were put back into stays twice as large for as long as a stream lasts.
async fn speaks(stream: &TcpStream) -> Speaks {
    let mut first = [0; 3];
    match stream.peek(&mut first).await {
        Ok(length) if length > 0 && first.starts_with(b"PRI".get(..length).unwrap_or_default()) => Speaks::PerhapsHttp2,
        _ => Speaks::Http1,
    }
}

/// How connections are served.
struct Server {
    port: Port,
    http1: http1::Builder,
    either: auto::Builder<Streams>,
    http2: auto::Builder<Streams>,
}

impl Server {
    fn new(port: Port) -> Self {
        let mut http1 = http1::Builder::new();
        // The guard keeps time, on either protocol.
        http1.header_read_timeout(None).max_buf_size(BUFFER);
        let mut either = auto::Builder::new(Streams(Arc::clone(&port.gateway)));
        either.http1().header_read_timeout(None).max_buf_size(BUFFER);
        either.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_send_buf_size(BUFFER);
        let http2 = either.clone().http2_only();
        Self { port, http1, either, http2 }
    }

    /// How long a client may take for what that comes now.
    fn timeouts(&self) -> ListenTimeouts {
        self.port.gateway.snapshot.load().terms.timeouts
    }

    /// Finds out what is spoken. `None`: nothing that can be.
    async fn begin(&self, stream: TcpStream, address: SocketAddr) -> Option<Begun> {
        let Some(handshakes) = &self.port.handshakes else {
            let Ok(speaks) = timeout(self.timeouts().idle, speaks(&stream)).await else {
                self.port.gateway.telemetry.timed_out(TimeoutKind::KeepAliveIdle);
                return None;
            };
            return Some(Begun::Plain(stream, Peer::new(address), speaks));
        };
        let Shaken { stream, speaks, certificate } =
            handshakes.shake(stream, address, self.timeouts().handshake).await?;
        Some(Begun::Tls(stream, Peer::over_tls(address, certificate), speaks))
    }

    async fn serve(&self, begun: Option<Begun>) {
        match begun {
            Some(Begun::Plain(stream, peer, speaks)) => self.carry(stream, peer, speaks).await,
            Some(Begun::Tls(stream, peer, speaks)) => self.carry(stream, peer, speaks).await,
            None => {}
        }
    }

    async fn carry<S>(&self, stream: S, peer: Peer, speaks: Speaks)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (peer, timeouts) = (Arc::new(peer), self.timeouts());
        let service = TowerToHyperService::new(proxy::service(Arc::clone(&self.port.gateway), Arc::clone(&peer)));
        let io = TokioIo::new(Guard::new(stream, Arc::clone(&peer), timeouts));
        let until = Until { closing: &self.port.closing, peer: &peer, idle: timeouts.idle };
        let ended = match speaks {
            Speaks::Http1 => until.over(self.http1.serve_connection(io, service)).await.map_err(BoxError::from),
            // In boxes of their own: they are larger, and rare.
            Speaks::PerhapsHttp2 => Box::pin(until.over(self.either.serve_connection(io, service))).await,
            Speaks::Http2 => Box::pin(until.over(self.http2.serve_connection(io, service))).await,
        };
        if let Some(kind) = peer.timed_out() {
            self.port.gateway.telemetry.timed_out(kind);
        }
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// How long a connection is served.
struct Until<'a> {
    closing: &'a CancellationToken,
    peer: &'a Peer,
    idle: Duration,
}

impl Until<'_> {
    /// Serves it until it is over. When the gate closes, or nothing was asked for too long, it is told to end: over HTTP/2 its
    /// peer hears that, and what it has asked by then is answered.
    async fn over<C: GracefulConnection>(self, connection: C) -> Result<(), C::Error> {
        let mut connection = pin!(connection);
        let is_idle = tokio::select! {
            biased; // a word is worth more than that it comes late
            ended = connection.as_mut() => return ended,
            () = self.closing.cancelled() => false,
            () = self.peer.asks_nothing_for(self.idle) => true,
        };
        connection.as_mut().graceful_shutdown();
        if !is_idle {
            return connection.await;
        }
        self.peer.misses(TimeoutKind::KeepAliveIdle);
        tokio::select! {
            ended = connection => ended,
            () = self.peer.asks_nothing_for(self.idle + LINGER) => Ok(()), // it does not take the hint
        }
    }
}
