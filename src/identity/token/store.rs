//! The keys of one issuer as they are now: fetched, kept, renewed. They outlive reloads of the policies.
//!
//! All times come from outside, so that tests can turn the clock.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use reqwest::Url;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::TokenError;
use super::keys::KeySet;
use crate::fetch::{FetchError, Fetcher};
use crate::json::{self, Bounds};
use crate::secret::{Reference, Secret};

/// From this age on keys are renewed.
const SOFT: Duration = Duration::from_mins(10);
/// From this age on they do not count: one of them may have been withdrawn.
const HARD: Duration = Duration::from_hours(24);
/// How often a token with an unknown key may make the gate ask, and how often an issuer is asked that does not answer.
const ASK: Duration = Duration::from_secs(30);
/// The same while there are no keys at all.
const ASK_AT_FIRST: Duration = Duration::from_secs(5);

/// Where the keys of an issuer are, and how to get there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeySource {
    pub(super) issuer: Arc<str>,
    /// Where they are; if not said, the issuer's discovery document says it.
    pub(super) url: Option<Url>,
    pub(super) listed: Arc<[IpNet]>,
    pub(super) authorities: Option<PathBuf>,
    /// What the gate shows, where keys are not for everybody.
    pub(super) bearer: Option<Reference>,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyStore {
    pub(super) source: KeySource,
    known: ArcSwapOption<Known>,
    turn: Mutex<Turn>,
    tasks: TaskTracker,
}

/// Keys, and since when they are known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) keys: KeySet,
    /// Another one whenever other keys are published.
    pub(super) generation: u64,
    fetched: Instant,
}

/// Who asks, and when somebody did.
#[derive(Debug, Default)]
struct Turn {
    under_way: Option<watch::Receiver<bool>>,
    /// When it was last asked at all, and how that ended.
    last: Option<(Instant, Ended)>,
    /// When it was last asked because of an unknown key.
    last_unknown: Option<Instant>,
    fetched: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    Badly,
}

/// Why the issuer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The keys are old.
    Age,
    /// A token names one that is not among them.
    UnknownKey,
}

/// What is to be known of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// The issuer.
    pub issuer: Arc<str>,
    /// What it is asked for.
    pub asked: Asked,
    /// How often it was asked, and answered.
    pub fetched: u64,
    /// How often it was asked, and did not.
    pub failed: u64,
}

/// What an issuer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its keys. This is how old they are; `None` if there are none.
    ForKeys(Option<Duration>),
    /// About each of its tokens.
    AboutTokens,
}

impl IssuerState {
    /// Whether nobody can be let in with its tokens.
    pub fn lacks_keys(&self) -> bool {
        self.asked == Asked::ForKeys(None)
    }
}

impl KeyStore {
    pub(super) fn new(source: KeySource) -> Self {
        Self { source, known: ArcSwapOption::empty(), turn: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// The keys that count now.
    pub(super) fn known(&self, now: Instant) -> Option<Arc<Known>> {
        self.known.load_full().filter(|known| now.saturating_duration_since(known.fetched) < HARD)
    }

    /// What is to be known of them.
    pub(super) fn told(&self, now: Instant) -> IssuerState {
        let age = self.known(now).map(|known| now.saturating_duration_since(known.fetched));
        let Turn { fetched, failed, .. } = *self.turn();
        IssuerState { issuer: Arc::clone(&self.source.issuer), asked: Asked::ForKeys(age), fetched, failed }
    }

    /// The keys after having asked for them, as far as that may be done now: a token names one that is not known.
    pub(super) async fn renewed(self: &Arc<Self>, now: Instant) -> Result<Arc<Known>, TokenError> {
        if let Some(mut done) = self.ask(Why::UnknownKey, now) {
            // Whoever asks says so at the end, or is gone.
            drop(done.wait_for(|done| *done).await);
        }
        let unsure = self.turn().last.is_some_and(|(_, ended)| ended == Ended::Badly);
        match self.known(now) {
            Some(known) if !unsure => Ok(known),
            _ => Err(TokenError::Unavailable(Arc::clone(&self.source.issuer))),
        }
    }

    /// Asks if the keys are old, without waiting for the answer.
    pub(super) fn renew_if_due(self: &Arc<Self>, now: Instant) {
        let known = self.known(now);
        if known.is_none_or(|known| now.saturating_duration_since(known.fetched) >= SOFT) {
            drop(self.ask(Why::Age, now));
        }
    }

    /// One asks at a time; the others wait for the same answer. `None` if nobody may ask now.
    fn ask(self: &Arc<Self>, why: Why, now: Instant) -> Option<watch::Receiver<bool>> {
        let mut turn = self.turn();
        if let Some(done) = turn.under_way.as_ref().filter(|done| done.has_changed().is_ok()) {
            return Some(done.clone());
        }
        let patience = if self.known(now).is_some() { ASK } else { ASK_AT_FIRST };
        let since = |last: Option<Instant>| last.is_none_or(|last| now.saturating_duration_since(last) >= patience);
        let may = match why {
            Why::Age => since(turn.last.map(|(last, _)| last)),
            // What the gate asks by itself does not count, or a key that was changed just then would wait.
            Why::UnknownKey if self.known(now).is_some() => since(turn.last_unknown),
            Why::UnknownKey => since(turn.last.map(|(last, _)| last)),
        };
        if !may {
            return None;
        }
        if why == Why::UnknownKey && self.known(now).is_some() {
            turn.last_unknown = Some(now);
        }
        let (tell, done) = watch::channel(false);
        turn.under_way = Some(done.clone());
        drop(turn);
        // Not within the request that asks: its caller may go away, and the next one would have to wait for its turn.
        let store = Arc::clone(self);
        self.tasks.spawn(async move {
            let fetched = store.fetch().await;
            store.settle(fetched, now);
            tell.send_replace(true);
        });
        Some(done)
    }

    fn settle(&self, fetched: Result<KeySet, FetchError>, now: Instant) {
        let ended = match fetched {
            Ok(keys) => {
                let before = self.known.load_full();
                let generation = before.map_or(0, |before| {
                    if before.keys.is_same_as(&keys) { before.generation } else { before.generation + 1 }
                });
                self.known.store(Some(Arc::new(Known { keys, generation, fetched: now })));
                tracing::debug!(issuer = %self.source.issuer, generation, "keys fetched");
                Ended::Well
            }
            Err(error) => {
                let kept = if self.known(now).is_some() { "those of before are kept" } else { "there are none" };
                tracing::warn!(issuer = %self.source.issuer, %error, "keys cannot be fetched; {kept}");
                Ended::Badly
            }
        };
        let mut turn = self.turn();
        match ended {
            Ended::Well => turn.fetched += 1,
            Ended::Badly => turn.failed += 1,
        }
        turn.last = Some((now, ended));
        turn.under_way = None;
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let source = &self.source;
        let fetcher = Fetcher::new(Arc::clone(&source.listed), source.authorities.as_deref())?;
        let bearer = source.bearer.as_ref().map(secret).transpose()?;
        let url = if let Some(url) = &source.url {
            url.clone()
        } else {
            let document = fetcher.get(&discovery(&source.issuer)?, bearer.as_ref()).await?;
            discovered(&document, &source.issuer)?
        };
        let bytes = fetcher.get(&url, bearer.as_ref()).await?;
        KeySet::read(&bytes).map_err(|problem| FetchError::new(format!("{url}: {problem}")))
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn secret(reference: &Reference) -> Result<Secret, FetchError> {
    reference.read().map_err(|error| FetchError::new(format!("{reference}: {error}")))
}

/// Where an issuer says where its keys are (`OpenID` Connect Discovery 1.0, 4).
fn discovery(issuer: &str) -> Result<Url, FetchError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    url.parse().map_err(|error| FetchError::new(format!("{url}: {error}")))
}

/// Where it says they are. A document of somebody else says nothing of this issuer.
fn discovered(document: &[u8], issuer: &str) -> Result<Url, FetchError> {
    let of = |problem: &str| FetchError::new(format!("the discovery document of {issuer} {problem}"));
    let document = json::value(document, &Bounds::default()).map_err(|_not_shown| of("is no JSON"))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(of("says that it is of another issuer: `issuer` must be the same to the letter"));
    }
    let url = document.get("jwks_uri").and_then(Value::as_str).and_then(|url| url.parse().ok());
    url.ok_or_else(|| of("does not say where its keys are"))
}
