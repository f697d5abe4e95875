//! The counter of one limit, and what a call asks of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Time;
use super::burst::Burst;
use super::concurrency::Concurrency;
use super::keyed::Crowd;
use super::window::{Counts, Left};
use crate::policy::{Limit, LimitRule, Most, Permit, Rate, Unit};

/// The counter of one limit.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    /// What a store calls it: the same for every gate that has the limit in the same place.
    pub(super) name: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    OverTime(Arc<OverTime>),
    InFlight(Arc<Concurrency>),
}

/// So much in a span of time, and so much of that at once.
#[derive(Debug)]
pub(super) struct OverTime {
    pub(super) rate: Rate,
    pub(super) counts: Counts,
    burst: Option<Burst>,
}

/// What a call asks of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) rule: &'a LimitRule,
    pub(super) counter: &'a Counter,
    /// What is counted together.
    pub(super) key: u64,
    /// How much it takes before it is made.
    pub(super) amount: u64,
}

impl Counter {
    pub(super) fn of(rule: &LimitRule, time: Time, crowd: &Crowd) -> Self {
        let Limit { most, .. } = rule.limit;
        let kind = match most {
            Most::Rate(rate) => Kind::OverTime(Arc::new(OverTime {
                rate,
                counts: Counts::new(rate.window(), crowd),
                burst: rate.burst().map(|burst| Burst::new(burst.most, burst.each, time, crowd)),
            })),
            Most::InFlight(most) => Kind::InFlight(Arc::new(Concurrency::new(most))),
        };
        let written = format!("{} {} {}", rule.rule.path(), rule.limit.counts(), rule.limit);
        Self { name: digest(&[&written]), kind }
    }
}

impl OverTime {
    /// Takes so much, if the time has room for it; of a share of the whole, one of so many.
    pub(super) fn take(&self, key: u64, amount: u64, now: Duration, one_of: NonZeroU32) -> Result<Left, Left> {
        let left = self.counts.take(key, amount, now, one_of)?;
        match self.burst.as_ref().map_or(Ok(()), |burst| burst.take(key, one_of)) {
            Ok(()) => Ok(left),
            Err(after) => {
                self.counts.give_back(key, amount, now, one_of);
                Err(Left { amount: 0, after })
            }
        }
    }

    /// Gives back what was just taken.
    pub(super) fn give_back(&self, key: u64, amount: u64, now: Duration, one_of: NonZeroU32) {
        self.counts.give_back(key, amount, now, one_of);
        if let Some(burst) = &self.burst {
            burst.give_back(key, one_of);
        }
    }
}

/// How much a call takes of a limit before it is made.
pub(super) fn amount(limit: Limit, permit: &Permit) -> u64 {
    match limit.most {
        Most::Rate(Rate { unit: Unit::Cost, .. }) => permit.tool().map_or(1, |tool| tool.cost.get().into()),
        Most::Rate(Rate { unit: Unit::Bytes, .. }) => 0,
        Most::Rate(Rate { unit: Unit::Calls, .. }) | Most::InFlight(_) => 1,
    }
}

/// The same number for the same names, in every gate: 64 bits of SHA-256.
pub(super) fn digest(names: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for name in names {
        hash.update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(name);
    }
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
