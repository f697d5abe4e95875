//! How a tool may be used: limits and timeouts as written, compiled.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::duration::parse_duration;
use super::redundancy;
use super::rules::{DEFAULT_TIMEOUT, Limit, LimitRule, ToolRules};
use super::schema;
use super::scopes::Scopes;
use super::source::{LimitSource, ToolSource};
use super::when::{self, Written};
use super::{Mode, RuleId};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};

const EVERY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

/// Where the settings of one tool stand.
pub(super) struct Settings<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) name: &'a Spanned<String>,
    pub(super) path: &'a str,
    pub(super) mode: Mode,
}

impl Settings<'_> {
    /// Compiles them; problems go to `found`.
    pub(super) fn compile(&self, tool: &ToolSource, found: &mut Diagnostics) -> ToolRules {
        let Self { file, path, mode, .. } = *self;
        let ToolSource { arguments, scopes, when, networks, limits, timeout, mode: tried } = tool;
        let restricts = [arguments.is_some(), scopes.is_some(), when.is_some(), networks.is_some(), limits.is_some()]
            .contains(&true);
        if !restricts && timeout.is_none() {
            let message = format!("{} has no settings", quoted(&self.name.value));
            found.push(
                file.error(Code::NoSettings, self.name.referenced, message).help(
                    "give it `arguments:`, `scopes:`, `limits:`, `when:`, `networks:` or `timeout:`, or delete it",
                ),
            );
        } else if let Some(tried) = tried.as_ref().filter(|_| !restricts) {
            found.push(
                file.warning(Code::IneffectiveMode, tried.referenced, "nothing here could be tried out")
                    .help("`mode` is about `arguments:`, `scopes:`, `limits:`, `when:` and `networks:`; delete it"),
            );
        }
        let written = Written { file, path, when: when.as_ref(), networks: networks.as_ref(), mode };
        ToolRules {
            arguments: arguments.as_ref().and_then(|it| schema::compile(file, it, path, found)).map(Arc::new),
            restriction: when::compile(&written, found).map(Arc::new),
            scopes: scopes.as_ref().map(|list| Scopes::compile(file, list, path, found)),
            limits: self.limits(tool, found),
            timeout: self.timeout(tool, found),
            mode,
        }
    }

    fn timeout(&self, tool: &ToolSource, found: &mut Diagnostics) -> Duration {
        match tool.timeout.as_ref().map(|text| (text, parse_duration(&text.value, TIMEOUT))) {
            None => DEFAULT_TIMEOUT,
            Some((_, Ok(timeout))) => timeout,
            Some((text, Err(expected))) => {
                found.push(not_a_duration(self.file, text, &expected));
                DEFAULT_TIMEOUT
            }
        }
    }

    fn limits(&self, tool: &ToolSource, found: &mut Diagnostics) -> Vec<LimitRule> {
        let Some(list) = &tool.limits else {
            return Vec::new();
        };
        let (file, path) = (self.file, format!("{}.limits", self.path));
        if list.value.is_empty() {
            found.push(
                file.error(Code::EmptyList, list.referenced, format!("`{path}` is empty"))
                    .help("delete it, or add a limit"),
            );
        }
        let (mut limits, mut places) = (Vec::new(), Vec::new());
        for written in &list.value {
            match limit(file, &written.value, written.referenced) {
                Ok(limit) => {
                    places.push((limit, written.referenced));
                    limits.push(LimitRule { limit, rule: RuleId::at(file.name(), written.referenced.line, &path) });
                }
                Err(problem) => found.push(problem),
            }
        }
        redundancy::limits(file, &places, found);
        limits
    }
}

fn limit(file: &SourceFile, written: &LimitSource, at: At) -> Result<Limit, Diagnostic> {
    let shape = |message: &str| {
        file.error(Code::IncompleteLimit, at, message)
            .help("write `{ calls: 60, every: 1m, per: principal }` or `{ in_flight: 8, per: tool }`")
    };
    match written {
        LimitSource { calls: Some(calls), every: Some(every), in_flight: None, per } => {
            counted(file, per.as_ref(), "principal", at)?;
            let period = parse_duration(&every.value, EVERY).map_err(|text| not_a_duration(file, every, &text))?;
            Ok(Limit::Calls { calls: positive(file, calls)?, every: period })
        }
        LimitSource { calls: None, every: None, in_flight: Some(in_flight), per } => {
            counted(file, per.as_ref(), "tool", at)?;
            Ok(Limit::InFlight(positive(file, in_flight)?))
        }
        LimitSource { calls: Some(_), every: None, in_flight: None, .. } => {
            Err(shape("the limit does not say in how long: `every` is missing"))
        }
        LimitSource { calls: None, every: Some(_), in_flight: None, .. } => {
            Err(shape("the limit does not say how many: `calls` is missing"))
        }
        LimitSource { calls: None, every: None, in_flight: None, .. } => Err(shape("the limit counts nothing")),
        LimitSource { in_flight: Some(_), .. } => Err(shape("the limit counts two things; write two limits")),
    }
}

/// Whether the limit says what it is counted per, and that is what there is.
fn counted(file: &SourceFile, per: Option<&Spanned<String>>, known: &str, at: At) -> Result<(), Diagnostic> {
    match per {
        Some(per) if per.value == known => Ok(()),
        Some(per) => Err(file
            .error(
                Code::UnknownScope,
                per.referenced,
                format!("a limit of this kind cannot be counted per {}", quoted(&per.value)),
            )
            .help(format!("write `per: {known}`"))),
        None => Err(file
            .error(Code::IncompleteLimit, at, "the limit does not say per what it is counted")
            .help(format!("add `per: {known}`"))),
    }
}

fn positive(file: &SourceFile, number: &Spanned<u64>) -> Result<NonZeroU32, Diagnostic> {
    u32::try_from(number.value).ok().and_then(NonZeroU32::new).ok_or_else(|| {
        let way_out = match number.value {
            0 => "to forbid a tool, grant it to no role",
            _ => "to set no such limit, leave it out",
        };
        file.error(Code::NumberOutOfRange, number.referenced, format!("expected a number from 1 to {}", u32::MAX))
            .help(way_out)
    })
}

fn not_a_duration(file: &SourceFile, text: &Spanned<String>, expected: &str) -> Diagnostic {
    file.error(
        Code::InvalidDuration,
        text.referenced,
        format!("{} is not a span of time that fits here", quoted(&text.value)),
    )
    .help(expected)
}
