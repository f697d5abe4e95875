//! The policy file as written. What it means is in `compile`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use super::caching::CachingSource;
use super::keywords::Keywords;
use super::limit_source::Limits;
use super::list::List;
use super::names::Kind;
use super::node::Node;
use super::pins::Pinning;
use super::redaction::Redactions;
use super::upstream_headers::HeaderSource;
use super::{restriction, when};
use crate::diagnostic::{SourceFile, Spanned};
use crate::duration::DURATION;
use crate::identity::EXPIRY;
use crate::mcp::{KeyName, Method, Question};

/// A policy file that was read.
#[derive(Debug)]
pub struct PolicyFile {
    pub(super) file: SourceFile,
    pub(super) written: PolicySource,
}

/// Who may use what of one server, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate policy")]
pub struct PolicySource {
    /// The server that this file is about, as tollgate.yaml names it. Can be left out where there is only one.
    pub(super) server: Option<Spanned<String>>,
    /// `shadow` refuses nothing by this file, only records what it would refuse. `enforce` if not said.
    #[schemars(extend("enum" = when::MODES))]
    pub(super) mode: Option<Spanned<String>>,
    /// What nobody may use, whatever grants it.
    pub(super) deny: Option<Spanned<TargetsSource>>,
    /// Roles by name. Nobody may use what no role grants; who holds a role stands in the principals file.
    #[serde(default)]
    pub(super) roles: Entries<RoleSource>,
    /// How a tool may be used, by whoever may use it. The entry `"*"` is for all that have none of their own.
    #[serde(default)]
    pub(super) tools: Entries<ToolSource>,
    /// Limits over all tools, prompts and resources of the server together.
    #[schemars(length(min = 1))]
    pub(super) limits: Option<Limits>,
    /// What of calls and answers is not for everyone's eyes, and what becomes of it.
    #[schemars(length(min = 1))]
    pub(super) redact: Option<Redactions>,
    /// Tools for every caller with a key, whatever roles it holds: exact names, or one `*` each.
    pub(super) allowed_tools: Option<List>,
    /// What the server may ask of clients while it works for them. Nothing if not said.
    #[schemars(extend("items" = one_of(Question::ALL.map(Question::name))))]
    pub(super) server_may: Option<List>,
    /// What becomes of a tool that is not as tools.lock pins it. `enforce` if not said, where there is a lock.
    pub(super) pinning: Option<Spanned<Pinning>>,
    /// Headers that tell the server who asks, by name. What a caller sends under such a name is dropped.
    #[serde(default)]
    #[schemars(example = json!({ "x-rls-user-id": { "claim": "sub" } }))]
    pub(super) upstream_headers: Entries<HeaderSource>,
}

/// The keys of a policy file. A file with one of them is a policy file.
pub const POLICY_KEYS: &[&str] = &[
    "server",
    "mode",
    "deny",
    "roles",
    "tools",
    "limits",
    "redact",
    "allowed_tools",
    "server_may",
    "pinning",
    "upstream_headers",
];

/// What a role grants, what it denies, and when and from where it grants anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Role")]
pub(super) struct RoleSource {
    /// Roles whose grants and denials it has, too.
    pub(super) inherits: Option<List>,
    /// Tools that it grants: exact names, or one `*` each.
    pub(super) tools: Option<List>,
    /// Prompts that it grants: exact names, or one `*` each.
    pub(super) prompts: Option<List>,
    /// Resources that it grants, by URI: exact ones, or one `*` each.
    pub(super) resources: Option<List>,
    /// Methods that it grants beside those of tools, prompts and resources.
    #[schemars(extend("items" = one_of(Method::grantable().chain(["*"]))))]
    pub(super) methods: Option<List>,
    /// What nobody who holds it may use, whatever grants it, at any time.
    pub(super) deny: Option<Spanned<TargetsSource>>,
    /// Spans of time, of which one must hold for it to grant anything.
    #[schemars(length(min = 1))]
    pub(super) when: Option<Windows>,
    /// Networks, of which the caller's address must be in one for it to grant anything.
    #[schemars(example = ["10.0.0.0/8"])]
    pub(super) networks: Option<List>,
    /// `shadow` only records what its `deny`, `when` and `networks` would refuse. `enforce` if not said.
    #[schemars(extend("enum" = when::MODES))]
    pub(super) mode: Option<Spanned<String>>,
}

/// What is denied, by kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Targets", extend("minProperties" = 1))]
pub(super) struct TargetsSource {
    /// Tools: exact names, or one `*` each.
    pub(super) tools: Option<List>,
    /// Prompts: exact names, or one `*` each.
    pub(super) prompts: Option<List>,
    /// Resources, by URI: exact ones, or one `*` each.
    pub(super) resources: Option<List>,
    /// Methods beside those of tools, prompts and resources.
    #[schemars(extend("items" = one_of(Method::grantable().chain(["*"]))))]
    pub(super) methods: Option<List>,
}

/// Spans of time, of which one must hold.
pub(super) type Windows = Spanned<Vec<Spanned<WindowSource>>>;

/// A span of time, or one that comes again every week.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Window",
    example = json!({ "days": ["mon", "fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin" })
)]
pub(super) struct WindowSource {
    /// Days of the week on which it begins. Every day if not said.
    #[schemars(extend("items" = one_of(restriction::DAYS.map(|(day, _)| day))))]
    pub(super) days: Option<List>,
    /// The time of the day at which it begins. The whole day if neither this nor `to` is said.
    #[schemars(regex(pattern = when::TIME), example = "08:00")]
    pub(super) from: Option<Spanned<String>>,
    /// The time of the day at which it ends: `24:00` at most, and on the next day if it is before `from`.
    #[schemars(regex(pattern = when::TIME), example = "18:00")]
    pub(super) to: Option<Spanned<String>>,
    /// The time zone of `days`, `from` and `to`, by its IANA name. UTC if not said.
    #[schemars(example = "Europe/Berlin")]
    pub(super) zone: Option<Spanned<String>>,
    /// The day or moment, in UTC, before which it does not hold.
    #[schemars(regex(pattern = EXPIRY), example = "2027-06-01", example = "2027-06-01T12:00:00Z")]
    pub(super) after: Option<Spanned<String>>,
    /// The day or moment, in UTC, from which on it does not hold any more.
    #[schemars(regex(pattern = EXPIRY), example = "2027-06-01", example = "2027-06-01T12:00:00Z")]
    pub(super) until: Option<Spanned<String>>,
}

/// How a tool may be used, by whoever may use it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tool")]
pub(super) struct ToolSource {
    /// What must hold of a call's arguments: JSON Schema 2020-12, and the keywords `claim` and `sql`.
    #[schemars(with = "Option<Keywords>")]
    pub(super) arguments: Option<Spanned<Node>>,
    /// Scopes that the caller's token must have, all of them. Who has a token without is sent for another.
    #[schemars(example = ["records:write"])]
    pub(super) scopes: Option<List>,
    /// Spans of time, of which one must hold for a call of it.
    #[schemars(length(min = 1))]
    pub(super) when: Option<Windows>,
    /// Networks, of which the caller's address must be in one for a call of it.
    #[schemars(example = ["10.0.0.0/8"])]
    pub(super) networks: Option<List>,
    /// What a call of it costs, for limits of `cost`. 1 if not said.
    #[schemars(range(min = 1, max = u32::MAX))]
    pub(super) cost: Option<Spanned<u64>>,
    /// Limits, in each of which a call of it must have room.
    #[schemars(length(min = 1))]
    pub(super) limits: Option<Limits>,
    /// What of its calls and their answers is not for everyone's eyes, beside what is said at the top.
    #[schemars(length(min = 1))]
    pub(super) redact: Option<Redactions>,
    /// How long the server may stay silent about a call of it. 5s if not said.
    #[schemars(regex(pattern = DURATION), example = "5s")]
    pub(super) timeout: Option<Spanned<String>>,
    /// Whether a call of it may run twice without harm. Then one that failed may be sent again. `false` if not said.
    pub(super) idempotent: Option<Spanned<bool>>,
    /// The member of `_meta` by which the server knows a call again and runs it once. Calls without one get one; one that failed may be sent again.
    #[schemars(regex(pattern = KeyName::FORM), example = "com.example/idempotency-key")]
    pub(super) idempotency_key: Option<Spanned<String>>,
    /// Answers that are given again to the same call. Only for what changes nothing. None if not said.
    pub(super) cache: Option<Spanned<CachingSource>>,
    /// `shadow` only records what the keys beside it would refuse. `timeout` and `cache` count all the same.
    #[schemars(extend("enum" = when::MODES))]
    pub(super) mode: Option<Spanned<String>>,
}

/// A mapping in the order of the file, each key with its place.
#[derive(Debug)]
pub struct Entries<V>(Vec<(Spanned<String>, V)>);

impl PolicyFile {
    /// What was read from this file.
    pub fn new(file: SourceFile, written: PolicySource) -> Self {
        Self { file, written }
    }

    /// The server that it is for, if it says so.
    pub fn server(&self) -> Option<&Spanned<String>> {
        self.written.server.as_ref()
    }

    /// The roles it defines.
    pub fn roles(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.written.roles.iter().map(|(name, _)| name)
    }

    /// The roles that its roles inherit.
    pub fn inherited(&self) -> impl Iterator<Item = &str> {
        let lists = self.written.roles.iter().filter_map(|(_, role)| role.inherits.as_ref());
        lists.flat_map(List::iter).map(|name| name.value)
    }

    /// The scopes that its tools need.
    pub fn scopes(&self) -> impl Iterator<Item = Spanned<&str>> {
        self.written.tools.iter().filter_map(|(_, tool)| tool.scopes.as_ref()).flat_map(List::iter)
    }

    /// Whether it opens something to every caller with a key, whatever roles it holds.
    pub fn opens_to_all(&self) -> bool {
        self.written.allowed_tools.is_some()
    }

    /// The file itself.
    pub fn file(&self) -> &SourceFile {
        &self.file
    }
}

impl PolicySource {
    /// Whether nothing would be different without it.
    pub(super) fn says_nothing(&self) -> bool {
        let says = self.roles.iter().next().is_some() || self.tools.iter().next().is_some();
        let says = says || self.upstream_headers.iter().next().is_some();
        let bounds = self.deny.is_some() || self.limits.is_some() || self.redact.is_some();
        !says && !bounds && self.allowed_tools.is_none() && self.server_may.is_none()
    }
}

impl RoleSource {
    /// What it grants of this kind.
    pub(super) fn list(&self, kind: Kind) -> Option<&List> {
        match kind {
            Kind::Tools => self.tools.as_ref(),
            Kind::Prompts => self.prompts.as_ref(),
            Kind::Resources => self.resources.as_ref(),
            Kind::Methods => self.methods.as_ref(),
        }
    }
}

impl TargetsSource {
    /// What it names of this kind.
    pub(super) fn list(&self, kind: Kind) -> Option<&List> {
        match kind {
            Kind::Tools => self.tools.as_ref(),
            Kind::Prompts => self.prompts.as_ref(),
            Kind::Resources => self.resources.as_ref(),
            Kind::Methods => self.methods.as_ref(),
        }
    }
}

impl<V> Entries<V> {
    /// The entries in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &(Spanned<String>, V)> {
        self.0.iter()
    }
}

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, V>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, V>::json_schema(generator)
    }
}

/// One of these words, in the form that editors are told.
fn one_of(words: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

struct EntriesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
    type Value = Entries<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
