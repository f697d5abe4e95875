//! How a tool may be used: limits and timeouts as written, compiled.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_yaml::{Location, Spanned};

use super::RuleId;
use super::duration::parse_duration;
use super::redundancy;
use super::rules::{DEFAULT_TIMEOUT, Limit, LimitRule, ToolRules};
use super::schema;
use super::source::{LimitSource, ToolSource};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, quoted};

const EVERY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

/// Compiles the settings of one tool; problems go to `found`.
pub(super) fn compile(
    file: &SourceFile,
    name: &Spanned<String>,
    tool: &ToolSource,
    path: &str,
    found: &mut Diagnostics,
) -> ToolRules {
    if tool.arguments.is_none() && tool.limits.is_none() && tool.timeout.is_none() {
        found.push(
            file.error(Code::NoSettings, name.referenced, format!("{} has no settings", quoted(&name.value)))
                .help("give it `arguments:`, `limits:` or `timeout:`, or delete it"),
        );
    }
    let timeout = match &tool.timeout {
        None => DEFAULT_TIMEOUT,
        Some(text) => match parse_duration(&text.value, TIMEOUT) {
            Ok(timeout) => timeout,
            Err(expected) => {
                found.push(not_a_duration(file, text, &expected));
                DEFAULT_TIMEOUT
            }
        },
    };
    let (mut limits, mut places) = (Vec::new(), Vec::new());
    if let Some(list) = &tool.limits {
        if list.value.is_empty() {
            found.push(
                file.error(Code::EmptyList, list.referenced, format!("`{path}.limits` is empty"))
                    .help("delete it, or add a limit"),
            );
        }
        for written in &list.value {
            match limit(file, &written.value, written.referenced) {
                Ok(limit) => {
                    let rule = RuleId::at(file.name(), written.referenced.line(), &format!("{path}.limits"));
                    places.push((limit, written.referenced));
                    limits.push(LimitRule { limit, rule });
                }
                Err(problem) => found.push(problem),
            }
        }
    }
    redundancy::limits(file, &places, found);
    let arguments = tool.arguments.as_ref().and_then(|written| schema::compile(file, written, path, found));
    ToolRules { arguments: arguments.map(Arc::new), limits, timeout }
}

fn limit(file: &SourceFile, written: &LimitSource, at: Location) -> Result<Limit, Diagnostic> {
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
fn counted(file: &SourceFile, per: Option<&Spanned<String>>, known: &str, at: Location) -> Result<(), Diagnostic> {
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
