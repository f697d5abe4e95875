//! The policy file as written. What it means is in `compile`.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_yaml::Spanned;

use super::names::Kind;
use super::node::Node;
use super::pins::Pinning;
use crate::diagnostic::SourceFile;

/// A policy file that was read.
#[derive(Debug)]
pub struct PolicyFile {
    pub(super) file: SourceFile,
    pub(super) written: PolicySource,
}

/// All that may stand in a policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    pub(super) server: Option<Spanned<String>>,
    pub(super) mode: Option<Spanned<String>>,
    pub(super) deny: Option<Spanned<TargetsSource>>,
    #[serde(default)]
    pub(super) roles: Entries<RoleSource>,
    #[serde(default)]
    pub(super) tools: Entries<ToolSource>,
    pub(super) allowed_tools: Option<List>,
    pub(super) server_may: Option<List>,
    pub(super) pinning: Option<Spanned<Pinning>>,
}

/// The keys of a policy file. A file with one of them is a policy file.
pub const POLICY_KEYS: &[&str] =
    &["server", "mode", "deny", "roles", "tools", "allowed_tools", "server_may", "pinning"];

/// A role: what it grants, what it denies, and when and from where it grants anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleSource {
    pub(super) inherits: Option<List>,
    pub(super) tools: Option<List>,
    pub(super) prompts: Option<List>,
    pub(super) resources: Option<List>,
    pub(super) methods: Option<List>,
    pub(super) deny: Option<Spanned<TargetsSource>>,
    pub(super) when: Option<Windows>,
    pub(super) networks: Option<List>,
    pub(super) mode: Option<Spanned<String>>,
}

/// What is denied, by kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetsSource {
    pub(super) tools: Option<List>,
    pub(super) prompts: Option<List>,
    pub(super) resources: Option<List>,
    pub(super) methods: Option<List>,
}

/// Spans of time, of which one must hold.
pub(super) type Windows = Spanned<Vec<Spanned<WindowSource>>>;

/// A span of time, or one that comes again every week.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowSource {
    pub(super) days: Option<List>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) to: Option<Spanned<String>>,
    pub(super) zone: Option<Spanned<String>>,
    pub(super) after: Option<Spanned<String>>,
    pub(super) until: Option<Spanned<String>>,
}

/// How a tool may be used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSource {
    pub(super) arguments: Option<Spanned<Node>>,
    pub(super) when: Option<Windows>,
    pub(super) networks: Option<List>,
    pub(super) limits: Option<Spanned<Vec<Spanned<LimitSource>>>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) mode: Option<Spanned<String>>,
}

/// A limit: either `calls` with `every`, or `in_flight`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitSource {
    pub(super) calls: Option<Spanned<u64>>,
    pub(super) every: Option<Spanned<String>>,
    pub(super) in_flight: Option<Spanned<u64>>,
    pub(super) per: Option<Spanned<String>>,
}

/// A list of names, each with its place.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct List(pub(super) Spanned<Vec<Spanned<String>>>);

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
        lists.flat_map(|list| &list.0.value).map(|name| name.value.as_str())
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
        !says && self.allowed_tools.is_none() && self.deny.is_none() && self.server_may.is_none()
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
