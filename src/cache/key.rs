//! Which calls ask the same: all that the server would be sent is the same, but for what only names or traces a call.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Kept, Question};
use crate::json::{self, Bounds};
use crate::mcp::{Era, Method, Target};
use crate::policy::{Permit, SharedBy};

/// What tells a question from all others.
pub(super) type Key = [u8; 32];

/// A call whose answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// By what.
    pub(super) keys: Keys,
    /// On what terms.
    pub(super) terms: Terms,
}

/// For how long an answer is kept, and who says for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// The policy, of a tool: for so long. Its server may say less.
    Policy(Duration),
    /// The server, of a list: so long at most, and not at all if it does not say.
    Server(Duration),
}

/// What is asked, as far as the answer depends on it.
struct Asks {
    what: [Vec<u8>; 2],
    terms: Terms,
    per: SharedBy,
}

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

impl Wanted {
    /// What is wanted by a call whose answer may be kept; `None` if it may not. Lists may, for so long at most.
    pub(super) fn by(question: &Question<'_>, lists: Option<Duration>) -> Option<Self> {
        let Question { permit, conversation, headers, upstream, policy, .. } = *question;
        // An answer that comes on another stream does not pass here.
        if permit.call().id().is_none() || conversation.url().is_some() {
            return None;
        }
        let Asks { what: [name, arguments], terms, per } = match permit.call().method() {
            Method::ToolsCall => Asks::of_tool(permit)?,
            _ => Asks::of_list(question, lists?)?,
        };
        let seen = upstream.sees(permit, headers)?;
        // In a store that gates share, another server may have this name.
        let urls: Vec<_> = upstream.endpoints().map(|endpoint| endpoint.url().to_string()).collect();
        let mut parts = Parts(Sha256::new());
        parts.add(policy);
        parts.add(permit.server().as_str());
        parts.add(urls.join(" "));
        parts.add(permit.call().method().name());
        parts.add(&name);
        parts.add(&arguments);
        parts.add_headers(&seen);
        let shared = parts.clone().key();
        parts.add(&**permit.principal().account());
        let own = parts.key();
        let keys = match per {
            SharedBy::Everyone => Keys { shared, own },
            SharedBy::Principal => Keys { shared: own, own },
        };
        Some(Self { keys, terms })
    }
}

impl Asks {
    fn of_tool(permit: &Permit) -> Option<Self> {
        let (call, caching) = (permit.call(), permit.tool()?.caching.as_ref()?);
        // An answer to a call that says more than its arguments may be to what was said meanwhile (MCP 2026-07-28, MRTR).
        let Target::Tool(tool) = call.target() else {
            return None;
        };
        let arguments = match call.arguments() {
            _ if !call.is_self_contained() => return None,
            Some(arguments) => canonical(&json::value(&arguments, &Bounds::default()).ok()?)?,
            None => Vec::new(),
        };
        let what = [tool.as_bytes().to_vec(), arguments];
        Some(Self { what, terms: Terms::Policy(caching.lasts), per: caching.per })
    }

    /// A list is asked for by all that its call says but what only describes the caller. Whom it is for, its server says.
    fn of_list(question: &Question<'_>, most: Duration) -> Option<Self> {
        let call = question.permit.call();
        let version = question.lists.version(call.method()).filter(|_| call.era() == Era::Modern)?;
        let mut params = json::value(call.body(), &Bounds::default()).ok()?.get_mut("params")?.take();
        params.as_object_mut()?.remove("_meta");
        let what = [version.to_be_bytes().to_vec(), canonical(&params)?];
        Some(Self { what, terms: Terms::Server(most), per: SharedBy::Everyone })
    }
}

impl Keys {
    /// What this answer is kept by.
    pub(super) fn of_answer(&self, kept: &Kept) -> Key {
        if kept.is_private() { self.own } else { self.shared }
    }

    /// All that an answer may be kept by.
    pub(super) fn all(&self) -> Vec<Key> {
        let mut keys = vec![self.shared, self.own];
        keys.dedup();
        keys
    }
}

/// The canonical form (RFC 8785) of what has one. It writes numbers as doubles: two integers that are one double are two
/// questions all the same, so such calls are nobody's but their own.
fn canonical(value: &Value) -> Option<Vec<u8>> {
    if is_exact(value) { serde_json_canonicalizer::to_vec(value).ok() } else { None }
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
        let of = |text: &'static str| canonical(&json::value(text.as_bytes(), &Bounds::default()).unwrap());
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
