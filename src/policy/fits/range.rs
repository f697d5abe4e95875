//! From where to where a schema lets something reach, and whether two of them leave anything in between.

use serde_json::{Map, Value};

use super::super::node::Node;
use super::types::Types;
use crate::diagnostic::At;

/// Keywords that bound the same from below and from above, and what they bound.
pub(super) struct Bounds {
    pub(super) of: Types,
    least: &'static [&'static str],
    most: &'static [&'static str],
    /// What is counted.
    unit: &'static str,
}

pub(super) const BOUNDS: &[Bounds] = &[
    Bounds {
        of: Types::NUMBER,
        least: &["minimum", "exclusiveMinimum"],
        most: &["maximum", "exclusiveMaximum"],
        unit: "",
    },
    Bounds { of: Types::STRING, least: &["minLength"], most: &["maxLength"], unit: " characters" },
    Bounds { of: Types::ARRAY, least: &["minItems"], most: &["maxItems"], unit: " items" },
    Bounds { of: Types::OBJECT, least: &["minProperties"], most: &["maxProperties"], unit: " properties" },
];

/// Every whole number up to here is a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// One end of a range.
#[derive(Clone, Copy)]
struct End {
    value: f64,
    /// Whether the value itself lies outside.
    open: bool,
    /// Where it is written; `None` if the tool says it.
    at: Option<At>,
}

/// A range in which nothing lies: where that is written, and in words.
pub(super) struct Empty {
    pub(super) at: At,
    pub(super) what: String,
}

impl Bounds {
    /// Whether nothing of these types lies between what is written here and what the tool says.
    pub(super) fn empty(&self, here: &Node, there: Option<&Map<String, Value>>, left: Types) -> Option<Empty> {
        let ends = |keywords: &'static [&'static str]| {
            let written = keywords.iter().filter_map(move |keyword| {
                let written = here.get(keyword)?;
                let value = written.value.value().as_f64()?;
                Some(End { value, open: keyword.starts_with("exclusive"), at: Some(written.referenced) })
            });
            let said = keywords.iter().filter_map(move |keyword| {
                let value = there?.get(*keyword)?.as_f64()?;
                Some(End { value, open: keyword.starts_with("exclusive"), at: None })
            });
            written.chain(said)
        };
        // Of equal ones, what is open leaves less.
        let narrow = |a: &End, b: &End| a.open.cmp(&b.open);
        let least = ends(self.least).max_by(|a, b| a.value.total_cmp(&b.value).then(narrow(a, b)))?;
        let most = ends(self.most).max_by(|a, b| b.value.total_cmp(&a.value).then(narrow(a, b)))?;
        let left = left & self.of;
        // What only the tool says is not for the policy to put right.
        let at = least.at.or(most.at).filter(|_| nothing_between(least, most, left))?;
        let whole = if left == Types::INTEGER && least.value <= most.value { " as a whole number" } else { "" };
        let (least, most) = (self.end(least, "at least", "more than"), self.end(most, "at most", "less than"));
        Some(Empty { at, what: format!("{least} and {most}{whole}") })
    }

    fn end(&self, end: End, closed: &str, open: &str) -> String {
        let whose = if end.at.is_some() { "" } else { " in the tool" };
        format!("{} {}{}{whose}", if end.open { open } else { closed }, end.value, self.unit)
    }
}

fn nothing_between(least: End, most: End, left: Types) -> bool {
    // Beyond what is exact two bounds may only seem to be equal.
    let exact = least.value.abs() < EXACT && most.value.abs() < EXACT;
    if left == Types::INTEGER && exact {
        let from = if least.open { least.value.floor() + 1.0 } else { least.value.ceil() };
        let to = if most.open { most.value.ceil() - 1.0 } else { most.value.floor() };
        return from > to;
    }
    least.value > most.value || (exact && (least.open || most.open) && least.value >= most.value)
}
