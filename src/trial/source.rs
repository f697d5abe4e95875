//! The file of cases as written. What it means is in `case`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::question::Verdict;
use crate::diagnostic::Spanned;
use crate::identity::EXPIRY;
use crate::policy::Entries;

/// Questions to the policies of the same folder, and the answers that must come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate cases")]
pub struct CasesSource {
    /// The server that the cases are about. Can be left out where there is only one.
    pub(super) server: Option<Spanned<String>>,
    /// The cases. Each begins afresh: none depends on another.
    #[schemars(length(min = 1))]
    pub(super) cases: Spanned<Vec<Spanned<CaseSource>>>,
}

/// Who asks for what, and what is expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Case",
    extend("oneOf" = ["call", "prompt", "resource", "method"].map(|what| json!({ "required": [what] })))
)]
pub(super) struct CaseSource {
    /// What the case shows; no two of a file are called the same.
    pub(super) name: Spanned<String>,
    /// Who asks: by roles and claims, by the id of a key, `anonymous`, or `authenticated`.
    pub(super) r#as: Spanned<AsSource>,
    /// A call of this tool.
    pub(super) call: Option<Spanned<String>>,
    /// The arguments of the call.
    pub(super) arguments: Option<Spanned<Map<String, Value>>>,
    /// A prompt by name.
    pub(super) prompt: Option<Spanned<String>>,
    /// A resource by URI.
    pub(super) resource: Option<Spanned<String>>,
    /// A method that names nothing, such as `logging/setLevel`.
    pub(super) method: Option<Spanned<String>>,
    /// When, in UTC; must be said where a `when` bears on the answer.
    #[schemars(regex(pattern = EXPIRY), example = "2026-11-20T10:00:00Z")]
    pub(super) at: Option<Spanned<String>>,
    /// From which address; must be said where `networks` bear on the answer.
    #[schemars(example = "10.0.0.7")]
    pub(super) from: Option<Spanned<String>>,
    /// The headers that mirror the message: `mcp-protocol-version`, `mcp-method`, `mcp-name`.
    #[serde(default)]
    pub(super) headers: Entries<Spanned<String>>,
    /// So many of the same were made before, in one moment, and are over.
    #[schemars(regex(pattern = CALLS), example = "60 calls")]
    pub(super) after: Option<Spanned<String>>,
    /// So many of the same are under way.
    #[schemars(regex(pattern = CALLS), example = "8 calls")]
    pub(super) during: Option<Spanned<String>>,
    /// What must come of it.
    #[schemars(extend("enum" = Verdict::ALL.map(Verdict::word)))]
    pub(super) expect: Spanned<String>,
    /// The path of the rule that must decide, such as `roles.reader.tools` or `default`; or the reason where none does.
    pub(super) because: Option<Spanned<String>>,
    /// The path of the rule in shadow that would refuse it if it were enforced.
    pub(super) would_deny: Option<Spanned<String>>,
}

/// A number of calls.
const CALLS: &str = "^[1-9][0-9]{0,5} calls?$";

/// Who asks.
#[derive(Debug)]
pub(super) enum AsSource {
    /// `anonymous`, or `authenticated`: who has a key, and no role.
    Word(String),
    /// By key, or by what a key would give.
    Caller(CallerSource),
}

/// A caller with a key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Caller", extend("minProperties" = 1))]
pub(super) struct CallerSource {
    /// The id of a key in a principals file beside the policies.
    pub(super) key: Option<Spanned<String>>,
    /// The roles that the caller holds.
    pub(super) roles: Option<Vec<Spanned<String>>>,
    /// The claims of its key.
    pub(super) claims: Option<BTreeMap<String, String>>,
}

impl JsonSchema for AsSource {
    fn schema_name() -> Cow<'static, str> {
        "As".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let caller = generator.subschema_for::<CallerSource>();
        json_schema!({ "anyOf": [{ "enum": ["anonymous", "authenticated"] }, caller] })
    }
}

impl<'de> Deserialize<'de> for AsSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsVisitor)
    }
}

struct AsVisitor;

impl<'de> Visitor<'de> for AsVisitor {
    type Value = AsSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("who asks, such as `{ roles: [reader] }`, `{ key: ci-bot }` or `anonymous`")
    }

    fn visit_str<E>(self, word: &str) -> Result<AsSource, E> {
        Ok(AsSource::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AsSource, A::Error> {
        CallerSource::deserialize(MapAccessDeserializer::new(map)).map(AsSource::Caller)
    }
}
