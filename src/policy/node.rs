//! A part of a file whose form another rule decides: kept as written, each value with its place.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::diagnostic::{At, Spanned};

/// A value as written.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// The same without places.
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::Number(value.clone()),
            Self::Text(value) => Value::String(value.clone()),
            Self::List(values) => values.iter().map(|value| value.value.value()).collect(),
            Self::Map(entries) => {
                entries.iter().map(|(name, value)| (name.value.clone(), value.value.value())).collect()
            }
        }
    }

    /// Where the value stands that this JSON Pointer leads to (RFC 6901).
    pub(super) fn place(&self, pointer: &str) -> Option<At> {
        let (name, rest) = match pointer.strip_prefix('/')?.split_once('/') {
            Some((name, rest)) => (name, Some(format!("/{rest}"))),
            None => (pointer.strip_prefix('/')?, None),
        };
        let name = name.replace("~1", "/").replace("~0", "~");
        let value = match self {
            Self::Map(entries) => &entries.iter().find(|(known, _)| known.value == name)?.1,
            Self::List(values) => values.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
        rest.map_or(Some(value.referenced), |rest| value.value.place(&rest).or(Some(value.referenced)))
    }

    /// The texts in a list of them.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let values = if let Self::List(values) = self { values.as_slice() } else { &[] };
        values.iter().filter_map(|value| if let Self::Text(text) = &value.value { Some(text.as_str()) } else { None })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("not a number that JSON has"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Node::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
