//! Lists show a caller only what the policy would let them use: the very function that decides calls decides here.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::identity::Principal;
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::mcp::{Method, ServerName, Target};
use crate::policy::{Effect, PolicySet, Query};

/// Filters the answer to one list request.
#[derive(Debug)]
pub(super) struct CatalogFilter {
    policy: Arc<PolicySet>,
    principal: Arc<Principal>,
    server: ServerName,
    list: List,
}

/// Which list, and what its things are called by.
#[derive(Clone, Copy, Debug)]
enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

/// A list that could not be read: it is not passed on, since nobody knows what stands in it.
#[derive(Debug)]
pub(super) struct Unreadable;

/// A list may be larger than a request.
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 64 };

impl CatalogFilter {
    /// A filter for the answers to this method, if they are lists.
    pub(super) fn of(
        method: Method,
        policy: &Arc<PolicySet>,
        principal: &Arc<Principal>,
        server: &ServerName,
    ) -> Option<Self> {
        let list = match method {
            Method::ToolsList => List::Tools,
            Method::PromptsList => List::Prompts,
            Method::ResourcesList => List::Resources,
            Method::ResourcesTemplatesList => List::Templates,
            _ => return None,
        };
        Some(Self { policy: Arc::clone(policy), principal: Arc::clone(principal), server: server.clone(), list })
    }

    /// The message without what the caller may not use. Every other byte stays; so do cursors.
    pub(super) fn apply(&self, message: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut found = Found { list: self.list, items: Vec::new(), name: None, scope: None, sound: true };
        json::scan(message, Place::Message, &BOUNDS, &mut found).map_err(|_fault| Unreadable)?;
        let items = found.items(message).ok_or(Unreadable)?;
        let shown: Vec<_> = items.iter().filter(|item| self.shows(&item.name)).collect();
        let mut edits = Vec::new();
        if let (Some(first), Some(last), true) = (items.first(), items.last(), shown.len() < items.len()) {
            let shown: Vec<_> = shown.iter().filter_map(|item| message.get(item.span.clone())).collect();
            edits.push((first.span.start..last.span.end, shown.join(&b',')));
        }
        // What is filtered for one caller must not be kept for another (MCP 2026-07-28, Caching).
        if let Some(scope) = found.scope {
            edits.push((scope, b"\"private\"".to_vec()));
        }
        Ok(edited(message, edits))
    }

    fn shows(&self, name: &str) -> bool {
        let (method, target) = match self.list {
            List::Tools => (Method::ToolsCall, Target::Tool(name)),
            List::Prompts => (Method::PromptsGet, Target::Prompt(name)),
            List::Resources | List::Templates => (Method::ResourcesRead, Target::Resource(name)),
        };
        let query = Query { principal: &self.principal, server: &self.server, method, target };
        self.policy.decide(&query).effect == Effect::Allow
    }
}

/// The message with some spans replaced.
fn edited(message: &[u8], mut edits: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
    edits.sort_unstable_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(message.len());
    let mut copied = 0;
    for (span, text) in edits {
        out.extend_from_slice(message.get(copied..span.start).unwrap_or_default());
        out.extend_from_slice(&text);
        copied = span.end;
    }
    out.extend_from_slice(message.get(copied..).unwrap_or_default());
    out
}

/// Where things stand in a list's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    Result,
    Items,
    Item,
    Name,
    Scope,
    Elsewhere,
}

/// An item of a list, and its name without quotation marks.
struct Item {
    span: Range<usize>,
    name: Option<Range<usize>>,
}

/// What stands in a list's answer.
struct Found {
    list: List,
    items: Vec<Item>,
    name: Option<Range<usize>>,
    scope: Option<Range<usize>>,
    /// The list is one, and of objects.
    sound: bool,
}

impl Found {
    /// The span of every item, and its name; `None` if some has none.
    fn items<'a>(&self, message: &'a [u8]) -> Option<Vec<Named<'a>>> {
        let named = |item: &Item| {
            let name = std::str::from_utf8(message.get(item.name.clone()?)?).ok()?;
            Some(Named { span: item.span.clone(), name: json::decode(name) })
        };
        self.items.iter().map(named).collect::<Option<_>>().filter(|_| self.sound)
    }
}

/// An item of a list, and its name as it reads.
struct Named<'a> {
    span: Range<usize>,
    name: Cow<'a, str>,
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        let (items, item_name) = match self.list {
            List::Tools => ("tools", "name"),
            List::Prompts => ("prompts", "name"),
            List::Resources => ("resources", "uri"),
            List::Templates => ("resourceTemplates", "uriTemplate"),
        };
        Ok(match (place, name) {
            (Place::Message, "result") => Place::Result,
            (Place::Result, "cacheScope") => Place::Scope,
            (Place::Result, name) if name == items => Place::Items,
            (Place::Item, name) if name == item_name => Place::Name,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, place: Place) -> Place {
        if place == Place::Items { Place::Item } else { Place::Elsewhere }
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match place {
            Place::Name if kind == Kind::String => self.name = Some(span.start + 1..span.end - 1),
            Place::Item => self.items.push(Item { span, name: self.name.take() }),
            Place::Scope => self.scope = Some(span),
            Place::Items => self.sound &= kind == Kind::Array,
            Place::Message | Place::Result | Place::Name | Place::Elsewhere => {}
        }
    }
}
