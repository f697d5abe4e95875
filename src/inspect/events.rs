//! The events of a stream: each is held until it is whole, judged, and passes as it came. One that proves too long for
//! that is followed as it passes; only its end is held until it has proved sound.

use bytes::{Bytes, BytesMut};

use super::endpoint::Opens;
use super::judge::Judge;
use super::outline::Outline;
use super::verdict::{Sort, Verdict};
use crate::mcp::{Problem, ServerName};
use crate::sse::{self, Event, Splitter};
use crate::upstream::Unsound;

/// Reads a stream piece by piece.
#[derive(Debug)]
pub(super) struct Events {
    splitter: Splitter,
    /// What has come of an event.
    held: BytesMut,
    long: Option<Long>,
    /// The last event did not pass, so the rest of its end must not either.
    dropped: bool,
    most: Most,
    /// Where the stream is, if its first event must say where messages go.
    opens: Option<Opens>,
    /// What becomes of ids.
    ids: Ids,
    /// Some event had an id: what comes behind it can be asked for on another connection.
    pub(super) resumable: bool,
}

/// What becomes of the ids of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// They pass.
    Kept,
    /// They say which server's they are, too: other servers have their own.
    OfServer(ServerName),
    /// They do not pass: nobody could be asked for what comes behind them.
    LeftOut,
}

/// How long an event may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Most {
    /// This long; a longer one is refused.
    Held(usize),
    /// As long as it likes; of one longer than this the rest is followed as it passes.
    Followed(usize),
}

/// An event of which a part has passed.
#[derive(Debug)]
struct Long {
    outline: Outline,
    /// The line of its data has not ended.
    in_data: bool,
}

/// What passes of a piece, and what stopped the stream.
#[derive(Debug, Default)]
pub(super) struct Fed {
    pub(super) passed: Bytes,
    pub(super) heard: Option<Sort>,
    pub(super) unsound: Option<Unsound>,
}

impl Events {
    pub(super) fn new(most: Most, opens: Option<Opens>, ids: Ids) -> Self {
        Self {
            splitter: Splitter::default(),
            held: BytesMut::new(),
            long: None,
            dropped: false,
            most,
            opens,
            ids,
            resumable: false,
        }
    }

    /// Whether everything that has passed is whole.
    pub(super) fn is_between(&self) -> bool {
        self.long.is_none()
    }

    /// Reads the next piece.
    pub(super) fn feed(&mut self, piece: &Bytes, judge: &mut Judge) -> Fed {
        let dropped = std::mem::take(&mut self.dropped) && self.splitter.skip_line_end(piece);
        let piece = &piece.slice(usize::from(dropped)..);
        let mut out = Out::of(piece);
        out.as_it_came = self.held.is_empty() && self.long.is_none();
        let mut fed = Fed::default();
        let mut at = 0;
        if out.as_it_came && self.splitter.completes_line_end(piece) {
            // It ends an event that has passed: some readers wait for it.
            out.pass_to(1);
        }
        loop {
            let rest = piece.slice(at..);
            let Some(end) = self.splitter.next(&rest) else {
                if let Err(unsound) = self.hold(piece.slice(at.max(out.passed_to)..), &mut out) {
                    fed.unsound = Some(unsound);
                }
                break;
            };
            let judged = self.end(rest.slice(..end), judge);
            at += end;
            match judged {
                Ok((verdict, sort)) => {
                    fed.heard = sort.or(fed.heard);
                    out.event(at, verdict);
                }
                Err(unsound) => {
                    fed.unsound = Some(unsound);
                    break;
                }
            }
        }
        fed.passed = out.finish();
        fed
    }

    /// An event ends with these bytes: what of it passes.
    fn end(&mut self, last: Bytes, judge: &mut Judge) -> Result<(Passes, Option<Sort>), Unsound> {
        if let Some(mut long) = self.long.take() {
            let rest = long.follow(&last);
            self.held.extend_from_slice(last.get(rest..).unwrap_or_default());
            if Event::read(&self.held).data.is_some() {
                return Err(Unsound::Message(Problem::Answer));
            }
            let sort = judge.long(long.outline.finish())?;
            let followed = last.slice(..rest);
            let held = self.ids.shown(self.held.split().freeze());
            return Ok((Passes::So([followed.as_ref(), held.as_ref()].concat()), Some(sort)));
        }
        let whole = self.held.is_empty();
        let event = if whole {
            last
        } else {
            self.held.extend_from_slice(&last);
            self.held.split().freeze()
        };
        let read = Event::read(&event);
        self.resumable |= read.id.is_some();
        let (verdict, sort) = match (&read.data, self.opens.take()) {
            (None, opens) => {
                self.opens = opens;
                (Verdict::Pass, None)
            }
            (Some(_), Some(opens)) => (judge.begin(&read, &opens)?.map_or(Verdict::Drop, Verdict::Edit), None),
            // Readers dispatch it as something else than a message; nothing behind the first event is.
            (Some(_), None) if !read.is_message() => (Verdict::Drop, None),
            (Some(data), None) => match judge.message(data) {
                Ok((verdict, sort)) => (verdict, Some(sort)),
                Err(unsound) if judge.is_patient() => {
                    tracing::warn!(reason = unsound.reason(), %unsound, "a message of the server was left out");
                    (Verdict::Drop, None)
                }
                Err(unsound) => return Err(unsound),
            },
        };
        self.dropped = verdict == Verdict::Drop;
        let as_it_came = whole && (read.id.is_none() || self.ids == Ids::Kept);
        let passes = match verdict {
            Verdict::Pass if as_it_came => Passes::AsItCame,
            Verdict::Pass => Passes::So(self.ids.shown(event.clone()).to_vec()),
            Verdict::Edit(data) => Passes::So(self.ids.shown(sse::with_data(&event, &data).into()).to_vec()),
            Verdict::Drop => Passes::So(Vec::new()),
        };
        Ok((passes, sort))
    }

    /// Keeps what has come of an event; passes it, once there is too much of it.
    fn hold(&mut self, part: Bytes, out: &mut Out<'_>) -> Result<(), Unsound> {
        let mut part = part;
        if let Some(long) = &mut self.long {
            let rest = long.follow(&part);
            out.extend(&part.split_to(rest));
        }
        self.held.extend_from_slice(&part);
        match self.most {
            Most::Held(most) | Most::Followed(most) if self.held.len() <= most => Ok(()),
            Most::Held(most) => Err(Unsound::TooLong(most)),
            Most::Followed(most) if self.long.is_some() => Err(Unsound::TooLong(most)),
            Most::Followed(most) => {
                self.long = Some(Long::begin(&self.held).ok_or(Unsound::TooLong(most))?);
                out.extend(&self.ids.shown(self.held.split().freeze()));
                Ok(())
            }
        }
    }
}

impl Ids {
    /// An event, or a part of one, with such ids.
    fn shown(&self, event: Bytes) -> Bytes {
        match self {
            Self::Kept => event,
            Self::OfServer(server) => {
                let id = |theirs: &[u8]| Some([server.as_str().as_bytes(), b" ", theirs].concat());
                sse::with_id(&event, id).into()
            }
            Self::LeftOut => sse::with_id(&event, |_theirs| None).into(),
        }
    }
}

/// What of an event passes.
#[derive(Debug)]
enum Passes {
    /// All of it, as it stands in the piece.
    AsItCame,
    /// This.
    So(Vec<u8>),
}

impl Long {
    /// Begins to follow an event whose first bytes are these: its last line is all of its data, and has not ended.
    fn begin(event: &[u8]) -> Option<Self> {
        let line = memchr::memrchr2(b'\n', b'\r', event).map_or(0, |end| end + 1);
        let (before, line) = event.split_at(line);
        if Event::read(before).data.is_some() || !Event::read(before).is_message() {
            return None;
        }
        let mut outline = Outline::default();
        outline.feed(Event::read(line).data?.as_ref());
        Some(Self { outline, in_data: true })
    }

    /// Follows the line of its data; says where that ends in these bytes.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        if !self.in_data {
            return 0;
        }
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        self.in_data = end.is_none();
        let end = end.unwrap_or(bytes.len());
        self.outline.feed(bytes.get(..end).unwrap_or_default());
        end
    }
}

/// What passes of a piece: a slice of it, for as long as everything passes as it came.
struct Out<'a> {
    piece: &'a Bytes,
    as_it_came: bool,
    /// So much of the piece has passed, or been dropped.
    passed_to: usize,
    edited: Vec<u8>,
}

impl<'a> Out<'a> {
    fn of(piece: &'a Bytes) -> Self {
        Self { piece, as_it_came: true, passed_to: 0, edited: Vec::new() }
    }

    fn pass_to(&mut self, at: usize) {
        self.passed_to = at;
    }

    /// An event ended here.
    fn event(&mut self, at: usize, passes: Passes) {
        match passes {
            Passes::AsItCame if self.as_it_came => {}
            Passes::AsItCame => self.edited.extend_from_slice(self.piece.get(self.passed_to..at).unwrap_or_default()),
            Passes::So(bytes) => self.extend(&bytes),
        }
        self.passed_to = at;
    }

    fn extend(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.as_it_came) {
            self.edited.extend_from_slice(self.piece.get(..self.passed_to).unwrap_or_default());
        }
        self.edited.extend_from_slice(bytes);
    }

    fn finish(self) -> Bytes {
        if self.as_it_came { self.piece.slice(..self.passed_to) } else { Bytes::from(self.edited) }
    }
}
