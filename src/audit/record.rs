//! What is written down, and how: one line of canonical JSON (RFC 8785) for each record.
//!
//! Never a secret, and of arguments only a keyed digest, since those of few possible values could be guessed from a plain
//! one; unless the operator wants more: then what was allowed stands there masked, and not more than so much of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use serde::Serialize;

use super::Copied;
use super::chain::{Chain, hex};
use crate::cache::Served;
use crate::exchange::{DecisionId, Exchange, Outcome, WouldDeny};
use crate::identity::Principal;
use crate::mcp::{Call, ServerName, Target};
use crate::policy::{Flow, RuleId, Sighting};
use crate::redact::{self, Detector, Finder};

/// The version of the format.
const VERSION: u32 = 1;
/// The longest method that a record shows in full, in bytes. The reader bounds other names.
const LONGEST_METHOD: usize = 128;
/// The most that it shows of arguments.
const LONGEST_ARGUMENTS: usize = 4096;

/// The trace that a message belongs to.
pub(super) type TraceId = [u8; 16];

/// Something that happened.
#[derive(Debug)]
pub(super) enum Record {
    /// A call may go on.
    Allowed(Asked),
    /// A message goes no further.
    Refused(Asked, Ended),
    /// A call that was allowed has ended.
    Outcome(DecisionId, Option<TraceId>, Ended),
    /// Something of the gate's own.
    Event(SystemTime, Event),
    /// What the encoder was not made for.
    #[cfg(test)]
    Unencodable,
}

/// What is told of arguments.
#[derive(Debug)]
pub(super) struct Told {
    /// What they are digested with, if they are.
    pub(super) digest: Option<hmac::Key>,
    /// What must not be seen in a copy of them, if there is one.
    pub(super) copy: Option<Finder>,
}

/// Who asked for what, and what decided.
#[derive(Debug)]
pub(super) struct Asked {
    id: DecisionId,
    at: SystemTime,
    peer: SocketAddr,
    server: ServerName,
    principal: Option<Arc<Principal>>,
    call: Option<Arc<Call>>,
    rule: Option<RuleId>,
    would_deny: Option<WouldDeny>,
    policy: Arc<str>,
    trace: Option<TraceId>,
    arguments: Standing,
}

/// What stands in the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing that the detectors would not find.
    Findable,
    /// Something that only a pattern of the policy's own finds, and does not mask.
    Unfindable,
}

/// How a message ended.
#[derive(Debug)]
pub(super) struct Ended {
    at: SystemTime,
    took: Duration,
    outcome: Outcome,
    refused: Option<&'static str>,
    code: Option<i64>,
    cache: Option<Served>,
    status: Option<u16>,
    /// What was found that is not for everyone's eyes, by name.
    redacted: Vec<Box<str>>,
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

/// All that a line may say, in the order that RFC 8785 gives to the names. What has no value is left out.
///
/// There are no fractions, so that what `serde_json` writes of it is canonical.
#[derive(Debug, Default, Serialize)]
pub(super) struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments_redacted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<&'static str>,
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kill: Option<&'a str>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    prev: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redacted: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tollgate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny_rule: Option<String>,
}

impl Asked {
    pub(super) fn of(exchange: &Exchange, trace: Option<TraceId>) -> Self {
        Self {
            id: exchange.id,
            at: exchange.started_at,
            peer: exchange.peer,
            server: exchange.server.clone(),
            principal: exchange.principal.clone(),
            call: exchange.call.clone(),
            rule: exchange.rule.clone(),
            would_deny: exchange.would_deny.clone(),
            policy: Arc::clone(&exchange.policy),
            trace,
            arguments: Standing::of(exchange),
        }
    }

    /// How many bytes of a caller's it keeps until it is written.
    pub(super) fn bytes(&self) -> usize {
        self.call.as_ref().map_or(0, |call| call.body().len())
    }

    fn line(&self, told: &Told) -> Line<'_> {
        let mut line = Line {
            auth: self.principal.as_ref().map(|principal| principal.auth()),
            decision: Some(self.id.to_string()),
            issuer: self.principal.as_ref().and_then(|principal| principal.issuer()),
            peer: Some(self.peer.to_string()),
            policy: Some(&self.policy),
            principal: self.principal.as_ref().map(|principal| &**principal.id()),
            rule: self.rule.as_ref().map(ToString::to_string),
            server: Some(self.server.as_str()),
            time: time(self.at),
            trace_id: self.trace.map(|trace| hex(&trace)),
            would_deny: self.would_deny.as_ref().map(|would| would.reason),
            would_deny_rule: self.would_deny.as_ref().map(|would| would.rule.to_string()),
            ..Line::of("decision")
        };
        let Some(call) = &self.call else {
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
        let digest = |(key, arguments): (_, bytes::Bytes)| hex(hmac::sign(key, &arguments).as_ref());
        line.arguments = told.digest.as_ref().zip(call.arguments()).map(digest);
        line
    }

    /// The arguments as far as they may be seen.
    fn redacted(&self, told: &Told) -> Option<String> {
        let finder = told.copy.as_ref().filter(|_| self.arguments == Standing::Findable)?;
        let arguments = self.call.as_ref()?.arguments()?;
        Some(redact::clipped(&finder.mask(&arguments), LONGEST_ARGUMENTS))
    }
}

impl Standing {
    fn of(exchange: &Exchange) -> Self {
        let own = |it: &Sighting| Detector::named(&it.name).is_none();
        if exchange.unmasked(Flow::Arguments).any(own) { Self::Unfindable } else { Self::Findable }
    }
}

impl Ended {
    pub(super) fn of(exchange: &Exchange, outcome: Outcome, took: Duration) -> Self {
        Self {
            at: exchange.started_at + took,
            took,
            outcome,
            refused: exchange.refused,
            code: exchange.answered_code(outcome),
            cache: exchange.cache,
            status: exchange.attempt.as_ref().and_then(|attempt| attempt.status),
            redacted: exchange.found().into_keys().map(Box::from).collect(),
        }
    }

    fn add_to<'a>(&'a self, line: &mut Line<'a>) {
        line.outcome = Some(self.outcome.label());
        line.redacted = self.redacted.iter().map(|name| &**name).collect();
        line.refused = self.refused;
        line.code = self.code;
        line.cache = self.cache.map(Served::word);
        line.status = self.status;
        line.duration_us = Some(u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX));
    }
}

impl Record {
    /// How many bytes of a caller's it keeps until it is written.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Allowed(asked) | Self::Refused(asked, _) => asked.bytes(),
            Self::Outcome(..) | Self::Event(..) => 0,
            #[cfg(test)]
            Self::Unencodable => 0,
        }
    }

    /// Its line, but for the place in the chain.
    pub(super) fn line(&self, told: &Told) -> Line<'_> {
        match self {
            Self::Allowed(asked) => {
                Line { effect: Some("allow"), arguments_redacted: asked.redacted(told), ..asked.line(told) }
            }
            Self::Refused(asked, ended) => {
                let mut line = Line { effect: Some("deny"), ..asked.line(told) };
                ended.add_to(&mut line);
                line
            }
            Self::Outcome(id, trace, ended) => {
                let (decision, trace_id) = (Some(id.to_string()), trace.map(|trace| hex(&trace)));
                let mut line = Line { decision, time: time(ended.at), trace_id, ..Line::of("outcome") };
                ended.add_to(&mut line);
                line
            }
            Self::Event(at, event) => event.line(*at),
            #[cfg(test)]
            Self::Unencodable => std::panic::panic_any("an injected one"),
        }
    }
}

impl Event {
    pub(super) fn line(&self, at: SystemTime) -> Line<'_> {
        let line = |kind| Line { time: time(at), ..Line::of(kind) };
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
        Line { kill: Some(&self.what), rule: Some(self.rule.to_string()), ..line }
    }
}

impl<'a> Line<'a> {
    fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }

    /// The first line of a segment: with it, the segment can be verified without those before it.
    pub(super) fn segment(origin: &'a str, chain: &Chain, at: SystemTime) -> Self {
        let tree = chain.edge().iter().map(|root| hex(root)).collect();
        Self { origin: Some(origin), time: time(at), tree: Some(tree), v: Some(VERSION), ..Self::of("segment") }
    }

    /// A signed checkpoint over all lines before this one.
    pub(super) fn checkpoint(note: &'a str, at: SystemTime) -> Self {
        Self { note: Some(note), time: time(at), ..Self::of("checkpoint") }
    }

    /// Which key signs from now on, signed by the one before.
    pub(super) fn key(note: &'a str, at: SystemTime) -> Self {
        Self { note: Some(note), time: time(at), ..Self::of("key") }
    }

    /// Of what it is copied.
    pub(super) fn copied(&self) -> Copied {
        if self.note.is_some() { Copied::Checkpoints } else { Copied::Records }
    }

    /// Writes it as the next line of the chain.
    pub(super) fn append(mut self, chain: &mut Chain, buffer: &mut Vec<u8>) {
        self.index = chain.size();
        self.prev = hex(chain.last());
        let begins = buffer.len();
        // Texts and whole numbers into memory: there is nothing that could fail.
        drop(serde_json::to_writer(&mut *buffer, &self));
        chain.push(buffer.get(begins..).unwrap_or_default());
        buffer.push(b'\n');
    }
}

/// RFC 3339 in UTC, with microseconds.
fn time(at: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(at).unwrap_or_default();
    format!("{timestamp:.6}")
}

fn clip(name: &str) -> &str {
    name.get(..name.floor_char_boundary(LONGEST_METHOD)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name there is, with a value that has to be escaped where it can have one.
    fn everything() -> Line<'static> {
        let odd = "é\"\\\n\t\u{1}\u{7f}\u{2028}/😀";
        Line {
            arguments: Some(odd.to_owned()),
            arguments_redacted: Some(odd.to_owned()),
            auth: Some("token"),
            bytes: Some(1),
            cache: Some("hit"),
            clock_us: Some(-3_600_000_000),
            code: Some(-32602),
            decision: Some(odd.to_owned()),
            duration_us: Some(1 << 52),
            effect: Some("allow"),
            index: 7,
            issuer: Some(odd),
            kill: Some(odd),
            kind: "decision",
            lost: Some(0),
            method: Some(odd),
            note: Some(odd),
            origin: Some(odd),
            outcome: Some("ok"),
            peer: Some(odd.to_owned()),
            policy: Some(odd),
            prev: odd.to_owned(),
            principal: Some(odd),
            prompt: Some(odd),
            redacted: vec![odd],
            refused: Some("x"),
            resource: Some(odd),
            result: Some("ok"),
            rule: Some(odd.to_owned()),
            server: Some(odd),
            sha256: Some(odd),
            status: Some(200),
            task: Some(odd),
            time: odd.to_owned(),
            tollgate: Some("0"),
            tool: Some(odd),
            trace_id: Some(odd.to_owned()),
            tree: Some(vec![odd.to_owned()]),
            v: Some(1),
            would_deny: Some("x"),
            would_deny_rule: Some(odd.to_owned()),
        }
    }

    #[test]
    fn a_line_is_canonical_whatever_stands_in_it() {
        for line in [everything(), Line::of("stop")] {
            let written = serde_json::to_string(&line).unwrap();
            let canonical = serde_json_canonicalizer::to_string(&line).unwrap();
            assert_eq!(written, canonical);
        }
    }
}
