//! Opaque tokens: their issuer is asked whom one proves (RFC 7662), and what it says counts for a moment.
//!
//! All times come from outside, so that tests can turn the clock.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use reqwest::Url;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::TokenError;
use super::cache::{Entry, Remembered, TokenHash};
use super::rules::{Accepted, Rules};
use super::store::{Asked, IssuerState};
use crate::fetch::{FetchError, Fetcher, form};
use crate::identity::Principal;
use crate::json::{self, Bounds};
use crate::secret::Reference;

/// Longer ones are not asked about.
const MOST_BYTES: usize = 4 << 10;
/// So many are asked about at once. Whoever comes then is told to come again.
const MOST_AT_ONCE: usize = 64;
/// The issuer must have answered within this.
const TIME: Duration = Duration::from_secs(5);
/// That a token proves nobody is remembered for no longer.
const REFUSED: Duration = Duration::from_secs(10);
/// What a client holds open ends after this, and the token is asked about anew when it comes again.
const HELD: Duration = Duration::from_mins(10);
const BOUNDS: Bounds = Bounds { depth: 16, members: 256, values: 2048, number: 32 };

/// Where an issuer is asked, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) client_id: Box<str>,
    pub(super) client_secret: Reference,
    pub(super) listed: Arc<[IpNet]>,
    pub(super) authorities: Option<PathBuf>,
    /// For how long an answer counts.
    pub(super) cache: Duration,
}

/// One issuer that is asked about its tokens.
#[derive(Debug)]
pub(super) struct Introspection {
    pub(super) endpoint: Endpoint,
    rules: Arc<Rules>,
    /// Whom tokens prove, and until when that need not be asked again.
    proved: Remembered<(Arc<Principal>, SystemTime)>,
    /// What proves nobody: apart, so that strangers do not push out what is good.
    refused: Remembered<TokenError>,
    under_way: Mutex<HashMap<TokenHash, watch::Receiver<Option<Verdict>>>>,
    room: Arc<Semaphore>,
    turn: Mutex<Turn>,
    tasks: TaskTracker,
}

/// Whom a token proves, or why nobody.
type Verdict = Result<Arc<Principal>, TokenError>;

/// What came of asking so far.
#[derive(Debug, Default)]
struct Turn {
    /// Made when it is first needed, and again after a failure: it may be its authorities that have changed.
    fetcher: Option<Fetcher>,
    answered: u64,
    failed: u64,
    /// What was last said of a failure, so that it is said once.
    told: Option<String>,
}

impl Introspection {
    pub(super) fn new(endpoint: Endpoint, rules: Arc<Rules>) -> Self {
        Self {
            endpoint,
            rules,
            proved: Remembered::default(),
            refused: Remembered::default(),
            under_way: Mutex::default(),
            room: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            turn: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Whether what one of them has learnt holds for the other.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.rules == other.rules
    }

    /// Whom this token proves. The issuer is asked if that is not known.
    pub(super) async fn identify(self: &Arc<Self>, token: &[u8], now: SystemTime) -> Verdict {
        if token.len() > MOST_BYTES {
            return Err(TokenError::Malformed("longer than 4 KiB"));
        }
        let hash = TokenHash::of(token);
        if let Some(known) = self.remembered(hash, now) {
            return known;
        }
        let mut verdict = self.ask(hash, token, now)?;
        // Whoever asks says so at the end, or is gone.
        let said = verdict.wait_for(Option::is_some).await.ok().and_then(|said| said.clone());
        said.unwrap_or_else(|| Err(self.unavailable()))
    }

    /// The same with what is known already: of what a client holds open.
    pub(super) fn still(&self, token: &[u8], now: SystemTime) -> Option<Arc<Principal>> {
        self.proved.get(TokenHash::of(token), now).map(|entry| Arc::clone(&entry.known.0))
    }

    /// What came of asking so far.
    pub(super) fn told(&self) -> IssuerState {
        let turn = self.turn();
        let issuer = Arc::clone(&self.rules.issuer);
        IssuerState { issuer, asked: Asked::AboutTokens, fetched: turn.answered, failed: turn.failed }
    }

    fn remembered(&self, hash: TokenHash, now: SystemTime) -> Option<Verdict> {
        let proved = self.proved.get(hash, now).filter(|entry| now < entry.known.1);
        let proved = proved.map(|entry| Ok(Arc::clone(&entry.known.0)));
        proved.or_else(|| self.refused.get(hash, now).map(|entry| Err(entry.known.clone())))
    }

    /// Each token is asked about once at a time; whoever else shows it waits for the same answer.
    fn ask(
        self: &Arc<Self>,
        hash: TokenHash,
        token: &[u8],
        now: SystemTime,
    ) -> Result<watch::Receiver<Option<Verdict>>, TokenError> {
        let mut under_way = self.under_way();
        if let Some(verdict) = under_way.get(&hash) {
            return Ok(verdict.clone());
        }
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_full| self.unavailable())?;
        let token = str::from_utf8(token).map_err(|_not_shown| TokenError::Malformed("not text"))?.to_owned();
        let (tell, verdict) = watch::channel(None);
        under_way.insert(hash, verdict.clone());
        drop(under_way);
        // Not within the request that asks: its caller may go away, and others wait for the answer.
        let asking = Arc::clone(self);
        self.tasks.spawn(async move {
            let verdict = asking.settle(asking.fetch(&token).await, (hash, &token), now);
            asking.under_way().remove(&hash);
            tell.send_replace(Some(verdict));
            drop(room);
        });
        Ok(verdict)
    }

    async fn fetch(&self, token: &str) -> Result<Map<String, Value>, FetchError> {
        let Endpoint { url, client_id, client_secret, .. } = &self.endpoint;
        let fetcher = self.fetcher()?;
        let secret = client_secret.read().map_err(|error| FetchError::new(format!("{client_secret}: {error}")))?;
        let asked = form(&[("token", token), ("token_type_hint", "access_token")]);
        let late = |_| FetchError::new(format!("{url} did not answer within {} s", TIME.as_secs()));
        let bytes = timeout(TIME, fetcher.post(url, asked, (client_id, &secret))).await.map_err(late)??;
        match json::value(&bytes, &BOUNDS) {
            Ok(Value::Object(answer)) if answer.get("active").is_some_and(Value::is_boolean) => Ok(answer),
            _ => Err(FetchError::new(format!("{url} did not say whether the token is active"))),
        }
    }

    fn fetcher(&self) -> Result<Fetcher, FetchError> {
        let mut turn = self.turn();
        if let Some(fetcher) = &turn.fetcher {
            return Ok(fetcher.clone());
        }
        let Endpoint { listed, authorities, .. } = &self.endpoint;
        let fetcher = Fetcher::new(Arc::clone(listed), authorities.as_deref())?;
        turn.fetcher = Some(fetcher.clone());
        Ok(fetcher)
    }

    /// What the answer comes to. It counts from when it was asked for.
    fn settle(
        &self,
        fetched: Result<Map<String, Value>, FetchError>,
        (hash, token): (TokenHash, &str),
        now: SystemTime,
    ) -> Verdict {
        let answer = match fetched {
            Ok(answer) => answer,
            Err(error) => {
                self.failed(&error);
                return Err(self.unavailable());
            }
        };
        let mut turn = self.turn();
        turn.answered += 1;
        turn.told = None;
        drop(turn);
        match self.judge(answer, token, now) {
            Ok(Accepted { principal, ends }) => {
                let principal = Arc::new(principal);
                let known = (Arc::clone(&principal), ends.min(now + self.endpoint.cache));
                self.proved.insert(hash, Entry { known, until: ends.min(now + HELD), length: token.len() });
                Ok(principal)
            }
            Err(error) => {
                let until = now + REFUSED.min(self.endpoint.cache);
                self.refused.insert(hash, Entry { known: error.clone(), until, length: token.len() });
                Err(error)
            }
        }
    }

    /// Whom the answer proves.
    fn judge(&self, mut answer: Map<String, Value>, token: &str, now: SystemTime) -> Result<Accepted, TokenError> {
        if answer.get("active") != Some(&Value::Bool(true)) {
            return Err(TokenError::Inactive);
        }
        // Some issuers answer about refresh tokens, too, as if they were for us.
        for (member, kinds) in
            [("token_type", &["bearer", "access_token"][..]), ("token_use", &["access_token", "access"])]
        {
            let is_other = |said: &Value| {
                !said.as_str().is_some_and(|said| kinds.iter().any(|kind| said.eq_ignore_ascii_case(kind)))
            };
            if answer.get(member).is_some_and(is_other) {
                return Err(TokenError::Kind);
            }
        }
        // Whoever answers is the issuer, if the answer does not say that it is another one's.
        answer.entry("iss").or_insert_with(|| Value::String(self.rules.issuer.to_string()));
        self.rules.accept_within(&answer, token.as_bytes(), now, HELD)
    }

    fn failed(&self, error: &FetchError) {
        let (mut turn, said) = (self.turn(), error.to_string());
        turn.failed += 1;
        turn.fetcher = None;
        if turn.told.as_ref() != Some(&said) {
            tracing::warn!(issuer = %self.rules.issuer, %error, "tokens cannot be asked about");
            turn.told = Some(said);
        }
    }

    fn unavailable(&self) -> TokenError {
        TokenError::Unavailable(Arc::clone(&self.rules.issuer))
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<TokenHash, watch::Receiver<Option<Verdict>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
