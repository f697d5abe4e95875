//! What each server has, as it last told the gate, which asks for it in its own name and again and again: so that a list
//! and a call through a view cost no question to anybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::callers::Callers;
use super::contents::{self, Contents};
use super::ear::Ear;
use super::inquiry::{self, Found};
use super::kind::Kind;
use super::known::{self, Known};
use crate::clock;
use crate::inspect;
use crate::mcp::ServerName;
use crate::policy::PolicySet;
use crate::state::{Per, State};
use crate::upstream::{Endpoint, Upstream};

/// What one server has, as far as is known; or, where it has something else for each caller, what it has for each.
#[derive(Debug)]
pub struct Catalogue {
    known: Known,
    callers: Option<Arc<Callers>>,
    settings: CatalogueSettings,
    news: News,
}

/// How long a server may take to say what it has, and how long that is shown while it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueSettings {
    /// For one round of questions.
    pub timeout: Duration,
    /// What it had is shown for so long.
    pub shown_for: Duration,
    /// For whom it is.
    pub per: Per,
    /// Where each caller has its own, all of them take about so much.
    pub max_bytes: usize,
}

/// Counts what changes of what servers have: what was made of it before is made anew.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<watch::Sender<u64>>);

/// Whoever asks at first waits at most so long for servers that were not asked yet.
const FIRST: Duration = Duration::from_secs(2);
/// How often a server is asked that does not say how long its lists hold, and how often one that says so at the most and least.
pub(super) const AGAIN: Duration = Duration::from_secs(30);
pub(super) const LEAST: Duration = Duration::from_secs(1);
pub(super) const MOST: Duration = Duration::from_mins(5);
/// The same while it does not answer: twice as long each time, up to this.
const SEEK: Duration = Duration::from_millis(500);
const RARELY: Duration = Duration::from_secs(5);
/// Where one thing changes, others do: what a server has is asked for when they are done.
const SETTLE: Duration = Duration::from_millis(100);

impl Default for CatalogueSettings {
    fn default() -> Self {
        let (timeout, shown_for) = (Duration::from_secs(10), Duration::from_mins(10));
        Self { timeout, shown_for, per: Per::Server, max_bytes: 64 << 20 }
    }
}

impl News {
    /// How much has changed so far.
    pub fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Something has changed.
    pub(super) fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Hears of more.
    pub fn hear(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Catalogue {
    /// Nothing yet. What changes is told to whoever hears of news.
    pub fn new(settings: CatalogueSettings, news: &News) -> Self {
        let callers = (settings.per == Per::Caller).then(|| Arc::new(Callers::new(settings, news)));
        Self { known: Known::new(settings.shown_for), callers, settings, news: news.clone() }
    }

    /// What the server has for each of its callers, if that is something else for each.
    pub fn callers(&self) -> Option<&Arc<Callers>> {
        self.callers.as_ref()
    }

    /// What is known of what the server has for all.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Waits until the server was asked once, in vain or not; but not for long for one that does not answer.
    pub async fn asked(&self) {
        if self.callers.is_none() {
            self.known.asked(FIRST).await;
        }
    }

    /// Asks again and again, until the gate goes away: when what was told holds no longer, when the server says that it has
    /// something else, and when it is there again. What each caller has is asked in its name, and not here.
    pub async fn keep(&self, server: Asked, stop: CancellationToken) {
        if self.callers.is_some() {
            return;
        }
        let mut ear = Ear::default();
        let asking = self.keep_asking(&server, &mut ear);
        stop.run_until_cancelled(asking).await;
        ear.close(&server.upstream).await;
    }

    async fn keep_asking(&self, server: &Asked, ear: &mut Ear) {
        let mut failed = 0;
        loop {
            if (server.shown_by)().is_none() {
                ear.close(&server.upstream).await;
                sleep(SEEK).await;
                continue;
            }
            let asked = clock::monotonic();
            let pause = match self.ask(server).await {
                Ok(told) => {
                    failed = 0;
                    let heard = told.tells && ear.open(&server.upstream, &told.at, told.contents.eras).await;
                    if self.known.learn(told.contents, told.ttl) == known::News::Some {
                        self.news.tell();
                    }
                    // What has changed before it was listened nobody has told.
                    if heard { LEAST } else { told.ttl.clamp(LEAST, MOST) }
                }
                Err(error) => {
                    if !self.known.miss() {
                        let shown_for = self.settings.shown_for;
                        tracing::warn!(server = %server.name, error, ?shown_for, "a server cannot be asked what it has; what it had is shown meanwhile");
                    }
                    failed += 1;
                    patience(failed)
                }
            };
            ear.hear(&server.upstream, jittered(pause)).await;
            sleep_until((asked + jittered(SETTLE * 2)).into()).await;
        }
    }

    /// Asks once.
    async fn ask(&self, server: &Asked) -> Result<Learnt, String> {
        self.known.asks();
        let found = timeout(self.settings.timeout, inquiry::ask(&server.upstream)).await;
        let found = found.map_err(|_elapsed| format!("no answer within {:?}", self.settings.timeout))?;
        server.learn(found?)
    }
}

/// When to ask again that has failed so often in a row.
pub(super) fn patience(failed: u32) -> Duration {
    (SEEK * 2_u32.saturating_pow(failed.saturating_sub(1))).min(RARELY)
}

/// So that not everybody asks at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

/// What was learnt of a server, and where.
struct Learnt {
    contents: Contents,
    ttl: Duration,
    at: Arc<Endpoint>,
    /// Whether it tells when it has something else.
    tells: bool,
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
    fn learn(&self, found: Found) -> Result<Learnt, String> {
        let Found { pages, eras, instructions, offers, at, tells } = found;
        let policy = (self.shown_by)().ok_or("no view shows it any more")?;
        // There is one list for all.
        let everyone = Arc::from("");
        let things = pages.things(|kind, page, things| {
            if kind == Kind::Tool {
                inspect::learn(&policy, &self.name, (&self.state, &everyone), things);
                self.state.learn(&everyone, page).map_err(|_fault| contents::unread(kind))?;
            }
            Ok(())
        })?;
        let contents = Contents { things, eras, instructions, offers };
        Ok(Learnt { contents, ttl: pages.ttl.unwrap_or(AGAIN), at, tells })
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("name", &self.name).finish_non_exhaustive()
    }
}
