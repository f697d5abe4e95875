//! Where the store is, and what becomes of calls while it is away.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::secret::{Reference, Unreadable};

/// How limits are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where its URL is kept, which may hold a password.
    pub url: Reference,
    /// How long a call waits for it at most.
    pub timeout: Duration,
    /// What becomes of calls while it is away.
    pub when_down: WhenDown,
    /// How many gates there are, until it was heard how many.
    pub replicas: NonZeroU32,
    /// How the names of all counters begin.
    pub prefix: String,
}

/// What becomes of calls while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// Each gate enforces its share of the limits.
    LocalShare,
    /// They are counted, and none is refused for a limit.
    Open,
    /// All are refused that a limit is on.
    Closed,
}

/// Why there can be no store.
#[derive(Debug)]
pub enum StoreError {
    /// Nothing says where it is.
    Unreadable(Reference, Unreadable),
    /// What says so is no URL of one.
    NoUrl(Reference),
}

impl fmt::Display for StoreError {
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

impl std::error::Error for StoreError {}
