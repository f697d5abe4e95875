//! How much: [`Limits::admit`] turns a permit into an admission, which holds its room until the reply has ended.

mod concurrency;
mod rate;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::mcp::Target;
use crate::policy::{Limit, LimitRule, Mode, Permit, PolicySet, RuleId};

use concurrency::{Concurrency, Slot};
use rate::{Rate, Time};

/// The counters of all limits in force.
#[derive(Debug)]
pub struct Limits {
    counters: HashMap<LimitRule, Counter>,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
enum Counter {
    Rate(Arc<Rate>),
    Concurrency(Arc<Concurrency>),
}

/// A permit, with the room that its call takes. Dropping it frees the room.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    would_limit: Option<RuleId>,
    _slots: Vec<Slot>,
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

impl Limits {
    /// Counters for every limit of a policy. Those that an earlier policy had too go on counting, so that an edit of
    /// some other line gives nobody a fresh quota.
    pub fn of(policy: &PolicySet, earlier: Option<&Self>) -> Self {
        Self::counting(policy, earlier, &Time::running())
    }

    /// Fresh counters in one moment that does not pass: what they say depends on nothing but what was asked.
    pub fn in_one_moment(policy: &PolicySet) -> Self {
        Self::counting(policy, None, &Time::still())
    }

    fn counting(policy: &PolicySet, earlier: Option<&Self>, time: &Time) -> Self {
        let counters = policy
            .limits()
            .map(|rule| {
                let kept = earlier.and_then(|earlier| earlier.counter_like(rule));
                (rule.clone(), kept.unwrap_or_else(|| Counter::of(rule.limit, time)))
            })
            .collect();
        let hasher = earlier.map_or_else(RandomState::new, |earlier| earlier.hasher.clone());
        Self { counters, hasher }
    }

    /// Takes room under every limit of the call's tool. Those of a tool in shadow only note that there was none.
    ///
    /// # Errors
    /// Some limit has none; nothing is held then.
    pub fn admit(&self, permit: Permit) -> Result<Admission, LimitExceeded> {
        let rules = permit.tool().map(|tool| tool.limits.as_slice()).unwrap_or_default();
        let tool = match permit.call().target() {
            Target::Tool(name) => name,
            Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_) => "",
        };
        let mode = permit.tool().map_or(Mode::Enforce, |tool| tool.mode);
        let mut would_limit = None;
        let mut refuse = |exceeded: LimitExceeded| match mode {
            Mode::Enforce => Err(exceeded),
            Mode::Shadow => {
                would_limit.get_or_insert(exceeded.rule);
                Ok(())
            }
        };
        let mut slots = Vec::new();
        // Slots first: they are given back if a rate then has no room, while a spent call is not.
        for (rule, concurrency) in self.counters_of(rules, Counter::concurrency) {
            match concurrency.enter(self.hasher.hash_one((permit.server(), tool))) {
                Some(slot) => slots.push(slot),
                None => refuse(exceeded(rule, A_MOMENT))?,
            }
        }
        for (rule, rate) in self.counters_of(rules, Counter::rate) {
            let key = self.hasher.hash_one((permit.server(), tool, permit.principal().account()));
            rate.spend(key).or_else(|wait| refuse(exceeded(rule, wait)))?;
        }
        Ok(Admission { permit, would_limit, _slots: slots })
    }

    fn counters_of<'a, C: 'a>(
        &'a self,
        rules: &'a [LimitRule],
        kind: fn(&Counter) -> Option<&C>,
    ) -> impl Iterator<Item = (&'a LimitRule, &'a C)> {
        rules.iter().filter_map(move |rule| Some((rule, kind(self.counters.get(rule)?)?)))
    }

    fn counter_like(&self, rule: &LimitRule) -> Option<Counter> {
        let same = |(known, counter): (&LimitRule, &Counter)| {
            (known.rule.path() == rule.rule.path() && counter.counts(rule.limit)).then(|| counter.clone())
        };
        self.counters.iter().find_map(same)
    }
}

impl Counter {
    fn of(limit: Limit, time: &Time) -> Self {
        match limit {
            Limit::Calls { calls, every } => Self::Rate(Arc::new(Rate::new(calls, every, time))),
            Limit::InFlight(most) => Self::Concurrency(Arc::new(Concurrency::new(most))),
        }
    }

    fn counts(&self, limit: Limit) -> bool {
        match (self, limit) {
            (Self::Rate(rate), Limit::Calls { calls, every }) => rate.is(calls, every),
            (Self::Concurrency(concurrency), Limit::InFlight(most)) => concurrency.is(most),
            (Self::Rate(_), Limit::InFlight(_)) | (Self::Concurrency(_), Limit::Calls { .. }) => false,
        }
    }

    fn rate(&self) -> Option<&Arc<Rate>> {
        match self {
            Self::Rate(rate) => Some(rate),
            Self::Concurrency(_) => None,
        }
    }

    fn concurrency(&self) -> Option<&Arc<Concurrency>> {
        match self {
            Self::Concurrency(concurrency) => Some(concurrency),
            Self::Rate(_) => None,
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
}

fn exceeded(rule: &LimitRule, retry_after: Duration) -> LimitExceeded {
    LimitExceeded { rule: rule.rule.clone(), limit: rule.limit, retry_after }
}

/// The caller's text: which limit, without where it is written.
impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::Calls { calls, every } => write!(f, "rate limit: at most {calls} in {every:?}"),
            Limit::InFlight(most) => write!(f, "concurrency limit: at most {most} at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::identity::Principal;
    use crate::json::Bounds;
    use crate::mcp::{self, ServerName};
    use crate::policy::Context;

    /// Asks for room for calls of the tool `a`, one after the other.
    fn asking<'a>(policy: &'a PolicySet, limits: &'a Limits) -> impl Fn() -> Result<Admission, LimitExceeded> + 'a {
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#);
        let call = Arc::new(mcp::read(&body, &Bounds::default()).unwrap());
        let (principal, server) =
            (Arc::new(Principal::for_test("al", &["reader"])), ServerName::new("records").unwrap());
        move || limits.admit(policy.permit(&principal, &call, &server, Context::for_test()).unwrap())
    }

    #[test]
    fn in_one_moment_no_room_comes_back_however_long_it_takes_to_ask() {
        let policy = PolicySet::for_test(
            "roles: { reader: { tools: [a] } }\n\
             tools: { a: { limits: [{ calls: 2, every: 1ms, per: principal }] } }\n",
        );
        let limits = Limits::in_one_moment(&policy);
        let admit = asking(&policy, &limits);
        assert_eq!((0..10_000).filter(|_| admit().is_ok()).count(), 2);
    }

    #[test]
    fn every_limit_counts_by_itself_also_where_several_stand_in_one_line() {
        let policy = PolicySet::for_test(
            "roles: { reader: { tools: [a] } }\n\
             tools: { a: { limits: [{ calls: 3, every: 1h, per: principal }, { in_flight: 2, per: tool }] } }\n",
        );
        let limits = Limits::of(&policy, None);
        let admit = asking(&policy, &limits);
        let refused = |admitted: Result<Admission, LimitExceeded>| admitted.err().map(|exceeded| exceeded.to_string());

        let under_way = (admit().unwrap(), admit().unwrap());
        assert_eq!(refused(admit()).as_deref(), Some("concurrency limit: at most 2 at once"));
        drop(under_way);
        assert_eq!(refused(admit()), None);
        assert_eq!(refused(admit()).as_deref(), Some("rate limit: at most 3 in 3600s"));
    }
}
