//! Calls at once, by key.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

/// One bound, counted for every key apart. Only keys with calls in flight take memory.
#[derive(Debug)]
pub(super) struct Concurrency {
    most: NonZeroU32,
    in_flight: Mutex<HashMap<u64, u32>>,
}

/// A call in flight. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Slot {
    concurrency: Arc<Concurrency>,
    key: u64,
}

impl Concurrency {
    pub(super) fn new(most: NonZeroU32) -> Self {
        Self { most, in_flight: Mutex::default() }
    }

    /// A slot, if one is free; of a share of the whole, one of so many.
    pub(super) fn enter(self: &Arc<Self>, key: u64, one_of: NonZeroU32) -> Option<Slot> {
        self.enter_below(key, (self.most.get() / one_of).max(1))
    }

    /// A slot, whether or not one is free.
    pub(super) fn join(self: &Arc<Self>, key: u64) -> Option<Slot> {
        self.enter_below(key, u32::MAX)
    }

    /// How many there are.
    pub(super) fn most(&self) -> NonZeroU32 {
        self.most
    }

    fn enter_below(self: &Arc<Self>, key: u64, most: u32) -> Option<Slot> {
        // A panic cannot leave a count half changed, so a poisoned lock is as good as any.
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let count = in_flight.entry(key).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Slot { concurrency: Arc::clone(self), key })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut in_flight = self.concurrency.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = in_flight.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                in_flight.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: NonZeroU32 = NonZeroU32::MIN;

    #[test]
    fn a_slot_is_free_again_when_its_call_has_ended_and_leaves_nothing_behind() {
        let concurrency = Arc::new(Concurrency::new(NonZeroU32::new(2).unwrap()));
        let first = concurrency.enter(7, ALONE).unwrap();
        let second = concurrency.enter(7, ALONE).unwrap();
        assert!(concurrency.enter(7, ALONE).is_none());
        assert!(concurrency.enter(8, ALONE).is_some());
        drop(first);
        assert!(concurrency.enter(7, ALONE).is_some());
        assert!(concurrency.enter(8, NonZeroU32::new(2).unwrap()).is_some(), "a share of two");
        drop(second);
        assert!(concurrency.in_flight.lock().unwrap().is_empty());
    }
}
