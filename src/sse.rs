//! Event-stream framing (WHATWG HTML, 9.2.6): where an event ends and what its data is. The bytes stay as they came.

/// Hears what a [`Reader`] finds.
pub trait Sink {
    /// A piece of the current event's data. Lines are joined by `\n`, which comes as a piece of its own.
    fn data(&mut self, piece: &[u8]);

    /// The event ended before this offset of the bytes just fed.
    fn end(&mut self, offset: usize);
}

/// Reads an event stream piece by piece, however it was cut.
#[derive(Debug, Default)]
pub struct Reader {
    line: Line,
    /// The byte before was a CR: a LF right behind it belongs to the same line end.
    after_return: bool,
    /// The current event has data.
    has_data: bool,
    /// How much of a byte order mark has been read; only the first bytes of a stream may be one.
    mark: Mark,
}

/// How much of a byte order mark has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// So many bytes, and nothing else.
    Read(usize),
    /// The stream has begun.
    Behind,
}

impl Default for Mark {
    fn default() -> Self {
        Self::Read(0)
    }
}

/// Where in a line the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes in, all of them of `data`.
    Name(usize),
    /// Behind `data:`, where one space is skipped.
    Colon,
    /// Within data.
    Data,
    /// In a comment or another field.
    Other,
}

impl Default for Line {
    fn default() -> Self {
        Self::Name(0)
    }
}

const NAME: &[u8] = b"data";
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Reader {
    /// Whether these bytes, which come next, begin with the second half of a line end that was cut in two.
    pub fn completes_line_end(&self, bytes: &[u8]) -> bool {
        self.after_return && bytes.first() == Some(&b'\n')
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.is_mark(byte) {
                at += 1;
                continue;
            }
            if std::mem::take(&mut self.after_return) && byte == b'\n' {
                at += 1;
                continue;
            }
            if self.line == Line::Data || self.line == Line::Other {
                at += self.run(bytes.get(at..).unwrap_or_default(), sink);
                if at == bytes.len() {
                    return;
                }
            }
            at = self.step(bytes, at, sink);
        }
    }

    fn is_mark(&mut self, byte: u8) -> bool {
        let Mark::Read(read) = self.mark else {
            return false;
        };
        let is_mark = MARK.get(read) == Some(&byte);
        self.mark = if is_mark { Mark::Read(read + 1) } else { Mark::Behind };
        is_mark
    }

    /// Passes what cannot end the line.
    fn run(&self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let run = memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        if self.line == Line::Data && run > 0 {
            sink.data(bytes.get(..run).unwrap_or_default());
        }
        run
    }

    /// One byte at which something may change; says where to go on.
    fn step(&mut self, bytes: &[u8], at: usize, sink: &mut impl Sink) -> usize {
        let byte = bytes.get(at).copied().unwrap_or_default();
        if byte == b'\n' || byte == b'\r' {
            let pair = byte == b'\r' && bytes.get(at + 1) == Some(&b'\n');
            let behind = at + 1 + usize::from(pair);
            self.after_return = byte == b'\r' && !pair;
            self.end_line(behind, sink);
            return behind;
        }
        match self.line {
            Line::Name(read) if NAME.get(read) == Some(&byte) => self.line = Line::Name(read + 1),
            Line::Name(read) if read == NAME.len() && byte == b':' => {
                self.begin_data(sink);
                self.line = Line::Colon;
            }
            Line::Name(_) => self.line = Line::Other,
            Line::Colon => {
                self.line = Line::Data;
                return if byte == b' ' { at + 1 } else { at };
            }
            Line::Data | Line::Other => {}
        }
        at + 1
    }

    fn begin_data(&mut self, sink: &mut impl Sink) {
        if std::mem::replace(&mut self.has_data, true) {
            sink.data(b"\n");
        }
    }

    fn end_line(&mut self, offset: usize, sink: &mut impl Sink) {
        match std::mem::take(&mut self.line) {
            Line::Name(0) => {
                self.has_data = false;
                sink.end(offset);
            }
            // A field name without a colon is a field with no value.
            Line::Name(read) if read == NAME.len() => self.begin_data(sink),
            Line::Name(_) | Line::Colon | Line::Data | Line::Other => {}
        }
    }
}

/// One event again, with other data. What is not data stays as it came.
pub fn with_data(event: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.len() + data.len());
    let mut written = false;
    let mut rest = event;
    while !rest.is_empty() {
        let line_end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let behind = line_end + usize::from(rest.get(line_end..line_end + 2) == Some(b"\r\n")) + 1;
        let (line, next) = rest.split_at(behind.min(rest.len()));
        let unmarked = line.strip_prefix(MARK).unwrap_or(line);
        if unmarked.strip_prefix(NAME).is_some_and(|value| matches!(value.first(), Some(b':' | b'\n' | b'\r') | None)) {
            if !std::mem::replace(&mut written, true) {
                for piece in data.split(|byte| *byte == b'\n') {
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(piece);
                    out.push(b'\n');
                }
            }
        } else {
            out.extend_from_slice(line);
        }
        rest = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a stream says: the data of each event, `None` where it had none.
    #[derive(Default)]
    struct Events {
        data: Option<Vec<u8>>,
        events: Vec<Option<String>>,
    }

    impl Sink for Events {
        fn data(&mut self, piece: &[u8]) {
            self.data.get_or_insert_default().extend_from_slice(piece);
        }

        fn end(&mut self, _: usize) {
            self.events.push(self.data.take().map(|data| String::from_utf8(data).unwrap()));
        }
    }

    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Option<String>> {
        let (mut reader, mut events) = (Reader::default(), Events::default());
        pieces.for_each(|piece| reader.feed(piece, &mut events));
        events.events
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
