//! Room in the taking, limit by limit: here, or as a store has said.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::concurrency::Slot;
use super::counter::{Asked, Kind, OverTime};
use super::{LimitExceeded, Quota};
use crate::policy::{Mode, Rate, RuleId};

/// What was taken. It is given back if another limit then has no room.
pub(super) struct Taking {
    now: Duration,
    /// This gate has one of so many shares.
    one_of: NonZeroU32,
    pub(super) would_limit: Option<RuleId>,
    taken: Vec<Taken>,
    pub(super) slots: Vec<Slot>,
    pub(super) quota: Option<Quota>,
}

/// So much, under one limit.
struct Taken {
    counter: Arc<OverTime>,
    key: u64,
    amount: u64,
}

/// How long to wait for somebody else's call to end: nobody knows, so a moment.
const A_MOMENT: Duration = Duration::from_millis(100);

impl Taking {
    pub(super) fn new(now: Duration, one_of: NonZeroU32) -> Self {
        Self { now, one_of, would_limit: None, taken: Vec::new(), slots: Vec::new(), quota: None }
    }

    /// Takes room under a limit, if it has some.
    pub(super) fn take(&mut self, asked: Asked<'_>) -> Result<(), LimitExceeded> {
        match &asked.counter.kind {
            Kind::InFlight(concurrency) => match concurrency.enter(asked.key, self.one_of) {
                Some(slot) => self.slots.push(slot),
                None => self.refuse(asked, A_MOMENT)?,
            },
            Kind::OverTime(counter) => match counter.take(asked.key, asked.amount, self.now, self.one_of) {
                Ok(left) => {
                    self.keep(counter, asked);
                    self.note(counter.rate, left.amount);
                }
                Err(left) => self.refuse(asked, left.after)?,
            },
        }
        Ok(())
    }

    /// Takes it whether or not there is room.
    pub(super) fn take_anyway(&mut self, asked: Asked<'_>) {
        match &asked.counter.kind {
            Kind::InFlight(concurrency) => self.slots.extend(concurrency.join(asked.key)),
            Kind::OverTime(counter) => {
                counter.counts.charge(asked.key, asked.amount, self.now);
                self.keep(counter, asked);
            }
        }
    }

    /// Goes by what a store has said: in how long there is room, in microseconds, and what was taken by slot.
    pub(super) fn told(&mut self, asked: Asked<'_>, said: &[u64]) -> Result<(), LimitExceeded> {
        let (after, taken) = said.split_first().unwrap_or((&0, &[]));
        let room = (*after == 0).then_some(()).ok_or(Duration::from_micros(*after));
        match (&asked.counter.kind, room) {
            (Kind::InFlight(_), Err(after)) => self.refuse(asked, after),
            (Kind::InFlight(concurrency), Ok(())) => {
                self.slots.extend(concurrency.join(asked.key));
                Ok(())
            }
            (Kind::OverTime(counter), room) => {
                let left = counter.counts.learn(asked.key, taken, self.now);
                if let Err(after) = room {
                    return self.refuse(asked, after);
                }
                // What the store has counted is not given back here.
                if asked.amount == 0 {
                    self.keep(counter, asked);
                }
                self.note(counter.rate, left);
                Ok(())
            }
        }
    }

    /// What is charged for what comes back: what took nothing before.
    pub(super) fn by_size(&mut self) -> Vec<(Arc<OverTime>, u64)> {
        let taken = self.taken.drain(..).filter(|taken| taken.amount == 0);
        taken.map(|taken| (taken.counter, taken.key)).collect()
    }

    fn keep(&mut self, counter: &Arc<OverTime>, asked: Asked<'_>) {
        self.taken.push(Taken { counter: Arc::clone(counter), key: asked.key, amount: asked.amount });
    }

    fn refuse(&mut self, asked: Asked<'_>, retry_after: Duration) -> Result<(), LimitExceeded> {
        let rule = asked.rule;
        match rule.mode {
            Mode::Shadow => {
                self.would_limit.get_or_insert_with(|| rule.rule.clone());
                Ok(())
            }
            Mode::Enforce => {
                for Taken { counter, key, amount } in self.taken.drain(..) {
                    counter.give_back(key, amount, self.now, self.one_of);
                }
                Err(LimitExceeded { rule: rule.rule.clone(), limit: rule.limit, retry_after })
            }
        }
    }

    /// Of several limits, the one of which the smallest part is left is told.
    fn note(&mut self, rate: Rate, left: u64) {
        let of = |part: u64, whole: u64| u128::from(part) * u128::from(whole);
        let quota = Quota { unit: rate.unit, left, of: rate.amount.get(), every: rate.every };
        if self.quota.is_none_or(|known| of(quota.left, known.of) < of(known.left, quota.of)) {
            self.quota = Some(quota);
        }
    }
}
