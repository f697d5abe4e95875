//! Limits, compiled: what is counted, per what, and how much of it there may be.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use super::{Mode, RuleId};
use crate::duration::written;

/// One limit, and where it stands. Two of one list may stand in one line: the place alone does not tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitRule {
    /// What is counted.
    pub limit: Limit,
    /// Whether it is enforced.
    pub mode: Mode,
    /// Where it is written.
    pub rule: RuleId,
}

/// So much of something, for each of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How much.
    pub most: Most,
    /// What is counted by itself.
    pub per: Per,
}

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Most {
    /// So much in any span of time of some length.
    Rate(Rate),
    /// So many calls at once.
    InFlight(NonZeroU32),
}

/// So much in any span of time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Of what.
    pub unit: Unit,
    /// How much.
    pub amount: NonZeroU64,
    /// In how long.
    pub every: Duration,
    /// How much of that at once.
    pub burst: Option<NonZeroU64>,
}

/// What is counted over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Calls.
    Calls,
    /// Bytes of what comes back.
    Bytes,
    /// What calls cost, as their tools' `cost` says.
    Cost,
}

/// What is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// Every principal's use of every tool.
    PrincipalAndTool,
    /// Every tool, whoever uses it.
    Tool,
    /// Every principal, whatever it uses.
    Principal,
    /// The server.
    Server,
}

/// At most so much in any span of time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// How much.
    pub most: u64,
    /// In how long.
    pub every: Duration,
}

/// At most so much at once, and then one in each such time: a bucket that fills evenly (GCRA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How much at once.
    pub most: NonZeroU32,
    /// In how long there is room for one more.
    pub each: Duration,
}

impl Rate {
    /// The amount in its time.
    pub fn window(&self) -> Window {
        Window { most: self.amount.get(), every: self.every }
    }

    /// What is let through at once, and how evenly the rest.
    pub fn burst(&self) -> Option<Burst> {
        let most = NonZeroU32::try_from(self.burst?).unwrap_or(NonZeroU32::MAX);
        let each = self.every.as_nanos() / u128::from(self.amount.get());
        Some(Burst { most, each: Duration::from_nanos(u64::try_from(each).unwrap_or(u64::MAX).max(1)) })
    }

    /// Whether whatever this lets through, the other does, too.
    fn implies(&self, other: &Self) -> bool {
        let (own, wide) = (self.window(), other.window());
        let window = match self.unit {
            Unit::Calls | Unit::Cost => own.implies(wide),
            // How much the last call of a window brings, nothing bounds: many windows do not add up.
            Unit::Bytes => own.most <= wide.most && own.every >= wide.every,
        };
        (window || self.burst().is_some_and(|burst| burst.implies_window(wide)))
            && other.burst().is_none_or(|others| {
                self.window().implies_burst(others) || self.burst().is_some_and(|burst| burst.implies(others))
            })
    }
}

impl Window {
    /// Whether whatever this lets through, the other does, too.
    fn implies(self, other: Self) -> bool {
        let times = other.every.as_nanos().div_ceil(self.every.as_nanos().max(1));
        u128::from(self.most).saturating_mul(times) <= u128::from(other.most)
    }

    /// The same of a burst.
    fn implies_burst(self, other: Burst) -> bool {
        let evenly = other.each.as_nanos().saturating_mul(self.most.into());
        self.most <= other.most.get().into() && evenly <= self.every.as_nanos()
    }
}

impl Burst {
    /// Whether whatever this lets through, the other does, too.
    fn implies(self, other: Self) -> bool {
        self.most <= other.most && self.each >= other.each
    }

    /// The same of a window.
    fn implies_window(self, other: Window) -> bool {
        let more = other.every.as_nanos() / self.each.as_nanos().max(1);
        u128::from(self.most.get()).saturating_add(more) <= u128::from(other.most)
    }
}

impl Limit {
    /// Whether whatever this lets through, the other does, too.
    pub(super) fn implies(self, other: Self) -> bool {
        match (self.most, other.most) {
            (Most::Rate(rate), Most::Rate(others)) => {
                rate.unit == others.unit && self.per.is_at_least(other.per) && rate.implies(&others)
            }
            (Most::InFlight(calls), Most::InFlight(others)) => self.per.is_at_least(other.per) && calls <= others,
            (Most::Rate(_), Most::InFlight(_)) | (Most::InFlight(_), Most::Rate(_)) => false,
        }
    }

    /// What is counted, in the word of the file.
    pub fn counts(&self) -> &'static str {
        match self.most {
            Most::Rate(rate) => rate.unit.word(),
            Most::InFlight(_) => "in_flight",
        }
    }
}

impl Per {
    /// Whether what is counted together here is all that is counted together there, or more.
    fn is_at_least(self, other: Self) -> bool {
        self == other
            || matches!((self, other), (Self::Tool | Self::Principal | Self::Server, Self::PrincipalAndTool))
            || matches!((self, other), (Self::Server, Self::Tool | Self::Principal))
    }

    /// In the word of the file.
    fn word(self) -> &'static str {
        match self {
            Self::PrincipalAndTool | Self::Principal => "principal",
            Self::Tool => "tool",
            Self::Server => "server",
        }
    }
}

impl Unit {
    /// In the word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Bytes => "bytes",
            Self::Cost => "cost",
        }
    }
}

/// As it is told to callers and reviewers, after what is counted: `60 in 1m per principal`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            Most::Rate(Rate { amount, every, burst, .. }) => {
                write!(f, "{amount} in {}", written(every))?;
                burst.map_or(Ok(()), |burst| write!(f, ", {burst} at once"))?;
            }
            Most::InFlight(most) => write!(f, "{most}")?,
        }
        write!(f, " per {}", self.per.word())
    }
}
