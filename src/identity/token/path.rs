//! Where a claim stands in a token: a name, or names of objects within each other.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The names from the token down to the claim; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimPath(Box<[Box<str>]>);

/// A path would be read at so many names.
const DEEPEST: usize = 8;

impl ClaimPath {
    /// A claim at the top.
    pub(super) fn top(name: &str) -> Self {
        Self(Box::new([name.into()]))
    }

    /// What stands there.
    pub(super) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }
}

impl<'de> Deserialize<'de> for ClaimPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = ClaimPath;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("where a claim stands, such as `sub`, `realm_access.roles` or `[\"https://example.com/roles\"]`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ClaimPath, E> {
        if text.contains([':', '/']) {
            let wrong = "between dots there is one name each, and this looks like one name with dots";
            return Err(E::custom(format!("{wrong}\nwrite a list of names: `[\"{text}\"]`")));
        }
        path(text.split('.').map(Into::into).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ClaimPath, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element::<Box<str>>()? {
            names.push(name);
        }
        path(names)
    }
}

fn path<E: Error>(names: Vec<Box<str>>) -> Result<ClaimPath, E> {
    if (1..=DEEPEST).contains(&names.len()) && names.iter().all(|name| !name.is_empty()) {
        Ok(ClaimPath(names.into()))
    } else {
        Err(E::custom(
            "this names no claim\nwrite one to eight names, none of them empty, such as `realm_access.roles`",
        ))
    }
}

impl JsonSchema for ClaimPath {
    fn schema_name() -> Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a claim stands in a token: `sub`, `realm_access.roles`, or a list of names where they have dots.",
            "oneOf": [
                { "type": "string", "pattern": "^[^.:/]+([.][^.:/]+){0,7}$" },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "maxItems": 8 }
            ]
        })
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
