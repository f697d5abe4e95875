//! The way of lines to standard output and standard error: a bounded buffer that a thread of its own empties.
//!
//! Where those are blocked or closed, lines are dropped and counted; no call ever waits for a reader.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::metric::Gauge;
use crate::clock;

/// The most lines that wait to be written.
const MOST_LINES: i64 = 8192;
/// The most bytes that wait to be written.
const MOST_BYTES: usize = 8 << 20;
/// What a buffer keeps of its size between bursts.
const KEPT: usize = 256 << 10;
/// How long the thread lets lines gather after it has written some: waking it costs a call more than its line does.
const GATHER: Duration = Duration::from_millis(5);

/// Lines that wait, and the thread that writes them. Dropping it writes what is there.
#[derive(Debug)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    dropped: Gauge,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// For the thread: there are lines, or it is to hurry or to end.
    wake: Condvar,
    /// For who flushes: more was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// Batches that were taken, and those of them that were written.
    taken: u64,
    finished: u64,
    thread: Thread,
}

/// What the thread does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It sleeps until it is woken.
    #[default]
    Asleep,
    /// It will look again by itself.
    Awake,
    /// It is to write what is there, without letting more gather.
    Hurried,
    /// It is to write what is there and end.
    Ending,
}

/// Lines that are written together.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: i64,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Lines {
    /// Starts the thread.
    pub(super) fn start(what: &'static str, sink: impl Write + Send + 'static, dropped: Gauge) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, lost) = (Arc::clone(&shared), dropped.clone());
        let thread = thread::Builder::new().name(what.to_owned());
        thread.spawn(move || theirs.run(what, sink, &lost))?;
        Ok(Self { shared, dropped })
    }

    /// Hands over the line that `write` writes, or drops and counts it.
    pub(super) fn push(&self, write: impl FnOnce(&mut String)) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            write(line);
            let mut waiting = self.shared.lock();
            if waiting.batch.lines >= MOST_LINES || waiting.batch.bytes.len() + line.len() > MOST_BYTES {
                drop(waiting);
                self.dropped.add(1);
                return;
            }
            waiting.batch.bytes.extend_from_slice(line.as_bytes());
            waiting.batch.lines += 1;
            if waiting.thread == Thread::Asleep {
                waiting.thread = Thread::Awake;
                drop(waiting);
                self.shared.wake.notify_one();
            }
        });
    }

    /// Waits until what was handed over is written, or it is time to give up.
    pub(super) fn flush(&self, deadline: Instant) -> Result<(), FlushTimeout> {
        let mut waiting = self.shared.lock();
        if waiting.thread != Thread::Ending {
            waiting.thread = Thread::Hurried;
        }
        // What waits now is in the next batch; one that is under way comes before it.
        let wanted = waiting.taken + u64::from(waiting.batch.lines > 0);
        self.shared.wake.notify_one();
        let left = deadline.saturating_duration_since(clock::monotonic());
        let unwritten = |waiting: &mut Waiting| waiting.finished < wanted;
        let (_waiting, wait) =
            self.shared.written.wait_timeout_while(waiting, left, unwritten).unwrap_or_else(PoisonError::into_inner);
        if wait.timed_out() { Err(FlushTimeout) } else { Ok(()) }
    }
}

/// Lines were still waiting when time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlushTimeout;

impl Drop for Lines {
    fn drop(&mut self) {
        self.shared.lock().thread = Thread::Ending;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes batch after batch until it is told to end.
    fn run(&self, what: &str, mut sink: impl Write, lost: &Gauge) {
        let mut batch = Batch::default();
        let mut failing = false;
        while self.take(&mut batch) {
            let written = batch.write(&mut sink);
            if let Err(error) = &written {
                lost.add(batch.lines);
                // Told once; how many are lost is a metric.
                if !failing {
                    tracing::warn!(%error, "lines of {what} are lost: they cannot be written");
                }
            }
            failing = written.is_err();
            batch.clear();
            self.lock().finished += 1;
            self.written.notify_all();
        }
    }

    /// Takes what waits into an empty batch; waits for it, if nothing does. False if it is time to end.
    fn take(&self, batch: &mut Batch) -> bool {
        let (mut waiting, _) = self
            .wake
            .wait_timeout_while(self.lock(), GATHER, |waiting| waiting.thread == Thread::Awake)
            .unwrap_or_else(PoisonError::into_inner);
        while waiting.batch.lines == 0 && waiting.thread != Thread::Ending {
            // Said anew each time: only who sees it asleep wakes it.
            waiting.thread = Thread::Asleep;
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.batch.lines == 0 {
            return false;
        }
        std::mem::swap(&mut waiting.batch, batch);
        waiting.taken += 1;
        if waiting.thread != Thread::Ending {
            waiting.thread = Thread::Awake;
        }
        true
    }
}

impl Batch {
    fn write(&self, sink: &mut impl Write) -> io::Result<()> {
        sink.write_all(&self.bytes)?;
        sink.flush()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.lines = 0;
    }
}
