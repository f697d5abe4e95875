//! A copy of the log for somebody else. Whoever keeps it can show later what became of the original.
//!
//! Only what is on the disk is handed over: nothing that was copied is ever taken back.

use std::fmt;

use super::Copied;
use super::line::END;

/// So many bytes wait at most, about: then they are brought to the disk, so that they can go.
const MOST: usize = 1 << 20;

/// Whoever keeps a copy.
pub trait Copyist: fmt::Debug + Send {
    /// Takes a line, without its end. The log is not written meanwhile, so it must not wait for anybody.
    fn take(&mut self, line: &str);
}

/// Lines on their way to the copy.
#[derive(Debug)]
pub(super) struct Copying {
    copyist: Option<Box<dyn Copyist>>,
    what: Copied,
    waiting: String,
}

impl Copying {
    pub(super) fn new(copyist: Option<Box<dyn Copyist>>, what: Copied) -> Self {
        Self { copyist, what, waiting: String::new() }
    }

    /// Lines with their ends, if they are of those that are copied: of a checkpoint, or of anything else.
    pub(super) fn add(&mut self, lines: &str, of: Copied) {
        if self.copyist.is_some() && of <= self.what {
            self.waiting.push_str(lines);
        }
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// What came after so many bytes never was.
    pub(super) fn undo(&mut self, waiting: usize) {
        self.waiting.truncate(waiting);
    }

    /// All that waits is on the disk.
    pub(super) fn hand_over(&mut self) {
        if let Some(copyist) = &mut self.copyist {
            for line in self.waiting.split_terminator(char::from(END)) {
                copyist.take(line);
            }
        }
        self.waiting.clear();
        self.waiting.shrink_to(MOST);
    }
}
