//! A Redis or Valkey that several gates share: one connection for all calls, behind one breaker. What is kept in it is
//! known by those who keep it: limits, and answers.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::breaker::{Breaker, BreakerSettings, Ended, Phase};
use crate::clock;
use crate::secret::{Reference, Unreadable};

/// The way to a store.
#[derive(Debug)]
pub struct Link {
    client: Client,
    settings: LinkSettings,
    connection: Mutex<Option<MultiplexedConnection>>,
    breaker: Breaker,
    failure: Mutex<String>,
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where its URL is kept, which may hold a password.
    pub url: Reference,
    /// How long a call waits for it at most.
    pub timeout: Duration,
    /// How the names of all that is in it begin.
    pub prefix: String,
}

/// Why there can be no way to it.
#[derive(Debug)]
pub enum LinkError {
    /// Nothing says where it is.
    Unreadable(Reference, Unreadable),
    /// What says so is no URL of one.
    NoUrl(Reference),
}

/// Why it has not answered.
#[derive(Debug)]
pub enum Failure {
    /// It fails, and is not asked.
    LeftAlone,
    /// It is not connected.
    Away,
    /// It took too long.
    Slow,
    /// What it or the connection to it said.
    Said(RedisError),
    /// It answered something else.
    Strange,
}

/// Three in a row, be they calls or what is done in the background, and it is not asked any more. No call tries whether it
/// answers again: that is seen in the background.
const BREAKER: BreakerSettings = BreakerSettings { failures: 3, percent: 50, pause: Duration::from_hours(24) };
/// A connection must stand within this. Nobody waits for it.
const CONNECT: Duration = Duration::from_secs(1);

impl Link {
    /// A way to the store of these settings. It is not asked anything yet.
    ///
    /// # Errors
    /// Where it is cannot be read, or is no URL of a store.
    pub fn open(settings: LinkSettings) -> Result<Self, LinkError> {
        let url = settings.url.read().map_err(|error| LinkError::Unreadable(settings.url.clone(), error))?;
        // What is wrong with it may be a password.
        let client = Client::open(url.expose()).map_err(|_not_shown| LinkError::NoUrl(settings.url.clone()))?;
        let breaker = Breaker::new(BREAKER, clock::monotonic());
        Ok(Self { client, settings, connection: Mutex::default(), breaker, failure: Mutex::default() })
    }

    /// How the names of all that is in it begin.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// Whether it is asked, now and at every change.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.breaker.phases()
    }

    /// What it has failed by, lately.
    pub fn failure(&self) -> String {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it for a call that cannot do without, and waits no longer than is set.
    ///
    /// # Errors
    /// It has not answered, or is not asked because it fails.
    pub async fn ask<T>(
        &self,
        asking: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let attempt = self.breaker.ask(clock::monotonic()).map_err(|_pause| Failure::LeftAlone)?;
        let answer = self.tell(asking).await;
        attempt.end(self.seen_by(&answer), clock::monotonic());
        answer
    }

    /// Asks it for a call that can do without, and waits only so long. That is no failure of the store: others may have
    /// more time.
    ///
    /// # Errors
    /// It has not answered, or is not asked because it fails.
    pub async fn glance<T>(
        &self,
        patience: Duration,
        asking: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let attempt = self.breaker.ask(clock::monotonic()).map_err(|_pause| Failure::LeftAlone)?;
        let answer = self.within(patience.min(self.settings.timeout), asking).await;
        match answer {
            Err(Failure::Slow) => drop(attempt),
            _ => attempt.end(self.seen_by(&answer), clock::monotonic()),
        }
        answer
    }

    /// Asks it for what is done in the background, whether or not it fails. How that ends, [`Link::seen`] is told.
    ///
    /// # Errors
    /// It has not answered.
    pub async fn tell<T>(
        &self,
        asking: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.within(self.settings.timeout, asking).await
    }

    async fn within<T>(
        &self,
        patience: Duration,
        asking: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let connection = self.lock().clone().ok_or(Failure::Away)?;
        timeout(patience, asking(connection)).await.unwrap_or(Err(Failure::Slow))
    }

    /// Connects it, if it is not, and loads what it is going to be asked, so that every call needs but one round trip.
    ///
    /// # Errors
    /// It has not answered.
    pub async fn connect(&self, scripts: &[&Script]) -> Result<(), Failure> {
        if self.lock().is_some() {
            return Ok(());
        }
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        for script in scripts {
            timeout(CONNECT, script.load_async(&mut connection)).await.map_err(|_elapsed| Failure::Slow)??;
        }
        *self.lock() = Some(connection);
        Ok(())
    }

    /// How something ended that is done in the background. If it ended well, calls may ask again.
    pub fn seen<T>(&self, answer: &Result<T, Failure>) {
        let now = clock::monotonic();
        let ended = self.seen_by(answer);
        match ended {
            Ended::Answered => self.breaker.answers(now),
            Ended::Unreached | Ended::Failed => *self.lock() = None,
        }
        if let Ok(attempt) = self.breaker.ask(now) {
            attempt.end(ended, now);
        }
    }

    /// What an answer says of the store. Why there is none is noted; that it is not connected is no reason: what it was
    /// not connected by is.
    fn seen_by<T>(&self, answer: &Result<T, Failure>) -> Ended {
        let Err(failure) = answer else {
            return Ended::Answered;
        };
        if !matches!(failure, Failure::Away | Failure::LeftAlone) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.to_string();
        }
        Ended::Unreached
    }

    fn lock(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Said(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftAlone => f.write_str("it fails, and is not asked"),
            Self::Away => f.write_str("it is not connected"),
            Self::Slow => f.write_str("it did not answer in time"),
            Self::Said(error) => error.fmt(f),
            Self::Strange => f.write_str("it did not answer what was asked"),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reference, error) => write!(f, "limits_store: {reference}: {error}"),
            Self::NoUrl(reference) => {
                write!(
                    f,
                    "limits_store: {reference} holds no URL such as redis://HOST:6379 or rediss://USER:PASSWORD@HOST:6379"
                )
            }
        }
    }
}

impl std::error::Error for LinkError {}
