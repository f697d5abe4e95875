//! What each server has, as it last told the gate, which asks for it in its own name and again and again: so that a list
//! and a call through a view cost no question to anybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::inquiry::{self, Found};
use crate::clock;
use crate::inspect::{self, Tool};
use crate::mcp::ServerName;
use crate::policy::PolicySet;
use crate::state::State;
use crate::upstream::Upstream;

/// What one server has, as far as is known.
#[derive(Debug)]
pub struct Catalogue(watch::Sender<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    contents: Option<Arc<Contents>>,
    /// Whether it has been asked for at all, in vain or not.
    asked: bool,
}

/// All that a server told at once.
#[derive(Debug)]
pub struct Contents {
    /// Its tools, in its own order.
    pub tools: Vec<Tool>,
    /// Which eras it speaks.
    pub eras: Eras,
    /// What it tells models of itself.
    pub instructions: Option<Box<str>>,
    /// When it told that.
    pub told: Instant,
    /// For how long it said that it holds.
    pub ttl: Duration,
}

/// Which eras a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eras {
    /// Sessions by `initialize`.
    pub legacy: bool,
    /// Everything in each request.
    pub modern: bool,
}

/// How long one round of questions may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a server is asked that does not say how long its lists hold, and how often one that says so at the most and least.
const AGAIN: Duration = Duration::from_secs(30);
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_mins(5);
/// The same while it does not answer.
const SEEK: Duration = Duration::from_millis(500);
/// What a server had is shown for so long while it does not answer.
const STALE: Duration = Duration::from_mins(10);

impl Default for Catalogue {
    fn default() -> Self {
        Self(watch::Sender::new(Known::default()))
    }
}

impl Catalogue {
    /// What the server has; nothing if that is not known, or was told too long ago.
    pub fn contents(&self) -> Option<Arc<Contents>> {
        let contents = self.0.borrow().contents.clone();
        contents.filter(|contents| contents.age() < STALE)
    }

    /// Waits until the server was asked once, in vain or not.
    pub async fn asked(&self) {
        let mut known = self.0.subscribe();
        // This has the other end.
        drop(known.wait_for(|known| known.asked).await);
    }

    /// Asks again and again, until the gate goes away.
    pub async fn keep(&self, server: Asked, stop: CancellationToken) {
        let mut told = true;
        loop {
            if (server.shown_by)().is_none() {
                tokio::select! {
                    () = sleep(SEEK) => continue,
                    () = stop.cancelled() => return,
                }
            }
            let found = timeout(PATIENCE, inquiry::ask(&server.upstream)).await;
            let found = found.unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", PATIENCE.as_secs())));
            let pause = match found.and_then(|found| server.learn(found)) {
                Ok(contents) => {
                    let pause = contents.ttl.clamp(LEAST, MOST);
                    self.0.send_replace(Known { contents: Some(Arc::new(contents)), asked: true });
                    told = true;
                    pause
                }
                Err(error) => {
                    if std::mem::take(&mut told) {
                        tracing::warn!(server = %server.name, error, "a server cannot be asked for its tools; those it had are shown for 10 min");
                    }
                    self.0.send_modify(|known| known.asked = true);
                    SEEK
                }
            };
            tokio::select! {
                () = sleep(pause.mul_f64(0.9 + 0.2 * rand::random::<f64>())) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Contents {
    /// How long ago it was told.
    pub fn age(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.told)
    }
}

/// A server that is asked for what it has.
pub struct Asked {
    /// What it is called.
    pub name: ServerName,
    /// The server.
    pub upstream: Arc<Upstream>,
    /// What is remembered of it: what its list says counts for calls, too.
    pub state: Arc<State>,
    /// The policy of now, by which its tools are compared with those that were pinned; nothing while no view shows it.
    pub shown_by: Box<dyn Fn() -> Option<Arc<PolicySet>> + Send + Sync>,
}

impl Asked {
    fn learn(&self, found: Found) -> Result<Contents, String> {
        let Found { pages, eras, instructions, ttl } = found;
        let policy = (self.shown_by)().ok_or("no view shows it any more")?;
        let mut tools = Vec::new();
        for page in &pages {
            tools.extend(self.read(page, &policy)?);
        }
        Ok(Contents { tools, eras, instructions, told: clock::monotonic(), ttl: ttl.unwrap_or(AGAIN) })
    }

    fn read(&self, page: &Bytes, policy: &PolicySet) -> Result<Vec<Tool>, String> {
        let tools = inspect::tools(page).map_err(|_unreadable| "its list of tools has not one reading".to_owned())?;
        inspect::learn(policy, &self.name, &self.state, &tools);
        self.state.learn(page).map_err(|_fault| "its list of tools has not one reading".to_owned())?;
        Ok(tools)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("name", &self.name).finish_non_exhaustive()
    }
}
