//! Which calls ask the same: all that the server would be sent is the same, but for what only names or traces a call.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Question;
use crate::json::{self, Bounds};
use crate::mcp::{Method, Target};
use crate::policy::{Permit, SharedBy};

/// What tells a question from all others.
pub(super) type Key = [u8; 32];

/// What an answer is kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// By all who may be given it.
    pub(super) shared: Key,
    /// By its caller alone.
    pub(super) own: Key,
}

/// The largest integer that every language holds exactly: 2^53 - 1.
const LARGEST: f64 = 9_007_199_254_740_991.0;

impl Keys {
    /// The keys of a call whose answer may be kept; `None` if it may not.
    pub(super) fn of(question: &Question<'_>) -> Option<Self> {
        let Question { permit, conversation, headers, upstream, policy } = *question;
        let (call, caching) = (permit.call(), permit.tool()?.caching.as_ref()?);
        let Target::Tool(tool) = call.target() else {
            return None;
        };
        // An answer that comes on another stream does not pass here, and one to a call that says more than its arguments
        // may be to what was said meanwhile (MCP 2026-07-28, MRTR).
        let alone = call.method() == Method::ToolsCall && call.id().is_some() && call.is_self_contained();
        if !alone || conversation.url().is_some() {
            return None;
        }
        let seen = upstream.sees(permit, headers)?;
        let arguments = match call.arguments() {
            Some(arguments) => canonical(&arguments)?,
            None => Vec::new(),
        };
        let mut parts = Parts(Sha256::new());
        parts.add(policy);
        parts.add(permit.server().as_str());
        parts.add(tool);
        parts.add(&arguments);
        parts.add_headers(&seen);
        let shared = parts.clone().key();
        parts.add(&**permit.principal().account());
        let own = parts.key();
        Some(match caching.per {
            SharedBy::Everyone => Self { shared, own },
            SharedBy::Principal => Self { shared: own, own },
        })
    }
}

/// For how long an answer may be given again.
pub(super) fn lasts(permit: &Permit) -> Option<Duration> {
    Some(permit.tool()?.caching.as_ref()?.lasts)
}

/// The canonical form (RFC 8785) of arguments that have one. It writes numbers as doubles: two integers that are one double
/// are two questions all the same, so such calls are nobody's but their own.
fn canonical(arguments: &Bytes) -> Option<Vec<u8>> {
    let value = json::value(arguments, &Bounds::default()).ok()?;
    if is_exact(&value) { serde_json_canonicalizer::to_vec(&value).ok() } else { None }
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= LARGEST),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// The parts of a question, each told apart from the next.
#[derive(Clone)]
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(part);
    }

    /// In the order of their names: who wrote them in another one asks the same.
    fn add_headers(&mut self, headers: &HeaderMap) {
        let mut names: Vec<_> = headers.keys().collect();
        names.sort_unstable_by_key(|name| name.as_str());
        for name in names {
            for value in headers.get_all(name) {
                self.add(name);
                self.add(value);
            }
        }
    }

    fn key(self) -> Key {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_the_same_that_read_the_same_and_no_others() {
        let of = |text: &'static str| canonical(&Bytes::from_static(text.as_bytes()));
        assert_eq!(of(r#"{ "b": [1, "\u00e9"], "a": 1.0 }"#), of(r#"{"a":1,"b":[1.0e0,"é"]}"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":"1"}"#));
        assert_ne!(of(r#"{"a":[1,2]}"#), of(r#"{"a":[2,1]}"#));
        assert_ne!(of(r#"{"a":null}"#), of("{}"));
        assert!(of(r#"{"a":9007199254740991}"#).is_some());
        // One double, two numbers.
        for beyond in [r#"{"a":9007199254740992}"#, r#"{"a":[{"b":-9007199254740993}]}"#, r#"{"a":1e300}"#] {
            assert_eq!(of(beyond), None, "{beyond}");
        }
    }
}
