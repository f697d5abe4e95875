//! `Mcp-Param-*`: arguments that a tool wants mirrored in headers (`x-mcp-header` in its `inputSchema`; MCP 2026-07-28,
//! Transports, and SEP-2243).

use std::collections::HashMap;
use std::ops::Range;

use http::{HeaderMap, HeaderName};

use super::header::{Mismatch, decode_sentinel};
use super::server_message::BOUNDS;
use super::span::{Text, Value};
use crate::json::{self, Bounds, Flaw, Kind, Lens};

/// Which arguments of one tool are mirrored, and in which headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// The paths to them, as a tree; the first node is the arguments themselves.
    nodes: Vec<Node>,
    headers: Vec<HeaderName>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    members: HashMap<Box<str>, usize>,
    header: Option<usize>,
}

/// What the name of a mirrored header begins with.
pub(super) const PREFIX: &str = "mcp-param-";
/// More headers than this no request carries.
const MOST: usize = 64;

impl Mirrored {
    /// Checks that the headers say what the arguments say. What no annotation names is not looked at.
    ///
    /// # Errors
    /// A header is missing, or says something else.
    pub fn agree(&self, headers: &HeaderMap, arguments: &[u8]) -> Result<(), Mismatch> {
        let mut found = Found { mirrored: self, values: Vec::new() };
        // The arguments were read within tighter bounds.
        json::scan(arguments, Place::At(0), &Bounds::default(), &mut found)
            .map_err(|_fault| Mismatch::Param("arguments".into()))?;
        let text = Text(arguments);
        for (header, value) in found.values {
            let Some(header) = self.headers.get(header).filter(|_| text.at(&value.span) != "null") else {
                continue; // `null` is as good as absent
            };
            let shown = || Mismatch::Param(header.as_str().into());
            let mut sent = headers.get_all(header).iter();
            let (Some(sent), None) = (sent.next(), sent.next()) else {
                return Err(shown());
            };
            let sent = sent.to_str().ok().and_then(|sent| decode_sentinel(sent.trim_matches([' ', '\t'])));
            if !sent.is_some_and(|sent| says(text, &value, &sent)) {
                return Err(shown());
            }
        }
        Ok(())
    }

    fn node(&mut self, path: &[Box<str>]) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        path.iter().fold(0, |at, name| {
            let new = self.nodes.len();
            let next = self.nodes.get_mut(at).map_or(new, |node| *node.members.entry(name.clone()).or_insert(new));
            if next == new {
                self.nodes.push(Node::default());
            }
            next
        })
    }
}

/// Whether a header's text says the value. Integers may be spelt in several ways (`42.0` is `42`).
fn says(text: Text<'_>, value: &Value, sent: &str) -> bool {
    let written = text.at(&value.span);
    match value.kind {
        Kind::String => text.string(value).as_deref() == Some(sent),
        Kind::Number => written == sent || decimal(written).is_some_and(|number| decimal(sent) == Some(number)),
        Kind::Literal => written == sent,
        Kind::Array | Kind::Object => false,
    }
}

/// A plain decimal whose value every language holds exactly. Neither hexadecimal nor exponents.
#[expect(clippy::cast_precision_loss, reason = "2^53 is exact")]
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain =
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|number: &f64| plain && number.abs() <= (1_u64 << 53) as f64)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    At(usize),
    Elsewhere,
}

/// The mirrored values in the arguments of a call.
struct Found<'a> {
    mirrored: &'a Mirrored,
    values: Vec<(usize, Value)>,
}

impl Lens for Found<'_> {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        let Place::At(node) = place else {
            return Ok(Place::Elsewhere);
        };
        let member = self.mirrored.nodes.get(node).and_then(|node| node.members.get(name));
        Ok(member.map_or(Place::Elsewhere, |member| Place::At(*member)))
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        let Place::At(node) = place else {
            return;
        };
        if let Some(header) = self.mirrored.nodes.get(node).and_then(|node| node.header) {
            self.values.push((header, Value { kind, span }));
        }
    }
}

/// Tools by name, with what each wants mirrored.
pub type Tools = Vec<(Box<str>, Mirrored)>;

/// Reads every tool of an answer to `tools/list`, with what it wants mirrored. A tool whose annotations break their rules has none: its
/// clients drop it, and what its headers mean nobody knows.
///
/// # Errors
/// The list is not JSON with one reading.
pub fn mirrored(list: &[u8]) -> Result<Tools, json::Fault> {
    let mut schemas = Schemas { text: Text(list), ..Schemas::default() };
    json::scan(list, Stand::Message, &BOUNDS, &mut schemas)?;
    Ok(schemas.tools)
}

/// Where a value stands in a list of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Message,
    Result,
    Tools,
    Tool,
    Name,
    /// A schema: of the arguments, or of the property that this node is.
    Schema(usize),
    Properties(usize),
    Header(usize),
    Elsewhere,
}

#[derive(Default)]
struct Schemas<'a> {
    text: Text<'a>,
    tools: Tools,
    name: Option<Box<str>>,
    /// The properties of the tool being read: name, and the one that it belongs to.
    properties: Vec<(Box<str>, usize)>,
    /// Its annotations: the property, and the header if it can be one.
    annotations: Vec<(usize, Option<HeaderName>)>,
}

impl Lens for Schemas<'_> {
    type Place = Stand;

    fn member(&mut self, place: Stand, name: &str) -> Result<Stand, Flaw> {
        Ok(match (place, name) {
            (Stand::Message, "result") => Stand::Result,
            (Stand::Result, "tools") => Stand::Tools,
            (Stand::Tool, "name") => Stand::Name,
            (Stand::Tool, "inputSchema") => Stand::Schema(0),
            (Stand::Schema(at), "properties") => Stand::Properties(at),
            (Stand::Schema(at), "x-mcp-header") if at > 0 => Stand::Header(at),
            (Stand::Properties(of), name) => {
                self.properties.push((name.into(), of));
                Stand::Schema(self.properties.len())
            }
            _ => Stand::Elsewhere,
        })
    }

    fn element(&mut self, place: Stand) -> Stand {
        if place == Stand::Tools { Stand::Tool } else { Stand::Elsewhere }
    }

    fn value(&mut self, place: Stand, kind: Kind, span: Range<usize>) {
        let value = Value { kind, span };
        match place {
            Stand::Name => self.name = self.text.string(&value).map(Box::from),
            Stand::Header(at) => {
                let header = self.text.string(&value).filter(|name| !name.is_empty());
                let header = header.and_then(|name| format!("{PREFIX}{name}").parse().ok());
                self.annotations.push((at, header));
            }
            Stand::Tool => self.end_tool(),
            Stand::Message
            | Stand::Result
            | Stand::Tools
            | Stand::Schema(_)
            | Stand::Properties(_)
            | Stand::Elsewhere => {}
        }
    }
}

impl Schemas<'_> {
    fn end_tool(&mut self) {
        let properties = std::mem::take(&mut self.properties);
        let annotations = std::mem::take(&mut self.annotations);
        if let Some(name) = self.name.take() {
            self.tools.push((name, annotated(&properties, annotations).unwrap_or_default()));
        }
    }
}

/// What is mirrored, unless an annotation breaks the rules.
fn annotated(properties: &[(Box<str>, usize)], annotations: Vec<(usize, Option<HeaderName>)>) -> Option<Mirrored> {
    let mut mirrored = Mirrored::default();
    if annotations.len() > MOST {
        return None;
    }
    for (property, header) in annotations {
        // No header name, or one that another property has.
        let header = header.filter(|header| !mirrored.headers.contains(header))?;
        let node = mirrored.node(&path(properties, property));
        if let Some(node) = mirrored.nodes.get_mut(node) {
            node.header = Some(mirrored.headers.len());
        }
        mirrored.headers.push(header);
    }
    Some(mirrored)
}

/// The names from the arguments down to this property. Properties are numbered from 1; 0 is the arguments.
fn path(properties: &[(Box<str>, usize)], mut property: usize) -> Vec<Box<str>> {
    let mut path = Vec::new();
    while let Some((name, of)) = property.checked_sub(1).and_then(|at| properties.get(at)) {
        path.push(name.clone());
        property = *of;
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(schema: &str) -> Mirrored {
        let list = format!(r#"{{"id":1,"result":{{"tools":[{{"inputSchema":{schema},"name":"t"}}]}}}}"#);
        mirrored(list.as_bytes()).unwrap().remove(0).1
    }

    fn agrees(headers: &[(&str, &str)], arguments: &str) -> bool {
        let schema = r#"{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "page":{"type":"object","properties":{"size":{"type":"integer","x-mcp-header":"Size"}}},
            "dry":{"x-mcp-header":"Dry","type":"boolean"},"q":{"type":"string"}}}"#;
        let headers = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        learnt(schema).agree(&headers.collect(), arguments.as_bytes()).is_ok()
    }

    #[test]
    fn a_mirrored_argument_and_its_header_say_the_same() {
        let region = ("mcp-param-region", "eu");
        assert!(agrees(&[region], r#"{"region":"eu"}"#));
        assert!(agrees(&[("mcp-param-region", "=?base64?w6k=?=")], r#"{"region":"\u00e9"}"#));
        assert!(agrees(&[("mcp-param-size", "42")], r#"{"page":{"size":42.0}}"#));
        assert!(agrees(&[("mcp-param-dry", "true")], r#"{"dry":true}"#));
        assert!(agrees(&[], r#"{"region":null,"q":"x"}"#), "null is as good as absent");
        assert!(agrees(&[("mcp-param-other", "x")], "{}"), "what no annotation names is not looked at");
        assert!(!agrees(&[region], r#"{"region":"us"}"#));
        assert!(!agrees(&[region], r#"{"region":"EU"}"#));
        assert!(!agrees(&[], r#"{"region":"eu"}"#));
        assert!(!agrees(&[region, region], r#"{"region":"eu"}"#), "twice");
        assert!(!agrees(&[("mcp-param-size", "0x2a")], r#"{"page":{"size":42}}"#));
        assert!(!agrees(&[("mcp-param-size", "42")], r#"{"page":{"size":"42.0"}}"#));
        assert!(!agrees(&[("mcp-param-region", "=?base64?w6k?=")], r#"{"region":"é"}"#));
    }

    #[test]
    fn annotations_that_break_the_rules_are_none() {
        for schema in [
            "{}",
            r#"{"x-mcp-header":"A"}"#,
            r#"{"properties":{"a":{"x-mcp-header":""}}}"#,
            r#"{"properties":{"a":{"x-mcp-header":"A B"}}}"#,
            r#"{"properties":{"a":{"x-mcp-header":7}}}"#,
            r#"{"properties":{"a":{"x-mcp-header":"A"},"b":{"x-mcp-header":"a"}}}"#,
            r#"{"properties":{"a":{"items":{"properties":{"b":{"x-mcp-header":"A"}}}}}}"#,
        ] {
            assert_eq!(learnt(schema), Mirrored::default(), "{schema}");
        }
    }
}
