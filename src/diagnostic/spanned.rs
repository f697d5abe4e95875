//! A value of a file with its place. To readers of files it is the value: in its form for editors, too.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::At;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Spanned<T> {
    /// What is written.
    pub value: T,
    /// Where.
    pub referenced: At,
}

impl<T: AsRef<str>> Spanned<T> {
    /// The same, borrowed.
    pub fn as_text(&self) -> Spanned<&str> {
        Spanned { value: self.value.as_ref(), referenced: self.referenced }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_yaml::Spanned { value, referenced, .. } = Deserialize::deserialize(deserializer)?;
        Ok(Self { value, referenced: referenced.into() })
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
