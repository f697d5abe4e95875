//! The audit log: what was decided and how it ended, line by line, so that later changes show.
//!
//! Each line names the hash of the one before it; over all of them stands a Merkle tree, whose root is signed now and
//! then. Steps hand facts over; one thread formats, hashes, writes and syncs them. In the strict mode a call waits until
//! its decision is on the disk.

mod chain;
mod copying;
mod log;
mod note;
mod prove;
mod read;
mod record;
mod rotate;
mod segment;
mod verify;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
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
use record::{Asked, Ended, Record, Told, TraceId};
use writer::Writer;

/// The most records that wait to be written.
const MOST: usize = 8192;
/// Of these, so many may be decisions of calls that can still be refused; the rest of the room is for what has happened.
const MOST_DECISIONS: usize = MOST / 4 * 3;
/// The most bytes of callers' messages that are kept until they are written.
const MOST_BYTES: usize = 32 << 20;
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
    queue: SyncSender<Job>,
    mode: Mode,
    failure: Failure,
    health: watch::Sender<Health>,
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    lost: AtomicU64,
    written: AtomicU64,
    began: Instant,
    /// Microseconds since `began` of the oldest record that is not on the disk; 0 if there is none.
    oldest: AtomicU64,
}

/// Something for the writing thread.
#[derive(Debug)]
enum Job {
    /// Write this; and tell when it is on the disk, if somebody waits.
    Write(Box<Record>, Option<oneshot::Sender<()>>),
    /// Write what is there, sign it, and end.
    Close(oneshot::Sender<()>),
}

/// The queue has no room.
struct Full;

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
        let (queue, jobs) = sync_channel(MOST);
        let shared = Arc::new(Shared {
            queue,
            mode: settings.mode,
            failure: settings.failure,
            health: watch::Sender::new(Health::Writing),
            waiting: AtomicUsize::default(),
            bytes: AtomicUsize::default(),
            lost: AtomicU64::default(),
            written: AtomicU64::default(),
            began: clock::monotonic(),
            oldest: AtomicU64::default(),
        });
        let told = Told {
            digest: digest.transpose()?,
            copy: (settings.arguments == Arguments::Redacted).then(|| Finder::new(Detectors::all(), Vec::new())),
        };
        Log::open(settings, key, Copying::new(copyist, settings.copied))
            .and_then(|log| Writer::start(log, told, Arc::clone(&shared), jobs))
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
        let asked = Asked::of(exchange, trace);
        match shared.decide(asked).await {
            Err(Unrecorded) if shared.failure == Failure::Deny => Err(Unrecorded),
            _ => Ok(()),
        }
    }

    /// Records that a message went no further.
    pub fn refused(&self, exchange: &Exchange, trace: Option<TraceId>, outcome: Outcome, took: Duration) {
        if let Some(shared) = &self.0 {
            let ended = Ended::of(exchange, outcome, took);
            shared.note(Record::Refused(Asked::of(exchange, trace), ended));
        }
    }

    /// Records how a call ended that was allowed.
    pub fn ended(&self, exchange: &Exchange, trace: Option<TraceId>, outcome: Outcome, took: Duration) {
        if let Some(shared) = &self.0 {
            shared.note(Record::Outcome(exchange.id, trace, Ended::of(exchange, outcome, took)));
        }
    }

    /// Records something of the gate's own.
    pub fn event(&self, event: Event) {
        if let Some(shared) = &self.0 {
            shared.note(Record::Event(clock::wall(), event));
        }
    }

    /// Ends the log: writes what is there, and signs it. Who does not want to wait for ever sets a deadline.
    pub async fn close(&self) {
        let Some(shared) = &self.0 else {
            return;
        };
        let (done, closed) = oneshot::channel();
        // A thread that has ended has nothing left to write.
        if shared.queue.try_send(Job::Close(done)).is_ok() {
            drop(closed.await);
        }
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
        self.0.as_ref().map_or(0, |shared| u64::try_from(shared.waiting.load(Ordering::Relaxed)).unwrap_or(u64::MAX))
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
    async fn decide(&self, asked: Asked) -> Result<(), Unrecorded> {
        // Said before the queue is asked, so that nothing piles up in it.
        if *self.health.borrow() == Health::Failing {
            if self.failure == Failure::Allow {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            return Err(Unrecorded);
        }
        let record = Record::Allowed(asked);
        match self.mode {
            Mode::Interval(_) => self.push(record, None, MOST_DECISIONS).map_err(|Full| Unrecorded),
            Mode::BeforeCall => {
                let (done, written) = oneshot::channel();
                self.push(record, Some(done), MOST_DECISIONS).map_err(|Full| Unrecorded)?;
                written.await.map_err(|_lost| Unrecorded)
            }
        }
    }

    /// Records something that has happened, whether there is room or not: then it is counted as lost.
    fn note(&self, record: Record) {
        drop(self.push(record, None, MOST));
    }

    fn push(&self, record: Record, done: Option<oneshot::Sender<()>>, most: usize) -> Result<(), Full> {
        let bytes = record.bytes();
        let full = self.waiting.load(Ordering::Relaxed) >= most
            || self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > MOST_BYTES;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !full && self.queue.try_send(Job::Write(Box::new(record), done)).is_ok() {
            return Ok(());
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
        Err(Full)
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
