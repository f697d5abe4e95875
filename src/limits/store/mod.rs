//! What several gates have taken together, in a Redis or Valkey that they share.
//!
//! One script takes room under all limits of a call, in one round trip on a connection that all calls share. What is not
//! waited for is told in the background: results by their size, calls that have ended, and what was taken here while
//! the store was away.

mod lease;
mod settings;

use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use tokio::sync::watch;
use tokio::time::timeout;

use super::counter::{Asked, Counter, Kind};
use super::window::Counts;
use crate::breaker::{Attempt, Breaker, BreakerSettings, Ended, Phase};
use crate::clock;
use crate::mcp::ServerName;
use crate::policy::{Burst, Mode, Window};

pub use settings::{StoreError, StoreSettings, WhenDown};

pub(super) use lease::Lease;

use lease::Leases;

/// The store of a gate's limits.
#[derive(Debug)]
pub struct Store {
    client: Client,
    settings: StoreSettings,
    /// How all names begin. A cluster keeps what has the same words in braces in one place, as a script needs it.
    tag: String,
    /// What this process is called in the store.
    gate: String,
    connection: Mutex<Option<MultiplexedConnection>>,
    breaker: Breaker,
    scripts: Scripts,
    leases: Arc<Leases>,
    replicas: AtomicU32,
    asked: AtomicU64,
    failed: AtomicU64,
    unasked: AtomicU64,
    failure: Mutex<String>,
}

#[derive(Debug)]
struct Scripts {
    take: Script,
    beat: Script,
}

/// How many calls were counted how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCalls {
    /// The store has counted them.
    pub ok: u64,
    /// It was asked, and did not answer as it should.
    pub failed: u64,
    /// It was not asked, because it fails.
    pub unasked: u64,
}

/// Why the store has not answered.
#[derive(Debug)]
pub(super) enum Failure {
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
/// A gate that was not heard of for so long is gone, and its calls in flight with it.
const HOLDS: Duration = Duration::from_secs(10);
/// So many counters are named in one script at most.
const BATCH: usize = 200;

impl Store {
    /// The store of these settings, for the gates before these servers. It is not asked anything yet.
    ///
    /// # Errors
    /// Where it is cannot be read, or is no URL of a store.
    pub fn open(settings: StoreSettings, servers: &[ServerName]) -> Result<Self, StoreError> {
        let url = settings.url.read().map_err(|error| StoreError::Unreadable(settings.url.clone(), error))?;
        // What is wrong with it may be a password.
        let client = Client::open(url.expose()).map_err(|_not_shown| StoreError::NoUrl(settings.url.clone()))?;
        // Gates before one server share its limits, whatever else they share a prefix with. Before several, they are the
        // same gate many times over, and every counter says by itself which server it is of.
        let tag = match servers {
            [server] => format!("{{{}:{server}}}:", settings.prefix),
            _ => format!("{{{}:}}:", settings.prefix),
        };
        Ok(Self {
            client,
            tag,
            gate: format!("{:016x}", rand::random::<u64>()),
            connection: Mutex::default(),
            breaker: Breaker::new(BREAKER, clock::monotonic()),
            scripts: Scripts {
                take: Script::new(include_str!("shared.lua")),
                beat: Script::new(include_str!("beat.lua")),
            },
            leases: Arc::default(),
            replicas: AtomicU32::new(settings.replicas.get()),
            settings,
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unasked: AtomicU64::new(0),
            failure: Mutex::default(),
        })
    }

    /// What becomes of calls while it is away.
    pub fn when_down(&self) -> WhenDown {
        self.settings.when_down
    }

    /// Whether it is asked, now and at every change.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.breaker.phases()
    }

    /// How many gates share the limits, as far as is known.
    pub fn replicas(&self) -> NonZeroU32 {
        NonZeroU32::new(self.replicas.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    /// How many calls were counted how.
    pub fn calls(&self) -> StoreCalls {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreCalls { ok: count(&self.asked), failed: count(&self.failed), unasked: count(&self.unasked) }
    }

    /// A lease for a call, if it falls under limits of what is in flight.
    pub(super) fn lease(&self, asked: &[Asked<'_>]) -> Option<Lease> {
        let in_flight = asked.iter().filter(|asked| matches!(asked.counter.kind, Kind::InFlight(_)));
        let keys: Box<[String]> = in_flight.map(|asked| self.name(asked.counter, asked.key)).collect();
        (!keys.is_empty()).then(|| self.leases.open(keys, clock::monotonic()))
    }

    /// Takes room under all of these limits, or under none. Says of each in how long it has room, and what was taken.
    pub(super) async fn take(&self, asked: &[Asked<'_>], lease: Option<&Lease>) -> Option<Vec<Vec<u64>>> {
        let Ok(attempt) = self.breaker.ask(clock::monotonic()) else {
            self.unasked.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let mut call = self.scripts.take.prepare_invoke();
        call.arg(lease.map(|lease| self.member(lease.id())).unwrap_or_default()).arg(micros(HOLDS));
        for asked in asked {
            let (most, window, burst) = match &asked.counter.kind {
                Kind::InFlight(concurrency) => (u64::from(concurrency.most().get()), None, None),
                Kind::OverTime(counter) => {
                    (counter.rate.amount.get(), Some(counter.rate.window()), counter.rate.burst())
                }
            };
            let mode = match asked.rule.mode {
                Mode::Enforce => "enforce",
                Mode::Shadow => "shadow",
            };
            call.key(self.name(asked.counter, asked.key));
            call.arg(most).arg(window.map_or(0, |window| micros(window.every))).arg(asked.amount);
            call.arg(burst.map_or(0, |burst: Burst| burst.most.get())).arg(mode);
        }
        let answer = self.ask(async |mut connection| call.invoke_async::<Vec<Vec<u64>>>(&mut connection).await).await;
        let answer = answer.and_then(|said| if said.len() == asked.len() { Ok(said) } else { Err(Failure::Strange) });
        self.end(attempt, answer)
    }

    /// What is to be done again and again: connects, says that this gate and its calls in flight are alive.
    pub(super) async fn beat(&self) -> Result<(), Failure> {
        if self.connection().is_none() {
            self.connect().await?;
        }
        let old = self.leases.old(clock::monotonic());
        let (first, others) = old.split_at(old.len().min(BATCH));
        for leases in [first].into_iter().chain(others.chunks(BATCH)) {
            let mut call = self.scripts.beat.prepare_invoke();
            call.key(format!("{}gates", self.tag)).arg(&self.gate).arg(micros(HOLDS));
            for (id, key) in leases {
                call.key(key).arg(self.member(*id));
            }
            let replicas = self.ask(async |mut connection| call.invoke_async::<u32>(&mut connection).await).await?;
            self.replicas.store(replicas.max(1), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Tells what was taken here and nobody was told, whether or not there was room.
    pub(super) async fn charge(&self, counter: &Counter, counts: &Counts, owed: &[(u64, u64)]) -> Result<(), Failure> {
        let Window { most, every } = counts.window();
        for owed in owed.chunks(BATCH) {
            let mut call = self.scripts.take.prepare_invoke();
            call.arg("").arg(0);
            for (key, amount) in owed {
                call.key(self.name(counter, *key)).arg(most).arg(micros(every)).arg(*amount).arg(0).arg("charge");
            }
            self.ask(async |mut connection| call.invoke_async::<Vec<Vec<u64>>>(&mut connection).await).await?;
            for (key, amount) in owed {
                counts.paid(*key, *amount);
            }
        }
        Ok(())
    }

    /// Waits until calls in flight have ended, of which [`Store::release`] tells.
    pub async fn ended(&self) {
        self.leases.end().await;
    }

    /// Tells which calls in flight have ended, so that others have their room.
    pub async fn release(&self) {
        if let Err(failure) = self.release_ended().await {
            tracing::debug!(%failure, "the limits store");
        }
    }

    /// The same; what could not be told is told the next time.
    pub(super) async fn release_ended(&self) -> Result<(), Failure> {
        let mut ended = self.leases.ended();
        while !ended.is_empty() {
            let mut calls = redis::pipe();
            for (id, keys) in ended.iter().take(BATCH) {
                for key in keys {
                    calls.zrem(key, self.member(*id)).ignore();
                }
            }
            if let Err(failure) = self.ask(async |mut connection| calls.query_async::<()>(&mut connection).await).await
            {
                self.leases.untold(ended);
                return Err(failure);
            }
            ended.drain(..ended.len().min(BATCH));
        }
        Ok(())
    }

    /// This gate is going away: the others have its share from now on, and not only when it was not heard of for long.
    pub async fn leave(&self) {
        let mut call = redis::cmd("ZREM");
        call.arg(format!("{}gates", self.tag)).arg(&self.gate);
        if let Err(failure) = self.ask(async |mut connection| call.query_async::<()>(&mut connection).await).await {
            tracing::debug!(%failure, "the limits store");
        }
    }

    /// What it has failed by, lately.
    pub fn failure(&self) -> String {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How something ended that is done in the background. If it ended well, calls may ask again.
    pub(super) fn seen(&self, result: &Result<(), Failure>) {
        let now = clock::monotonic();
        match result {
            Ok(()) => self.breaker.answers(now),
            Err(failure) => {
                self.failed_by(failure);
                *self.lock() = None;
            }
        }
        if let Ok(attempt) = self.breaker.ask(now) {
            attempt.end(if result.is_ok() { Ended::Answered } else { Ended::Unreached }, now);
        }
    }

    async fn connect(&self) -> Result<(), Failure> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(Failure::Said)?;
        // So that every call needs but one round trip.
        for script in [&self.scripts.take, &self.scripts.beat] {
            let loaded = timeout(CONNECT, script.load_async(&mut connection)).await;
            loaded.map_err(|_elapsed| Failure::Slow)?.map_err(Failure::Said)?;
        }
        *self.lock() = Some(connection);
        Ok(())
    }

    /// Asks something over the one connection, and waits no longer than is set.
    async fn ask<T>(
        &self,
        asking: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Failure> {
        let connection = self.connection().ok_or(Failure::Away)?;
        match timeout(self.settings.timeout, asking(connection)).await {
            Ok(answer) => answer.map_err(Failure::Said),
            Err(_elapsed) => Err(Failure::Slow),
        }
    }

    fn end<T>(&self, attempt: Attempt<'_>, answer: Result<T, Failure>) -> Option<T> {
        let now = clock::monotonic();
        match answer {
            Ok(answer) => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                attempt.end(Ended::Answered, now);
                Some(answer)
            }
            Err(failure) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.failed_by(&failure);
                attempt.end(Ended::Unreached, now);
                None
            }
        }
    }

    /// Notes why. That it is not connected is no reason: what it was not connected by is.
    fn failed_by(&self, failure: &Failure) {
        if matches!(failure, Failure::Away) {
            return;
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.to_string();
    }

    /// What a counter is called for what is counted together. Nobody's name is in it.
    fn name(&self, counter: &Counter, key: u64) -> String {
        format!("{}{:016x}:{key:016x}", self.tag, counter.name)
    }

    fn member(&self, lease: u64) -> String {
        format!("{}:{lease}", self.gate)
    }

    fn connection(&self) -> Option<MultiplexedConnection> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away => f.write_str("it is not connected"),
            Self::Slow => f.write_str("it did not answer in time"),
            Self::Said(error) => error.fmt(f),
            Self::Strange => f.write_str("it did not answer what was asked"),
        }
    }
}
