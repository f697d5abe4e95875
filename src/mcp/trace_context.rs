//! The trace context that a message carries (`params._meta`, SEP-414), and the one edit that the gate makes of what a caller
//! sends: its own context in the place of the caller's, no baggage that nobody asked for, and a key where the call needs one.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::{Call, IdempotencyKey};
use crate::json;

/// A trace context as W3C writes it. `traceparent` is the parent of whatever its receiver does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent`.
    pub traceparent: String,
    /// `tracestate`; empty for none.
    pub tracestate: String,
}

/// Whether what a caller calls its baggage (W3C Baggage) goes on to the server. It is whatever the caller says, and servers
/// may go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baggage {
    /// It does not.
    Dropped,
    /// The operator lets it pass.
    Passed,
}

/// Members of `_meta` that are a trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Traceparent,
    Tracestate,
    Baggage,
}

/// Where a message has room for a context.
#[derive(Clone, Debug, Default)]
pub(super) struct Spot {
    /// `params`, braces included.
    pub(super) params: Option<Range<usize>>,
    /// `params._meta`, braces included.
    pub(super) meta: Option<Range<usize>>,
    /// The values of the members that are there, in the order of the body.
    pub(super) members: Vec<(Member, Range<usize>)>,
}

impl Member {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "traceparent" => Some(Self::Traceparent),
            "tracestate" => Some(Self::Tracestate),
            "baggage" => Some(Self::Baggage),
            _ => None,
        }
    }
}

impl Spot {
    /// The same after an edit that moves every place of the body so.
    pub(super) fn moved(&self, moved: impl Fn(Range<usize>) -> Range<usize>) -> Self {
        Self {
            params: self.params.clone().map(&moved),
            meta: self.meta.clone().map(&moved),
            members: self.members.iter().map(|(member, span)| (*member, moved(span.clone()))).collect(),
        }
    }
}

impl Call {
    /// The body with this context in the place of the caller's, where `None` leaves that as it is, and with this key, which it
    /// must not have. Nothing outside of `params._meta` changes, by a single byte. A message without params gets none: there
    /// its HTTP request has the context.
    pub fn carrying(&self, context: Option<&TraceContext>, baggage: Baggage, key: Option<&IdempotencyKey>) -> Bytes {
        let gone = |member: Member| match member {
            Member::Traceparent | Member::Tracestate => context.is_some(),
            Member::Baggage => baggage == Baggage::Dropped,
        };
        let Spot { params, meta, members } = &self.spot;
        let gone = members.iter().filter(|(member, _)| gone(*member)).map(|(_, span)| span.clone());
        let cuts = json::cuts(&self.body, gone);
        let members = match (context.map(TraceContext::members), key.map(IdempotencyKey::member)) {
            (Some(context), Some(key)) => [&*context, ",", &*key].concat(),
            (context, key) => context.or(key).unwrap_or_default(),
        };
        let Some(object) = meta.as_ref().or(params.as_ref()).filter(|_| !members.is_empty() || !cuts.is_empty()) else {
            return self.body.clone();
        };
        // Right behind the opening brace: whatever is cut stands behind that.
        let at = object.start + 1;
        let (before, after) = self.body.split_at_checked(at).unwrap_or((&self.body, &[]));
        let cuts: Vec<_> = cuts.into_iter().map(|cut| cut.start - at..cut.end - at).collect();
        let rest = if cuts.is_empty() { Cow::Borrowed(after) } else { json::without(after, &cuts).into() };
        let (opens, closes) = if meta.is_some() { ("", "") } else { (r#""_meta":{"#, "}") };
        let alone = rest.trim_ascii_start().first() == Some(&b'}');
        let comma = if members.is_empty() || alone { "" } else { "," };
        let [opens, members, closes, comma] = [opens, &members, closes, comma].map(str::as_bytes);
        Bytes::from([before, opens, members, closes, comma, &rest].concat())
    }
}

impl TraceContext {
    fn members(&self) -> String {
        let mut text = String::with_capacity(self.traceparent.len() + self.tracestate.len() + 40);
        text.push_str(r#""traceparent":"#);
        json::quote(&self.traceparent, &mut text);
        if !self.tracestate.is_empty() {
            text.push_str(r#","tracestate":"#);
            json::quote(&self.tracestate, &mut text);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::json::Bounds;
    use crate::mcp::{self, KeyName};

    fn read(body: &str) -> Call {
        mcp::read(&Bytes::copy_from_slice(body.as_bytes()), &Bounds::default()).unwrap()
    }

    fn ours() -> TraceContext {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        TraceContext { traceparent, tracestate: r#"a="\"#.to_owned() }
    }

    fn carried(params: &str, context: Option<&TraceContext>, baggage: Baggage) -> String {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping"{params}}}"#);
        let carried = String::from_utf8(read(&body).carrying(context, baggage, None).to_vec()).unwrap();
        let rest = carried.strip_prefix(r#"{"jsonrpc":"2.0","id":1,"method":"ping""#).unwrap();
        rest.strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn a_context_takes_the_place_of_the_callers() {
        let context = TraceContext { traceparent: "P".to_owned(), tracestate: String::new() };
        for (params, expected) in [
            ("", ""),
            (r#","params":{}"#, r#","params":{"_meta":{"traceparent":"P"}}"#),
            (r#","params":{ "a":1}"#, r#","params":{"_meta":{"traceparent":"P"}, "a":1}"#),
            (r#","params":{"_meta":{}}"#, r#","params":{"_meta":{"traceparent":"P"}}"#),
            (r#","params":{"_meta":{"a":1 }}"#, r#","params":{"_meta":{"traceparent":"P","a":1 }}"#),
            (
                r#","params":{"_meta":{"traceparent":"x", "a":1,"tracestate":"y"},"b":2}"#,
                r#","params":{"_meta":{"traceparent":"P", "a":1},"b":2}"#,
            ),
            (
                r#","params":{"_meta":{ "tracestate":"y","baggage":"z","traceparent":null }}"#,
                r#","params":{"_meta":{"traceparent":"P"  }}"#,
            ),
            // Only there: an argument of this name is the tool's.
            (
                r#","params":{"traceparent":"x","a":{"_meta":{"baggage":"z"}}}"#,
                r#","params":{"_meta":{"traceparent":"P"},"traceparent":"x","a":{"_meta":{"baggage":"z"}}}"#,
            ),
        ] {
            assert_eq!(carried(params, Some(&context), Baggage::Dropped), expected, "{params}");
        }
    }

    #[test]
    fn baggage_passes_only_where_the_operator_says_so() {
        let params = r#","params":{"_meta":{"traceparent":"x","baggage":"z"}}"#;
        assert_eq!(carried(params, None, Baggage::Passed), params);
        assert_eq!(carried(params, None, Baggage::Dropped), r#","params":{"_meta":{"traceparent":"x"}}"#);
        let context = TraceContext { traceparent: "P".to_owned(), tracestate: String::new() };
        let expected = r#","params":{"_meta":{"traceparent":"P","baggage":"z"}}"#;
        assert_eq!(carried(params, Some(&context), Baggage::Passed), expected);
    }

    #[test]
    fn an_answer_is_not_touched() {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"baggage":"z"}},"params":{"_meta":{"baggage":"z"}}}"#;
        assert_eq!(read(body).carrying(Some(&ours()), Baggage::Dropped, None), body);
    }

    /// Members of an object, some of which are a context.
    fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
        let name = prop_oneof![
            Just("traceparent".to_owned()),
            Just("tracestate".to_owned()),
            Just("baggage".to_owned()),
            Just("x\"}{\\".to_owned()),
            "[a-z]{1,4}",
        ];
        let value =
            prop_oneof![Just(json!(null)), Just(json!({"traceparent": [1, "}"]})), "\\PC{0,9}".prop_map(Value::from)];
        proptest::collection::btree_map(name, value, 0..6).prop_map(|members| members.into_iter().collect())
    }

    /// As a person might write it: every place where space may stand has some.
    fn written(members: &[(String, Value)], space: &str) -> String {
        let one =
            |(name, value): &(String, Value)| format!("{space}{}{space}:{space}{value}{space}", Value::from(&**name));
        format!("{{{}{space}}}", members.iter().map(one).collect::<Vec<_>>().join(","))
    }

    proptest! {
        /// What the strict reader read is what the server gets: outside of `_meta` every byte, within it every other member.
        #[test]
        fn nothing_but_the_context_changes(
            meta in proptest::option::of(members()),
            rest in members(),
            place in 0_usize..9,
            space in "[ \n\t]{0,2}",
            passed in any::<bool>(),
            traced in any::<bool>(),
            keyed in any::<bool>(),
        ) {
            let name = KeyName::new("com.example/key").unwrap();
            let key = keyed.then(|| IdempotencyKey { name, key: "k\"".to_owned() });
            let (context, baggage) = (traced.then(ours), if passed { Baggage::Passed } else { Baggage::Dropped });
            let mut params: Vec<_> = rest.into_iter().filter(|(name, _)| name.len() < 4 || name.contains('t')).collect();
            params.retain(|(name, _)| !["name", "uri"].contains(&&**name));
            let mut texts: Vec<_> = params.iter().map(|(name, value)| format!("{}:{space}{value}", Value::from(&**name))).collect();
            texts.push(r#""name":"search""#.to_owned());
            texts.push(format!(r#""arguments":{}"#, written(&params, &space)));
            if let Some(meta) = &meta {
                texts.insert(place.min(texts.len()), format!(r#""_meta":{}"#, written(meta, &space)));
            }
            let body = format!(r#"{{"id":"é", "method":"tools/call","params":{{{}}}, "jsonrpc":"2.0" }}"#, texts.join(","));
            let call = read(&body);
            let edited = call.carrying(context.as_ref(), baggage, key.as_ref());
            let again = mcp::read(&edited, &Bounds::default()).unwrap();
            prop_assert_eq!((again.method(), again.id(), again.target()), (call.method(), call.id(), call.target()));
            prop_assert_eq!(again.arguments(), call.arguments());
            if let Some(context) = &context {
                prop_assert_eq!(again.traceparent(), Some(&*context.traceparent));
                prop_assert_eq!(again.tracestate(), Some(&*context.tracestate));
            }

            let (old, new): (Value, Value) = (serde_json::from_str(&body).unwrap(), serde_json::from_str(std::str::from_utf8(&edited).unwrap()).unwrap());
            let mut expected = old.clone();
            let members = expected["params"].as_object_mut().unwrap();
            if context.is_some() || meta.is_some() || keyed {
                let members = members.entry("_meta").or_insert(json!({})).as_object_mut().unwrap();
                if let Some(context) = &context {
                    members.insert("traceparent".to_owned(), json!(context.traceparent));
                    members.insert("tracestate".to_owned(), json!(context.tracestate));
                }
                if baggage == Baggage::Dropped {
                    members.remove("baggage");
                }
                if let Some(IdempotencyKey { name, key }) = &key {
                    members.insert(name.as_str().to_owned(), json!(key));
                }
            }
            prop_assert_eq!(new, expected);

            // By bytes: what stands before and behind `_meta` is as it came.
            let span = |call: &Call| call.spot.meta.clone();
            if let (Some(before), Some(after)) = (span(&call), span(&again)) {
                prop_assert_eq!(&body.as_bytes()[..before.start], &edited[..after.start]);
                prop_assert_eq!(&body.as_bytes()[before.end..], &edited[after.end..]);
            }
        }
    }
}
