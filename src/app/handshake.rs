//! TLS handshakes: bounded in time and number, and heard of when they fail. Their size is bounded by rustls (64 KiB a
//! message).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::listener::Speaks;
use super::seldom::Seldom;
use crate::exchange::TimeoutKind;
use crate::telemetry::{Handshake, Telemetry};
use crate::tls::{ClientCertificate, Server};

/// How many may be under way at once. Further ones wait, for as long as they may.
const AT_ONCE: usize = 256;
/// Failed ones are told of so often at most; they are all counted.
const TOLD: Duration = Duration::from_secs(10);
/// The first byte of every handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// The handshakes of one port.
pub(super) struct Handshakes {
    tls: Arc<Server>,
    telemetry: Arc<Telemetry>,
    room: Semaphore,
    /// Failed ones are told of now and then: whoever can connect can fail.
    failures: Seldom,
}

/// A connection after its handshake.
pub(super) struct Shaken {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    pub(super) speaks: Speaks,
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

/// Why there is no connection.
enum Failed {
    /// The first byte is not one of TLS.
    Plain,
    /// The client went away before it said anything, as probes of load balancers do.
    Left,
    /// It took too long.
    Slow,
    /// It is refused, or has refused us.
    Refused(io::Error),
}

impl Handshakes {
    pub(super) fn new(tls: Arc<Server>, telemetry: Arc<Telemetry>) -> Self {
        Self { tls, telemetry, room: Semaphore::new(AT_ONCE), failures: Seldom::every(TOLD) }
    }

    /// Does the handshake, within this from the first byte that is waited for. `None`: it failed, and that was told.
    pub(super) async fn shake(&self, stream: TcpStream, address: SocketAddr, patience: Duration) -> Option<Shaken> {
        let done = timeout(patience, self.attempt(stream)).await.unwrap_or(Err(Failed::Slow));
        if let Err(Failed::Slow) = done {
            self.telemetry.timed_out(TimeoutKind::ListenerHandshake);
        }
        let result = done.as_ref().map_or_else(Failed::result, |_shaken| Some(Handshake::Ok));
        if let Some(result) = result {
            self.telemetry.handshake(result);
        }
        done.inspect_err(|failed| self.tell(failed, address)).ok()
    }

    async fn attempt(&self, stream: TcpStream) -> Result<Shaken, Failed> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) | Err(_) => return Err(Failed::Left),
            Ok(_) if first != [HANDSHAKE] => return Err(Failed::Plain),
            Ok(_) => {}
        }
        // Only who has begun takes up room. The semaphore is never closed.
        let _room = self.room.acquire().await;
        let stream = TlsAcceptor::from(self.tls.config()).accept(stream).await.map_err(Failed::Refused)?;
        let (_, connection) = stream.get_ref();
        let speaks = if connection.alpn_protocol() == Some(b"h2") { Speaks::Http2 } else { Speaks::Http1 };
        let shown = self.tls.shown(connection.peer_certificates().unwrap_or_default());
        let certificate = shown.map_err(|distrust| Failed::Refused(io::Error::other(distrust)))?.map(Arc::new);
        Ok(Shaken { stream: Box::new(stream), speaks, certificate })
    }

    fn tell(&self, failed: &Failed, address: SocketAddr) {
        if matches!(failed, Failed::Left) || !self.failures.may_tell() {
            return;
        }
        match failed {
            Failed::Plain => {
                tracing::warn!(%address, "plain HTTP, or something else, on a port that speaks TLS: use https:// there");
            }
            Failed::Slow => {
                tracing::warn!(%address, "a TLS handshake was not done in time (listen.timeouts.handshake)");
            }
            Failed::Refused(error) => tracing::warn!(%address, %error, "a TLS handshake failed"),
            Failed::Left => {}
        }
    }
}

impl Failed {
    fn result(&self) -> Option<Handshake> {
        match self {
            Self::Plain => Some(Handshake::Plain),
            Self::Slow => Some(Handshake::Slow),
            Self::Refused(_) => Some(Handshake::Refused),
            Self::Left => None,
        }
    }
}
