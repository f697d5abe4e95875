//! A list of names as written, each with its place. A large policy has hundreds of thousands of names, and all of them are
//! there while it is compiled: so the names of a list stand in one text.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::diagnostic::{At, Spanned};

/// A list of names, each with its place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(super) struct List(#[schemars(with = "Vec<String>", length(min = 1))] Spanned<Packed>);

/// One name after the other, and where each ends and stands.
#[derive(Debug)]
struct Packed {
    text: Box<str>,
    names: Box<[(u32, At)]>,
}

impl List {
    /// Where the list stands.
    pub(super) fn at(&self) -> At {
        self.0.referenced
    }

    /// Whether it names nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.value.names.is_empty()
    }

    /// The names, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = Spanned<&str>> {
        let Packed { text, names } = &self.0.value;
        let begins = [0].into_iter().chain(names.iter().map(|(end, _)| *end));
        begins.zip(names).map(|(begin, (end, at))| Spanned {
            value: text.get(index(begin)..index(*end)).unwrap_or_default(),
            referenced: *at,
        })
    }
}

fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PackedVisitor)
    }
}

struct PackedVisitor;

impl<'de> Visitor<'de> for PackedVisitor {
    type Value = Packed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Packed, A::Error> {
        let (mut text, mut names) = (String::new(), Vec::new());
        while let Some(Spanned { value, referenced }) = seq.next_element::<Spanned<String>>()? {
            text.push_str(&value);
            // A file is bounded far below that.
            let end =
                u32::try_from(text.len()).map_err(|_too_long| serde::de::Error::custom("the list is too long"))?;
            names.push((end, referenced));
        }
        Ok(Packed { text: text.into(), names: names.into() })
    }
}
