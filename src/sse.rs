//! Event-stream framing (WHATWG HTML, 9.2.6): where an event ends and what it says. The bytes stay as they came.

use std::borrow::Cow;

/// Finds where the events of a stream end, however it was cut.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Line,
    /// The byte before was a CR: a LF right behind it belongs to the same line end.
    after_return: bool,
}

/// Whether the current line has anything in it. An empty one ends an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Begun,
}

impl Splitter {
    /// Whether these bytes, which come next, begin with the second half of a line end that was cut in two.
    pub fn completes_line_end(&self, bytes: &[u8]) -> bool {
        self.after_return && bytes.first() == Some(&b'\n')
    }

    /// Skips that second half, if it comes next: the event that it ends is not there.
    pub fn skip_line_end(&mut self, bytes: &[u8]) -> bool {
        let completes = self.completes_line_end(bytes);
        self.after_return &= !completes;
        completes
    }

    /// Reads the next bytes up to the end of an event, and says where that is; or all of them, if none ends there.
    pub fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = usize::from(self.completes_line_end(bytes));
        self.after_return &= bytes.is_empty();
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(run) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line = Line::Begun;
                return None;
            };
            let empty = run == 0 && self.line == Line::Empty;
            let behind = at + run + line_end(rest.get(run..).unwrap_or_default());
            self.after_return = bytes.get(behind - 1) == Some(&b'\r') && behind == bytes.len();
            self.line = Line::Empty;
            if empty {
                return Some(behind);
            }
            at = behind;
        }
        None
    }
}

/// How long the line end is that stands here: `\n`, `\r` or `\r\n`.
fn line_end(bytes: &[u8]) -> usize {
    1 + usize::from(bytes.starts_with(b"\r\n"))
}

/// What one event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its type, if it names one. Without one it is a `message`.
    pub kind: Option<&'a [u8]>,
    /// Its data, lines joined by `\n`; `None` if it has none or only an empty one, so that nothing is dispatched or said.
    pub data: Option<Cow<'a, [u8]>>,
    /// It has an id, so that a client can ask for what comes behind it.
    pub id: Option<&'a [u8]>,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Event<'a> {
    /// Reads an event, whole or cut off.
    pub fn read(event: &'a [u8]) -> Self {
        let mut read = Self::default();
        for line in lines(event) {
            match field(line) {
                (b"data", value) => read.add(value),
                (b"event", value) => read.kind = Some(value),
                (b"id", value) => read.id = Some(value),
                _ => {}
            }
        }
        read.data = read.data.filter(|data| !data.is_empty());
        read
    }

    /// Whether it holds a message of the protocol, if any.
    pub fn is_message(&self) -> bool {
        self.kind.is_none_or(|kind| kind.is_empty() || kind == b"message")
    }

    fn add(&mut self, value: &'a [u8]) {
        match &mut self.data {
            None => self.data = Some(Cow::Borrowed(value)),
            Some(data) => {
                data.to_mut().push(b'\n');
                data.to_mut().extend_from_slice(value);
            }
        }
    }
}

/// A line's name and value, one leading space of the value skipped. A comment has no name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.strip_prefix(MARK).unwrap_or(line);
    match memchr::memchr(b':', line) {
        None => (line, b""),
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            (name, value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

/// The lines of an event, without their ends.
fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    whole_lines(event)
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The lines of an event, with their ends.
fn whole_lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = event;
    std::iter::from_fn(move || {
        let run = memchr::memchr2(b'\n', b'\r', rest);
        let behind = run.map_or(rest.len(), |run| run + line_end(rest.get(run..).unwrap_or_default()));
        let (line, next) = rest.split_at(behind);
        rest = next;
        (!line.is_empty()).then_some(line)
    })
}

/// One event again, with other data. What is not data stays as it came.
pub fn with_data(event: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.len() + data.len());
    let mut written = false;
    for line in whole_lines(event) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if field(text.strip_suffix(b"\r").unwrap_or(text)).0 != b"data" {
            out.extend_from_slice(line);
        } else if !std::mem::replace(&mut written, true) {
            for piece in data.split(|byte| *byte == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(piece);
                out.push(b'\n');
            }
        }
    }
    out
}

/// One event again, or a part of one, with another id where it has one, or without. What is not the id stays as it came.
pub fn with_id(event: &[u8], id: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.len() + 64);
    for line in whole_lines(event) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        match field(text.strip_suffix(b"\r").unwrap_or(text)) {
            (b"id", value) => {
                if let Some(id) = id(value) {
                    out.extend_from_slice(b"id: ");
                    out.extend_from_slice(&id);
                    out.push(b'\n');
                }
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a stream says: the data of each event, `None` where it had none.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Option<String>> {
        let (mut splitter, mut events, mut held) = (Splitter::default(), Vec::new(), Vec::new());
        for mut piece in pieces {
            while let Some(end) = splitter.next(piece) {
                held.extend_from_slice(&piece[..end]);
                // The second half of a line end that was cut in two has been counted to the event before.
                let event = if events.is_empty() { &held } else { held.strip_prefix(b"\n").unwrap_or(&held) };
                events.push(Event::read(event).data.map(|data| String::from_utf8(data.into_owned()).unwrap()));
                held.clear();
                piece = &piece[end..];
            }
            held.extend_from_slice(piece);
        }
        events
    }

    #[test]
    fn events_are_read_as_browsers_read_them() {
        for (stream, events) in [
            ("data: a\n\n", vec![Some("a")]),
            ("data:a\r\n\r\n", vec![Some("a")]),
            ("data: a\r\rdata:b\r\r", vec![Some("a"), Some("b")]),
            ("event: message\nid: 7\ndata: a\ndata:  b\n\n", vec![Some("a\n b")]),
            (": keepalive\n\ndata: a\n\n", vec![None, Some("a")]),
            ("id: 0\nretry: 3000\ndata:\n\n", vec![None]),
            ("data\ndata\n\n", vec![Some("\n")]),
            ("database: x\ndat: y\n\n", vec![None]),
            ("\u{feff}data: a\n\n", vec![Some("a")]),
            ("data: unfinished\n", vec![]),
        ] {
            let read = read([stream.as_bytes()].into_iter());
            assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), events, "{stream:?}");
        }
    }

    #[test]
    fn an_event_is_a_message_unless_it_names_another_type() {
        for (event, is_message) in [
            ("data: a\n\n", true),
            ("event: message\ndata: a\n\n", true),
            ("event\ndata: a\n\n", true),
            ("event: endpoint\ndata: a\n\n", false),
            ("event: endpoint\nevent: message\ndata: a\n\n", true),
        ] {
            assert_eq!(Event::read(event.as_bytes()).is_message(), is_message, "{event:?}");
        }
    }

    #[test]
    fn other_lines_stay_when_the_data_is_replaced() {
        let event = b"id: 7\r\ndata: old\r\n: note\r\ndata: old\r\n\r\n";
        assert_eq!(with_data(event, b"new").as_slice(), b"id: 7\r\ndata: new\n: note\r\n\r\n");
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_does_not_matter(
            stream in "(data: ?|id: 1|: c|[a-c]|\n|\r|\r\n){0,40}",
            cuts in proptest::collection::vec(1usize..6, 1..40),
        ) {
            let mut pieces = Vec::new();
            let mut rest = stream.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, next) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = next;
            }
            prop_assert_eq!(read(pieces.into_iter()), read([stream.as_bytes()].into_iter()));
        }
    }
}
