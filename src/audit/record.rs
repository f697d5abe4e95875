//! What is written down of what. How, says [`Line`].
//!
//! Never a secret, and of arguments only a keyed digest, since those of few possible values could be guessed from a plain
//! one; unless the operator wants more: then what was allowed stands there masked, and not more than so much of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;

use super::line::Line;
use crate::cache::Served;
use crate::exchange::{Exchange, Outcome};
use crate::mcp::Target;
use crate::policy::{Flow, RuleId, Sighting};
use crate::redact::{self, Detector, Finder};

/// The longest method that a record shows in full, in bytes. The reader bounds other names.
const LONGEST_METHOD: usize = 128;
/// The most that it shows of arguments.
const LONGEST_ARGUMENTS: usize = 4096;

/// The trace that a message belongs to.
pub(super) type TraceId = [u8; 16];

/// What is told of arguments.
#[derive(Debug)]
pub(super) struct Told {
    /// What they are digested with, if they are.
    pub(super) digest: Option<hmac::Key>,
    /// What must not be seen in a copy of them, if there is one.
    pub(super) copy: Option<Finder>,
}

/// What the gate itself did, or what befell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It started, with the policies of this digest.
    Start(Arc<str>),
    /// It stopped.
    Stop,
    /// The policies of this digest are in force from now on.
    Reloaded(Arc<str>),
    /// Changed policies were refused; those of this digest stay in force.
    ReloadRefused(Arc<str>),
    /// Something is stopped from now on, whatever the policies say.
    Killed(KillFacts),
    /// It is no longer stopped.
    Unkilled(KillFacts),
    /// So many records could not be written.
    Gap(u64),
    /// The wall clock was put forward by so many microseconds, or back.
    Clock(i64),
    /// The last process was killed while it wrote: so many bytes at the end were no whole record, and went.
    Recovery {
        /// How many.
        bytes: u64,
        /// Their SHA-256, in hexadecimal digits.
        sha256: String,
    },
}

/// What an operator stops, or lets go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillFacts {
    /// In words.
    pub what: String,
    /// Where that is written.
    pub rule: RuleId,
}

/// A call may go on.
pub(super) fn allowed<'a>(exchange: &'a Exchange, trace: Option<TraceId>, told: &Told) -> Line<'a> {
    let arguments_redacted = told.copy.as_ref().and_then(|finder| redacted(exchange, finder));
    Line { effect: Some("allow"), arguments_redacted, ..decision(exchange, trace, told) }
}

/// A message goes no further.
pub(super) fn refused<'a>(exchange: &'a Exchange, trace: Option<TraceId>, told: &Told, ended: Ended) -> Line<'a> {
    ended.told_by(Line { effect: Some("deny"), ..decision(exchange, trace, told) }, exchange)
}

/// A call that was allowed has ended.
pub(super) fn outcome(exchange: &Exchange, trace: Option<TraceId>, ended: Ended) -> Line<'_> {
    let at = exchange.started_at + ended.took;
    let line = Line { decision: Some(exchange.id), trace_id: trace, ..Line::of("outcome", at) };
    ended.told_by(line, exchange)
}

/// Who asked for what, and what decided.
fn decision<'a>(exchange: &'a Exchange, trace: Option<TraceId>, told: &Told) -> Line<'a> {
    let (principal, would_deny) = (exchange.principal.as_ref(), exchange.would_deny.as_ref());
    let mut line = Line {
        auth: principal.map(|principal| principal.auth()),
        decision: Some(exchange.id),
        issuer: principal.and_then(|principal| principal.issuer()),
        peer: Some(exchange.peer),
        policy: Some(&exchange.policy),
        principal: principal.map(|principal| &**principal.id()),
        rule: exchange.rule.as_ref(),
        server: Some(exchange.server.as_str()),
        trace_id: trace,
        would_deny: would_deny.map(|would| would.reason),
        would_deny_rule: would_deny.map(|would| &would.rule),
        ..Line::of("decision", exchange.started_at)
    };
    let Some(call) = &exchange.call else {
        return line;
    };
    line.method = Some(clip(call.method_name()));
    match call.target() {
        Target::None => {}
        Target::Tool(name) => line.tool = Some(name),
        Target::Prompt(name) => line.prompt = Some(name),
        Target::Resource(uri) => line.resource = Some(uri),
        Target::Task(id) => line.task = Some(id),
    }
    line.arguments = told.digest.as_ref().zip(call.arguments()).map(|(key, arguments)| hmac::sign(key, &arguments));
    line
}

/// The arguments as far as they may be seen. Nothing of them may, where something stands in them that only a pattern of the
/// policy's own finds, and does not mask.
fn redacted(exchange: &Exchange, finder: &Finder) -> Option<String> {
    let own = |it: &Sighting| Detector::named(&it.name).is_none();
    if exchange.unmasked(Flow::Arguments).any(own) {
        return None;
    }
    let arguments = exchange.call.as_ref()?.arguments()?;
    Some(redact::clipped(&finder.mask(&arguments), LONGEST_ARGUMENTS))
}

/// How a message ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Ended {
    fn told_by<'a>(self, line: Line<'a>, exchange: &'a Exchange) -> Line<'a> {
        let found = exchange.found();
        Line {
            outcome: Some(self.outcome.label()),
            redacted: (!found.is_empty()).then(|| found.into_keys().collect()),
            refused: exchange.refused,
            code: exchange.answered_code(self.outcome),
            cache: exchange.cache.map(Served::word),
            status: exchange.attempt.as_ref().and_then(|attempt| attempt.status),
            duration_us: Some(u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)),
            ..line
        }
    }
}

impl Event {
    /// Its line, if it was then.
    pub(super) fn line(&self, at: SystemTime) -> Line<'_> {
        let line = |kind| Line::of(kind, at);
        match self {
            Self::Start(policy) => {
                Line { policy: Some(policy), tollgate: Some(env!("CARGO_PKG_VERSION")), ..line("start") }
            }
            Self::Stop => line("stop"),
            Self::Reloaded(policy) => Line { policy: Some(policy), result: Some("ok"), ..line("reload") },
            Self::ReloadRefused(policy) => Line { policy: Some(policy), result: Some("refused"), ..line("reload") },
            Self::Killed(facts) => Line { result: Some("stopped"), ..facts.line(line("kill")) },
            Self::Unkilled(facts) => Line { result: Some("resumed"), ..facts.line(line("kill")) },
            Self::Gap(lost) => Line { lost: Some(*lost), ..line("gap") },
            Self::Clock(by) => Line { clock_us: Some(*by), ..line("clock") },
            Self::Recovery { bytes, sha256 } => Line { bytes: Some(*bytes), sha256: Some(sha256), ..line("recovery") },
        }
    }
}

impl KillFacts {
    fn line<'a>(&'a self, line: Line<'a>) -> Line<'a> {
        Line { kill: Some(&self.what), rule: Some(&self.rule), ..line }
    }
}

fn clip(name: &str) -> &str {
    name.get(..name.floor_char_boundary(LONGEST_METHOD)).unwrap_or(name)
}
