//! What lists have said of the server's tools: the same to all callers, or something else to each.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::mirrors::{Learned, Mirrors};
use super::shown::ShownTools;
use crate::json::Fault;
use crate::mcp;

/// For whom a server's lists are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Per {
    /// For all callers the same.
    #[default]
    Server,
    /// For each caller another one, as the server likes.
    Caller,
}

/// What was learnt of lists that are for the same callers.
#[derive(Debug, Default)]
pub struct Learnt {
    mirrors: Mirrors,
    shown: ShownTools,
}

/// The same, where all callers are shown one list, or each account its own.
#[derive(Debug)]
pub(super) enum Lessons {
    All(Learnt),
    Each(moka::sync::Cache<Arc<str>, Arc<Learnt>>),
}

/// What counts for one caller.
#[derive(Debug)]
pub enum Lesson<'a> {
    /// As for all.
    All(&'a Learnt),
    /// Its own.
    Own(Arc<Learnt>),
}

/// So many accounts are told apart; which has asked for nothing for longest is forgotten, and so is one after so long. What
/// was forgotten is as after a restart.
const MOST: u64 = 10_000;
const IDLE: Duration = Duration::from_hours(24);

impl Lessons {
    pub(super) fn new(per: Per) -> Self {
        match per {
            Per::Server => Self::All(Learnt::default()),
            Per::Caller => Self::Each(moka::sync::Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build()),
        }
    }

    /// What counts for this account.
    pub(super) fn of(&self, account: &Arc<str>) -> Lesson<'_> {
        match self {
            Self::All(learnt) => Lesson::All(learnt),
            Self::Each(accounts) => Lesson::Own(accounts.get_with_by_ref(account, Arc::default)),
        }
    }

    /// Whether it is one for all.
    pub(super) fn per(&self) -> Per {
        match self {
            Self::All(_) => Per::Server,
            Self::Each(_) => Per::Caller,
        }
    }
}

impl Learnt {
    /// Learns from a list of tools which headers they ask for; says whether that is news of any.
    ///
    /// # Errors
    /// The list has not one reading.
    pub(super) fn learn(&self, list: &[u8]) -> Result<Learned, Fault> {
        Ok(self.mirrors.learn(mcp::mirrored(list)?))
    }

    /// Which headers the server's tools ask for.
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// How the server last showed its tools.
    pub fn shown(&self) -> &ShownTools {
        &self.shown
    }
}

impl Deref for Lesson<'_> {
    type Target = Learnt;

    fn deref(&self) -> &Learnt {
        match self {
            Self::All(learnt) => learnt,
            Self::Own(learnt) => learnt,
        }
    }
}
