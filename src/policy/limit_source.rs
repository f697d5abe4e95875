//! A limit as written, and what it means where it stands.

use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::limit::{Limit, LimitRule, Most, Per, Rate, Unit};
use super::{Mode, RuleId};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::duration::{DURATION, parse_duration};

const EVERY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
/// The most bytes or cost of a limit.
const MOST: u64 = 1 << 50;

/// A limit: `calls`, `bytes` or `cost` with `every`, or `in_flight`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Limit",
    extend(
        "required" = ["per"],
        "dependentRequired" = { "calls": ["every"], "bytes": ["every"], "cost": ["every"], "burst": ["calls"] }
    ),
    example = json!({ "calls": 60, "every": "1m", "per": "principal" }),
    example = json!({ "in_flight": 8, "per": "tool" })
)]
pub(super) struct LimitSource {
    /// So many calls at most in any span as long as `every`.
    #[schemars(range(min = 1, max = u32::MAX))]
    calls: Option<Spanned<u64>>,
    /// So many bytes of results. A call begins while there is room for some, whatever it then brings.
    #[schemars(range(min = 1, max = MOST))]
    bytes: Option<Spanned<u64>>,
    /// So much of what calls cost (`cost` of their tools).
    #[schemars(range(min = 1, max = MOST))]
    cost: Option<Spanned<u64>>,
    /// In how long a span of time, up to `24h`.
    #[schemars(regex(pattern = DURATION), example = "1m")]
    every: Option<Spanned<String>>,
    /// So many of the `calls` at once at most; the rest of them spread over the time. All of them if not said.
    #[schemars(range(min = 1, max = u32::MAX))]
    burst: Option<Spanned<u64>>,
    /// So many calls under way at once at most.
    #[schemars(range(min = 1, max = u32::MAX))]
    pub(super) in_flight: Option<Spanned<u64>>,
    /// What is counted by itself: `principal` or `tool` in a tool, `principal` or `server` at the top of a file.
    #[schemars(extend("enum" = ["principal", "tool", "server"]))]
    per: Option<Spanned<String>>,
}

/// A list of limits, with its place.
pub(super) type Limits = Spanned<Vec<Spanned<LimitSource>>>;

/// Where a list of limits stands.
pub(super) struct Place<'a> {
    pub(super) file: &'a SourceFile,
    /// As rules are named: `limits`, or `tools.NAME.limits`.
    pub(super) path: &'a str,
    pub(super) mode: Mode,
    /// What can be counted by itself here, in the words of the file.
    pub(super) scopes: &'static [(&'static str, Per)],
}

/// In the settings of a tool.
pub(super) const OF_TOOL: &[(&str, Per)] = &[("principal", Per::PrincipalAndTool), ("tool", Per::Tool)];
/// At the top of a file.
pub(super) const OF_SERVER: &[(&str, Per)] = &[("principal", Per::Principal), ("server", Per::Server)];

impl Place<'_> {
    /// The limits of the list; problems go to `found`.
    pub(super) fn compile(&self, list: &Limits, found: &mut Diagnostics) -> Vec<LimitRule> {
        let Self { file, path, mode, .. } = *self;
        if list.value.is_empty() {
            found.push(
                file.error(Code::EmptyList, list.referenced, format!("`{path}` is empty"))
                    .help("delete it, or add a limit"),
            );
        }
        let mut limits = Vec::new();
        for written in &list.value {
            match self.limit(&written.value, written.referenced) {
                Ok(limit) => {
                    let rule = RuleId::at(file.name(), written.referenced.line, path);
                    limits.push(LimitRule { limit, mode, rule });
                }
                Err(problem) => found.push(problem),
            }
        }
        limits
    }

    /// One limit.
    pub(super) fn limit(&self, written: &LimitSource, at: At) -> Result<Limit, Diagnostic> {
        let shape = |message: &str| {
            self.file.error(Code::IncompleteLimit, at, message).help(
                "write `{ calls: 60, every: 1m, per: principal }` or `{ in_flight: 8, per: tool }`;\n\
                 `bytes` and `cost` stand in the place of `calls`",
            )
        };
        let LimitSource { calls, bytes, cost, every, burst, in_flight, per } = written;
        let amounts = [(calls, Unit::Calls), (bytes, Unit::Bytes), (cost, Unit::Cost)];
        let mut amounts = amounts.into_iter().filter_map(|(amount, unit)| Some((amount.as_ref()?, unit)));
        let most = match (amounts.next(), amounts.next(), in_flight, every) {
            (Some((amount, unit)), None, None, Some(every)) => {
                Most::Rate(self.rate(amount, unit, every, burst.as_ref())?)
            }
            (None, _, Some(most), None) if burst.is_none() => Most::InFlight(self.positive(most)?),
            (None, _, Some(_), _) => return Err(shape("what is under way at once has no `every` and no `burst`")),
            (Some(_), None, None, None) => {
                return Err(shape("the limit does not say in how long: `every` is missing"));
            }
            (None, _, None, Some(_)) => return Err(shape("the limit does not say how many: `calls` is missing")),
            (None, _, None, None) => return Err(shape("the limit counts nothing")),
            (Some(_), _, _, _) => return Err(shape("the limit counts two things; write two limits")),
        };
        Ok(Limit { most, per: self.per(per.as_ref(), at)? })
    }

    fn rate(
        &self,
        amount: &Spanned<u64>,
        unit: Unit,
        every: &Spanned<String>,
        burst: Option<&Spanned<u64>>,
    ) -> Result<Rate, Diagnostic> {
        let period = parse_duration(&every.value, EVERY).map_err(|text| not_a_duration(self.file, every, &text))?;
        let most = if unit == Unit::Calls { u64::from(u32::MAX) } else { MOST };
        let whole = self.within(amount, most)?;
        let burst = match burst {
            None => None,
            Some(burst) if unit != Unit::Calls || burst.value >= whole.get() => {
                let message = "a burst is of calls, and of fewer than `calls` says";
                return Err(self.file.error(Code::NumberOutOfRange, burst.referenced, message).help("leave it out"));
            }
            Some(burst) => Some(self.within(burst, most)?),
        };
        Ok(Rate { unit, amount: whole, every: period, burst })
    }

    /// What the limit is counted per.
    fn per(&self, per: Option<&Spanned<String>>, at: At) -> Result<Per, Diagnostic> {
        let known = || {
            let words: Vec<_> = self.scopes.iter().map(|(word, _)| format!("`per: {word}`")).collect();
            words.join(" or ")
        };
        let Some(per) = per else {
            let problem = self.file.error(Code::IncompleteLimit, at, "the limit does not say per what it is counted");
            return Err(problem.help(format!("add {}", known())));
        };
        let found = self.scopes.iter().find(|(word, _)| *word == per.value);
        found.map(|(_, per)| *per).ok_or_else(|| {
            let message = format!("a limit cannot be counted per {} here", quoted(&per.value));
            self.file.error(Code::UnknownScope, per.referenced, message).help(format!("write {}", known()))
        })
    }

    fn positive(&self, number: &Spanned<u64>) -> Result<NonZeroU32, Diagnostic> {
        positive(self.file, number)
    }

    fn within(&self, number: &Spanned<u64>, most: u64) -> Result<NonZeroU64, Diagnostic> {
        let fits = NonZeroU64::new(number.value).filter(|number| number.get() <= most);
        fits.ok_or_else(|| out_of_range(self.file, number, most))
    }
}

/// A number of 32 bits that is not 0.
pub(super) fn positive(file: &SourceFile, number: &Spanned<u64>) -> Result<NonZeroU32, Diagnostic> {
    let fits = u32::try_from(number.value).ok().and_then(NonZeroU32::new);
    fits.ok_or_else(|| out_of_range(file, number, u64::from(u32::MAX)))
}

fn out_of_range(file: &SourceFile, number: &Spanned<u64>, most: u64) -> Diagnostic {
    let way_out = match number.value {
        0 => "to forbid a tool, grant it to no role",
        _ => "to set no such limit, leave it out",
    };
    file.error(Code::NumberOutOfRange, number.referenced, format!("expected a number from 1 to {most}")).help(way_out)
}

pub(super) fn not_a_duration(file: &SourceFile, text: &Spanned<String>, expected: &str) -> Diagnostic {
    file.error(
        Code::InvalidDuration,
        text.referenced,
        format!("{} is not a span of time that fits here", quoted(&text.value)),
    )
    .help(expected)
}
