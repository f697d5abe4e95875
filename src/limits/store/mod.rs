//! What several gates have taken together, in a Redis or Valkey that they share.
//!
//! One script takes room under all limits of a call, in one round trip on a connection that all calls share. What is not
//! waited for is told in the background: results by their size, calls that have ended, and what was taken here while
//! the store was away.

mod lease;
mod settings;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use redis::Script;

use super::counter::{Asked, Counter, Kind};
use super::window::Counts;
use crate::clock;
use crate::mcp::ServerName;
use crate::policy::{Burst, Mode, Window};
use crate::store::{Failure, Link};

pub use settings::{StoreSettings, WhenDown};

pub(super) use lease::Lease;

use lease::Leases;

/// The store of a gate's limits.
#[derive(Debug)]
pub struct Store {
    link: Arc<Link>,
    when_down: WhenDown,
    /// How all names begin. A cluster keeps what has the same words in braces in one place, as a script needs it.
    tag: String,
    /// What this process is called in the store.
    gate: String,
    scripts: Scripts,
    leases: Arc<Leases>,
    replicas: AtomicU32,
    asked: AtomicU64,
    failed: AtomicU64,
    unasked: AtomicU64,
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

/// A gate that was not heard of for so long is gone, and its calls in flight with it.
const HOLDS: Duration = Duration::from_secs(10);
/// So many counters are named in one script at most.
const BATCH: usize = 200;

impl Store {
    /// The store at the other end of this, for the gates before these servers. It is not asked anything yet.
    pub fn new(link: Arc<Link>, settings: &StoreSettings, servers: &[ServerName]) -> Self {
        // Gates before one server share its limits, whatever else they share a prefix with. Before several, they are the
        // same gate many times over, and every counter says by itself which server it is of.
        let tag = match servers {
            [server] => format!("{{{}:{server}}}:", link.prefix()),
            _ => format!("{{{}:}}:", link.prefix()),
        };
        Self {
            link,
            when_down: settings.when_down,
            tag,
            gate: format!("{:016x}", rand::random::<u64>()),
            scripts: Scripts {
                take: Script::new(include_str!("shared.lua")),
                beat: Script::new(include_str!("beat.lua")),
            },
            leases: Arc::default(),
            replicas: AtomicU32::new(settings.replicas.get()),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unasked: AtomicU64::new(0),
        }
    }

    /// What becomes of calls while it is away.
    pub fn when_down(&self) -> WhenDown {
        self.when_down
    }

    /// The way to it.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
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
        let answer = self.link.ask(async |mut connection| {
            let said: Vec<Vec<u64>> = call.invoke_async(&mut connection).await?;
            if said.len() == asked.len() { Ok(said) } else { Err(Failure::Strange) }
        });
        let answer = answer.await;
        let count = match &answer {
            Ok(_) => &self.asked,
            Err(Failure::LeftAlone) => &self.unasked,
            Err(_) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        answer.ok()
    }

    /// What is to be done again and again: connects, says that this gate and its calls in flight are alive.
    pub(super) async fn beat(&self) -> Result<(), Failure> {
        self.link.connect(&[&self.scripts.take, &self.scripts.beat]).await?;
        let old = self.leases.old(clock::monotonic());
        let (first, others) = old.split_at(old.len().min(BATCH));
        for leases in [first].into_iter().chain(others.chunks(BATCH)) {
            let mut call = self.scripts.beat.prepare_invoke();
            call.key(format!("{}gates", self.tag)).arg(&self.gate).arg(micros(HOLDS));
            for (id, key) in leases {
                call.key(key).arg(self.member(*id));
            }
            let replicas = self.link.tell(async |mut connection| Ok(call.invoke_async::<u32>(&mut connection).await?));
            let replicas = replicas.await?;
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
            let told = async |mut connection| Ok(call.invoke_async::<Vec<Vec<u64>>>(&mut connection).await?);
            self.link.tell(told).await?;
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
            let told = async |mut connection| Ok(calls.query_async::<()>(&mut connection).await?);
            if let Err(failure) = self.link.tell(told).await {
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
        if let Err(failure) =
            self.link.tell(async |mut connection| Ok(call.query_async::<()>(&mut connection).await?)).await
        {
            tracing::debug!(%failure, "the limits store");
        }
    }

    /// What a counter is called for what is counted together. Nobody's name is in it.
    fn name(&self, counter: &Counter, key: u64) -> String {
        format!("{}{:016x}:{key:016x}", self.tag, counter.name)
    }

    fn member(&self, lease: u64) -> String {
        format!("{}:{lease}", self.gate)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
