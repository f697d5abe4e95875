//! What is found in JSON, and what stands there instead. The text has been proved to have one reading; every byte that
//! is not what was found stays as it came.

use std::ops::Range;

use super::{Finder, Match, What, find, mask};
use crate::json::{self, Bounds, Flaw, Kind, Lens};

/// What of a text is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// What a server says in a message: its `result`, `error` or `params`, but for what only the protocol reads (cursors,
    /// tokens of progress, ids of tasks, `requestState`) and for encoded bytes (`data` of an image, `blob`).
    Said,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which of the finders found it.
    pub by: usize,
    /// What.
    pub what: What,
    /// Where, within the JSON: a part of a string, or a whole number.
    span: Range<usize>,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Text,
    Name,
    Number,
}

/// Everything that these find in this JSON text, in its order. [`masked`], nothing is left that they find.
pub fn search(finders: &[&Finder], text: &[u8], part: Part) -> Vec<Hit> {
    if finders.iter().any(|finder| finder.may_find(text)) { walk(finders, text, part) } else { Vec::new() }
}

/// Reads the text, and finds everything in it.
pub(super) fn walk(finders: &[&Finder], text: &[u8], part: Part) -> Vec<Hit> {
    let place = match part {
        Part::Whole => Place::of(Where::Value),
        Part::Said => Place::of(Where::Message),
    };
    let mut search = Search { finders, text, hits: Vec::new() };
    // It was read before; if it had not been, nothing of it would pass.
    let read = json::scan(text, place, &UNBOUNDED, &mut search);
    debug_assert!(read.is_ok(), "{read:?}");
    search.hits.sort_by_key(|hit| (hit.span.start, hit.span.end));
    search.hits
}

/// The text with something else in the place of these hits, which stand in its order: in a string `[redacted: NAME]`,
/// for a number `0`, so that both stay what they are.
pub fn masked<'a>(text: &[u8], hits: impl IntoIterator<Item = (&'a Hit, &'a str)>) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len() + 64);
    let (mut from, mut names) = (0, None);
    for (hit, name) in hits {
        let Hit { span, of, .. } = hit;
        if span.start < from {
            // It overlaps with the last one, whose mask stands for both.
            from = from.max(span.end);
            continue;
        }
        masked.extend_from_slice(text.get(from..span.start).unwrap_or_default());
        match of {
            Of::Text => masked.extend_from_slice(mask::in_string(name).as_bytes()),
            Of::Name => {
                // Somebody may have masked names in it before.
                let last = names.unwrap_or_else(|| mask::each(text).map(|mask| mask.number).max().unwrap_or_default());
                masked.extend_from_slice(mask::in_name(name, last + 1).as_bytes());
                names = Some(last + 1);
            }
            Of::Number => masked.push(b'0'),
        }
        from = span.end;
    }
    masked.extend_from_slice(text.get(from..).unwrap_or_default());
    masked
}

/// So many bytes of a text at most, and a mark where the rest was. What is to be masked is masked before: of half a secret
/// nobody sees that it is one.
pub fn clipped(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(text);
    match text.split_at_checked(text.floor_char_boundary(most)) {
        Some((kept, rest)) if !rest.is_empty() => format!("{kept}…"),
        _ => text.into_owned(),
    }
}

/// Whoever read the text first has bounded it.
const UNBOUNDED: Bounds = Bounds { depth: usize::MAX, members: usize::MAX, values: usize::MAX, number: usize::MAX };

struct Search<'a> {
    finders: &'a [&'a Finder],
    text: &'a [u8],
    hits: Vec<Hit>,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: Where,
    /// Something was found in its name.
    named: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Message,
    /// In `result`, `error` or `params`.
    Body,
    Meta,
    /// What people and models read, in blocks.
    Blocks,
    Block,
    Value,
    /// Not searched.
    Opaque,
}

impl Place {
    fn of(at: Where) -> Self {
        Self { at, named: false }
    }
}

impl Where {
    fn member(self, name: &str) -> Self {
        match (self, name) {
            (Self::Message, "result" | "error" | "params") => Self::Body,
            (Self::Body, "_meta") => Self::Meta,
            (Self::Body, "content" | "contents" | "messages") => Self::Blocks,
            (Self::Message | Self::Opaque, _)
            | (Self::Body, "requestState" | "task" | "taskId" | "progressToken" | "requestId" | "nextCursor")
            | (Self::Meta, "progressToken")
            | (Self::Block, "data" | "blob") => Self::Opaque,
            (Self::Meta, name) if name.starts_with("io.modelcontextprotocol/") => Self::Opaque,
            (Self::Block | Self::Blocks, "resource" | "content") => Self::Block,
            (Self::Body | Self::Meta | Self::Blocks | Self::Block | Self::Value, _) => Self::Value,
        }
    }
}

impl Lens for Search<'_> {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        let searched = !matches!(place.at, Where::Message | Where::Opaque);
        let named = searched && !find(self.finders, name).is_empty();
        Ok(Place { at: place.at.member(name), named })
    }

    fn element(&mut self, place: Place) -> Place {
        Place::of(match place.at {
            Where::Blocks => Where::Block,
            other => other,
        })
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        if place.named
            && let Some(name) = json::name(self.text, span.start)
        {
            self.string(name, Of::Name);
        }
        match kind {
            _ if matches!(place.at, Where::Message | Where::Opaque) => {}
            Kind::String => self.string(span.start + 1..span.end - 1, Of::Text),
            Kind::Number => self.number(span),
            Kind::Literal | Kind::Array | Kind::Object => {}
        }
    }
}

impl Search<'_> {
    /// Searches what stands between quotation marks, as it reads when its escapes are resolved.
    fn string(&mut self, span: Range<usize>, of: Of) {
        let Some(raw) = self.text.get(span.clone()).and_then(|raw| std::str::from_utf8(raw).ok()) else {
            return;
        };
        let text = json::Decoded::of(raw);
        for Match { by, what, span: found } in find(self.finders, text.as_str()) {
            let within = text.raw(found);
            self.hits.push(Hit { by, what, span: span.start + within.start..span.start + within.end, of });
        }
    }

    fn number(&mut self, span: Range<usize>) {
        let Some(digits) = self.text.get(span.clone()).and_then(|raw| std::str::from_utf8(raw).ok()) else {
            return;
        };
        for Match { by, what, .. } in find(self.finders, digits) {
            self.hits.push(Hit { by, what, span: span.clone(), of: Of::Number });
        }
    }
}
