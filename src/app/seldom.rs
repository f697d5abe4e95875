//! What can happen at any rate is told of now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// Something that is told of so often at most.
#[derive(Debug)]
pub(super) struct Seldom {
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    pub(super) fn every(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    /// Whether it is to be told of now.
    pub(super) fn may_tell(&self) -> bool {
        let now = clock::monotonic();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.duration_since(last) >= self.every);
        if may {
            *last = Some(now);
        }
        may
    }
}
