//! How a tool may be used: its settings as written, compiled.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Mode;
use super::caching;
use super::limit::LimitRule;
use super::limit_source;
use super::redaction;
use super::rules::{DEFAULT_TIMEOUT, Repeats, ToolRules};
use super::schema;
use super::scopes::Scopes;
use super::source::ToolSource;
use super::when::{self, Written};
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::duration::parse_duration;
use crate::mcp::KeyName;

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
        let ToolSource {
            arguments,
            scopes,
            when,
            networks,
            cost,
            limits,
            redact,
            timeout,
            cache,
            idempotent,
            idempotency_key,
            mode: tried,
        } = tool;
        let restricts = arguments.is_some() || scopes.is_some() || when.is_some() || networks.is_some();
        let restricts = restricts || limits.is_some() || redact.is_some();
        if !restricts
            && timeout.is_none()
            && cost.is_none()
            && cache.is_none()
            && idempotent.is_none()
            && idempotency_key.is_none()
        {
            let message = format!("{} has no settings", quoted(&self.name.value));
            found.push(file.error(Code::NoSettings, self.name.referenced, message).help(
                "give it `arguments:`, `scopes:`, `limits:`, `redact:`, `when:`, `networks:`, `timeout:`, `idempotent:`, `idempotency_key:`, `cache:` or `cost:`, or delete it",
            ));
        } else if let Some(tried) = tried.as_ref().filter(|_| !restricts) {
            found.push(file.warning(Code::IneffectiveMode, tried.referenced, "nothing here could be tried out").help(
                "`mode` is about `arguments:`, `scopes:`, `limits:`, `redact:`, `when:` and `networks:`; delete it",
            ));
        }
        let written = Written { file, path, when: when.as_ref(), networks: networks.as_ref(), mode };
        ToolRules {
            arguments: arguments.as_ref().and_then(|it| schema::compile(file, it, path, found)).map(Arc::new),
            restriction: when::compile(&written, found).map(Arc::new),
            scopes: scopes.as_ref().map(|list| Scopes::compile(file, list, path, found)),
            cost: self.cost(tool, found),
            limits: self.limits(tool, found),
            redactors: redact.as_ref().map(|it| redaction::compile(file, it, &format!("{path}."), mode, found)),
            timeout: self.timeout(tool, found),
            caching: cache.as_ref().and_then(|it| caching::compile(self, it, found)),
            repeats: self.repeats(tool, found),
            mode,
        }
    }

    fn timeout(&self, tool: &ToolSource, found: &mut Diagnostics) -> Duration {
        match tool.timeout.as_ref().map(|text| (text, parse_duration(&text.value, TIMEOUT))) {
            None => DEFAULT_TIMEOUT,
            Some((_, Ok(timeout))) => timeout,
            Some((text, Err(expected))) => {
                found.push(limit_source::not_a_duration(self.file, text, &expected));
                DEFAULT_TIMEOUT
            }
        }
    }

    fn repeats(&self, tool: &ToolSource, found: &mut Diagnostics) -> Repeats {
        let problem = |at, message: &str| self.file.error(Code::InvalidIdempotencyKey, at, message);
        match (&tool.idempotent, &tool.idempotency_key) {
            (Some(whether), Some(_)) => {
                let message = "`idempotent` stands beside `idempotency_key`";
                found.push(problem(whether.referenced, message).help("delete it: by its key a call runs once"));
                Repeats::Harm
            }
            (None, Some(name)) => match KeyName::new(&name.value) {
                Ok(name) => Repeats::Known(name),
                Err(expected) => {
                    let message = format!("{} is not the name of such a key", quoted(&name.value));
                    found.push(problem(name.referenced, &message).help(expected));
                    Repeats::Harm
                }
            },
            (Some(whether), None) if whether.value => Repeats::Nothing,
            (Some(_) | None, None) => Repeats::Harm,
        }
    }

    fn cost(&self, tool: &ToolSource, found: &mut Diagnostics) -> NonZeroU32 {
        let cost = tool.cost.as_ref().map(|cost| limit_source::positive(self.file, cost));
        cost.and_then(|cost| cost.map_err(|problem| found.push(problem)).ok()).unwrap_or(NonZeroU32::MIN)
    }

    fn limits(&self, tool: &ToolSource, found: &mut Diagnostics) -> Vec<LimitRule> {
        let path = format!("{}.limits", self.path);
        let place =
            limit_source::Place { file: self.file, path: &path, mode: self.mode, scopes: limit_source::OF_TOOL };
        tool.limits.as_ref().map(|list| place.compile(list, found)).unwrap_or_default()
    }
}
