//! `cache`: for how long, and to whom, an answer of a tool may be given again. No decision depends on it: a call that is
//! answered so was permitted like any other.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::tool_rules::Settings;
use super::{RuleId, limit_source};
use crate::diagnostic::{Code, Diagnostics, Spanned};
use crate::duration::{DURATION, parse_duration, written};

const FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Which answers are given again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cache", example = json!({ "for": "5m", "per": "principal" }))]
pub(super) struct CachingSource {
    /// For how long one may be given again, from `1s` to `24h`. What the server says of that (`ttlMs`) only shortens it.
    #[schemars(regex(pattern = DURATION), example = "5m")]
    r#for: Spanned<String>,
    /// To whom: the `principal` it was for, or `everyone` who may make the same call. `principal` if not said.
    #[serde(default)]
    per: SharedBy,
}

/// The answers of a tool that may be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caching {
    /// For how long.
    pub lasts: Duration,
    /// To whom.
    pub per: SharedBy,
    /// Where it is written.
    pub(super) rule: RuleId,
}

/// Who may be given an answer again.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SharedBy {
    /// Whoever it was for.
    #[default]
    Principal,
    /// Everyone who may make the same call, and of whom the server is told the same.
    Everyone,
}

/// Compiles it; problems go to `found`.
pub(super) fn compile(
    &Settings { file, name, path, .. }: &Settings<'_>,
    source: &Spanned<CachingSource>,
    found: &mut Diagnostics,
) -> Option<Caching> {
    let CachingSource { r#for, per } = &source.value;
    if name.value == "*" {
        let message = "answers of tools that nobody has named would be given again";
        found.push(
            file.error(Code::UnnamedCache, source.referenced, message)
                .help("name each tool that only reads, with a `cache:` of its own"),
        );
    }
    let rule = RuleId::at(file.name(), source.referenced.line, &format!("{path}.cache"));
    parse_duration(&r#for.value, FOR)
        .map_err(|expected| found.push(limit_source::not_a_duration(file, r#for, &expected)))
        .ok()
        .map(|lasts| Caching { lasts, per: *per, rule })
}

/// As a reviewer reads it.
impl fmt::Display for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            SharedBy::Principal => "principal",
            SharedBy::Everyone => "everyone",
        };
        write!(f, "{} per {per}", written(self.lasts))
    }
}
