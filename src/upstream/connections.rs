//! Counts the connections to a server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::timeout;
use tower::{BoxError, Service};

/// How many connections to a server there are, and were.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicI64,
    made: AtomicU64,
    failed: AtomicU64,
}

impl Connections {
    /// How many are open, in use or kept for the next call.
    pub fn open(&self) -> i64 {
        self.open.load(Ordering::Relaxed)
    }

    /// How many were made.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// How many could not be made.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Connects, and counts.
#[derive(Clone, Debug)]
pub(super) struct Counting<C> {
    pub(super) connector: C,
    /// A connection stands within this, its TLS too.
    pub(super) patience: Duration,
    pub(super) connections: Arc<Connections>,
}

impl<C> Service<Uri> for Counting<C>
where
    C: Service<Uri, Error = BoxError, Future: Send + 'static>,
{
    type Response = Open<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = timeout(self.patience, self.connector.call(url));
        let connections = Arc::clone(&self.connections);
        Box::pin(async move {
            match connecting.await.unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late).into())) {
                Ok(stream) => {
                    connections.made.fetch_add(1, Ordering::Relaxed);
                    connections.open.fetch_add(1, Ordering::Relaxed);
                    Ok(Open { stream, connections })
                }
                Err(error) => {
                    connections.failed.fetch_add(1, Ordering::Relaxed);
                    Err(error)
                }
            }
        })
    }
}

/// A connection; dropping it counts it out.
#[derive(Debug)]
pub(super) struct Open<S> {
    stream: S,
    connections: Arc<Connections>,
}

impl<S> Drop for Open<S> {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Connection> Connection for Open<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl<S: Read + Unpin> Read for Open<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for Open<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }
}
