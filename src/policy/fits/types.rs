//! Which types a value can have, and which keywords of a schema are about which of them.

use std::ops::{BitAnd, BitOr};

use serde_json::{Map, Value};

/// A set of types. A number is either whole or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

/// What a type is called in a schema, its set, and the keywords that are about nothing else.
const TYPES: [(&str, Types, &[&str]); 7] = [
    ("string", Types::STRING, &["minLength", "maxLength", "pattern", "format"]),
    ("number", Types::NUMBER, &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("integer", Types::INTEGER, &[]),
    (
        "array",
        Types::ARRAY,
        &[
            "minItems",
            "maxItems",
            "uniqueItems",
            "items",
            "prefixItems",
            "contains",
            "minContains",
            "maxContains",
            "unevaluatedItems",
        ],
    ),
    (
        "object",
        Types::OBJECT,
        &[
            "minProperties",
            "maxProperties",
            "required",
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "dependentRequired",
            "dependentSchemas",
            "unevaluatedProperties",
        ],
    ),
    ("boolean", Types::BOOLEAN, &[]),
    ("null", Types::NULL, &[]),
];

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(0b0111_1111);
    pub(super) const STRING: Self = Self(1);
    pub(super) const INTEGER: Self = Self(1 << 1);
    pub(super) const NUMBER: Self = Self(1 << 1 | 1 << 2);
    pub(super) const ARRAY: Self = Self(1 << 3);
    pub(super) const OBJECT: Self = Self(1 << 4);
    pub(super) const BOOLEAN: Self = Self(1 << 5);
    pub(super) const NULL: Self = Self(1 << 6);
    /// What can equal a claim.
    pub(super) const OF_CLAIMS: Self = Self(Self::STRING.0 | Self::NUMBER.0 | Self::BOOLEAN.0);

    /// Those that `type`, `claim` and `sql` leave.
    pub(super) fn of_schema(schema: &Map<String, Value>) -> Self {
        let named = match schema.get("type") {
            Some(Value::String(name)) => Self::named(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).map(Self::named).fold(Self::NONE, BitOr::bitor)
            }
            _ => Self::ALL,
        };
        // As OpenAPI has it.
        let null = if schema.get("nullable") == Some(&Value::Bool(true)) { Self::NULL } else { Self::NONE };
        let named = named | null;
        let ours = [("claim", Self::OF_CLAIMS), ("sql", Self::STRING)];
        ours.iter().filter(|(keyword, _)| schema.contains_key(*keyword)).fold(named, |types, (_, ours)| types & *ours)
    }

    /// That of this value: `1.0` is a whole number.
    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => Self::INTEGER,
            Value::Number(_) => Self::NUMBER.without(Self::INTEGER),
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// Those that this keyword says something about, if it does not about all.
    pub(super) fn of_keyword(keyword: &str) -> Option<Self> {
        TYPES.iter().find(|(_, _, about)| about.contains(&keyword)).map(|(_, types, _)| *types)
    }

    /// A type that nobody knows may be any.
    fn named(name: &str) -> Self {
        TYPES.iter().find(|(known, _, _)| *known == name).map_or(Self::ALL, |(_, types, _)| *types)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn touches(self, other: Self) -> bool {
        !(self & other).is_empty()
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// `string or integer`.
    pub(super) fn words(self) -> String {
        let mut left = self;
        let mut words = Vec::new();
        for (word, types, _) in TYPES {
            if types & left == types {
                left = left.without(types);
                words.push(word);
            }
        }
        words.join(" or ")
    }
}

impl BitAnd for Types {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
