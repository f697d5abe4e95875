//! What waits for the thread that writes: lines, whoever waits for them, and the word to end.

use std::iter;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::line::{END, around};

/// The most records that wait to be written.
pub(super) const MOST: usize = 8192;
/// Of these, so many may be decisions of calls that can still be refused; the rest of the room is for what has happened.
pub(super) const MOST_DECISIONS: usize = MOST / 4 * 3;
/// The most bytes that wait.
const MOST_BYTES: usize = 32 << 20;
/// What a batch keeps of its size between bursts.
const KEPT: usize = 256 << 10;

/// Who waits until a record is on the disk. One that is lost ends the channel.
pub(super) type Waiter = oneshot::Sender<()>;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// For the thread: something waits.
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    thread: Thread,
    /// Who waits for the end.
    close: Option<Waiter>,
}

/// What the thread does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It will look by itself.
    #[default]
    Awake,
    /// It sleeps until it is woken, or for so long.
    Asleep,
    /// It has ended: nothing is written any more.
    Ended,
}

/// Records that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Their lines, each with its end.
    text: String,
    /// How many there are.
    pub(super) records: usize,
    /// Who waits for some of them.
    pub(super) waiters: Vec<Waiter>,
}

/// There is no room.
#[derive(Debug)]
pub(super) struct Full;

impl Queue {
    /// Adds a line, if not so many wait.
    ///
    /// # Errors
    /// They do, or nothing is written any more.
    pub(super) fn push(&self, line: &str, waiter: Option<Waiter>, most: usize) -> Result<(), Full> {
        let mut waiting = self.lock();
        let ended = waiting.thread == Thread::Ended;
        let batch = &mut waiting.batch;
        if ended || batch.records >= most || batch.text.len() + line.len() >= MOST_BYTES {
            return Err(Full);
        }
        batch.text.push_str(line);
        batch.text.push(char::from(END));
        batch.records += 1;
        batch.waiters.extend(waiter);
        self.wake(waiting);
        Ok(())
    }

    /// Ends the thread when it has written what waits. The channel ends when it has, or had before.
    pub(super) fn close(&self, done: Waiter) {
        let mut waiting = self.lock();
        if waiting.thread != Thread::Ended {
            waiting.close = Some(done);
            self.wake(waiting);
        }
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.lock().batch.records
    }

    /// For the thread: takes what waits into an empty batch, and who waits for the end. Where nothing does, it waits for something,
    /// but only for so long.
    pub(super) fn take(&self, batch: &mut Batch, patience: Duration) -> Option<Waiter> {
        let mut waiting = self.lock();
        waiting.thread = Thread::Asleep;
        let idle = |waiting: &mut Waiting| waiting.batch.records == 0 && waiting.close.is_none();
        let (mut waiting, _) =
            self.wake.wait_timeout_while(waiting, patience, idle).unwrap_or_else(PoisonError::into_inner);
        waiting.thread = Thread::Awake;
        mem::swap(&mut waiting.batch, batch);
        waiting.close.take()
    }

    /// From the thread: it has ended. Who waits hears that by the end of the channel.
    pub(super) fn end(&self) {
        let ended = Waiting { thread: Thread::Ended, ..Waiting::default() };
        *self.lock() = ended;
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        // Who sees it asleep wakes it, and nobody after that.
        if waiting.thread == Thread::Asleep {
            waiting.thread = Thread::Awake;
            drop(waiting);
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// Without their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.text.as_str();
        iter::from_fn(move || {
            let (line, behind) = (!rest.is_empty()).then(|| around(rest, END))?;
            rest = behind;
            Some(line)
        })
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.records = 0;
        self.waiters.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_thread_that_has_ended() {
        let queue = Queue::default();
        let (waiters, waits): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        let [before, behind, end] = waiters.try_into().unwrap();
        assert!(queue.push("{}", Some(before), MOST).is_ok());
        queue.end();
        assert!(queue.push("{}", Some(behind), MOST).is_err());
        queue.close(end);
        for wait in waits {
            assert!(wait.await.is_err());
        }
    }

    #[test]
    fn decisions_leave_room_for_what_has_happened_and_all_comes_out_in_order() {
        let queue = Queue::default();
        for number in 0..MOST_DECISIONS {
            assert!(queue.push(&number.to_string(), None, MOST_DECISIONS).is_ok());
        }
        assert!(queue.push("one more", None, MOST_DECISIONS).is_err());
        assert!(queue.push("what has happened", None, MOST).is_ok());
        assert_eq!(queue.len(), MOST_DECISIONS + 1);
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch, Duration::ZERO).is_none());
        assert_eq!((queue.len(), batch.records), (0, MOST_DECISIONS + 1));
        let lines: Vec<_> = batch.lines().collect();
        assert_eq!((lines[7], lines[MOST_DECISIONS], lines.len()), ("7", "what has happened", MOST_DECISIONS + 1));
        batch.clear();
        assert_eq!(batch.lines().count(), 0);
    }
}
