//! What comes back: [`Watch`] looks at a reply as it flows. Bytes pass as they came, but for lists, which are cut down
//! to what the caller may use.

mod catalog;
mod outline;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use crate::policy::{Permit, PolicySet};
use crate::sse;
use crate::upstream::{MediaType, Reply, ReplyBody, media_type};

use catalog::CatalogFilter;
use outline::{Outline, Sort};

/// Looks at one reply.
#[derive(Debug)]
pub struct Watch {
    mode: Mode,
    heard: Option<Heard>,
    answer: Answer,
}

#[derive(Debug)]
enum Mode {
    /// Nothing to see.
    Pass,
    /// One JSON message.
    Json(Outline),
    /// A stream of them.
    Events(Box<Events>),
    /// A list, as one JSON message: held until it is whole.
    FilterJson { filter: CatalogFilter, held: Vec<u8> },
    /// A list, in a stream: every event is held until it is whole.
    FilterEvents { filter: CatalogFilter, events: Box<HeldEvents> },
}

/// What the server did last, where it bears on how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It told something: it is alive.
    Word,
    /// It asked the client something, and waits for it.
    Question,
    /// It answered.
    Answer,
}

/// How the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not, or not that the gate could tell.
    None,
    /// With a result.
    Result,
    /// With a result that says that the tool failed.
    ToolError,
    /// With a JSON-RPC error.
    Error(i64),
}

/// The reply holds a list that cannot be read, so it must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A list, or one event of it, is held up to this size.
const LARGEST_LIST: usize = 8 * 1024 * 1024;

/// Begins to watch a reply to this permit's call. One that is already here as a whole is looked at now, so that what is
/// wrong with it can still be told properly.
///
/// # Errors
/// It should be a list, but cannot be read.
pub fn watch(mut reply: Reply, permit: &Permit, policy: &Arc<PolicySet>) -> Result<(Watch, Reply), Unreadable> {
    let mut watch = Watch::of(permit, policy, &reply.head)?;
    if let ReplyBody::Whole(bytes) = &mut reply.body {
        *bytes = watch.last(std::mem::take(bytes))?;
    }
    Ok((watch, reply))
}

impl Watch {
    /// For the reply to this permit's call, with this head.
    ///
    /// # Errors
    /// It should be a list, but is in no form that the gate can read.
    fn of(permit: &Permit, policy: &Arc<PolicySet>, head: &http::response::Parts) -> Result<Self, Unreadable> {
        let filter = CatalogFilter::of(permit.call().method(), policy, permit.principal(), permit.server());
        let mode = match (media_type(&head.headers), filter.filter(|_| head.status.is_success())) {
            (MediaType::Json, None) => Mode::Json(Outline::default()),
            (MediaType::EventStream, None) => Mode::Events(Box::default()),
            (MediaType::Other, None) => Mode::Pass,
            (MediaType::Json, Some(filter)) => Mode::FilterJson { filter, held: Vec::new() },
            (MediaType::EventStream, Some(filter)) => Mode::FilterEvents { filter, events: Box::default() },
            (MediaType::Other, Some(_)) => return Err(Unreadable),
        };
        Ok(Self { mode, heard: None, answer: Answer::None })
    }

    /// Whether bytes may be added or taken, so that the length that the server gave does not hold.
    pub fn edits(&self) -> bool {
        matches!(self.mode, Mode::FilterJson { .. } | Mode::FilterEvents { .. })
    }

    /// Whether the reply is an event stream, so that an event may be added.
    pub fn is_stream(&self) -> bool {
        matches!(self.mode, Mode::Events(_) | Mode::FilterEvents { .. })
    }

    /// Looks at the next bytes; returns what passes now.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn feed(&mut self, bytes: Bytes) -> Result<Bytes, Unreadable> {
        match &mut self.mode {
            Mode::Pass => Ok(bytes),
            Mode::Json(outline) => {
                outline.feed(&bytes);
                Ok(bytes)
            }
            Mode::Events(events) => {
                events.feed(&bytes);
                let sort = events.sink.last.take();
                self.hear(sort);
                Ok(bytes)
            }
            Mode::FilterJson { held, .. } => hold(held, &bytes).map(|()| Bytes::new()),
            Mode::FilterEvents { filter, events } => {
                let passed = events.feed(&bytes, filter)?;
                let sort = events.sort.take();
                self.hear(sort);
                Ok(Bytes::from(passed))
            }
        }
    }

    /// Looks at the last bytes, which may be none; returns all that is left to pass.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn last(&mut self, bytes: Bytes) -> Result<Bytes, Unreadable> {
        let passed = self.feed(bytes)?;
        let rest = self.end()?;
        Ok(if passed.is_empty() { rest } else { passed })
    }

    fn end(&mut self) -> Result<Bytes, Unreadable> {
        match &mut self.mode {
            // An event that was not ended is none; browsers drop it too.
            Mode::Pass | Mode::Events(_) | Mode::FilterEvents { .. } => Ok(Bytes::new()),
            Mode::Json(outline) => {
                let sort = outline.finish();
                self.hear(Some(sort));
                Ok(Bytes::new())
            }
            Mode::FilterJson { held, .. } if held.is_empty() => Ok(Bytes::new()),
            Mode::FilterJson { filter, held } => {
                let list = filter.apply(held).map_err(|catalog::Unreadable| Unreadable)?;
                let sort = sort_of(&list);
                self.hear(Some(sort));
                Ok(Bytes::from(list))
            }
        }
    }

    /// What the server did since this was last asked.
    pub fn heard(&mut self) -> Option<Heard> {
        self.heard.take()
    }

    /// How the server answered, as far as it has.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    fn hear(&mut self, sort: Option<Sort>) {
        let (heard, answer) = match sort {
            None | Some(Sort::Nothing) => return,
            Some(Sort::Notification) => (Heard::Word, None),
            Some(Sort::Request) => (Heard::Question, None),
            Some(Sort::Result { failed: false }) => (Heard::Answer, Some(Answer::Result)),
            Some(Sort::Result { failed: true }) => (Heard::Answer, Some(Answer::ToolError)),
            Some(Sort::Error { code }) => (Heard::Answer, Some(Answer::Error(code))),
        };
        self.heard = Some(heard);
        self.answer = answer.unwrap_or(self.answer);
    }
}

fn hold(held: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Unreadable> {
    if held.len() + bytes.len() > LARGEST_LIST {
        return Err(Unreadable);
    }
    held.extend_from_slice(bytes);
    Ok(())
}

fn sort_of(message: &[u8]) -> Sort {
    let mut outline = Outline::default();
    outline.feed(message);
    outline.finish()
}

/// Events that pass at once.
#[derive(Debug, Default)]
struct Events {
    reader: sse::Reader,
    sink: Told,
}

/// What the events told.
#[derive(Debug, Default)]
struct Told {
    outline: Outline,
    last: Option<Sort>,
}

impl Events {
    fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes, &mut self.sink);
    }
}

impl sse::Sink for Told {
    fn data(&mut self, piece: &[u8]) {
        self.outline.feed(piece);
    }

    fn end(&mut self, _: usize) {
        match self.outline.finish() {
            Sort::Nothing => {}
            sort => self.last = Some(sort),
        }
    }
}

/// Events that pass when they are whole.
#[derive(Debug, Default)]
struct HeldEvents {
    reader: sse::Reader,
    held: Vec<u8>,
    data: Vec<u8>,
    sort: Option<Sort>,
}

/// The events that end in the bytes being fed: where, and with which data.
#[derive(Default)]
struct Ended {
    data: Vec<u8>,
    events: Vec<(usize, Vec<u8>)>,
}

impl sse::Sink for Ended {
    fn data(&mut self, piece: &[u8]) {
        self.data.extend_from_slice(piece);
    }

    fn end(&mut self, offset: usize) {
        self.events.push((offset, std::mem::take(&mut self.data)));
    }
}

impl HeldEvents {
    fn feed(&mut self, bytes: &[u8], filter: &CatalogFilter) -> Result<Vec<u8>, Unreadable> {
        let mut ended = Ended { data: std::mem::take(&mut self.data), events: Vec::new() };
        let mut passed = Vec::new();
        let mut begun = 0;
        if self.held.is_empty() && self.reader.completes_line_end(bytes) {
            // It ends an event that has passed: some readers wait for it.
            passed.push(b'\n');
            begun = 1;
        }
        self.reader.feed(bytes, &mut ended);
        self.data = ended.data;
        for (offset, data) in ended.events {
            hold(&mut self.held, bytes.get(begun..offset).unwrap_or_default())?;
            begun = offset;
            let event = std::mem::take(&mut self.held);
            if data.is_empty() {
                passed.extend_from_slice(&event);
                continue;
            }
            let list = filter.apply(&data).map_err(|catalog::Unreadable| Unreadable)?;
            self.sort = Some(sort_of(&list));
            passed.extend(if list == data { event } else { sse::with_data(&event, &list) });
        }
        hold(&mut self.held, bytes.get(begun..).unwrap_or_default())?;
        Ok(passed)
    }
}
