//! The key by which a server knows a call again that it has had already, so that it runs once (`params._meta`). MCP has no name for
//! it: each server that reads one has its own.

use std::ops::Range;
use std::sync::Arc;

use super::Call;
use super::trace_context::Member;
use crate::json::{self, Bounds, Flaw, Kind, Lens};

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// The name of a member of `_meta` that a server may choose for it (MCP, Basic, `_meta`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(Arc<str>);

impl KeyName {
    /// As [`Self::new`] reads it, for the form of a file.
    pub const FORM: &str = r"^([A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$";

    /// Reads a name.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
        if text.len() > LONGEST || !is_part(name, "._-") || !prefix.is_none_or(|it| it.split('.').all(is_label)) {
            return Err("a name as in `_meta`, such as `com.example/idempotency-key`, of at most 128 characters");
        }
        let of_protocol = |prefix: &str| {
            prefix.split('.').nth(1).is_some_and(|label| matches!(label, "modelcontextprotocol" | "mcp"))
        };
        if prefix.is_some_and(of_protocol) || name == "progressToken" || Member::named(text).is_some() {
            return Err("MCP has this name for something else: take the one that the server reads");
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && is_part(text, "-")
}

/// Letters and digits, and within them these.
fn is_part(text: &str, within: &str) -> bool {
    let known = |it: char| it.is_ascii_alphanumeric() || within.contains(it);
    let ends = |it: char| it.is_ascii_alphanumeric();
    text.starts_with(ends) && text.ends_with(ends) && text.chars().all(known)
}

/// A key for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Where it stands.
    pub name: KeyName,
    /// What the server knows the call by.
    pub key: String,
}

/// Whether a call has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// It has.
    Yes,
    /// It has none.
    No,
    /// There is something that no server takes for one.
    Unreadable,
}

impl Call {
    /// Whether it has a key under this name.
    pub fn keyed(&self, name: &KeyName) -> Keyed {
        let mut found = Found { name: name.as_str(), value: None };
        let meta = self.spot.meta.clone().and_then(|span| self.body.get(span)).unwrap_or(b"{}");
        // The call was read, so this reads it, too.
        let _read = json::scan(meta, Place::Meta, &Bounds::default(), &mut found);
        match found.value {
            None => Keyed::No,
            Some((Kind::String, span)) if span.len() > r#""""#.len() => Keyed::Yes,
            Some(_) => Keyed::Unreadable,
        }
    }
}

impl IdempotencyKey {
    /// As a member of `_meta`.
    pub(super) fn member(&self) -> String {
        let mut text = String::new();
        json::quote(self.name.as_str(), &mut text);
        text.push(':');
        json::quote(&self.key, &mut text);
        text
    }
}

/// Where the member stands.
struct Found<'a> {
    name: &'a str,
    value: Option<(Kind, Range<usize>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Meta,
    Key,
    Elsewhere,
}

impl Lens for Found<'_> {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(if place == Place::Meta && name == self.name { Place::Key } else { Place::Elsewhere })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        if place == Place::Key {
            self.value = Some((kind, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mcp::read;

    #[test]
    fn names_are_those_that_meta_may_have_and_nobody_else_does() {
        for good in ["idempotencyKey", "com.example/idempotency-key", "a/b", "x-1.y/z_1"] {
            assert_eq!(KeyName::new(good).as_ref().map(KeyName::as_str), Ok(good));
        }
        let taken = ["traceparent", "baggage", "progressToken", "io.modelcontextprotocol/key", "dev.mcp/key"];
        for bad in ["", "/", "a/", "/b", "-a", "a-", "1a.b/c", "a b", "a//b", "a/b/c", "é", "\"", &"a".repeat(129)] {
            assert!(KeyName::new(bad).is_err(), "{bad}");
        }
        assert!(taken.iter().all(|name| KeyName::new(name).is_err()));
    }

    #[test]
    fn a_key_is_a_text_in_meta_and_nowhere_else() {
        let name = KeyName::new("com.example/key").unwrap();
        for (params, keyed) in [
            (r#"{"name":"a"}"#, Keyed::No),
            (r#"{"name":"a","com.example/key":"k","arguments":{"_meta":{"com.example/key":"k"}}}"#, Keyed::No),
            (r#"{"name":"a","_meta":{"a":{"com.example/key":"k"}}}"#, Keyed::No),
            (r#"{"name":"a","_meta":{"com.example\/k\u0065y":"k"}}"#, Keyed::Yes),
            (r#"{"name":"a","_meta":{"com.example/key":""}}"#, Keyed::Unreadable),
            (r#"{"name":"a","_meta":{"com.example/key":1}}"#, Keyed::Unreadable),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
            assert_eq!(call.keyed(&name), keyed, "{params}");
        }
    }
}
