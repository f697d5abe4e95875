//! How much: [`Limits::admit`] turns a permit into an admission, which holds its room until the reply has ended.

mod concurrency;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::mcp::Target;
use crate::policy::{Limit, LimitRule, Mode, Most, Per, Permit, PolicySet, Rate, RuleId, Unit};

use concurrency::{Concurrency, Slot};
use window::{Counts, Left};

/// The counters of all limits in force.
#[derive(Debug)]
pub struct Limits {
    counters: HashMap<LimitRule, Counter>,
    hasher: RandomState,
    time: Time,
}

/// The time since some moment, or one moment of it.
#[derive(Clone, Copy, Debug)]
enum Time {
    Running(Instant),
    Still,
}

#[derive(Clone, Debug)]
enum Counter {
    Rate(Arc<[Counts]>),
    Concurrency(Arc<Concurrency>),
}

/// A permit, with the room that its call takes. Dropping it frees the room.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    would_limit: Option<RuleId>,
    quota: Option<Quota>,
    /// What is charged for what comes back.
    by_size: Vec<(Arc<[Counts]>, u64)>,
    time: Time,
    _slots: Vec<Slot>,
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

/// How long to wait for somebody else's call to end: nobody knows, so a moment.
const A_MOMENT: Duration = Duration::from_millis(100);
/// Nobody shares a limit with this gate.
const ALONE: u64 = 1;

impl Limits {
    /// Counters for every limit of a policy. Those that an earlier policy had too go on counting, so that an edit of
    /// some other line gives nobody a fresh quota.
    pub fn of(policy: &PolicySet, earlier: Option<&Self>) -> Self {
        let time = earlier.map_or_else(|| Time::Running(clock::monotonic()), |earlier| earlier.time);
        Self::counting(policy, earlier, time)
    }

    /// Fresh counters in one moment that does not pass: what they say depends on nothing but what was asked.
    pub fn in_one_moment(policy: &PolicySet) -> Self {
        Self::counting(policy, None, Time::Still)
    }

    fn counting(policy: &PolicySet, earlier: Option<&Self>, time: Time) -> Self {
        let counters = policy
            .limits()
            .map(|rule| {
                let kept = earlier.and_then(|earlier| earlier.counter_like(rule));
                (rule.clone(), kept.unwrap_or_else(|| Counter::of(rule.limit)))
            })
            .collect();
        let hasher = earlier.map_or_else(RandomState::new, |earlier| earlier.hasher.clone());
        Self { counters, hasher, time }
    }

    /// Takes room under every limit that the call falls under. Those in shadow only note that there was none.
    ///
    /// # Errors
    /// Some limit has none; nothing is taken then.
    pub fn admit(&self, permit: Permit) -> Result<Admission, LimitExceeded> {
        let now = self.time.now();
        let mut taking = Taking { now, would_limit: None, taken: Vec::new(), slots: Vec::new(), quota: None };
        for (rule, counter) in permit.limits().filter_map(|rule| Some((rule, self.counters.get(rule)?))) {
            taking.take(rule, counter, self.key(rule.limit.per, &permit), &permit)?;
        }
        let Taking { would_limit, taken, slots, quota, .. } = taking;
        let by_size = taken.into_iter().filter(|taken| taken.amount == 0).map(|taken| (taken.counts, taken.key));
        Ok(Admission { by_size: by_size.collect(), permit, would_limit, quota, time: self.time, _slots: slots })
    }

    /// What is counted together with this call.
    fn key(&self, per: Per, permit: &Permit) -> u64 {
        let (server, principal) = (permit.server(), permit.principal().id());
        let tool = match permit.call().target() {
            Target::Tool(name) => name,
            Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_) => "",
        };
        match per {
            Per::PrincipalAndTool => self.hasher.hash_one((server, tool, principal)),
            Per::Tool => self.hasher.hash_one((server, tool)),
            Per::Principal => self.hasher.hash_one((server, principal)),
            Per::Server => self.hasher.hash_one(server),
        }
    }

    fn counter_like(&self, rule: &LimitRule) -> Option<Counter> {
        let same = |known: &LimitRule| known.rule.path() == rule.rule.path() && known.limit == rule.limit;
        self.counters.iter().find_map(|(known, counter)| same(known).then(|| counter.clone()))
    }
}

/// Room in the taking, limit by limit. What was taken is given back if another limit then has none.
struct Taking {
    now: Duration,
    would_limit: Option<RuleId>,
    taken: Vec<Taken>,
    slots: Vec<Slot>,
    quota: Option<Quota>,
}

/// So much, under one limit.
struct Taken {
    counts: Arc<[Counts]>,
    window: usize,
    key: u64,
    amount: u64,
}

impl Taking {
    fn take(&mut self, rule: &LimitRule, counter: &Counter, key: u64, permit: &Permit) -> Result<(), LimitExceeded> {
        match (counter, rule.limit.most) {
            (Counter::Concurrency(concurrency), _) => match concurrency.enter(key) {
                Some(slot) => self.slots.push(slot),
                None => self.refuse(rule, A_MOMENT)?,
            },
            (Counter::Rate(counts), Most::Rate(rate)) => {
                let amount = amount(rate.unit, permit);
                for (window, counter) in counts.iter().enumerate() {
                    match counter.take(key, amount, self.now, ALONE) {
                        Ok(left) => {
                            self.taken.push(Taken { counts: Arc::clone(counts), window, key, amount });
                            self.note(rate, left);
                        }
                        Err(left) => self.refuse(rule, left.after)?,
                    }
                }
            }
            (Counter::Rate(_), Most::InFlight(_)) => {}
        }
        Ok(())
    }

    fn refuse(&mut self, rule: &LimitRule, retry_after: Duration) -> Result<(), LimitExceeded> {
        match rule.mode {
            Mode::Shadow => {
                self.would_limit.get_or_insert_with(|| rule.rule.clone());
                Ok(())
            }
            Mode::Enforce => {
                for Taken { counts, window, key, amount } in self.taken.drain(..) {
                    if let Some(window) = counts.get(window) {
                        window.give_back(key, amount, self.now);
                    }
                }
                Err(LimitExceeded { rule: rule.rule.clone(), limit: rule.limit, retry_after })
            }
        }
    }

    /// Of several limits, the one of which the smallest part is left is told.
    fn note(&mut self, rate: Rate, left: Left) {
        let of = |part: u64, whole: u64| u128::from(part) * u128::from(whole);
        let quota = Quota { unit: rate.unit, left: left.amount, of: rate.amount.get(), every: rate.every };
        if self.quota.is_none_or(|known| of(quota.left, known.of) < of(known.left, quota.of)) {
            self.quota = Some(quota);
        }
    }
}

/// How much of a unit a call takes before it is made.
fn amount(unit: Unit, permit: &Permit) -> u64 {
    match unit {
        Unit::Calls => 1,
        Unit::Cost => permit.tool().map_or(1, |tool| tool.cost.get().into()),
        Unit::Bytes => 0,
    }
}

impl Counter {
    fn of(limit: Limit) -> Self {
        match limit.most {
            Most::Rate(rate) => Self::Rate(rate.windows().map(Counts::new).collect()),
            Most::InFlight(most) => Self::Concurrency(Arc::new(Concurrency::new(most))),
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
        for (counts, key) in &self.by_size {
            counts.iter().for_each(|window| window.charge(*key, bytes, now));
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
