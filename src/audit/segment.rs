//! The files: a folder that one process writes, in segments that are named by the index of their first line.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::chain::{Chain, Hash, hex, unhex};
use super::note::VerifyingKey;

/// What a segment's name ends with.
const EXTENSION: &str = ".jsonl";
/// Only the process that has it writes.
const LOCK: &str = "lock";
/// No line is longer: names, addresses and notes are bounded by who reads them.
pub(super) const LONGEST_LINE: usize = 256 << 10;

/// The folder, held by this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// A segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
}

/// What was found at the end of the folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) chain: Chain,
    /// Bytes at the end that were no whole line, and went: how many, and their SHA-256.
    pub(super) torn: Option<(u64, String)>,
    /// The last note in it.
    note: Option<String>,
}

impl Found {
    /// Whether this key signs what comes next, as far as the last segment says which one does.
    pub(super) fn is_continued_by(&self, key: &VerifyingKey) -> io::Result<()> {
        let Some(note) = &self.note else { return Ok(()) };
        let told = note.lines().nth(2).is_some_and(|next| *next == key.to_string());
        if told || key.open(note).is_ok() {
            return Ok(());
        }
        Err(io::Error::other(
            "what is there was signed by another key; `tollgate audit keys rotate` hands a log over to a new one, or let the \
             gate begin another folder",
        ))
    }
}

/// As much of a line as its place in the chain is about.
#[derive(Debug, Deserialize)]
pub struct Link<'a> {
    /// Its index.
    pub index: u64,
    /// What it is.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// The hash of the line before it.
    #[serde(borrow)]
    pub prev: Cow<'a, str>,
    /// Of a checkpoint, or of a key that signs from then on.
    pub note: Option<String>,
    /// Of a segment's first line.
    pub tree: Option<Vec<String>>,
    /// Of a segment's first line.
    pub origin: Option<String>,
    /// Of a gap: how many records were lost.
    pub lost: Option<u64>,
    /// Of a decision or an outcome: which.
    #[serde(borrow)]
    pub decision: Option<Cow<'a, str>>,
}

impl<'a> Link<'a> {
    /// Reads a line, without its end; `None` if it is none of an audit log.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "a name that stands twice is an error, and nesting ends at 128")]
        serde_json::from_slice(line).ok()
    }

    /// The chain as it was before the first line of a segment.
    pub fn begins(&self) -> Option<Chain> {
        let edge = self.tree.as_ref()?.iter().map(|root| unhex(root)).collect::<Option<Vec<Hash>>>()?;
        Chain::resume(self.index, unhex(&self.prev)?, edge)
    }
}

/// The segments of a folder, the oldest first.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if first_index(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The index of the first line of a segment, by its name; `None` if the file is none.
pub(super) fn first_index(segment: &Path) -> Option<u64> {
    let digits = segment.file_name()?.to_str()?.strip_suffix(EXTENSION)?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| well_formed)
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(io::Error::other("another process writes there; each gate needs a folder of its own"))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads the last segment and cuts off what a process that was killed has left half written.
    pub(super) fn recover(&self) -> io::Result<Found> {
        let mut torn = None;
        for path in segments(&self.path)?.into_iter().rev() {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let mut note = None;
            let (read, sound) = follow(BufReader::new(&file), &mut note)?;
            let length = file.metadata()?.len();
            if sound < length {
                if torn.is_some() || holds_checkpoint(&file, sound)? {
                    return Err(damaged(&path, sound));
                }
                torn = Some((length - sound, hash_from(&file, sound)?));
                file.set_len(sound)?;
                file.sync_all()?;
            }
            match read {
                Some(chain) => return Ok(Found { chain, torn, note }),
                // Not even its first line: the one before it was the last.
                None => fs::remove_file(&path)?,
            }
        }
        Ok(Found { chain: Chain::new(), torn, note: None })
    }

    /// Begins the segment whose first lines, at this index, these are. It is on the disk when this returns.
    pub(super) fn begin(&self, first: u64, lines: &[u8]) -> io::Result<Segment> {
        let path = self.path.join(format!("{first:020}{EXTENSION}"));
        // What a failed attempt has left there was never said to be written.
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        let mut segment = Segment { path, file };
        segment.write(lines)?;
        segment.file.sync_all()?;
        File::open(&self.path)?.sync_all()?;
        Ok(segment)
    }
}

impl Segment {
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts it off behind what is known to be there, and goes on from there. The file is opened anew: after a failed fsync the
    /// old descriptor may say that all is well, and it would write where it was, behind a hole.
    pub(super) fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(length)?;
        file.seek(io::SeekFrom::Start(length))?;
        file.sync_all()?;
        self.file = file;
        Ok(())
    }
}

/// Reads lines as long as they follow from each other. Returns the chain after them, if there was a first one, and how
/// many bytes they take; the last note in them is kept.
fn follow(mut reader: impl io::BufRead, note: &mut Option<String>) -> io::Result<(Option<Chain>, u64)> {
    let (mut chain, mut sound, mut bytes) = (None, 0, Vec::new());
    loop {
        bytes.clear();
        let bound = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        let length = reader.by_ref().take(bound).read_until(b'\n', &mut bytes)?;
        let Some(text) = bytes.strip_suffix(b"\n") else {
            return Ok((chain, sound));
        };
        let Some(link) = Link::read(text) else {
            return Ok((chain, sound));
        };
        let Some(before) = chain.take().or_else(|| link.begins()) else {
            return Ok((None, sound));
        };
        if link.index != before.size() || *link.prev != hex(before.last()) {
            return Ok((Some(before).filter(|_| sound > 0), sound));
        }
        let mut after = before;
        after.push(text);
        *note = link.note.or(note.take());
        chain = Some(after);
        sound += u64::try_from(length).unwrap_or_default();
    }
}

/// Whether a checkpoint stands behind `from`: then what is wrong there was once signed, and is no torn end.
fn holds_checkpoint(file: &File, from: u64) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    reader.seek(io::SeekFrom::Start(from))?;
    for line in reader.split(b'\n') {
        if Link::read(&line?).is_some_and(|link| link.kind == "checkpoint") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn hash_from(mut file: &File, from: u64) -> io::Result<String> {
    file.seek(io::SeekFrom::Start(from))?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(piece.get(..read).unwrap_or_default());
    }
}

fn damaged(path: &Path, at: u64) -> io::Error {
    io::Error::other(format!(
        "{} is damaged at byte {at}, in what was signed; `tollgate audit verify` says how. Keep the folder as evidence and \
         let the gate begin another",
        path.display()
    ))
}
