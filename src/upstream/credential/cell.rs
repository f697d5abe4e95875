//! One token: fetched by one at a time, kept while it counts, renewed before it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::CredentialError;
use super::token::Token;

/// A call waits so long for a token. The asking goes on: the next call may have it.
const PATIENCE: Duration = Duration::from_secs(5);
/// An endpoint that fails is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that refuses every token costs no more than one for so long.
const DISTRUST: Duration = Duration::from_secs(30);

/// A token, and whoever asks for one.
#[derive(Debug, Default)]
pub(super) struct Cell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    under_way: Option<watch::Receiver<Option<Fetched>>>,
    failed: Option<(Instant, CredentialError)>,
    dropped: Option<Instant>,
}

type Fetched = Result<Arc<Token>, CredentialError>;

impl Cell {
    /// The token, once there is one. Whoever comes first fetches it, on `tasks`: not within its own call, whose caller
    /// may go away.
    pub(super) async fn token<F>(
        self: &Arc<Self>,
        now: Instant,
        tasks: &TaskTracker,
        fetch: impl FnOnce() -> F,
    ) -> Fetched
    where
        F: Future<Output = Result<Token, CredentialError>> + Send + 'static,
    {
        let mut coming = {
            let mut state = self.lock();
            let known = state.token.as_ref().filter(|token| now < token.ends).map(Arc::clone);
            match known {
                Some(token) if now < token.renews => return Ok(token),
                Some(token) => {
                    // That it cannot be renewed now is told where that is seen; this one still counts.
                    drop(self.ask(&mut state, now, tasks, fetch));
                    return Ok(token);
                }
                None => self.ask(&mut state, now, tasks, fetch)?,
            }
        };
        let unavailable = |why: &str| CredentialError::Unavailable(Arc::from(why));
        let fetched = timeout(PATIENCE, coming.wait_for(Option::is_some)).await;
        let fetched = fetched.map_err(|_late| unavailable("the token endpoint has not answered yet"))?;
        let fetched = fetched.map_err(|_gone| unavailable("the gate goes away"))?;
        fetched.clone().unwrap_or_else(|| Err(unavailable("there was no answer")))
    }

    /// A server has refused this token: it is not shown again, if that has not happened just now.
    pub(super) fn rejected(&self, header: &http::HeaderValue, now: Instant) {
        let mut state = self.lock();
        let lately = state.dropped.is_some_and(|at| now.saturating_duration_since(at) < DISTRUST);
        if !lately && state.token.as_ref().is_some_and(|token| token.header == *header) {
            state.token = None;
            state.dropped = Some(now);
        }
    }

    fn ask<F>(
        self: &Arc<Self>,
        state: &mut State,
        now: Instant,
        tasks: &TaskTracker,
        fetch: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<Fetched>>, CredentialError>
    where
        F: Future<Output = Result<Token, CredentialError>> + Send + 'static,
    {
        if let Some(coming) = state.under_way.as_ref().filter(|coming| coming.has_changed().is_ok()) {
            return Ok(coming.clone());
        }
        if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < PAUSE) {
            return Err(error.clone());
        }
        let (tell, coming) = watch::channel(None);
        state.under_way = Some(coming.clone());
        let (cell, fetch) = (Arc::clone(self), fetch());
        tasks.spawn(async move {
            let fetched = cell.settle(fetch.await.map(Arc::new), now);
            tell.send_replace(Some(fetched));
        });
        Ok(coming)
    }

    fn settle(&self, fetched: Fetched, asked: Instant) -> Fetched {
        let mut state = self.lock();
        state.under_way = None;
        match &fetched {
            Ok(token) => {
                state.token = Some(Arc::clone(token));
                state.failed = None;
            }
            Err(error) => {
                // While it fails, it is asked again and again: that is said once.
                if state.failed.as_ref().is_none_or(|(_, told)| told != error) {
                    tracing::error!("{error}");
                }
                state.failed = Some((asked, error.clone()));
            }
        }
        fetched
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
