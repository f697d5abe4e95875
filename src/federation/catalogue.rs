//! What each server has, as it last told the gate, which asks for it in its own name and again and again: so that a list
//! and a call through a view cost no question to anybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ear::Ear;
use super::inquiry::{self, Found};
use super::kind::Kind;
use crate::clock;
use crate::inspect::{self, Listed};
use crate::mcp::{Era, ProtocolVersion, ServerName};
use crate::policy::PolicySet;
use crate::state::State;
use crate::upstream::{Endpoint, Upstream};

/// What one server has, as far as is known.
#[derive(Debug)]
pub struct Catalogue {
    known: watch::Sender<Known>,
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
}

/// Counts what changes of what servers have: what was made of it before is made anew.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<watch::Sender<u64>>);

#[derive(Clone, Debug, Default)]
struct Known {
    told: Option<Told>,
    /// Whether it has been asked for at all, in vain or not.
    asked: bool,
    /// Whether it was asked in vain last.
    fails: bool,
    /// When it was first asked.
    since: Option<Instant>,
}

/// What a server told.
#[derive(Clone, Debug)]
struct Told {
    contents: Arc<Contents>,
    at: Instant,
    /// For how long it said that it holds.
    ttl: Duration,
}

/// All that a server told at once.
#[derive(Debug, PartialEq)]
pub struct Contents {
    /// Its tools, prompts, resources and templates, each in its own order.
    pub(super) things: [Vec<Listed>; 4],
    /// Which eras it speaks.
    pub eras: Eras,
    /// What it tells models of itself.
    pub instructions: Option<Box<str>>,
    /// What else it can do for its clients.
    pub offers: Vec<Offer>,
}

/// What a server can do for its clients beside having things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It writes logs.
    Logging,
    /// It completes what they type.
    Completions,
    /// It tells of changes of single resources.
    Subscriptions,
    /// It runs calls as tasks, for clients of 2025-11-25.
    Tasks,
    /// The same lists them.
    TaskLists,
    /// The same lets them be cancelled.
    TaskCancellations,
    /// It runs calls as tasks, for clients of 2026-07-28.
    TasksExtension,
}

/// Which eras a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eras {
    /// Sessions by `initialize`: the latest revision.
    pub legacy: Option<ProtocolVersion>,
    /// Everything in each request.
    pub modern: bool,
}

/// Whoever asks at first waits at most so long for servers that were not asked yet.
const FIRST: Duration = Duration::from_secs(2);
/// How often a server is asked that does not say how long its lists hold, and how often one that says so at the most and least.
const AGAIN: Duration = Duration::from_secs(30);
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_mins(5);
/// The same while it does not answer: twice as long each time, up to this.
const SEEK: Duration = Duration::from_millis(500);
const RARELY: Duration = Duration::from_secs(5);
/// Where one thing changes, others do: what a server has is asked for when they are done.
const SETTLE: Duration = Duration::from_millis(100);

impl Default for CatalogueSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), shown_for: Duration::from_mins(10) }
    }
}

impl News {
    /// How much has changed so far.
    pub fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Something has changed.
    fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Hears of more.
    pub fn hear(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Contents {
    /// What it has of a kind.
    pub fn of(&self, kind: Kind) -> &[Listed] {
        let [tools, prompts, resources, templates] = &self.things;
        match kind {
            Kind::Tool => tools,
            Kind::Prompt => prompts,
            Kind::Resource => resources,
            Kind::Template => templates,
        }
    }
}

impl Eras {
    /// Those of these revisions.
    pub(super) fn of(revisions: impl Iterator<Item = ProtocolVersion> + Clone) -> Self {
        let legacy = revisions.clone().filter(|revision| !revision.is_modern()).max();
        Self { legacy, modern: revisions.into_iter().any(ProtocolVersion::is_modern) }
    }

    /// Whether it speaks to clients of this era.
    pub fn speak(self, era: Era) -> bool {
        match era {
            Era::Legacy => self.legacy.is_some(),
            Era::Modern => self.modern,
        }
    }
}

impl Catalogue {
    /// Nothing yet. What changes is told to whoever hears of news.
    pub fn new(settings: CatalogueSettings, news: &News) -> Self {
        Self { known: watch::Sender::new(Known::default()), settings, news: news.clone() }
    }

    /// What the server has, and until when that is shown if it says nothing more; nothing if that is not known, or was told
    /// too long ago.
    pub(super) fn contents(&self) -> Option<(Arc<Contents>, Instant)> {
        let known = self.known.borrow();
        let told = known.told.as_ref()?;
        let until = told.at + self.settings.shown_for;
        (clock::monotonic() < until).then(|| (Arc::clone(&told.contents), until))
    }

    /// For how much longer that holds, as its server said.
    pub fn left(&self) -> Duration {
        let known = self.known.borrow();
        let told = known.told.as_ref().filter(|_| !known.fails);
        told.map(|told| told.ttl.saturating_sub(told.age())).unwrap_or_default()
    }

    /// How long ago it was told.
    pub fn age(&self) -> Option<Duration> {
        self.known.borrow().told.as_ref().map(Told::age)
    }

    /// Whether the server does not say now what it has.
    pub fn fails(&self) -> bool {
        self.known.borrow().fails
    }

    /// Waits until the server was asked once, in vain or not; but not for long for one that does not answer.
    pub async fn asked(&self) {
        let mut known = self.known.subscribe();
        let since = known.borrow().since.unwrap_or_else(clock::monotonic);
        // This has the other end.
        drop(timeout_at((since + FIRST).into(), known.wait_for(|known| known.asked)).await);
    }

    /// Asks again and again, until the gate goes away: when what was told holds no longer, when the server says that it has
    /// something else, and when it is there again.
    pub async fn keep(&self, server: Asked, stop: CancellationToken) {
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
                    self.learn(told.contents, told.ttl);
                    // What has changed before it was listened nobody has told.
                    if heard { LEAST } else { told.ttl.clamp(LEAST, MOST) }
                }
                Err(error) => {
                    if !self.miss() {
                        let shown_for = self.settings.shown_for;
                        tracing::warn!(server = %server.name, error, ?shown_for, "a server cannot be asked what it has; what it had is shown meanwhile");
                    }
                    failed += 1;
                    (SEEK * 2_u32.saturating_pow(failed - 1)).min(RARELY)
                }
            };
            ear.hear(&server.upstream, jittered(pause)).await;
            sleep_until((asked + jittered(SETTLE * 2)).into()).await;
        }
    }

    /// Asks once.
    async fn ask(&self, server: &Asked) -> Result<Learnt, String> {
        self.known.send_if_modified(|known| {
            known.since.get_or_insert_with(clock::monotonic);
            false
        });
        let found = timeout(self.settings.timeout, inquiry::ask(&server.upstream)).await;
        let found = found.map_err(|_elapsed| format!("no answer within {:?}", self.settings.timeout))?;
        server.learn(found?)
    }

    /// It has this now.
    fn learn(&self, contents: Contents, ttl: Duration) {
        let mut new = false;
        self.known.send_modify(|known| {
            // What was too old to be shown is new again.
            let before = known.told.take().filter(|told| told.age() < self.settings.shown_for);
            let before = before.filter(|told| *told.contents == contents);
            new = before.is_none();
            let contents = before.map_or_else(|| Arc::new(contents), |told| told.contents);
            let told = Told { contents, at: clock::monotonic(), ttl };
            *known = Known { told: Some(told), asked: true, fails: false, since: known.since };
        });
        if new {
            self.news.tell();
        }
    }

    /// It does not say now what it has. Whether that was so before.
    fn miss(&self) -> bool {
        let mut before = false;
        self.known.send_modify(|known| {
            before = std::mem::replace(&mut known.fails, true);
            known.asked = true;
        });
        before
    }
}

impl Told {
    fn age(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.at)
    }
}

/// So that not everybody asks at once.
fn jittered(pause: Duration) -> Duration {
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
        let Found { pages, eras, instructions, offers, ttl, at, tells } = found;
        let policy = (self.shown_by)().ok_or("no view shows it any more")?;
        let mut things = <[Vec<Listed>; 4]>::default();
        for (things, kind) in things.iter_mut().zip(Kind::ALL) {
            for (_, page) in pages.iter().filter(|(of, _)| *of == kind) {
                things.extend(self.read(kind, page, &policy)?);
            }
        }
        let contents = Contents { things, eras, instructions, offers };
        Ok(Learnt { contents, ttl: ttl.unwrap_or(AGAIN), at, tells })
    }

    fn read(&self, kind: Kind, page: &Bytes, policy: &PolicySet) -> Result<Vec<Listed>, String> {
        let unread = || format!("its list by {} has not one reading", kind.list().name());
        let things = inspect::listed(kind.reading(), page).map_err(|_unreadable| unread())?;
        if kind == Kind::Tool {
            inspect::learn(policy, &self.name, &self.state, &things);
            self.state.learn(page).map_err(|_fault| unread())?;
        }
        Ok(things)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("name", &self.name).finish_non_exhaustive()
    }
}
