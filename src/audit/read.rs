//! A log as it is read: line by line, over all segments of a folder or out of one file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::segment::{LONGEST_LINE, first_index, segments};

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// The lines of a log.
#[derive(Debug)]
pub struct Lines {
    files: VecDeque<PathBuf>,
    now: Option<(PathBuf, BufReader<File>)>,
    line: Vec<u8>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// Without its end.
    Line(&'a [u8]),
    /// What stands at a file's end, or goes on beyond all bounds, and is no line.
    Torn(&'a [u8]),
}

impl Lines {
    /// Opens a folder of segments, or a file.
    ///
    /// # Errors
    /// Nothing can be read there, or the folder has no segment.
    pub fn open(path: &Path) -> io::Result<Self> {
        let files = if path.is_dir() { segments(path)? } else { vec![path.to_owned()] };
        if files.is_empty() {
            return Err(io::Error::other("there is no segment in it"));
        }
        Ok(Self { files: files.into(), now: None, line: Vec::new() })
    }

    /// The next line.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Read<'_>>> {
        self.line.clear();
        loop {
            let Some((_, reader)) = &mut self.now else {
                let Some(path) = self.files.pop_front() else {
                    return Ok(None);
                };
                let reader = BufReader::with_capacity(PIECE, File::open(&path)?);
                self.now = Some((path, reader));
                continue;
            };
            let bound = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
            if reader.by_ref().take(bound).read_until(b'\n', &mut self.line)? > 0 {
                break;
            }
            self.now = None;
        }
        Ok(Some(self.line.strip_suffix(b"\n").map_or(Read::Torn(&self.line), Read::Line)))
    }

    /// Leaves out the segments that end before this index.
    pub fn skip_to(&mut self, index: u64) {
        while self.files.get(1).is_some_and(|second| first_index(second).is_some_and(|first| first <= index)) {
            self.files.pop_front();
        }
    }

    /// Whether no segment follows the one that is read.
    pub fn is_last(&self) -> bool {
        self.files.is_empty()
    }

    /// The file that is read.
    pub fn file(&self) -> &Path {
        self.now.as_ref().map_or(Path::new(""), |(path, _)| path)
    }
}
