//! The answer, with its reason.

use std::fmt;
use std::sync::Arc;

/// Yes or no, and which rule said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub effect: Effect,
    /// What decided.
    pub rule: RuleId,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call may be made.
    Allow,
    /// The call must not be made.
    Deny(Reason),
}

/// Why not. The caller hears less than this; see `proxy::respond`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No role of the principal grants it.
    NotGranted,
    /// The name has characters that no tool name should have, and no rule spells it out.
    IllFormedName,
    /// The method is not one that we know.
    UnknownMethod,
}

/// A rule by file, line and path: `policies/records.yaml:4 roles.reader.tools`, or `default`, or `protocol`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// The rule at `path`, written in `file` at `line` (from 1).
    pub fn at(file: &str, line: u64, path: &str) -> Self {
        Self(Arc::from(format!("{file}:{line} {path}")))
    }

    /// No rule: what is not granted is refused.
    pub fn default_deny() -> Self {
        Self(Arc::from("default"))
    }

    /// No rule: the protocol cannot work without it.
    pub fn protocol() -> Self {
        Self(Arc::from("protocol"))
    }

    /// The rule without its place in a file, which changes when lines above it do.
    pub fn path(&self) -> &str {
        self.0.split_once(' ').map_or(&self.0, |(_, path)| path)
    }

    /// The rule as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
