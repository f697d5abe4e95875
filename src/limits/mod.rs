//! How much: [`Limits::admit`] turns a permit into an admission, which holds its room until the reply has ended.

mod burst;
mod concurrency;
mod counter;
mod keyed;
mod store;
mod taking;
mod window;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::clock;
use crate::mcp::Target;
use crate::policy::{Limit, LimitRule, Per, Permit, PolicySet, RuleId, Unit};
use crate::store::Failure;

pub use keyed::Crowd;
pub use store::{Store, StoreCalls, StoreSettings, WhenDown};

use concurrency::Slot;
use counter::{Asked, Counter, Kind, OverTime};
use store::Lease;
use taking::Taking;

/// The counters of all limits in force.
#[derive(Debug)]
pub struct Limits {
    counters: HashMap<LimitRule, Counter>,
    keys: Keys,
    crowd: Crowd,
    time: Time,
    store: Option<Arc<Store>>,
}

/// How what is counted together is told apart from the rest.
#[derive(Clone, Debug)]
enum Keys {
    /// Fast, and by a secret of this process: nobody can choose names that are counted together.
    OfThisGate(RandomState),
    /// The same in all gates.
    OfAllGates,
}

/// The time since some moment, or one moment of it.
#[derive(Clone, Copy, Debug)]
enum Time {
    Running(Instant),
    Still,
}

/// A permit, with the room that its call takes. Dropping it frees the room.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    would_limit: Option<RuleId>,
    quota: Option<Quota>,
    /// What is charged for what comes back.
    by_size: Vec<(Arc<OverTime>, u64)>,
    time: Time,
    _slots: Vec<Slot>,
    _lease: Option<Lease>,
}

/// What is left for the caller of the limit that is nearest to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Of what.
    pub unit: Unit,
    /// How much.
    pub left: u64,
    /// Of how much.
    pub of: u64,
    /// In how long it is whole again, if nothing is asked.
    pub every: Duration,
}

/// Whether callers are told what is left for them of their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaHeader {
    /// They are not.
    Off,
    /// By `RateLimit`.
    Sent,
}

/// Why there is no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// A limit has none.
    Exceeded(LimitExceeded),
    /// Nobody can say: the store is away, and no call passes without it.
    Uncounted,
}

/// There is no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// Which limit.
    pub rule: RuleId,
    /// What it counts.
    pub limit: Limit,
    /// When to ask again, at the earliest.
    pub retry_after: Duration,
}

/// Nobody shares a limit with this gate.
const ALONE: NonZeroU32 = NonZeroU32::MIN;

impl Limits {
    /// Counters for every limit of a policy. Those that an earlier policy had too go on counting, so that an edit of
    /// some other line gives nobody a fresh quota.
    pub fn of(policy: &PolicySet, earlier: Option<&Self>) -> Self {
        let time = earlier.map_or_else(|| Time::Running(clock::monotonic()), |earlier| earlier.time);
        Self::counting(policy, earlier, time)
    }

    /// The same, counted together with all gates that share the store.
    pub fn shared(policy: &PolicySet, store: Arc<Store>) -> Self {
        Self { keys: Keys::OfAllGates, store: Some(store), ..Self::of(policy, None) }
    }

    /// Fresh counters in one moment that does not pass: what they say depends on nothing but what was asked.
    pub fn in_one_moment(policy: &PolicySet) -> Self {
        Self::counting(policy, None, Time::Still)
    }

    fn counting(policy: &PolicySet, earlier: Option<&Self>, time: Time) -> Self {
        let crowd = earlier.map(|earlier| earlier.crowd.clone()).unwrap_or_default();
        let counters = policy
            .limits()
            .map(|rule| {
                let kept = earlier.and_then(|earlier| earlier.counter_like(rule));
                (rule.clone(), kept.unwrap_or_else(|| Counter::of(rule, time, &crowd)))
            })
            .collect();
        let keys = earlier.map_or_else(|| Keys::OfThisGate(RandomState::new()), |earlier| earlier.keys.clone());
        Self { counters, keys, crowd, time, store: earlier.and_then(|earlier| earlier.store.clone()) }
    }

    /// Takes room under every limit that the call falls under. Those in shadow only note that there was none.
    ///
    /// # Errors
    /// Some limit has none, or nobody can say; nothing is taken then.
    pub async fn admit(&self, permit: Permit) -> Result<Admission, LimitError> {
        match &self.store {
            None => self.admit_here(permit).map_err(LimitError::Exceeded),
            Some(store) => self.admit_shared(permit, store).await,
        }
    }

    /// The same by what was counted here alone.
    ///
    /// # Errors
    /// Some limit has no room; nothing is taken then.
    pub fn admit_here(&self, permit: Permit) -> Result<Admission, LimitExceeded> {
        let mut taking = Taking::new(self.time.now(), ALONE);
        self.asked(&permit).try_for_each(|asked| taking.take(asked))?;
        Ok(self.admission(permit, taking, None))
    }

    async fn admit_shared(&self, permit: Permit, store: &Store) -> Result<Admission, LimitError> {
        let asked: Vec<_> = self.asked(&permit).collect();
        let mut taking = Taking::new(self.time.now(), store.replicas());
        if asked.is_empty() {
            return Ok(self.admission(permit, taking, None));
        }
        let lease = store.lease(&asked);
        match (store.take(&asked, lease.as_ref()).await, store.when_down()) {
            (Some(said), _) => {
                let told = asked.iter().zip(&said).try_for_each(|(asked, said)| taking.told(*asked, said));
                if let (Err(_), Some(lease)) = (&told, &lease) {
                    lease.forget();
                }
                told.map_err(LimitError::Exceeded)?;
            }
            (None, WhenDown::LocalShare) => {
                asked.iter().try_for_each(|asked| taking.take(*asked)).map_err(LimitError::Exceeded)?;
            }
            (None, WhenDown::Open) => asked.iter().for_each(|asked| taking.take_anyway(*asked)),
            (None, WhenDown::Closed) => return Err(LimitError::Uncounted),
        }
        Ok(self.admission(permit, taking, lease))
    }

    fn admission(&self, permit: Permit, mut taking: Taking, lease: Option<Lease>) -> Admission {
        let by_size = taking.by_size();
        let Taking { would_limit, slots, quota, .. } = taking;
        Admission { permit, would_limit, quota, by_size, time: self.time, _slots: slots, _lease: lease }
    }

    /// How often callers were counted together, since more are known than are told apart.
    pub fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// The store, if limits are shared.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// Tells the store what it does not know yet, and that this gate is alive; connects it if it must.
    pub async fn settle(&self) {
        if let Some(store) = &self.store {
            store.link().seen(&self.settle_with(store).await);
        }
    }

    async fn settle_with(&self, store: &Store) -> Result<(), Failure> {
        store.beat().await?;
        store.release_ended().await?;
        for counter in self.counters.values() {
            if let Kind::OverTime(over_time) = &counter.kind {
                let owed = over_time.counts.owed(self.time.now());
                store.charge(counter, &over_time.counts, &owed).await?;
            }
        }
        Ok(())
    }

    /// What the call asks of each limit.
    fn asked<'a>(&'a self, permit: &'a Permit) -> impl Iterator<Item = Asked<'a>> {
        permit.limits().filter_map(|rule| {
            let counter = self.counters.get(rule)?;
            let (key, amount) = (self.keys.of(rule.limit.per, permit), counter::amount(rule.limit, permit));
            Some(Asked { rule, counter, key, amount })
        })
    }

    fn counter_like(&self, rule: &LimitRule) -> Option<Counter> {
        let same = |known: &LimitRule| known.rule.path() == rule.rule.path() && known.limit == rule.limit;
        self.counters.iter().find_map(|(known, counter)| same(known).then(|| counter.clone()))
    }
}

impl Keys {
    /// What is counted together with this call.
    fn of(&self, per: Per, permit: &Permit) -> u64 {
        let (server, principal) = (permit.server().as_str(), permit.principal().account());
        let tool = match permit.call().target() {
            Target::Tool(name) => name,
            Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_) => "",
        };
        match per {
            Per::PrincipalAndTool => self.key(&[server, tool, principal]),
            Per::Tool => self.key(&[server, tool]),
            Per::Principal => self.key(&[server, principal]),
            Per::Server => self.key(&[server]),
        }
    }

    fn key(&self, names: &[&str]) -> u64 {
        match self {
            Self::OfThisGate(hasher) => hasher.hash_one(names),
            Self::OfAllGates => counter::digest(names),
        }
    }
}

impl Time {
    fn now(self) -> Duration {
        match self {
            Self::Running(since) => clock::monotonic().saturating_duration_since(since),
            Self::Still => Duration::ZERO,
        }
    }
}

impl governor::clock::Clock for Time {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Self::now(*self)
    }
}

impl Admission {
    /// The permit.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The limit that had no room and is only tried out.
    pub fn would_limit(&self) -> Option<&RuleId> {
        self.would_limit.as_ref()
    }

    /// What is left for the caller, if a limit over time was asked.
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// So many bytes come back.
    pub fn brings(&self, bytes: usize) {
        if self.by_size.is_empty() || bytes == 0 {
            return;
        }
        let (bytes, now) = (u64::try_from(bytes).unwrap_or(u64::MAX), self.time.now());
        for (counter, key) in &self.by_size {
            counter.counts.charge(*key, bytes, now);
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exceeded(exceeded) => exceeded.fmt(f),
            Self::Uncounted => f.write_str("the store of limits cannot be asked"),
        }
    }
}

/// The caller's text: which limit, without where it is written.
impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit of {}: at most {}", self.limit.counts(), self.limit)
    }
}

#[cfg(test)]
mod tests;
