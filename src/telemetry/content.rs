//! Arguments and results of tool calls on spans: only where the operator has switched that on, and of each so much.
//!
//! Whatever is taken out of them for everybody is taken out here.

use std::ops::Range;

use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::redact;

/// Whether what callers and servers say stands on spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// It does not.
    #[default]
    Hidden,
    /// It does, for whoever may look at spans.
    OnSpans,
}

/// So much of each, in bytes.
const LONGEST: usize = 4096;

/// What is shown of arguments.
pub(super) fn arguments(json: &[u8]) -> String {
    redact::clipped(json, LONGEST)
}

/// What is shown of the answer to a call: its result, if it has one.
pub(super) fn result(answer: &[u8]) -> Option<String> {
    let mut found = Found::default();
    json::scan(answer, Place::Message, &Bounds::default(), &mut found).ok()?;
    Some(arguments(answer.get(found.0?)?))
}

/// Where the result stands.
#[derive(Debug, Default)]
struct Found(Option<Range<usize>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    Result,
    Elsewhere,
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(if place == Place::Message && name == "result" { Place::Result } else { Place::Elsewhere })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, _: Kind, span: Range<usize>) {
        if place == Place::Result {
            self.0 = Some(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_shown_and_not_more_than_so_much_of_it() {
        let answer = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"result":1}]}}"#;
        assert_eq!(result(answer).as_deref(), Some(r#"{"content":[{"result":1}]}"#));
        assert_eq!(result(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"result"}}"#), None);
        let long = "é".repeat(LONGEST);
        let shown = arguments(long.as_bytes());
        assert!(shown.len() <= LONGEST + '…'.len_utf8() && shown.ends_with('…'), "{}", shown.len());
        assert_eq!(arguments(b"{}"), "{}");
    }
}
