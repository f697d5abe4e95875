//! One line of the log, as canonical JSON (RFC 8785), written where its record is made but for its place in the chain.
//!
//! The index of a line and the hash of the one before it are known only when it comes into the log. Until then a control
//! character stands for each of them, which stands for itself in no JSON; so does the end of the line.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::time::SystemTime;

use aws_lc_rs::hmac::Tag;
use data_encoding::HEXLOWER;

use super::chain::{Chain, Hash};
use super::record::TraceId;
use crate::clock;
use crate::exchange::DecisionId;
use crate::json;
use crate::policy::RuleId;

/// The version of the format.
const VERSION: u32 = 1;
/// What ends a line.
pub(super) const END: u8 = b'\n';
/// Stands for a line's index,
const INDEX: u8 = 1;
/// and for the hash of the line before it.
const PREV: u8 = 2;

/// All that a line may say beside its place. What has no value is left out.
///
/// There are no fractions: those are canonical in one form alone, and nothing here would know it.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub(super) arguments: Option<Tag>,
    pub(super) arguments_redacted: Option<String>,
    pub(super) auth: Option<&'static str>,
    pub(super) bytes: Option<u64>,
    pub(super) cache: Option<&'static str>,
    pub(super) clock_us: Option<i64>,
    pub(super) code: Option<i64>,
    pub(super) decision: Option<DecisionId>,
    pub(super) duration_us: Option<u64>,
    pub(super) effect: Option<&'static str>,
    pub(super) issuer: Option<&'a str>,
    pub(super) kill: Option<&'a str>,
    pub(super) kind: &'static str,
    pub(super) lost: Option<u64>,
    pub(super) method: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) origin: Option<&'a str>,
    pub(super) outcome: Option<&'static str>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) policy: Option<&'a str>,
    pub(super) principal: Option<&'a str>,
    pub(super) prompt: Option<&'a str>,
    pub(super) redacted: Option<Vec<&'a str>>,
    pub(super) refused: Option<&'static str>,
    pub(super) resource: Option<&'a str>,
    pub(super) result: Option<&'static str>,
    pub(super) rule: Option<&'a RuleId>,
    pub(super) server: Option<&'a str>,
    pub(super) sha256: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) task: Option<&'a str>,
    pub(super) time: SystemTime,
    pub(super) tollgate: Option<&'static str>,
    pub(super) tool: Option<&'a str>,
    pub(super) trace_id: Option<TraceId>,
    pub(super) tree: Option<&'a [Hash]>,
    pub(super) v: Option<u32>,
    pub(super) would_deny: Option<&'static str>,
    pub(super) would_deny_rule: Option<&'a RuleId>,
}

impl<'a> Line<'a> {
    /// One that says nothing but this.
    pub(super) fn of(kind: &'static str, time: SystemTime) -> Self {
        Self {
            arguments: None,
            arguments_redacted: None,
            auth: None,
            bytes: None,
            cache: None,
            clock_us: None,
            code: None,
            decision: None,
            duration_us: None,
            effect: None,
            issuer: None,
            kill: None,
            kind,
            lost: None,
            method: None,
            note: None,
            origin: None,
            outcome: None,
            peer: None,
            policy: None,
            principal: None,
            prompt: None,
            redacted: None,
            refused: None,
            resource: None,
            result: None,
            rule: None,
            server: None,
            sha256: None,
            status: None,
            task: None,
            time,
            tollgate: None,
            tool: None,
            trace_id: None,
            tree: None,
            v: None,
            would_deny: None,
            would_deny_rule: None,
        }
    }

    /// The first line of a segment: with it, the segment can be verified without those before it.
    pub(super) fn segment(origin: &'a str, edge: &'a [Hash], at: SystemTime) -> Self {
        Self { origin: Some(origin), tree: Some(edge), v: Some(VERSION), ..Self::of("segment", at) }
    }

    /// A signed checkpoint over all lines before this one.
    pub(super) fn checkpoint(note: &'a str, at: SystemTime) -> Self {
        Self { note: Some(note), ..Self::of("checkpoint", at) }
    }

    /// Which key signs from now on, signed by the one before.
    pub(super) fn key(note: &'a str, at: SystemTime) -> Self {
        Self { note: Some(note), ..Self::of("key", at) }
    }

    /// Its text, without its end.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Its text, without its end: names in the order of RFC 8785, 3.2.3.
    pub(super) fn write(&self, into: &mut String) {
        into.push('{');
        add("arguments", self.arguments.as_ref(), hex, into);
        add("arguments_redacted", self.arguments_redacted.as_deref(), text, into);
        add("auth", self.auth, word, into);
        add("bytes", self.bytes, number, into);
        add("cache", self.cache, word, into);
        add("clock_us", self.clock_us, number, into);
        add("code", self.code, number, into);
        add("decision", self.decision.map(DecisionId::to_bytes), hex, into);
        add("duration_us", self.duration_us, number, into);
        add("effect", self.effect, word, into);
        add("index", Some(char::from(INDEX)), |mark, into| into.push(mark), into);
        add("issuer", self.issuer, text, into);
        add("kill", self.kill, text, into);
        add("kind", Some(self.kind), word, into);
        add("lost", self.lost, number, into);
        add("method", self.method, text, into);
        add("note", self.note, text, into);
        add("origin", self.origin, text, into);
        add("outcome", self.outcome, word, into);
        add("peer", self.peer, address, into);
        add("policy", self.policy, text, into);
        add("prev", Some(char::from(PREV)), |mark, into| into.extend(['"', mark, '"']), into);
        add("principal", self.principal, text, into);
        add("prompt", self.prompt, text, into);
        add("redacted", self.redacted.as_deref(), |names, into| list(names, text, into), into);
        add("refused", self.refused, word, into);
        add("resource", self.resource, text, into);
        add("result", self.result, word, into);
        add("rule", self.rule, shown, into);
        add("server", self.server, text, into);
        add("sha256", self.sha256, text, into);
        add("status", self.status, number, into);
        add("task", self.task, text, into);
        add("time", Some(self.time), time, into);
        add("tollgate", self.tollgate, word, into);
        add("tool", self.tool, text, into);
        add("trace_id", self.trace_id, hex, into);
        add("tree", self.tree, |roots, into| list(roots, hex, into), into);
        add("v", self.v, number, into);
        add("would_deny", self.would_deny, word, into);
        add("would_deny_rule", self.would_deny_rule, shown, into);
        into.push('}');
    }
}

/// Adds a member, if it has a value.
fn add<T>(name: &'static str, value: Option<T>, write: impl FnOnce(T, &mut String), into: &mut String) {
    if let Some(value) = value {
        if !into.ends_with('{') {
            into.push(',');
        }
        word(name, into);
        into.push(':');
        write(value, into);
    }
}

fn text(text: impl AsRef<str>, into: &mut String) {
    json::quote_canonical(text.as_ref(), into);
}

fn shown(value: impl Display, into: &mut String) {
    json::quote_canonical_shown(&value, into);
}

fn number(number: impl itoa::Integer, into: &mut String) {
    into.push_str(itoa::Buffer::new().format(number));
}

/// As it shows itself, which would first make a text of its own to pad it.
fn address(address: SocketAddr, into: &mut String) {
    into.push('"');
    match address {
        SocketAddr::V4(address) => {
            for (octet, mark) in address.ip().octets().into_iter().zip(['.', '.', '.', ':']) {
                number(octet, into);
                into.push(mark);
            }
            number(address.port(), into);
        }
        SocketAddr::V6(address) => {
            // Writing to a String cannot fail.
            let _ = write!(into, "{address}");
        }
    }
    into.push('"');
}

/// One of the program's own words: there is nothing to escape in it.
fn word(word: &'static str, into: &mut String) {
    into.push('"');
    into.push_str(word);
    into.push('"');
}

fn hex(bytes: impl AsRef<[u8]>, into: &mut String) {
    into.push('"');
    HEXLOWER.encode_append(bytes.as_ref(), into);
    into.push('"');
}

/// RFC 3339 in UTC, with microseconds.
fn time(at: SystemTime, into: &mut String) {
    into.push('"');
    clock::write_utc(at, 6, into);
    into.push('"');
}

fn list<T: Copy>(items: &[T], write: fn(T, &mut String), into: &mut String) {
    into.push('[');
    for (at, item) in items.iter().enumerate() {
        into.push_str(if at == 0 { "" } else { "," });
        write(*item, into);
    }
    into.push(']');
}

/// Writes a line that [`Line::write`] made as the next one of the chain, with its end.
pub(super) fn append(line: &str, chain: &mut Chain, buffer: &mut String) {
    let begins = buffer.len();
    let (before, rest) = around(line, INDEX);
    let (between, behind) = around(rest, PREV);
    buffer.push_str(before);
    number(chain.size(), buffer);
    buffer.push_str(between);
    HEXLOWER.encode_append(chain.last(), buffer);
    buffer.push_str(behind);
    chain.push(buffer.get(begins..).unwrap_or_default().as_bytes());
    buffer.push(char::from(END));
}

/// What stands before a mark, and what behind it.
pub(super) fn around(text: &str, mark: u8) -> (&str, &str) {
    let at = memchr::memchr(mark, text.as_bytes()).unwrap_or(text.len());
    let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    (before, rest.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::time::Duration;

    use aws_lc_rs::hmac;

    use super::*;

    #[test]
    fn a_line_is_canonical_whatever_stands_in_it() {
        let odd = "é\"\\\n\t\r\u{8}\u{c}\u{1}\u{2}\u{1f}\u{7f}\u{2028}/😀";
        let (rule, tree) = (RuleId::at("odd \"\n.yaml", 7, odd), [[0xab; 32], [0; 32]]);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let everything = Line {
            arguments: Some(hmac::sign(&key, b"{}")),
            arguments_redacted: Some(odd.to_owned()),
            auth: Some("token"),
            bytes: Some(1),
            cache: Some("hit"),
            clock_us: Some(-3_600_000_000),
            code: Some(-32602),
            decision: Some(DecisionId::random()),
            duration_us: Some(1 << 52),
            effect: Some("allow"),
            issuer: Some(odd),
            kill: Some(odd),
            lost: Some(0),
            method: Some(odd),
            note: Some(odd),
            origin: Some(odd),
            outcome: Some("ok"),
            peer: Some((Ipv6Addr::LOCALHOST, 1).into()),
            policy: Some(odd),
            principal: Some(odd),
            prompt: Some(odd),
            redacted: Some(vec![odd, "x"]),
            refused: Some("x"),
            resource: Some(odd),
            result: Some("ok"),
            rule: Some(&rule),
            server: Some(odd),
            sha256: Some(odd),
            status: Some(200),
            task: Some(odd),
            tollgate: Some("0"),
            tool: Some(odd),
            trace_id: Some([0xcd; 16]),
            tree: Some(&tree),
            v: Some(1),
            would_deny: Some("x"),
            would_deny_rule: Some(&rule),
            ..Line::of("decision", SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567))
        };
        let (mut chain, mut buffer) = (Chain::new(), String::new());
        let stop = Line::of("stop", SystemTime::UNIX_EPOCH);
        let of_v4 = Line { peer: Some(([203, 0, 113, 9], 65_535).into()), ..stop.clone() };
        for line in [everything, of_v4, stop] {
            let before = (chain.size(), HEXLOWER.encode(chain.last()), buffer.len());
            append(&line.text(), &mut chain, &mut buffer);
            let written = buffer.get(before.2..).unwrap().strip_suffix(char::from(END)).unwrap();
            let read: serde_json::Value = serde_json::from_str(written).unwrap();
            assert_eq!(written, serde_json_canonicalizer::to_string(&read).unwrap());
            assert_eq!((read["index"].as_u64(), read["prev"].as_str()), (Some(before.0), Some(&*before.1)));
            assert!(line.peer.is_none_or(|peer| read["peer"] == peer.to_string()), "{written}");
            assert!(line.tool.is_none() || read["tool"] == odd && read["rule"] == rule.to_string(), "{written}");
        }
        assert_eq!(chain.size(), 3);
    }
}
