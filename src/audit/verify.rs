//! Whether a log is what it was: every line follows from the one before, and every checkpoint is of the lines before it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::chain::{Chain, unhex};
use super::note::{BadNote, Checkpoint, VerifyingKey};
use super::read::{Lines, Read};
use super::segment::Link;

/// What the log is held against.
#[derive(Debug)]
pub struct Expected {
    /// What its first checkpoint is signed with. Where the log says which key comes next, that one counts from there on.
    pub key: VerifyingKey,
    /// Checkpoints that were kept elsewhere, as signed notes.
    pub notes: Vec<String>,
    /// Where it may begin.
    pub beginning: Beginning,
}

/// Where a log may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With its first line.
    First,
    /// With any segment: those before it were taken away on purpose, and nothing is said of them.
    Any,
}

/// A log in which nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The index of its first line.
    pub first: u64,
    /// How many lines there are, with those before the first.
    pub size: u64,
    /// How many of them the last checkpoint covers.
    pub covered: u64,
    /// How many lines behind the last checkpoint nobody has signed.
    pub unsigned: u64,
    /// How many checkpoints there are.
    pub checkpoints: u64,
    /// How many records are missing by the gate's own account.
    pub lost: u64,
    /// How many bytes at the end are no whole line.
    pub torn: u64,
}

/// What is wrong, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// What.
    pub kind: Kind,
    /// The index of the first line that is wrong.
    pub index: u64,
    /// Where that was seen.
    pub file: PathBuf,
}

/// What was done to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line is no record.
    Unreadable,
    /// A line is not the one that the next line follows.
    Edited,
    /// Lines are not there.
    Missing,
    /// Lines stand twice or in another order.
    Reordered,
    /// A checkpoint is not what was signed.
    ForgedCheckpoint,
    /// The lines follow from each other, and are not those that were signed.
    Rewritten,
    /// A checkpoint that was kept elsewhere covers more than there is.
    Truncated,
    /// It is another log, or signed by another key.
    Foreign,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unreadable,
        Self::Edited,
        Self::Missing,
        Self::Reordered,
        Self::ForgedCheckpoint,
        Self::Rewritten,
        Self::Truncated,
        Self::Foreign,
    ];

    /// What a note says that is no checkpoint of the log.
    pub(super) fn of(note: &BadNote) -> Self {
        match note {
            BadNote::Malformed | BadNote::Forged => Self::ForgedCheckpoint,
            BadNote::Unknown(_) => Self::Foreign,
        }
    }

    /// What `tollgate audit verify` exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Unreadable => 10,
            Self::Edited => 11,
            Self::Missing => 12,
            Self::Reordered => 13,
            Self::ForgedCheckpoint => 14,
            Self::Rewritten => 15,
            Self::Truncated => 16,
            Self::Foreign => 17,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Edited => "edited",
            Self::Missing => "missing",
            Self::Reordered => "reordered",
            Self::ForgedCheckpoint => "forged-checkpoint",
            Self::Rewritten => "rewritten",
            Self::Truncated => "truncated",
            Self::Foreign => "foreign",
        }
    }

    /// What it means.
    fn means(self) -> &'static str {
        match self {
            Self::Unreadable => "the line is no record",
            Self::Edited => "the line is not the one that the next line follows",
            Self::Missing => "the line is not there",
            Self::Reordered => "the line stands twice, or where another should",
            Self::ForgedCheckpoint => "the checkpoint is not what was signed",
            Self::Rewritten => "the lines before it are not those that were signed",
            Self::Truncated => "a checkpoint covers this line, and it is not there",
            Self::Foreign => "it is of another log, or signed by another key",
        }
    }
}

/// Reads the log from its beginning to its end.
///
/// # Errors
/// It cannot be read.
pub fn verify(log: &Path, expected: &Expected) -> io::Result<Result<Verified, Tampering>> {
    let mut lines = Lines::open(log)?;
    let mut verifier = match Verifier::new(expected) {
        Ok(verifier) => verifier,
        Err(kind) => return Ok(Err(Tampering { kind, index: 0, file: log.to_owned() })),
    };
    while let Some(read) = lines.read()? {
        let found = match read {
            Read::Line(line) => verifier.line(line),
            Read::Torn(rest) => {
                verifier.torn = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                if lines.is_last() { Ok(()) } else { Err(Kind::Unreadable) }
            }
        };
        if let Err(kind) = found {
            let file = lines.file().to_owned();
            let kind = verifier.told_apart(kind, &mut lines)?;
            return Ok(Err(Tampering { kind, index: verifier.wrong(kind), file }));
        }
    }
    Ok(verifier.finish().map_err(|kind| Tampering { kind, index: verifier.wrong(kind), file: log.to_owned() }))
}

/// The log so far.
struct Verifier<'a> {
    key: VerifyingKey,
    /// Kept elsewhere; the smallest first.
    kept: Vec<Checkpoint>,
    /// Kept elsewhere, and signed by a key that is not known yet.
    unopened: Vec<&'a str>,
    beginning: Beginning,
    first: u64,
    chain: Option<Chain>,
    covered: u64,
    signed_at: u64,
    checkpoints: u64,
    lost: u64,
    torn: u64,
}

impl<'a> Verifier<'a> {
    fn new(expected: &'a Expected) -> Result<Self, Kind> {
        let mut verifier = Self {
            key: expected.key.clone(),
            kept: Vec::new(),
            unopened: expected.notes.iter().map(String::as_str).collect(),
            beginning: expected.beginning,
            first: 0,
            chain: None,
            covered: 0,
            signed_at: 0,
            checkpoints: 0,
            lost: 0,
            torn: 0,
        };
        verifier.open_kept()?;
        Ok(verifier)
    }

    /// Opens what was kept elsewhere, as far as the key has signed it.
    fn open_kept(&mut self) -> Result<(), Kind> {
        for note in std::mem::take(&mut self.unopened) {
            match self.key.open(note) {
                Ok(checkpoint) => self.kept.push(checkpoint),
                // Perhaps a later one has.
                Err(BadNote::Unknown(origin)) if origin == self.key.name() => self.unopened.push(note),
                Err(bad) => return Err(Kind::of(&bad)),
            }
        }
        self.kept.sort_by_key(|checkpoint| checkpoint.size);
        Ok(())
    }

    fn line(&mut self, text: &[u8]) -> Result<(), Kind> {
        let link = Link::read(text).ok_or(Kind::Unreadable)?;
        let mut chain = match self.chain.take() {
            Some(chain) => chain,
            None => self.begin(&link)?,
        };
        let follows = self.follows(&link, &chain);
        if follows.is_ok() {
            chain.push(text);
        }
        let kept = self.kept.iter().find(|kept| kept.size == chain.size()).map(|kept| kept.root == chain.root());
        self.chain = Some(chain);
        follows?;
        if kept == Some(false) { Err(Kind::Rewritten) } else { Ok(()) }
    }

    fn begin(&mut self, link: &Link<'_>) -> Result<Chain, Kind> {
        let chain = link.begins().ok_or(Kind::Missing)?;
        if link.index > 0 && self.beginning == Beginning::First {
            self.chain = Some(Chain::new());
            return Err(Kind::Missing);
        }
        self.first = link.index;
        Ok(chain)
    }

    fn follows(&mut self, link: &Link<'_>, chain: &Chain) -> Result<(), Kind> {
        if link.index != chain.size() {
            return Err(if link.index > chain.size() { Kind::Missing } else { Kind::Reordered });
        }
        if unhex(&link.prev) != Some(*chain.last()) {
            return Err(Kind::Edited);
        }
        match &*link.kind {
            "checkpoint" => self.checkpoint(link, chain),
            "key" => {
                let note = link.note.as_deref().unwrap_or_default();
                self.key = self.key.open_next(note).map_err(|bad| Kind::of(&bad))?;
                self.open_kept()
            }
            "segment" if link.origin.as_deref() != Some(self.key.name()) => Err(Kind::Foreign),
            "segment" if link.begins().as_ref() != Some(chain) => Err(Kind::Rewritten),
            "segment" if self.signed_at == link.index => {
                self.signed_at += 1;
                Ok(())
            }
            _ => {
                self.lost += link.lost.unwrap_or_default();
                Ok(())
            }
        }
    }

    fn checkpoint(&mut self, link: &Link<'_>, chain: &Chain) -> Result<(), Kind> {
        let checkpoint = self.key.open(link.note.as_deref().unwrap_or_default()).map_err(|bad| Kind::of(&bad))?;
        if checkpoint.size != chain.size() || checkpoint.root != chain.root() {
            return Err(Kind::Rewritten);
        }
        self.covered = checkpoint.size;
        self.signed_at = checkpoint.size + 1;
        self.checkpoints += 1;
        Ok(())
    }

    fn size(&self) -> u64 {
        self.chain.as_ref().map_or(0, Chain::size)
    }

    /// Lines that are missing where they should be may stand elsewhere.
    fn told_apart(&self, kind: Kind, rest: &mut Lines) -> io::Result<Kind> {
        if kind != Kind::Missing {
            return Ok(kind);
        }
        while let Some(read) = rest.read()? {
            if let Read::Line(line) = read
                && Link::read(line).is_some_and(|link| link.index == self.size())
            {
                return Ok(Kind::Reordered);
            }
        }
        Ok(Kind::Missing)
    }

    /// The index of the first line that is wrong.
    fn wrong(&self, kind: Kind) -> u64 {
        match kind {
            // It is the line before that is not what it was.
            Kind::Edited => self.size().saturating_sub(1),
            Kind::Unreadable
            | Kind::Missing
            | Kind::Reordered
            | Kind::ForgedCheckpoint
            | Kind::Rewritten
            | Kind::Truncated
            | Kind::Foreign => self.size(),
        }
    }

    fn finish(&self) -> Result<Verified, Kind> {
        let size = self.size();
        if !self.unopened.is_empty() {
            return Err(Kind::Foreign);
        }
        if self.kept.last().is_some_and(|kept| kept.size > size) {
            return Err(Kind::Truncated);
        }
        // What was kept of lines that are not here cannot be compared.
        if self.kept.first().is_some_and(|kept| kept.size <= self.first && self.first > 0) {
            return Err(Kind::Missing);
        }
        Ok(Verified {
            first: self.first,
            size,
            covered: self.covered,
            // A segment's first line and the checkpoint itself are signed by the next one.
            unsigned: size - self.signed_at.min(size),
            checkpoints: self.checkpoints,
            lost: self.lost,
            torn: self.torn,
        })
    }
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, index, file } = self;
        write!(f, "{} at index {index}: {} ({})", kind.word(), kind.means(), file.display())
    }
}
