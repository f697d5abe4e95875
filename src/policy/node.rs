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

    /// The entries of a mapping.
    pub(super) fn entries(&self) -> &[(Spanned<String>, Spanned<Self>)] {
        if let Self::Map(entries) = self { entries } else { &[] }
    }

    /// What stands under this key.
    pub(super) fn get(&self, key: &str) -> Option<&Spanned<Self>> {
        self.entries().iter().find(|(known, _)| known.value == key).map(|(_, value)| value)
    }

    /// The entries of a list.
    pub(super) fn items(&self) -> &[Spanned<Self>] {
        if let Self::List(values) = self { values } else { &[] }
    }

    /// Where the value stands that this JSON Pointer leads to (RFC 6901).
    pub(super) fn place(&self, pointer: &str) -> Option<At> {
        let (name, rest) = match pointer.strip_prefix('/')?.split_once('/') {
            Some((name, rest)) => (name, Some(format!("/{rest}"))),
            None => (pointer.strip_prefix('/')?, None),
        };
        let name = name.replace("~1", "/").replace("~0", "~");
        let value = match self {
            Self::Map(_) => self.get(&name)?,
            Self::List(values) => values.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
        rest.map_or(Some(value.referenced), |rest| value.value.place(&rest).or(Some(value.referenced)))
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The texts in a list of them.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.items().iter().filter_map(|value| value.value.text())
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
