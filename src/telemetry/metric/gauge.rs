//! Numbers that go up and down.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A number that goes up and down, read when metrics are collected.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// One of what a [`Gauge`] counts. Dropping it counts it out.
#[derive(Debug)]
#[must_use]
pub struct Counted(Gauge);

impl Gauge {
    /// Counts one in, until what is returned is dropped.
    pub fn count(&self) -> Counted {
        self.add(1);
        Counted(self.clone())
    }

    /// Says how many there are.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::telemetry) fn add(&self, value: i64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
