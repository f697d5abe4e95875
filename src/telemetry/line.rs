//! Decision lines: one JSON object per message on standard output. Never a secret, never an argument.
//!
//! Written by hand: a line costs no allocation and half of what a serializer does.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use opentelemetry::trace::TraceId;

use super::attribute::Facts;
use crate::json;
use crate::mcp::Method;
use crate::policy::RuleId;

/// The longest method that a line shows in full, in bytes. The reader bounds other names.
const LONGEST_METHOD: usize = 128;

/// Writes the line of a message that has ended.
pub(super) fn write(facts: &Facts<'_>, took: Duration, trace: Option<TraceId>, line: &mut String) {
    let exchange = facts.exchange;
    line.push_str("{\"time\":\"");
    timestamp(exchange.started_at, line);
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

/// RFC 3339 in UTC with milliseconds. Years have four digits from 1970 to 9999; nothing else is now.
fn timestamp(time: SystemTime, line: &mut String) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    digits(year, 4, line);
    for (mark, value) in [('-', month), ('-', day), ('T', second / 3600), (':', second / 60 % 60), (':', second % 60)] {
        line.push(mark);
        digits(value, 2, line);
    }
    line.push('.');
    digits(u64::from(since.subsec_millis()), 3, line);
    line.push('Z');
}

/// The last `count` decimal digits.
fn digits(value: u64, count: u32, line: &mut String) {
    for place in (0..count).rev() {
        let digit = value / 10_u64.pow(place) % 10;
        line.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
    }
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from March, so that a leap day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, date)
}
