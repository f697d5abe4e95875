//! The lines of a log, one at a time, however long it and they are. A folder is an audit log, with all its segments.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use crate::audit::{self, Read};

/// No decision line is longer.
const LONGEST: usize = 64 << 10;

/// A log that is being read.
pub(super) struct Lines {
    source: Source,
    line: Vec<u8>,
    number: u64,
}

/// Where lines come from.
enum Source {
    Stream(Box<dyn BufRead>),
    Segments(audit::Lines),
}

impl Lines {
    /// Opens a log; `-` is standard input.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let source = if path == Path::new("-") {
            Source::Stream(Box::new(io::stdin().lock()))
        } else if path.is_dir() {
            Source::Segments(audit::Lines::open(path)?)
        } else {
            Source::Stream(Box::new(BufReader::new(File::open(path)?)))
        };
        Ok(Self { source, line: Vec::new(), number: 0 })
    }

    /// The next line and its number, from 1; of one that is too long only its beginning.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        self.line.clear();
        match &mut self.source {
            Source::Segments(lines) => match lines.read()? {
                Some(Read::Line(line) | Read::Torn(line)) => self.line.extend_from_slice(line),
                None => return Ok(None),
            },
            Source::Stream(reader) => {
                let bound = u64::try_from(LONGEST).unwrap_or(u64::MAX);
                if reader.take(bound).read_until(b'\n', &mut self.line)? == 0 {
                    return Ok(None);
                }
                if self.line.len() == LONGEST && self.line.last() != Some(&b'\n') {
                    reader.skip_until(b'\n')?;
                }
            }
        }
        self.number += 1;
        Ok(Some((self.number, self.line.trim_ascii_end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_one_line_and_takes_no_more_room() {
        let log = format!("first\n{}\nlast", "x".repeat(3 * LONGEST));
        let mut lines = Lines { source: Source::Stream(Box::new(io::Cursor::new(log))), line: Vec::new(), number: 0 };
        assert_eq!(lines.next().unwrap(), Some((1, &b"first"[..])));
        assert_eq!(lines.next().unwrap().map(|(number, line)| (number, line.len())), Some((2, LONGEST)));
        assert_eq!(lines.next().unwrap(), Some((3, &b"last"[..])));
        assert_eq!(lines.next().unwrap(), None);
    }
}
