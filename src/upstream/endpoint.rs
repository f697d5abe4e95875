//! One of the places where a server is: whether it fails, and how much it has to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::Uri;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Settings;
use crate::breaker::{Attempt, Breaker, Phase};
use crate::clock;
use crate::mcp::Method;

/// One of the places where a server is.
#[derive(Debug)]
pub struct Endpoint {
    url: Uri,
    breaker: Breaker,
    /// Room for one call more.
    room: Arc<Semaphore>,
    most: usize,
}

/// A call that an endpoint has. Dropping it makes room for another.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    since: Instant,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why an endpoint is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// It fails, and is left alone for so long.
    LeftAlone(Duration),
    /// It has as many calls as it may.
    Busy,
}

impl Endpoint {
    pub(super) fn new(url: Uri, settings: &Settings) -> Self {
        let most = settings.max_in_flight;
        let breaker = Breaker::new(settings.breaker, clock::monotonic());
        Self { url, breaker, room: Arc::new(Semaphore::new(most)), most }
    }

    /// Where it is.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// What becomes of calls: now, and at every change.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.breaker.phases()
    }

    /// How many calls it has, but for streams without an end of their own.
    pub fn in_flight(&self) -> usize {
        self.most.saturating_sub(self.room.available_permits())
    }

    /// Whether it fails, as far as anybody knows.
    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        self.breaker.is_suspect(now)
    }

    /// Somebody has seen it answer.
    pub(super) fn answers(&self) {
        self.breaker.answers(clock::monotonic());
    }

    /// A call of which nothing is to do there: what it would be answered is known.
    pub fn idle(self: &Arc<Self>) -> InFlight {
        InFlight { endpoint: Arc::clone(self), since: clock::monotonic(), _room: None }
    }

    /// Gives it a call of this kind, if it takes one.
    pub(super) fn ask(self: &Arc<Self>, method: Method) -> Result<(InFlight, Attempt<'_>), NotAsked> {
        let room = match method {
            // They last, and do nothing most of the time.
            Method::OpenStream | Method::SubscriptionsListen => None,
            _ => Some(Arc::clone(&self.room).try_acquire_owned().map_err(|_full| NotAsked::Busy)?),
        };
        let attempt = self.breaker.ask(clock::monotonic()).map_err(NotAsked::LeftAlone)?;
        Ok((InFlight { endpoint: Arc::clone(self), since: clock::monotonic(), _room: room }, attempt))
    }
}

impl InFlight {
    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Where it is.
    pub fn url(&self) -> &Uri {
        &self.endpoint.url
    }

    /// The same call, of which nothing is left to do there.
    #[must_use]
    pub fn ended(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), since: self.since, _room: None }
    }
}

#[cfg(test)]
impl InFlight {
    /// A call that is over, of an endpoint out of thin air.
    pub fn for_test() -> Self {
        Arc::new(Endpoint::new(Uri::from_static("http://127.0.0.1:8000/mcp"), &Settings::default())).idle()
    }
}
