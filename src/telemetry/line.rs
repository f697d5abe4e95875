//! Decision lines: one JSON object per message on standard output. Never a secret, never an argument.
//!
//! Written by hand: a line costs no allocation and half of what a serializer does.

use std::fmt::Write as _;
use std::time::Duration;

use data_encoding::HEXLOWER;
use opentelemetry::trace::TraceId;

use super::attribute::Facts;
use crate::clock;
use crate::json;
use crate::mcp::Method;
use crate::policy::RuleId;

/// The longest method that a line shows in full, in bytes. The reader bounds other names.
const LONGEST_METHOD: usize = 128;

/// Writes the line of a message that has ended.
pub(super) fn write(facts: &Facts<'_>, took: Duration, trace: Option<TraceId>, line: &mut String) {
    let exchange = facts.exchange;
    line.push_str("{\"time\":\"");
    clock::write_utc(exchange.started_at, 3, line);
    // Writing to a String cannot fail, here and below.
    let _ = write!(line, "\",\"decision\":\"{}\",\"principal\":", exchange.id);
    text(exchange.principal.as_ref().map(|it| &**it.id()), line);
    if let Some(principal) = &exchange.principal {
        let _ = write!(line, ",\"auth\":\"{}\"", principal.auth());
        if let Some(issuer) = principal.issuer() {
            line.push_str(",\"issuer\":");
            json::quote(issuer, line);
        }
    }
    line.push_str(",\"server\":");
    json::quote(exchange.server.as_str(), line);
    line.push_str(",\"method\":");
    json::quote(clip(name(facts), LONGEST_METHOD), line);
    if let Some(name) = facts.target().name() {
        let _ = write!(line, ",\"{}\":", facts.target().kind());
        json::quote(name, line);
    }
    let _ = write!(line, ",\"outcome\":\"{}\"", facts.outcome.label());
    if let Some(refused) = exchange.refused {
        line.push_str(",\"refused\":");
        json::quote(refused, line);
    }
    if let Some(code) = facts.code() {
        let _ = write!(line, ",\"code\":{code}");
    }
    if let Some(served) = exchange.cache {
        let _ = write!(line, ",\"cache\":\"{}\"", served.word());
    }
    line.push_str(",\"rule\":");
    rule(exchange.rule.as_ref(), line);
    if let Some(would) = &exchange.would_deny {
        line.push_str(",\"would_deny\":");
        json::quote(would.reason, line);
        line.push_str(",\"would_deny_rule\":");
        rule(Some(&would.rule), line);
    }
    if let Some(request) = &exchange.request_id {
        line.push_str(",\"request_id\":");
        text(request.to_str().ok(), line);
    }
    for (at, (name, action)) in exchange.found().into_iter().enumerate() {
        line.push_str(if at == 0 { ",\"redacted\":{" } else { "," });
        json::quote(name, line);
        let _ = write!(line, ":\"{}\"", action.word());
    }
    line.push_str(if exchange.sightings.is_empty() { "" } else { "}" });
    line.push_str(",\"policy\":");
    json::quote(&exchange.policy, line);
    let micros = took.as_micros();
    let _ = write!(line, ",\"duration_ms\":{}.{:03},\"trace_id\":", micros / 1000, micros % 1000);
    write_trace(trace, line);
    line.push_str("}\n");
}

fn write_trace(trace: Option<TraceId>, line: &mut String) {
    let Some(trace) = trace else {
        return line.push_str("null");
    };
    line.push('"');
    HEXLOWER.encode_append(&trace.to_bytes(), line);
    line.push('"');
}

/// The method as the message has it, known or not.
fn name<'a>(facts: &Facts<'a>) -> &'a str {
    let call = facts.exchange.call.as_ref();
    call.map_or(Method::Other.name(), |call| call.method_name())
}

/// The rule as text, or `null`.
fn rule(rule: Option<&RuleId>, line: &mut String) {
    match rule {
        Some(rule) => json::quote_shown(rule, line),
        None => line.push_str("null"),
    }
}

fn text(value: Option<&str>, line: &mut String) {
    match value {
        Some(value) => json::quote(value, line),
        None => line.push_str("null"),
    }
}

fn clip(name: &str, longest: usize) -> &str {
    let end = (0..=longest.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    name.split_at_checked(end).map_or(name, |(kept, _)| kept)
}
