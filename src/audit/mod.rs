//! The audit log: what was decided and how it ended, line by line, so that later changes show.
//!
//! Each line names the hash of the one before it; over all of them stands a Merkle tree, whose root is signed now and
//! then. A line is written where its record is made; one thread gives it its place in the chain, hashes, writes and syncs it.
//! In the strict mode a call waits until its decision is on the disk.

mod chain;
mod copying;
mod line;
mod log;
mod note;
mod prove;
mod queue;
mod read;
mod record;
mod rotate;
mod segment;
mod verify;
mod writer;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::exchange::{Exchange, Outcome, Unrecorded};
use crate::redact::{Detectors, Finder};
use crate::secret::{Reference, Unreadable};

pub use copying::Copyist;
pub use note::{BadKey, BadNote, Checkpoint, SigningKey, VerifyingKey};
pub use prove::{Proof, Wanted, prove};
pub use read::{Lines, Read};
pub use record::{Event, KillFacts};
pub use rotate::rotate;
pub use segment::Link;
pub use verify::{Beginning, Expected, Kind, Tampering, Verified, verify};

use copying::Copying;
use log::Log;
use queue::{Full, MOST, MOST_DECISIONS, Queue, Waiter};
use record::{Ended, Told, TraceId};
use writer::Writer;

/// A key for digests of arguments that is shorter could be guessed.
const SHORTEST_KEY: usize = 16;

/// What the operator says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it goes.
    pub to: Destination,
    /// What of it is copied, where somebody keeps a copy.
    pub copied: Copied,
    /// What signs checkpoints.
    pub key: Reference,
    /// What digests of arguments are made with; none are made without.
    pub arguments_key: Option<Reference>,
    /// Whether arguments themselves stand in it.
    pub arguments: Arguments,
    /// When a record is on the disk.
    pub mode: Mode,
    /// What becomes of calls that cannot be recorded.
    pub failure: Failure,
    /// A segment gets no longer than about this, in bytes.
    pub segment_bytes: u64,
    /// Nor older.
    pub segment_age: Duration,
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into a folder, which this process alone writes.
    Folder(PathBuf),
    /// To standard output; each process begins a log of its own there.
    Stdout,
}

/// What of the log is copied. What is more holds what is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Copied {
    /// Nothing.
    Nothing,
    /// Checkpoints: with one, a later change of what it covers shows.
    Checkpoints,
    /// Every line.
    Records,
}

/// When a record is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A decision is there before its call goes to the server.
    BeforeCall,
    /// Everything is there after at most this time.
    Interval(Duration),
}

/// Whether arguments stand in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// They do not.
    Left,
    /// Those of calls that were allowed do, with everything masked that some detector finds, and so much of them.
    Redacted,
}

/// What becomes of calls that cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// They are refused.
    Deny,
    /// They pass. How many records are missing is counted, and recorded when that is possible again.
    Allow,
}

/// The log, or none. Clones write the same one.
#[derive(Clone, Debug, Default)]
pub struct Audit(Option<Arc<Shared>>);

/// Whether records can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They can.
    Writing,
    /// They cannot.
    Failing,
}

/// Why a log cannot be begun.
#[derive(Debug)]
pub enum OpenError {
    /// A key cannot be had.
    Key(Reference, Unreadable),
    /// The signing key is none.
    BadKey(Reference, BadKey),
    /// The key for digests of arguments could be guessed.
    WeakKey(Reference),
    /// The folder cannot be written, or is damaged.
    Io(String, io::Error),
}

/// What the writing thread and everyone else share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    told: Told,
    mode: Mode,
    failure: Failure,
    health: watch::Sender<Health>,
    lost: AtomicU64,
    written: AtomicU64,
    began: Instant,
    /// Microseconds since `began` of the oldest record that is not on the disk; 0 if there is none.
    oldest: AtomicU64,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Audit {
    /// None.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the log: reads its keys, mends what a killed process has left, and starts the thread that writes, and tells
    /// who keeps the copy.
    ///
    /// # Errors
    /// A key or the folder is not as it must be.
    pub fn open(settings: &Settings, copyist: Option<Box<dyn Copyist>>) -> Result<Self, OpenError> {
        let read = |reference: &Reference| reference.read().map_err(|why| OpenError::Key(reference.clone(), why));
        let key =
            SigningKey::parse(&read(&settings.key)?).map_err(|why| OpenError::BadKey(settings.key.clone(), why))?;
        let digest = settings.arguments_key.as_ref().map(|reference| match read(reference)? {
            secret if secret.expose().len() < SHORTEST_KEY => Err(OpenError::WeakKey(reference.clone())),
            secret => Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())),
        });
        let told = Told {
            digest: digest.transpose()?,
            copy: (settings.arguments == Arguments::Redacted).then(|| Finder::new(Detectors::all(), Vec::new())),
        };
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            told,
            mode: settings.mode,
            failure: settings.failure,
            health: watch::Sender::new(Health::Writing),
            lost: AtomicU64::default(),
            written: AtomicU64::default(),
            began: clock::monotonic(),
            oldest: AtomicU64::default(),
        });
        Log::open(settings, key, Copying::new(copyist, settings.copied))
            .and_then(|log| Writer::start(log, Arc::clone(&shared)))
            .map_err(|error| OpenError::Io(settings.to.to_string(), error))?;
        Ok(Self(Some(shared)))
    }

    /// Records that a call may go on. In the strict mode it is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be recorded, and such calls are to be refused.
    pub async fn allowed(&self, exchange: &Exchange, trace: Option<TraceId>) -> Result<(), Unrecorded> {
        let Some(shared) = &self.0 else {
            return Ok(());
        };
        match shared.decide(exchange, trace).await {
            Err(Unrecorded) if shared.failure == Failure::Deny => Err(Unrecorded),
            _ => Ok(()),
        }
    }

    /// Records that a message went no further.
    pub fn refused(&self, exchange: &Exchange, trace: Option<TraceId>, outcome: Outcome, took: Duration) {
        if let Some(shared) = &self.0 {
            let ended = Ended { outcome, took };
            shared.note(|line| record::refused(exchange, trace, &shared.told, ended).write(line));
        }
    }

    /// Records how a call ended that was allowed.
    pub fn ended(&self, exchange: &Exchange, trace: Option<TraceId>, outcome: Outcome, took: Duration) {
        if let Some(shared) = &self.0 {
            let ended = Ended { outcome, took };
            shared.note(|line| record::outcome(exchange, trace, ended).write(line));
        }
    }

    /// Records something of the gate's own.
    pub fn event(&self, event: &Event) {
        if let Some(shared) = &self.0 {
            shared.note(|line| event.line(clock::wall()).write(line));
        }
    }

    /// Ends the log: writes what is there, and signs it. Who does not want to wait for ever sets a deadline.
    pub async fn close(&self) {
        let Some(shared) = &self.0 else {
            return;
        };
        let (done, closed) = oneshot::channel();
        shared.queue.close(done);
        // A thread that has ended has nothing left to write.
        drop(closed.await);
    }

    /// Whether records can be written, as long as somebody looks; `None` where there is no log, or calls pass anyway.
    pub fn health(&self) -> Option<watch::Receiver<Health>> {
        let shared = self.0.as_ref().filter(|shared| shared.failure == Failure::Deny)?;
        Some(shared.health.subscribe())
    }

    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How many records wait to be written.
    pub fn waiting(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| u64::try_from(shared.queue.len()).unwrap_or(u64::MAX))
    }

    /// How many were written.
    pub fn written(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.written.load(Ordering::Relaxed))
    }

    /// How many were lost.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.lost.load(Ordering::Relaxed))
    }

    /// How long the oldest record that is not on the disk has waited.
    pub fn lag(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |shared| shared.lag())
    }
}

impl Shared {
    async fn decide(&self, exchange: &Exchange, trace: Option<TraceId>) -> Result<(), Unrecorded> {
        // Said before the queue is asked, so that nothing piles up in it.
        if *self.health.borrow() == Health::Failing {
            if self.failure == Failure::Allow {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            return Err(Unrecorded);
        }
        let write = |line: &mut String| record::allowed(exchange, trace, &self.told).write(line);
        match self.mode {
            Mode::Interval(_) => self.push(write, None, MOST_DECISIONS),
            Mode::BeforeCall => {
                let (done, written) = oneshot::channel();
                self.push(write, Some(done), MOST_DECISIONS)?;
                written.await.map_err(|_lost| Unrecorded)
            }
        }
    }

    /// Records something that has happened, whether there is room or not: then it is counted as lost.
    fn note(&self, write: impl FnOnce(&mut String)) {
        // Counted there, and nobody can be refused any more.
        let _ = self.push(write, None, MOST);
    }

    /// Hands over the line that `write` writes, or counts it as lost.
    fn push(&self, write: impl FnOnce(&mut String), waiter: Option<Waiter>, most: usize) -> Result<(), Unrecorded> {
        let pushed = LINE.with_borrow_mut(|line| {
            line.clear();
            // One that makes the encoder panic is lost, as those are that find no room, and the log goes on.
            catch_unwind(AssertUnwindSafe(|| write(line))).map_err(|_panicked| Unrecorded)?;
            self.queue.push(line, waiter, most).map_err(|Full| Unrecorded)
        });
        pushed.inspect_err(|Unrecorded| {
            self.lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn now(&self) -> u64 {
        let since = clock::monotonic().saturating_duration_since(self.began);
        // Zero means that there is none.
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn lag(&self) -> Duration {
        match self.oldest.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            oldest => Duration::from_micros(self.now().saturating_sub(oldest)),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(place, why) => write!(f, "the audit log's key at {place} cannot be had: {why}"),
            Self::BadKey(place, why) => write!(f, "the audit log's key at {place} cannot be used: {why}"),
            Self::WeakKey(place) => write!(
                f,
                "what is at {place} is too short to make digests of arguments with; make one of {SHORTEST_KEY} characters or \
                 more, such as by `openssl rand -base64 32`"
            ),
            Self::Io(place, error) => write!(f, "the audit log at {place} cannot be opened: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}
