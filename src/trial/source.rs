//! The file of cases as written. What it means is in `case`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::question::Verdict;
use crate::diagnostic::Spanned;
use crate::identity::{Claim, EXPIRY};
use crate::policy::Entries;

/// What the policies beside it are meant to say, as questions with the answers that must come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate test cases")]
pub struct CasesSource {
    /// The server that the cases are about. Can be left out where there is only one.
    pub(super) server: Option<Spanned<String>>,
    /// The cases. Each is asked by itself, of the rules that are enforced.
    #[schemars(length(min = 1))]
    pub(super) cases: Spanned<Vec<Spanned<CaseSource>>>,
}

/// Who asks for what, and what must come of it. It asks for one thing: a call, a prompt, a resource or a method.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Case",
    example = json!({ "name": "a reader searches", "as": { "roles": ["reader"] }, "call": "search", "expect": "allow" })
)]
pub(super) struct CaseSource {
    /// What it shows. No two cases of a file have the same.
    pub(super) name: Spanned<String>,
    /// Who asks: somebody with these roles, the holder of a key by its id, or a word.
    pub(super) r#as: Spanned<AsSource>,
    /// The tool that is called.
    pub(super) call: Option<Spanned<String>>,
    /// The arguments of the call.
    pub(super) arguments: Option<Spanned<Map<String, Value>>>,
    /// The prompt that is asked for.
    pub(super) prompt: Option<Spanned<String>>,
    /// The resource that is read, by URI.
    pub(super) resource: Option<Spanned<String>>,
    /// The method that is asked for, of those that name no tool, prompt or resource.
    #[schemars(example = "tools/list")]
    pub(super) method: Option<Spanned<String>>,
    /// When it is asked, in UTC. Needed where the answer depends on it.
    #[schemars(regex(pattern = EXPIRY), example = "2026-11-20T10:00:00Z")]
    pub(super) at: Option<Spanned<String>>,
    /// From which address it is asked. Needed where the answer depends on it.
    #[schemars(example = "10.0.0.7")]
    pub(super) from: Option<Spanned<String>>,
    /// Headers that mirror the message, as a client sends them: `mcp-name`, `mcp-method`, `mcp-protocol-version`.
    #[serde(default)]
    pub(super) headers: Entries<Spanned<String>>,
    /// So many calls of the same were made in the moment before, and have ended.
    #[schemars(regex(pattern = CALLS), example = "60 calls")]
    pub(super) after: Option<Spanned<String>>,
    /// So many calls of the same are still under way.
    #[schemars(regex(pattern = CALLS), example = "8 calls")]
    pub(super) during: Option<Spanned<String>>,
    /// What must come of it.
    #[schemars(extend("enum" = Verdict::ALL.map(Verdict::word)))]
    pub(super) expect: Spanned<String>,
    /// What must decide: the path of a rule, or the reason where no rule does.
    #[schemars(example = "roles.reader.tools")]
    pub(super) because: Option<Spanned<String>>,
    /// The path of the rule in shadow that would refuse it.
    #[schemars(example = "tools.search.limits")]
    pub(super) would_deny: Option<Spanned<String>>,
}

/// The form of a number of calls, for editors.
const CALLS: &str = "^[0-9]+ calls?$";

/// Who asks.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "As")]
pub(super) enum AsSource {
    /// `anonymous`, or `authenticated`: who has a key, and no role.
    #[schemars(extend("enum" = ["anonymous", "authenticated"]))]
    Word(String),
    /// By key, or by what a key would give.
    Caller(CallerSource),
}

/// A caller with a key: its id, or what it would give. Or one with a token: what that would give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Caller", extend("minProperties" = 1))]
pub(super) struct CallerSource {
    /// The id of an entry of the principals file. Its roles and claims stand there.
    pub(super) key: Option<Spanned<String>>,
    /// Roles that the caller holds.
    pub(super) roles: Option<Vec<Spanned<String>>>,
    /// What is known of the caller, for conditions on arguments.
    pub(super) claims: Option<BTreeMap<Box<str>, Claim>>,
    /// Scopes of the caller's token, which may be none. Who has them has a token, not a key.
    #[schemars(example = ["records:write"])]
    pub(super) scopes: Option<Vec<Spanned<String>>>,
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
