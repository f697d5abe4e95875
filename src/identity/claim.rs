//! What is known of a caller beside its id: values of JSON, compared as what they are.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// All that is known of a caller, by name.
pub type Claims = BTreeMap<Box<str>, Claim>;

/// One thing that is known of a caller. A text is never a number: `"7"` is not `7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// One value.
    One(Scalar),
    /// Several, such as the stores that somebody looks after.
    Many(Box<[Scalar]>),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A text.
    Text(Box<str>),
    /// A number. `1` and `1.0` are two.
    Number(Number),
    /// Yes or no.
    Flag(bool),
}

impl Claim {
    /// The claim that a value of JSON makes; `None` for one that has parts within parts, or is nothing.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Array(entries) => entries.iter().map(Scalar::of).collect::<Option<_>>().map(Self::Many),
            Value::Null | Value::Object(_) => None,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Scalar::of(value).map(Self::One),
        }
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::One(Scalar::Text(text.into()))
    }

    /// Whether a value is this one, or one of these: of the same kind, and equal.
    pub fn is(&self, value: &Value) -> bool {
        match self {
            Self::One(scalar) => scalar.is(value),
            Self::Many(scalars) => scalars.iter().any(|scalar| scalar.is(value)),
        }
    }

    /// As it stands in JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::One(scalar) => scalar.to_json(),
            Self::Many(scalars) => scalars.iter().map(Scalar::to_json).collect(),
        }
    }

    /// The values of which it is made.
    pub fn scalars(&self) -> &[Scalar] {
        match self {
            Self::One(scalar) => std::slice::from_ref(scalar),
            Self::Many(scalars) => scalars,
        }
    }
}

impl Scalar {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.as_str().into())),
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::Bool(flag) => Some(Self::Flag(*flag)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(&**text),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Flag(flag) => Value::Bool(*flag),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Flag(_) => None,
        }
    }

    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(text), Value::String(other)) => **text == **other,
            (Self::Number(number), Value::Number(other)) => number == other,
            (Self::Flag(flag), Value::Bool(other)) => flag == other,
            (Self::Text(_) | Self::Number(_) | Self::Flag(_), _) => false,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(scalar) => scalar.fmt(f),
            Self::Many(scalars) => {
                let shown: Vec<_> = scalars.iter().map(Scalar::to_string).collect();
                write!(f, "[{}]", shown.join(", "))
            }
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClaimVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Claim::deserialize(deserializer)? {
            Claim::One(scalar) => Ok(scalar),
            Claim::Many(_) => {
                Err(D::Error::custom("a list in a list\nwrite one list of texts, numbers or truth values"))
            }
        }
    }
}

struct ClaimVisitor;

impl<'de> Visitor<'de> for ClaimVisitor {
    type Value = Claim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, `true` or `false`, or a list of these")
    }

    fn visit_str<E>(self, text: &str) -> Result<Claim, E> {
        Ok(Claim::text(text))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Claim, E> {
        Ok(Claim::One(Scalar::Flag(flag)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Claim, E> {
        Ok(Claim::One(Scalar::Number(number.into())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Claim, E> {
        Ok(Claim::One(Scalar::Number(number.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Claim, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("this is no number of JSON"))?;
        Ok(Claim::One(Scalar::Number(number)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Claim, A::Error> {
        let mut scalars = Vec::new();
        while let Some(scalar) = list.next_element()? {
            scalars.push(scalar);
        }
        if scalars.is_empty() {
            Err(A::Error::custom("a claim without a value\nwrite one, or leave the claim out"))
        } else {
            Ok(Claim::Many(scalars.into()))
        }
    }
}

impl JsonSchema for Claim {
    fn schema_name() -> Cow<'static, str> {
        "Claim".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text, a number, a truth value, or a list of these.",
            "type": ["string", "number", "boolean", "array"],
            "items": { "type": ["string", "number", "boolean"] },
            "minItems": 1
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_in_files_are_what_they_are_written_as() {
        let written = "{ text: '7', number: 7, less: -7, part: 1.5, flag: true, many: [a, 7] }";
        let claims: BTreeMap<String, Claim> = serde_yaml::from_str(written).unwrap();
        let json = json!({ "text": "7", "number": 7, "less": -7, "part": 1.5, "flag": true, "many": ["a", 7] });
        for (name, value) in json.as_object().unwrap() {
            assert_eq!(claims.get(name), Claim::of(value).as_ref(), "{name}");
        }
        for wrong in ["{ a: }", "{ a: [] }", "{ a: [[b]] }", "{ a: { b: c } }", "{ a: .nan }"] {
            assert!(serde_yaml::from_str::<BTreeMap<String, Claim>>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_claim_is_a_value_of_its_own_kind_only() {
        let values =
            [json!("7"), json!(7), json!(7.0), json!("true"), json!(true), json!(null), json!(["7"]), json!({})];
        for (claim, is) in [
            (json!("7"), vec![json!("7")]),
            (json!(7), vec![json!(7)]),
            (json!(true), vec![json!(true)]),
            (json!(["7", 7]), vec![json!("7"), json!(7)]),
            (json!([]), vec![]),
        ] {
            let claim = Claim::of(&claim).unwrap();
            let found: Vec<_> = values.iter().filter(|value| claim.is(value)).cloned().collect();
            assert_eq!(found, is, "{claim}");
        }
        for value in [json!(null), json!({ "a": 1 }), json!([[1]]), json!([null])] {
            assert_eq!(Claim::of(&value), None, "{value}");
        }
    }
}
