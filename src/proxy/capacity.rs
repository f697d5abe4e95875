//! Room for what is under way: how many messages for one server at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::exchange::HttpRefusal;

/// Room for so many messages, streams included; and for fewer of them while memory is short.
#[derive(Debug)]
pub struct Capacity {
    room: Arc<Semaphore>,
    most: usize,
    short: AtomicBool,
}

/// How much memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Enough.
    Enough,
    /// It is nearly used up.
    Short,
}

/// Short of memory, an eighth of the messages is let in. Not none: what was freed is used again without being given back to
/// the system, so whoever waits for that may wait for ever, and a few calls take nothing more.
const SHARE: usize = 8;

impl Capacity {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(most)), most, short: AtomicBool::new(false) }
    }

    /// Room for one more, until it is dropped.
    ///
    /// # Errors
    /// There is none.
    pub fn take(&self) -> Result<OwnedSemaphorePermit, HttpRefusal> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_full| HttpRefusal::Overloaded)?;
        let taken = self.most.saturating_sub(self.room.available_permits());
        if self.short.load(Ordering::Relaxed) && taken > (self.most / SHARE).max(1) {
            return Err(HttpRefusal::Overloaded);
        }
        Ok(room)
    }

    /// From now on there is so much memory.
    pub fn memory(&self, memory: Memory) {
        self.short.store(memory == Memory::Short, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_of_memory_fewer_are_let_in_and_never_none() {
        for (most, few) in [(1, 1), (7, 1), (64, 8)] {
            let capacity = Capacity::new(most);
            let fill = |held: &mut Vec<_>| held.extend(std::iter::from_fn(|| capacity.take().ok()));
            let mut held = Vec::new();
            capacity.memory(Memory::Short);
            fill(&mut held);
            assert_eq!(held.len(), few);
            capacity.memory(Memory::Enough);
            fill(&mut held);
            assert_eq!(held.len(), most);
            // Those that were let in before stay, and nobody comes in before they are few.
            capacity.memory(Memory::Short);
            held.truncate(few);
            assert!(capacity.take().is_err());
            held.truncate(few - 1);
            assert!(capacity.take().is_ok());
        }
    }
}
