//! Which headers pass, each way.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::mcp::{TraceContext, alike, decode_sentinel, encode_sentinel};
use crate::policy::Redaction;
use crate::state::SESSION_ID;

/// What a server may see of the caller's headers: what the protocol needs, and nothing else that is not listed for it.
/// Credentials, cookies, hop-by-hop, forwarding and override headers are gone because they are not here. Accept-Encoding
/// too: the gate reads what comes back. The trace context is the gate's own where it traces; where it does not, a caller's
/// leads from one's logs to the other's, and says nothing else.
static TO_SERVER: [HeaderName; 5] =
    [header::ACCEPT, header::CONTENT_TYPE, HeaderName::from_static("last-event-id"), TRACEPARENT, TRACESTATE];

/// Names a request in the logs of whoever has to do with it. No standard, but every proxy knows it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The same.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// W3C Baggage: what a caller says of itself, so it passes only where it is listed.
pub(super) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Headers whose name begins so belong to MCP, those that nobody knows yet too (MCP 2026-07-28, Transports).
const MCP: &str = "mcp-";

/// Headers whose name begins so repeat arguments (SEP-2243).
const MIRRORED: &str = "mcp-param-";

/// What never comes back: it is about the connection behind the gate, or speaks for the gate.
static NOT_TO_CALLER: [HeaderName; 12] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::TE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::ALT_SVC,
    header::LOCATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Most servers are told no more than so many headers. A connection keeps the room for them as long as a stream lasts.
const USUAL: usize = 12;

/// The caller's headers that the server may see: the protocol's, and those that are `listed` for it. Never one that a server
/// may take for one that the gate computes, whatever is listed.
pub(super) fn to_server(
    caller: &HeaderMap,
    listed: &[HeaderName],
    computed: &[(HeaderName, HeaderValue)],
) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(USUAL);
    for (name, value) in caller {
        let of_protocol = TO_SERVER.contains(name) || (name.as_str().starts_with(MCP) && *name != SESSION_ID);
        let stands_in = || computed.iter().any(|(own, _)| alike(own.as_str(), name.as_str()));
        if of_protocol || (listed.contains(name) && !stands_in()) {
            passed.append(name, value.clone());
        }
    }
    passed
}

/// Puts this context in the place of the caller's.
pub(super) fn traced(headers: &mut HeaderMap, context: &TraceContext) {
    headers.remove(TRACESTATE);
    if let Ok(value) = HeaderValue::from_str(&context.traceparent) {
        headers.insert(TRACEPARENT, value);
    }
    if let Ok(value) = HeaderValue::from_str(&context.tracestate)
        && !value.is_empty()
    {
        headers.insert(TRACESTATE, value);
    }
}

/// What was masked in the arguments is masked in the headers that repeat them. One that cannot be read does not pass.
pub(super) fn mask(headers: &mut HeaderMap, redaction: &Redaction) {
    let masked = |value: &HeaderValue| {
        let text = value.to_str().ok().and_then(|value| decode_sentinel(value.trim_matches([' ', '\t'])))?;
        HeaderValue::try_from(encode_sentinel(&redaction.masked(&text))).ok()
    };
    let repeated = headers.iter().filter(|(name, _)| name.as_str().starts_with(MIRRORED));
    let repeated: Vec<_> = repeated.map(|(name, value)| (name.clone(), masked(value))).collect();
    for (name, value) in repeated {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
}

/// Takes out of a reply's headers what is not the caller's business.
pub(super) fn to_caller(reply: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = reply
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let not_theirs = |name: &&HeaderName| NOT_TO_CALLER.contains(*name) || nominated.contains(*name);
    let gone: Vec<HeaderName> = reply.keys().filter(not_theirs).cloned().collect();
    for name in gone {
        reply.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_takes_the_place_of_the_callers_and_a_state_never_stays_without_its_parent() {
        let headers = |lines: &[(HeaderName, &'static str)]| {
            lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for state in ["", "a=1"] {
            let mut carried = headers(&[(TRACEPARENT, "x"), (TRACESTATE, "c=3"), (TRACESTATE, "d=4")]);
            traced(&mut carried, &TraceContext { traceparent: "P".to_owned(), tracestate: state.to_owned() });
            let mut expected = headers(&[(TRACEPARENT, "P")]);
            expected.extend(
                Some(state).filter(|state| !state.is_empty()).map(|_| (TRACESTATE, HeaderValue::from_static("a=1"))),
            );
            assert_eq!(carried, expected);
        }
    }
}
