//! Room for what is under way: how many messages for one server at once, and how much of all is kept.

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
    bodies: Bodies,
}

/// Room for the long bodies of all messages to all servers: so many bytes.
#[derive(Clone, Debug)]
pub struct Bodies(Arc<Semaphore>);

/// The room that one message takes, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _message: OwnedSemaphorePermit,
    body: Option<OwnedSemaphorePermit>,
}

/// A body of so many bytes is not long: how many there may be bounds them.
const NOT_LONG: usize = 16 << 10;

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
    /// Room for so many, and for their bodies.
    pub fn new(most: usize, bodies: Bodies) -> Self {
        Self { room: Arc::new(Semaphore::new(most)), most, short: AtomicBool::new(false), bodies }
    }

    /// Room for one more.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take(&self) -> Result<Slot, HttpRefusal> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_full| HttpRefusal::Overloaded)?;
        let taken = self.most.saturating_sub(self.room.available_permits());
        if self.short.load(Ordering::Relaxed) && taken > (self.most / SHARE).max(1) {
            return Err(HttpRefusal::Overloaded);
        }
        Ok(Slot { _message: room, body: None })
    }

    /// Room for one that has room elsewhere, which it leaves.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take_over(&self, slot: Slot) -> Result<Slot, HttpRefusal> {
        let Slot { body, _message: left } = slot;
        drop(left);
        Ok(Slot { body, ..self.take()? })
    }

    /// Room for a body of so many bytes.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn keep(&self, slot: &mut Slot, bytes: usize) -> Result<(), HttpRefusal> {
        let has = slot.body.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if bytes <= NOT_LONG.max(has) {
            return Ok(());
        }
        let more = u32::try_from(bytes - has).map_err(|_too_many| HttpRefusal::LongBodies)?;
        let more = Arc::clone(&self.bodies.0).try_acquire_many_owned(more).map_err(|_full| HttpRefusal::LongBodies)?;
        match &mut slot.body {
            Some(body) => body.merge(more),
            None => slot.body = Some(more),
        }
        Ok(())
    }

    /// From now on there is so much memory.
    pub fn memory(&self, memory: Memory) {
        self.short.store(memory == Memory::Short, Ordering::Relaxed);
    }
}

impl Bodies {
    /// So many bytes; any number, where nothing bounds them.
    pub fn of(bytes: Option<u64>) -> Self {
        let most = bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_of_memory_fewer_are_let_in_and_never_none() {
        for (most, few) in [(1, 1), (7, 1), (64, 8)] {
            let capacity = Capacity::new(most, Bodies::of(None));
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

    #[test]
    fn long_bodies_have_so_many_bytes_together_wherever_they_are_for() {
        let bodies = Bodies::of(Some(100 << 10));
        let [one, other] = [(); 2].map(|()| Capacity::new(4, bodies.clone()));
        let (mut first, mut second) = (one.take().unwrap(), other.take().unwrap());
        // What is short is bounded by how many there are.
        one.keep(&mut first, 16 << 10).unwrap();
        one.keep(&mut first, 60 << 10).unwrap();
        other.keep(&mut second, 30 << 10).unwrap();
        other.keep(&mut second, 41 << 10).unwrap_err();
        other.keep(&mut second, 40 << 10).unwrap();
        one.keep(&mut first, 60 << 10).unwrap();
        // It takes its body along.
        let first = other.take_over(first).unwrap();
        other.keep(&mut second, 41 << 10).unwrap_err();
        drop(first);
        other.keep(&mut second, 100 << 10).unwrap();
    }
}
