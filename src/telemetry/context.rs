//! W3C trace context, in and out. What is not exactly a `traceparent` counts as absent.

use std::str::FromStr;

use data_encoding::HEXLOWER;
use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::mcp::{Call, TraceContext};
use crate::upstream::{TRACEPARENT, TRACESTATE};

/// The longest `tracestate` that is carried on (Trace Context, 3.3.1.5).
const LONGEST_STATE: usize = 512;

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Reads the context of an HTTP request.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<SpanContext> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    // Two of them would be two parents.
    let (Some(only), None) = (lines.next(), lines.next()) else {
        return None;
    };
    parse(only.to_str().ok()?, state(headers))
}

/// Reads the context that a message itself carries (SEP-414).
pub(super) fn from_call(call: &Call) -> Option<SpanContext> {
    let state = call.tracestate().filter(|state| state.len() <= LONGEST_STATE);
    let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    parse(call.traceparent()?, state)
}

fn state(headers: &HeaderMap) -> TraceState {
    let lines: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|line| line.to_str().ok()).collect();
    if lines.is_empty() {
        return TraceState::default();
    }
    let joined = lines.join(",");
    if joined.len() > LONGEST_STATE {
        return TraceState::default();
    }
    TraceState::from_str(&joined).unwrap_or_default()
}

/// Reads a `traceparent` (Trace Context, 3.2): lower-case hexadecimal digits, no id that is all zeros, and of later
/// versions than 00 the part that 00 has.
pub(super) fn parse(text: &str, state: TraceState) -> Option<SpanContext> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
    let sound = lengths.iter().all(|(part, length)| {
        part.len() == *length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    let ends_well = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    if !sound || !ends_well {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, state);
    context.is_valid().then_some(context)
}

/// The span as the parent of whatever its receiver does.
pub(super) fn write(context: &SpanContext) -> TraceContext {
    let mut traceparent = String::with_capacity(LENGTH);
    traceparent.push_str("00-");
    HEXLOWER.encode_append(&context.trace_id().to_bytes(), &mut traceparent);
    traceparent.push('-');
    HEXLOWER.encode_append(&context.span_id().to_bytes(), &mut traceparent);
    traceparent.push_str(if context.is_sampled() { "-01" } else { "-00" });
    // Most have none, and the SDK makes three texts of that.
    let state = Some(context.trace_state()).filter(|state| **state != TraceState::NONE);
    TraceContext { traceparent, tracestate: state.map(TraceState::header).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn only_an_exact_traceparent_is_one() {
        let context = parse(GOOD, TraceState::default()).unwrap();
        assert_eq!(write(&context).traceparent, GOOD);
        assert!(context.is_sampled() && context.is_remote());
        let later = GOOD.replacen("00", "cc", 1);
        assert!(parse(&format!("{later}-what-later-versions-have"), TraceState::default()).is_some());
        let bad = [
            "",
            "00",
            &GOOD.to_uppercase(),
            &format!("{GOOD}-00"),
            &format!("{later}00"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad", "+7ad"),
            &GOOD.replace('-', "_"),
            &format!(" {GOOD}"),
        ];
        for text in bad {
            assert_eq!(parse(text, TraceState::default()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", tail in "[0-9a-f-]{0,60}") {
            prop_assert!(parse(&text, TraceState::default()).is_none());
            let tail = format!("00-{tail}");
            prop_assert!(parse(&tail, TraceState::default()).is_none_or(|context| context.is_valid()));
        }
    }

    #[test]
    fn two_parents_are_none() {
        assert!(from_headers(&headers(&[("traceparent", GOOD)])).is_some());
        assert!(from_headers(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])).is_none());
    }

    #[test]
    fn the_state_travels_with_its_parent() {
        let read = from_headers(&headers(&[("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")]));
        let context = TraceContext { traceparent: GOOD.to_owned(), tracestate: "a=1,b=2".to_owned() };
        assert_eq!(write(&read.unwrap()), context);
        let long = format!("a={}", "x".repeat(LONGEST_STATE));
        let read = from_headers(&headers(&[("traceparent", GOOD), ("tracestate", &long)]));
        assert_eq!(write(&read.unwrap()).tracestate, "");
    }
}
