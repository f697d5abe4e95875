//! The keywords of a condition on arguments: which there are, and what stands behind each.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::sql_rule;

/// What stands behind a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A value that means itself.
    Value,
    /// A schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// Schemas by name.
    Named,
    /// The same, of the properties themselves.
    Properties,
    /// The name of a claim.
    Claim,
    /// What an SQL text may do.
    Sql,
    /// A reference, which must lead nowhere else.
    Reference,
}

/// The keywords of JSON Schema 2020-12 (Core, Applicator, Validation, Unevaluated, Meta-Data), and ours.
pub(super) const KEYWORDS: &[(&str, Holds)] = &[
    ("$ref", Holds::Reference),
    ("$defs", Holds::Named),
    ("$comment", Holds::Value),
    ("title", Holds::Value),
    ("description", Holds::Value),
    ("default", Holds::Value),
    ("examples", Holds::Value),
    ("deprecated", Holds::Value),
    ("type", Holds::Value),
    ("enum", Holds::Value),
    ("const", Holds::Value),
    ("multipleOf", Holds::Value),
    ("maximum", Holds::Value),
    ("exclusiveMaximum", Holds::Value),
    ("minimum", Holds::Value),
    ("exclusiveMinimum", Holds::Value),
    ("maxLength", Holds::Value),
    ("minLength", Holds::Value),
    ("pattern", Holds::Value),
    ("maxItems", Holds::Value),
    ("minItems", Holds::Value),
    ("uniqueItems", Holds::Value),
    ("maxContains", Holds::Value),
    ("minContains", Holds::Value),
    ("maxProperties", Holds::Value),
    ("minProperties", Holds::Value),
    ("required", Holds::Value),
    ("dependentRequired", Holds::Value),
    ("format", Holds::Value),
    ("properties", Holds::Properties),
    ("patternProperties", Holds::Named),
    ("dependentSchemas", Holds::Named),
    ("additionalProperties", Holds::Schema),
    ("unevaluatedProperties", Holds::Schema),
    ("propertyNames", Holds::Schema),
    ("items", Holds::Schema),
    ("unevaluatedItems", Holds::Schema),
    ("contains", Holds::Schema),
    ("not", Holds::Schema),
    ("if", Holds::Schema),
    ("then", Holds::Schema),
    ("else", Holds::Schema),
    ("prefixItems", Holds::Schemas),
    ("allOf", Holds::Schemas),
    ("anyOf", Holds::Schemas),
    ("oneOf", Holds::Schemas),
    ("claim", Holds::Claim),
    ("sql", Holds::Sql),
];

/// The types that a value can have (JSON Schema Validation, 6.1.1).
pub(super) const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "integer", "string"];

/// A schema of these keywords, in the form that editors are told.
pub(super) struct Keywords;

impl JsonSchema for Keywords {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let schema = generator.subschema_for::<Self>();
        let keyword = |(name, holds): &(&str, Holds)| ((*name).to_owned(), holds.form(name, &schema));
        let properties: Map<String, Value> = KEYWORDS.iter().map(keyword).collect();
        json_schema!({
            "description": "JSON Schema 2020-12, with two keywords more: `claim` and `sql`.",
            "type": ["object", "boolean"],
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

impl Holds {
    /// What stands behind the keyword of this name, where `schema` is the form of a schema.
    fn form(self, keyword: &str, schema: &Schema) -> Value {
        let described = |form: Value, description: &str| {
            let mut form = form;
            if let Some(form) = form.as_object_mut() {
                form.insert("description".to_owned(), description.into());
            }
            form
        };
        let named = json!({ "type": "object", "additionalProperties": schema });
        match self {
            Self::Properties => {
                described(named, "Conditions on arguments by name. One that is not here may be anything.")
            }
            Self::Named => named,
            Self::Schema => schema.clone().to_value(),
            Self::Schemas => json!({ "type": "array", "items": schema }),
            Self::Reference => json!({ "type": "string", "pattern": "^#" }),
            Self::Claim => {
                json!({ "type": "string", "description": "The claim of the caller's that this argument must equal." })
            }
            Self::Sql => {
                described(sql_rule::form(), "What the SQL text in this argument may do: one statement and no more.")
            }
            Self::Value => match keyword {
                "required" => json!({
                    "description": "Arguments that a call must have.",
                    "type": "array",
                    "items": { "type": "string" },
                }),
                "type" => json!({ "anyOf": [{ "enum": TYPES }, { "type": "array", "items": { "enum": TYPES } }] }),
                _ => json!({}),
            },
        }
    }
}
