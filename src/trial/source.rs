//! The file of cases as written. What it means is in `case`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::diagnostic::Spanned;
use crate::policy::Entries;

/// All that may stand in a file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CasesSource {
    pub(super) server: Option<Spanned<String>>,
    pub(super) cases: Spanned<Vec<Spanned<CaseSource>>>,
}

/// A case: who asks for what, and what is expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseSource {
    pub(super) name: Spanned<String>,
    pub(super) r#as: Spanned<AsSource>,
    pub(super) call: Option<Spanned<String>>,
    pub(super) arguments: Option<Spanned<Map<String, Value>>>,
    pub(super) prompt: Option<Spanned<String>>,
    pub(super) resource: Option<Spanned<String>>,
    pub(super) method: Option<Spanned<String>>,
    pub(super) at: Option<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) headers: Entries<Spanned<String>>,
    pub(super) after: Option<Spanned<String>>,
    pub(super) during: Option<Spanned<String>>,
    pub(super) expect: Spanned<String>,
    pub(super) because: Option<Spanned<String>>,
    pub(super) would_deny: Option<Spanned<String>>,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum AsSource {
    /// `anonymous`, or `authenticated`: who has a key, and no role.
    Word(String),
    /// By key, or by what a key would give.
    Caller(CallerSource),
}

/// A caller with a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerSource {
    pub(super) key: Option<Spanned<String>>,
    pub(super) roles: Option<Vec<Spanned<String>>>,
    pub(super) claims: Option<BTreeMap<String, String>>,
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
