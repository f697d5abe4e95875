//! The thread that writes: it takes what has gathered and writes it in one piece. One sync serves all who wait for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::log::{Log, Undone, When};
use super::queue::{Batch, Waiter};
use super::record::Event;
use super::{Health, Mode, Shared};
use crate::clock::{self, Moment};

/// How long records gather where nobody waits for them: waking the thread costs more than a record does.
const GATHER: Duration = Duration::from_millis(10);
/// How often the thread looks at the time while something is to be done later, and while nothing is.
const SOON: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_secs(1);
/// What the wall clock is put forward or back by is noted from here on, in microseconds: less is what keeps it right.
const JUMP: u64 = 1_000_000;
/// How long after a failure it is tried again to write.
const RETRY: Duration = Duration::from_millis(250);

/// The thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    /// Who waits for what was added.
    waiting: Vec<Waiter>,
    /// Since when nothing can be written.
    failed: Option<Instant>,
    /// When it was last looked at the clocks.
    looked: Moment,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(log: Log, shared: Arc<Shared>) -> io::Result<()> {
        let mut writer = Self { shared, log, waiting: Vec::new(), failed: None, looked: clock::now() };
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(())
    }

    fn run(&mut self) {
        let mut batch = Batch::default();
        loop {
            let close = self.shared.queue.take(&mut batch, self.patience());
            if self.failed.is_some() {
                self.retry();
            }
            self.note_clock();
            self.add(&mut batch);
            if let Some(done) = close {
                if self.failed.is_none() {
                    self.log.add(&Event::Stop.line(clock::wall()).text());
                }
                self.commit(When::Now);
                // Whoever waited may have given up.
                let _ = done.send(());
                return;
            }
            self.commit(When::Due);
            if matches!(self.shared.mode, Mode::Interval(_)) && !self.log.is_durable() {
                thread::sleep(GATHER);
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.failed.is_some() || !self.log.is_settled() { SOON } else { IDLE }
    }

    /// Says if the wall clock was put forward or back, before any record whose time shows it.
    fn note_clock(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let now = clock::now();
        let by = now.put_forward_since(self.looked);
        self.looked = now;
        if by.unsigned_abs() >= JUMP {
            tracing::warn!(by_us = by, "the wall clock was put forward, or back; limits and deadlines do not go by it");
            self.log.add(&Event::Clock(by).line(now.wall).text());
            self.shared.written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn add(&mut self, batch: &mut Batch) {
        let (shared, records) = (&self.shared, u64::try_from(batch.records).unwrap_or(u64::MAX));
        if self.failed.is_some() {
            shared.lost.fetch_add(records, Ordering::Relaxed);
            batch.clear();
            return;
        }
        if records > 0 && self.log.is_durable() {
            shared.oldest.store(shared.now(), Ordering::Relaxed);
        }
        for line in batch.lines() {
            self.log.add(line);
        }
        shared.written.fetch_add(records, Ordering::Relaxed);
        self.waiting.append(&mut batch.waiters);
        batch.clear();
    }

    fn commit(&mut self, when: When) {
        if self.failed.is_some() {
            return;
        }
        self.log.tell_lost(self.shared.lost.load(Ordering::Relaxed));
        match self.log.commit(when) {
            Ok(()) if self.log.is_durable() => {
                self.shared.oldest.store(0, Ordering::Relaxed);
                for done in self.waiting.drain(..) {
                    // Its call may be gone.
                    let _ = done.send(());
                }
            }
            Ok(()) => {}
            Err(undone) => self.fail(undone),
        }
    }

    /// Those who wait are told by the end of their channels.
    fn fail(&mut self, Undone { error, records }: Undone) {
        tracing::error!(%error, lost = records, "the audit log cannot be written");
        self.shared.lost.fetch_add(records, Ordering::Relaxed);
        self.shared.written.fetch_sub(records, Ordering::Relaxed);
        self.waiting.clear();
        self.failed = Some(clock::monotonic());
        self.shared.health.send_replace(Health::Failing);
    }

    fn retry(&mut self) {
        let now = clock::monotonic();
        if self.failed.is_some_and(|since| now.saturating_duration_since(since) < RETRY) {
            return;
        }
        match self.log.resume() {
            Ok(()) => {
                tracing::info!("the audit log can be written again");
                self.failed = None;
                self.shared.health.send_replace(Health::Writing);
            }
            // Said once, when it began; it stays a metric and shows in /readyz.
            Err(error) => {
                tracing::debug!(%error, "the audit log still cannot be written");
                self.failed = Some(now);
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.health.send_replace(Health::Failing);
        self.shared.queue.end();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::panic_any;

    use tokio::sync::oneshot;

    use super::*;
    use crate::audit::queue::MOST_DECISIONS;
    use crate::audit::{Arguments, Audit, Copied, Destination, Failure, Settings, SigningKey};
    use crate::secret::Reference;

    #[tokio::test]
    async fn a_record_that_cannot_be_encoded_is_lost_alone_and_the_log_says_so() {
        let home = tempfile::tempdir().unwrap();
        let (_, secret) = SigningKey::generate("gate.test/audit").unwrap();
        fs::write(home.path().join("key"), secret.expose()).unwrap();
        let settings = Settings {
            to: Destination::Folder(home.path().join("log")),
            copied: Copied::Nothing,
            key: Reference::File(home.path().join("key")),
            arguments_key: None,
            arguments: Arguments::Left,
            mode: Mode::BeforeCall,
            failure: Failure::Deny,
            segment_bytes: 1 << 20,
            segment_age: Duration::from_hours(1),
        };
        let audit = Audit::open(&settings, None).unwrap();
        let shared = audit.0.as_ref().unwrap();
        let told = async |write: fn(&mut String)| {
            let (done, written) = oneshot::channel();
            shared.push(write, Some(done), MOST_DECISIONS).is_ok() && written.await.is_ok()
        };
        let fine = |line: &mut String| Event::Reloaded(Arc::from("0123456789ab")).line(clock::wall()).write(line);
        assert!(told(fine).await, "it is on the disk");
        assert!(!told(|_line| panic_any("an injected one")).await, "its call hears that it is not recorded");
        assert!(told(fine).await, "the next one is");
        assert_eq!((audit.written(), audit.lost()), (2, 1));
        assert_eq!(*shared.health.borrow(), Health::Writing);
        audit.close().await;
        let mut text = String::new();
        for entry in fs::read_dir(home.path().join("log")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "jsonl") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
        assert!(text.contains(r#""kind":"gap","lost":1"#), "{text}");
    }
}
