//! The log as it grows: lines become bytes on the disk, in order, or are undone.
//!
//! What fails is undone: the file is cut off behind what is known to be there, and the chain goes back to it.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use super::chain::Chain;
use super::copying::Copying;
use super::line::{Line, append};
use super::note::SigningKey;
use super::record::Event;
use super::segment::{Folder, Segment};
use super::{Copied, Destination, Mode, Settings};
use crate::clock;

/// So many records are signed together at most,
const UNSIGNED: u64 = 1000;
/// and none later than this.
const UNSIGNED_FOR: Duration = Duration::from_secs(10);
/// What a buffer keeps of its size between bursts.
const KEPT: usize = 256 << 10;

/// A log that is written.
#[derive(Debug)]
pub(super) struct Log {
    settings: Settings,
    signing: SigningKey,
    sink: Sink,
    copying: Copying,
    /// With what is in the buffer.
    now: State,
    /// Without it.
    written: State,
    /// As of the last sync.
    durable: State,
    buffer: String,
    /// When the segment was begun, and how many records there were.
    begun: (Instant, u64),
    synced: Instant,
    unsigned_since: Option<Instant>,
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Folder(Folder, Segment),
    Stdout,
}

/// How far the log has come.
#[derive(Clone, Debug)]
struct State {
    chain: Chain,
    /// The length of the segment, in bytes.
    length: u64,
    /// How many records there are; lines that only hold the log together are none.
    records: u64,
    /// How many of them no checkpoint covers.
    unsigned: u64,
    /// How many lost ones a gap tells of.
    told: u64,
    /// How many bytes wait to be copied.
    uncopied: usize,
}

/// When what is written is synced and signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// When it is time.
    Due,
    /// At once.
    Now,
}

/// Records could not be written.
#[derive(Debug)]
pub(super) struct Undone {
    /// Why.
    pub(super) error: io::Error,
    /// How many there were.
    pub(super) records: u64,
}

impl Log {
    /// Opens the sink, mends it, and writes the first line of a segment.
    pub(super) fn open(settings: &Settings, signing: SigningKey, mut copying: Copying) -> io::Result<Self> {
        let now = clock::monotonic();
        let (folder, chain, torn) = match &settings.to {
            Destination::Folder(path) => {
                let folder = Folder::open(path)?;
                let found = folder.recover()?;
                found.is_continued_by(signing.verifying())?;
                (Some(folder), found.chain, found.torn)
            }
            Destination::Stdout => (None, Chain::new(), None),
        };
        let mut state = State { chain, length: 0, records: 0, unsigned: 0, told: 0, uncopied: 0 };
        let first = state.chain.size();
        let mut buffer = String::new();
        let begins = Line::segment(signing.verifying().name(), state.chain.edge(), clock::wall()).text();
        append(&begins, &mut state.chain, &mut buffer);
        if let Some((bytes, sha256)) = torn {
            tracing::warn!(bytes, "the end of the audit log was torn and is cut off; the log goes on");
            append(&Event::Recovery { bytes, sha256 }.line(clock::wall()).text(), &mut state.chain, &mut buffer);
            state.unsigned = 1;
        }
        state.length = length(&buffer);
        let sink = if let Some(folder) = folder {
            let segment = folder.begin(first, buffer.as_bytes())?;
            Sink::Folder(folder, segment)
        } else {
            print(&buffer)?;
            Sink::Stdout
        };
        copying.add(&buffer, Copied::Records);
        copying.hand_over();
        buffer.clear();
        Ok(Self {
            settings: settings.clone(),
            signing,
            sink,
            copying,
            written: state.clone(),
            durable: state.clone(),
            now: state,
            buffer,
            begun: (now, 0),
            synced: now,
            unsigned_since: None,
        })
    }

    /// Adds a record. It is written at the next [`Self::commit`].
    pub(super) fn add(&mut self, line: &str) {
        self.append(line, Copied::Records);
        self.now.records += 1;
    }

    /// Says how many records were lost so far, if that was not said yet.
    pub(super) fn tell_lost(&mut self, lost: u64) {
        if lost > self.now.told {
            let gap = Event::Gap(lost - self.now.told);
            self.append(&gap.line(clock::wall()).text(), Copied::Records);
            self.now.told = lost;
        }
    }

    fn append(&mut self, line: &str, of: Copied) {
        let before = self.buffer.len();
        append(line, &mut self.now.chain, &mut self.buffer);
        let written = self.buffer.get(before..).unwrap_or_default();
        self.now.length += length(written);
        self.copying.add(written, of);
        self.now.uncopied = self.copying.waiting();
        self.now.unsigned += 1;
        self.unsigned_since.get_or_insert_with(clock::monotonic);
    }

    /// Writes what was added; syncs it, signs it and begins another segment when it is time to.
    ///
    /// # Errors
    /// Something failed. What is not on the disk is undone.
    pub(super) fn commit(&mut self, when: When) -> Result<(), Undone> {
        self.write()?;
        let sign = self.signing_is_due(when);
        if sign || self.sync_is_due(when) {
            self.sync()?;
        }
        // Only what is on the disk is signed: a signature is never taken back.
        if sign {
            self.sign()?;
        }
        // What is written at once is the end: nothing would come into another segment.
        if when == When::Due && self.segment_is_full() {
            self.rotate().map_err(|error| self.undo(error, self.durable.clone()))?;
        }
        Ok(())
    }

    /// Whether all that was added is on the disk.
    pub(super) fn is_durable(&self) -> bool {
        self.now.records == self.durable.records
    }

    /// Whether something is to be done later.
    pub(super) fn is_settled(&self) -> bool {
        self.is_durable() && self.now.unsigned == 0
    }

    /// Goes on after a failure, in a segment of its own.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        if let Sink::Folder(_, segment) = &mut self.sink {
            segment.cut(self.now.length)?;
        }
        self.durable = self.now.clone();
        self.rotate()
    }

    /// Signs what there is, and goes on with another key.
    pub(super) fn hand_over(&mut self, to: SigningKey) -> Result<(), Undone> {
        self.commit(When::Now)?;
        let note = self.signing.hand_over(to.verifying());
        self.append(&Line::key(&note, clock::wall()).text(), Copied::Checkpoints);
        self.signing = to;
        self.commit(When::Now)
    }

    fn write(&mut self) -> Result<(), Undone> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let wrote = match &mut self.sink {
            Sink::Folder(_, segment) => segment.write(self.buffer.as_bytes()),
            Sink::Stdout => print(&self.buffer),
        };
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        match wrote {
            Ok(()) => {
                self.written.clone_from(&self.now);
                Ok(())
            }
            Err(error) => Err(self.undo(error, self.written.clone())),
        }
    }

    fn sync(&mut self) -> Result<(), Undone> {
        let synced = match &self.sink {
            Sink::Folder(_, segment) => segment.sync(),
            Sink::Stdout => Ok(()),
        };
        match synced {
            Ok(()) => {
                self.synced = clock::monotonic();
                self.is_there();
                Ok(())
            }
            Err(error) => Err(self.undo(error, self.durable.clone())),
        }
    }

    /// All that is written is on the disk, and may be copied.
    fn is_there(&mut self) {
        self.copying.hand_over();
        self.now.uncopied = 0;
        self.written.clone_from(&self.now);
        self.durable.clone_from(&self.now);
    }

    fn sign(&mut self) -> Result<(), Undone> {
        let note = self.signing.sign(&self.now.chain);
        self.append(&Line::checkpoint(&note, clock::wall()).text(), Copied::Checkpoints);
        self.now.unsigned = 0;
        self.unsigned_since = None;
        self.write()?;
        self.sync()
    }

    fn sync_is_due(&self, when: When) -> bool {
        let age = clock::monotonic().saturating_duration_since(self.synced);
        let due = match self.settings.mode {
            Mode::BeforeCall => true,
            Mode::Interval(interval) => age >= interval,
        };
        !self.is_durable() && (due || when == When::Now || self.copying.is_full())
    }

    fn signing_is_due(&self, when: When) -> bool {
        let late = |since: Instant| clock::monotonic().saturating_duration_since(since) >= UNSIGNED_FOR;
        let due = self.now.unsigned >= UNSIGNED || self.unsigned_since.is_some_and(late) || when == When::Now;
        self.now.unsigned > 0 && due
    }

    fn segment_is_full(&self) -> bool {
        let (begun, records) = self.begun;
        let old = clock::monotonic().saturating_duration_since(begun) >= self.settings.segment_age;
        self.now.records > records && (old || self.now.length >= self.settings.segment_bytes)
    }

    /// Seals the segment with a checkpoint and begins the next.
    fn rotate(&mut self) -> io::Result<()> {
        if let Sink::Folder(folder, segment) = &mut self.sink {
            let mut next = self.now.clone();
            let mut seal = String::new();
            if next.unsigned > 0 {
                segment.sync()?;
                let note = self.signing.sign(&next.chain);
                append(&Line::checkpoint(&note, clock::wall()).text(), &mut next.chain, &mut seal);
                next.unsigned = 0;
            }
            segment.write(seal.as_bytes())?;
            segment.sync()?;
            let first = next.chain.size();
            let mut lines = String::new();
            let begins = Line::segment(self.signing.verifying().name(), next.chain.edge(), clock::wall()).text();
            append(&begins, &mut next.chain, &mut lines);
            *segment = folder.begin(first, lines.as_bytes())?;
            next.length = length(&lines);
            self.copying.add(&seal, Copied::Checkpoints);
            self.copying.add(&lines, Copied::Records);
            self.now = next;
            self.is_there();
            self.unsigned_since = None;
        }
        self.begun = (clock::monotonic(), self.now.records);
        Ok(())
    }

    /// Goes back to what the log was.
    fn undo(&mut self, error: io::Error, to: State) -> Undone {
        let records = self.now.records - to.records;
        self.copying.undo(to.uncopied);
        self.written.clone_from(&to);
        self.now = to;
        self.buffer.clear();
        self.unsigned_since = (self.now.unsigned > 0).then(clock::monotonic);
        Undone { error, records }
    }
}

fn length(lines: &str) -> u64 {
    u64::try_from(lines.len()).unwrap_or(u64::MAX)
}

fn print(lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}
