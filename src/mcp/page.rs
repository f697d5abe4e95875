//! A page of a list, as its server gave it, which stands in a list of several servers': only where the next one begins is said
//! otherwise.

use std::ops::Range;

use bytes::Bytes;

use super::server_message::BOUNDS;
use crate::json::{self, Flaw, Kind, Lens};

/// An answer to a request for a list.
#[derive(Debug)]
pub struct Page {
    answer: Bytes,
    found: Found,
}

impl Page {
    /// Reads one; `None` if it is no result.
    pub fn read(answer: Bytes) -> Option<Self> {
        let mut found = Found::default();
        json::scan(&answer, Place::Message, &BOUNDS, &mut found).ok()?;
        found.result.is_some().then_some(Self { answer, found })
    }

    /// Where the next one begins, if there is one.
    pub fn next(&self) -> Option<String> {
        let text = std::str::from_utf8(self.answer.get(self.found.next.clone()?)?).ok()?;
        Some(json::decode(text.strip_prefix('"')?.strip_suffix('"')?).into_owned())
    }

    /// The same page with another one behind it, or none; every other byte as it came.
    pub fn leading_to(&self, next: Option<&str>) -> Vec<u8> {
        let Found { result, next: before } = &self.found;
        let mut quoted = String::new();
        json::quote(next.unwrap_or_default(), &mut quoted);
        match (before.clone(), next, result) {
            (Some(span), None, _) => json::without(&self.answer, &json::cuts(&self.answer, [span])),
            (Some(span), Some(_), _) => json::edited(&self.answer, vec![(span, quoted.into_bytes())]),
            (None, Some(_), Some(result)) => {
                // Behind the brace that opens it, where a list stands, too.
                let at = result.start + 1;
                json::edited(&self.answer, vec![(at..at, format!("\"nextCursor\":{quoted},").into_bytes())])
            }
            (None, _, _) => self.answer.to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    Result,
    Next,
    Member,
    Elsewhere,
}

/// Where they stand: a result with something in it, and the cursor.
#[derive(Debug, Default)]
struct Found {
    result: Option<Range<usize>>,
    next: Option<Range<usize>>,
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(match (place, name) {
            (Place::Message, "result") => Place::Result,
            (Place::Result, "nextCursor") => Place::Next,
            (Place::Result, _) => Place::Member,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match place {
            Place::Next if kind == Kind::String => self.next = Some(span),
            // Members come before what they stand in.
            Place::Member => self.result = self.result.take().or(Some(0..0)),
            Place::Result if self.result.is_some() => self.result = Some(span),
            Place::Message | Place::Result | Place::Next | Place::Elsewhere => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(answer: &'static str) -> Option<Page> {
        Page::read(Bytes::from_static(answer.as_bytes()))
    }

    #[test]
    fn a_page_leads_where_it_is_said_to_with_every_other_byte_as_it_came() {
        for (answer, next, behind, told) in [
            (r#"{"result":{"tasks":[], "x":1.0}}"#, None, None, r#"{"result":{"tasks":[], "x":1.0}}"#),
            (
                r#"{"result":{ "tasks":[{"nextCursor":"x"}]}}"#,
                None,
                Some("c\""),
                r#"{"result":{"nextCursor":"c\"", "tasks":[{"nextCursor":"x"}]}}"#,
            ),
            (
                r#"{"result":{"tasks":[], "nextCursor" : ""}}"#,
                Some(""),
                Some("c"),
                r#"{"result":{"tasks":[], "nextCursor" : "c"}}"#,
            ),
            (r#"{"result":{"nextCursor":"\u0061","tasks":[]}}"#, Some("a"), None, r#"{"result":{"tasks":[]}}"#),
        ] {
            let page = page(answer).unwrap();
            assert_eq!(page.next().as_deref(), next, "{answer}");
            assert_eq!(std::str::from_utf8(&page.leading_to(behind)).unwrap(), told);
        }
        for none in ["", "[]", "{}", r#"{"error":{"code":1,"message":""}}"#, r#"{"result":{}}"#, r#"{"result":1}"#] {
            assert!(page(none).is_none(), "{none}");
        }
    }
}
