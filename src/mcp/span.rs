//! Values of a message: of which kind, and where they stand.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, Kind};

/// A value that was found.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

impl Value {
    pub(super) fn is(&self, one: Kind, other: Kind) -> bool {
        self.kind == one || self.kind == other
    }
}

/// A body that was proved to be UTF-8.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl<'a> Text<'a> {
    pub(super) fn at(self, span: &Range<usize>) -> &'a str {
        self.0.get(span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The text of a string value; `None` if it is of another kind.
    pub(super) fn string(self, value: &Value) -> Option<Cow<'a, str>> {
        let inner = value.span.start + 1..value.span.end.saturating_sub(1);
        (value.kind == Kind::String).then(|| json::decode(self.at(&inner)))
    }
}
