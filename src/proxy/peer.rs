//! The other end of a connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::exchange::{HttpRefusal, TimeoutKind};
use crate::policy;
use crate::tls::ClientCertificate;

/// The other end of a connection, and what is held against it.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    /// What servers are told of it.
    forwarded_for: Option<HeaderValue>,
    certificate: Option<Arc<ClientCertificate>>,
    flaw: OnceLock<&'static str>,
    /// The deadline that ended its connection, if one did.
    timed_out: OnceLock<TimeoutKind>,
    asked: Mutex<Asked>,
}

/// What it has asked.
#[derive(Debug)]
struct Asked {
    under_way: usize,
    /// Since when nothing is, if nothing is.
    since: Instant,
}

impl Peer {
    /// A peer against whom nothing is held.
    pub fn new(address: SocketAddr) -> Self {
        Self::over_tls(address, None)
    }

    /// The same, who showed this certificate.
    pub fn over_tls(address: SocketAddr, certificate: Option<Arc<ClientCertificate>>) -> Self {
        let forwarded_for = HeaderValue::from_str(&address.ip().to_string()).ok();
        let asked = Mutex::new(Asked { under_way: 0, since: Instant::now() });
        Self { address, forwarded_for, certificate, flaw: OnceLock::new(), timed_out: OnceLock::new(), asked }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its IP address, as a header's value.
    pub(super) fn forwarded_for(&self) -> Option<&HeaderValue> {
        self.forwarded_for.as_ref()
    }

    /// The certificate that was shown, if one was.
    pub(super) fn certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.certificate.as_ref()
    }

    /// The deadline that ended its connection, if one did.
    pub fn timed_out(&self) -> Option<TimeoutKind> {
        self.timed_out.get().copied()
    }

    /// Now, and from there.
    pub(super) fn context(&self) -> policy::Context {
        policy::Context { at: clock::wall(), from: self.address.ip(), shown: policy::Shown::NotYet }
    }

    /// Whether every byte so far has one reading.
    pub(super) fn sound(&self) -> Result<(), HttpRefusal> {
        self.flaw.get().map_or(Ok(()), |flaw| Err(HttpRefusal::Malformed(flaw)))
    }

    /// Its bytes have more than one. The first flaw is the one that counts.
    pub(super) fn flawed(&self, flaw: &'static str) {
        let _ = self.flaw.set(flaw);
    }

    /// It has missed a deadline. The first one is the one that counts.
    pub fn misses(&self, kind: TimeoutKind) {
        let _ = self.timed_out.set(kind);
    }

    /// It asks for something, until that is dropped.
    pub(super) fn asks(self: &Arc<Self>) -> Asking {
        self.asked().under_way += 1;
        Asking(Arc::clone(self))
    }

    /// Waits until it has asked nothing for so long, and waits for nothing.
    pub async fn asks_nothing_for(&self, patience: Duration) {
        loop {
            let until = self.asks_again_by(patience);
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// When it must have asked again that may be silent for so long; much later while something is under way.
    fn asks_again_by(&self, patience: Duration) -> Instant {
        let asked = self.asked();
        let since = if asked.under_way == 0 { asked.since } else { Instant::now() };
        since + patience
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that a peer has asked, until its answer has gone.
#[derive(Debug)]
pub(super) struct Asking(Arc<Peer>);

impl Drop for Asking {
    fn drop(&mut self) {
        let mut asked = self.0.asked();
        asked.under_way -= 1;
        asked.since = Instant::now();
    }
}
