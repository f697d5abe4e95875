//! Which of several places where a server is gets the next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::uri::Uri;

use super::endpoint::{Endpoint, InFlight, NotAsked};
use super::{Endpoints, Settings, UpstreamError};
use crate::breaker::Attempt;
use crate::clock;
use crate::mcp::Method;
use crate::state::Conversation;

/// Which of several endpoints gets the next call. One that fails is asked when no other is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest calls under way.
    #[default]
    LeastRequests,
    /// One after the other.
    RoundRobin,
}

/// All endpoints of a server.
#[derive(Debug)]
pub(super) struct EndpointSet {
    streamable: Balanced,
    sse: Balanced,
}

impl EndpointSet {
    pub(super) fn new(endpoints: &Endpoints, settings: &Settings) -> Self {
        let [streamable, sse] = [endpoints.streamable(), endpoints.sse()].map(|urls| Balanced::new(urls, settings));
        Self { streamable, sse }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.streamable.endpoints.iter().chain(&self.sse.endpoints)
    }

    /// Whether each transport that the server speaks has an endpoint among these.
    pub(super) fn is_served_by(&self, some: &[Arc<Endpoint>]) -> bool {
        let served = |endpoint: &Arc<Endpoint>| some.iter().any(|one| Arc::ptr_eq(one, endpoint));
        [&self.streamable, &self.sse].into_iter().all(|same| {
            let mut endpoints = same.endpoints.iter();
            endpoints.len() == 0 || endpoints.any(served)
        })
    }

    /// Gives a call to an endpoint: to its home, if it has one; else, if that can be, to one where it was not tried.
    ///
    /// # Errors
    /// None takes it.
    pub(super) fn ask(
        &self,
        method: Method,
        conversation: &Conversation,
        home: Option<&Uri>,
        tried: &[Uri],
    ) -> Result<(InFlight, Attempt<'_>), UpstreamError> {
        let opens = method == Method::OpenStream && matches!(conversation, Conversation::Begins(_));
        match home {
            Some(home) => {
                let endpoint = self.all().find(|endpoint| endpoint.url() == home);
                let gone = || UpstreamError::Unreachable(format!("{home} is no endpoint of it any more"));
                Ok(endpoint.ok_or_else(gone)?.ask(method)?)
            }
            None if opens || self.streamable.endpoints.is_empty() => self.sse.ask(method, tried),
            None => self.streamable.ask(method, tried),
        }
    }

    /// What a caller should hear whose session was there. It cannot go on elsewhere; but where somebody else answers, its
    /// client can begin a new one, and is told to.
    pub(super) fn without(&self, home: &Uri, error: UpstreamError) -> UpstreamError {
        let nothing_ran = matches!(
            error,
            UpstreamError::Unreachable(_) | UpstreamError::NotConnected(_) | UpstreamError::LeftAlone(_)
        );
        let has_other = || [&self.streamable, &self.sse].into_iter().any(|same| same.has_other(home));
        if nothing_ran && has_other() { UpstreamError::SessionLost } else { error }
    }
}

/// Endpoints that do the same.
#[derive(Debug)]
struct Balanced {
    endpoints: Box<[Arc<Endpoint>]>,
    balance: Balance,
    /// Counts the calls, so that equal ones take turns.
    turn: AtomicUsize,
}

impl Balanced {
    fn new(urls: &[Uri], settings: &Settings) -> Self {
        let endpoints = urls.iter().map(|url| Arc::new(Endpoint::new(url.clone(), settings))).collect();
        Self { endpoints, balance: settings.balance, turn: AtomicUsize::default() }
    }

    /// Whether the endpoint there is one of these, and another of them answers.
    fn has_other(&self, home: &Uri) -> bool {
        let now = clock::monotonic();
        let (gone, others): (Vec<_>, Vec<_>) = self.endpoints.iter().partition(|endpoint| endpoint.url() == home);
        !gone.is_empty() && others.iter().any(|endpoint| !endpoint.is_suspect(now))
    }

    /// Gives a call of this kind to one of them.
    fn ask(&self, method: Method, tried: &[Uri]) -> Result<(InFlight, Attempt<'_>), UpstreamError> {
        let mut refused = NotAsked::Busy;
        for endpoint in self.in_order(tried) {
            match (endpoint.ask(method), refused) {
                (Ok(asked), _) => return Ok(asked),
                (Err(NotAsked::LeftAlone(pause)), NotAsked::LeftAlone(least)) if least <= pause => {}
                (Err(NotAsked::LeftAlone(pause)), _) => refused = NotAsked::LeftAlone(pause),
                (Err(NotAsked::Busy), _) => {}
            }
        }
        Err(refused.into())
    }

    /// Which to ask first.
    fn in_order(&self, tried: &[Uri]) -> Vec<&Arc<Endpoint>> {
        let (turn, now) = (self.turn.fetch_add(1, Ordering::Relaxed), clock::monotonic());
        let (before, after) = self.endpoints.split_at(turn % self.endpoints.len().max(1));
        let mut order: Vec<_> = after.iter().chain(before).collect();
        // The sort is stable: of equal ones the one whose turn it is stays first.
        order.sort_by_key(|endpoint| {
            let load = match self.balance {
                Balance::LeastRequests => endpoint.in_flight(),
                Balance::RoundRobin => 0,
            };
            (tried.contains(endpoint.url()), endpoint.is_suspect(now), load)
        });
        order
    }
}

impl From<NotAsked> for UpstreamError {
    fn from(not_asked: NotAsked) -> Self {
        match not_asked {
            NotAsked::LeftAlone(pause) => Self::LeftAlone(pause),
            NotAsked::Busy => Self::Busy,
        }
    }
}
