//! Lists show a caller only what the policy would let them use: the very function that decides calls decides here.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::pinning;
use crate::diagnostic;
use crate::identity::Principal;
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::mcp::{Definition, Method, ServerName, Target};
use crate::policy::{Context, PolicySet, Query, Shown};
use crate::state::State;

/// A thing, as a list shows it that the gate has asked for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What its server calls it: its name or its URI.
    pub name: Box<str>,
    /// All that the server says of it.
    pub definition: Bytes,
    /// How it is shown, as far as that bears on whether it may be used.
    pub shown: Shown,
}

/// The things of an answer to a request for this list.
///
/// # Errors
/// It has not one reading.
pub fn listed(list: List, answer: &Bytes) -> Result<Vec<Listed>, Unreadable> {
    let mut found = Found::new(list, answer);
    json::scan(answer, Place::Message, &BOUNDS, &mut found).map_err(|_fault| Unreadable)?;
    let items = found.items().filter(|items| items.len() <= MOST).ok_or(Unreadable)?;
    let tool = |item: Named<'_>| {
        let definition = answer.slice(item.span.clone());
        let shown = match (item.hidden, Definition::read(&definition)) {
            _ if list != List::Tools => Shown::NotYet,
            (None, Some(read)) => Shown::As(read.fingerprint()),
            (hidden, _) => Shown::Hiding(hidden.unwrap_or(char::REPLACEMENT_CHARACTER)),
        };
        Listed { name: Box::from(&*item.name), definition, shown }
    };
    Ok(items.into_iter().map(tool).collect())
}

/// What counts of how a tool is shown: where nothing is pinned, only whether it hides something.
pub fn counts(shown: Shown, policy: &PolicySet, server: &ServerName) -> Shown {
    match shown {
        Shown::As(_) if policy.pins(server).is_none() => Shown::NotYet,
        shown => shown,
    }
}

/// How these tools are shown to this account counts for its calls, too.
pub fn learn(policy: &PolicySet, server: &ServerName, (state, account): (&State, &Arc<str>), tools: &[Listed]) {
    let list = tools.iter().map(|tool| (&*tool.name, counts(tool.shown, policy, server)));
    pinning::learn(policy, server, (state, account), list);
}

/// The items of a list, and where the scope of the answer stands.
type Items<'m> = (Vec<Named<'m>>, Option<Range<usize>>);

/// Filters one list.
#[derive(Debug)]
pub(super) struct CatalogFilter<'a> {
    pub(super) list: List,
    pub(super) principal: &'a Principal,
    pub(super) server: &'a ServerName,
    pub(super) policy: &'a PolicySet,
    pub(super) context: Context,
    pub(super) state: &'a State,
}

/// Which list, and what its things are called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// By name.
    Tools,
    /// By name.
    Prompts,
    /// By URI.
    Resources,
    /// By URI template.
    Templates,
    /// By id.
    Tasks,
    /// The resources that a subscription is for.
    Acknowledged,
}

impl List {
    /// The list that answers this method, if one does.
    pub fn of(method: Method) -> Option<Self> {
        match method {
            Method::ToolsList => Some(Self::Tools),
            Method::PromptsList => Some(Self::Prompts),
            Method::ResourcesList => Some(Self::Resources),
            Method::ResourcesTemplatesList => Some(Self::Templates),
            Method::TasksList => Some(Self::Tasks),
            _ => None,
        }
    }
}

/// A list that could not be read: it is not passed on, since nobody knows what stands in it.
#[derive(Debug)]
pub struct Unreadable;

/// A list may be larger than a request.
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };
/// More things than this no client asks for at once; a server pages them.
const MOST: usize = 10_000;

impl CatalogFilter<'_> {
    /// The message without what the caller may not use. Every other byte stays; so do cursors.
    pub(super) fn apply(&self, message: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (items, scope) = self.items(message)?;
        let items = self.looked_at(message, items);
        let shown: Vec<_> = items.iter().filter(|item| self.shows(item)).collect();
        let mut edits = Vec::new();
        if let (Some(first), Some(last), true) = (items.first(), items.last(), shown.len() < items.len()) {
            let shown: Vec<_> = shown.iter().filter_map(|item| message.get(item.span.clone())).collect();
            edits.push((first.span.start..last.span.end, shown.join(&b',')));
        }
        // What is filtered for one caller must not be kept for another (MCP 2026-07-28, Caching).
        if let Some(scope) = scope {
            edits.push((scope, b"\"private\"".to_vec()));
        }
        Ok(json::edited(message, edits))
    }

    /// The items as they stand there, and the scope of the answer.
    fn items<'m>(&self, message: &'m [u8]) -> Result<Items<'m>, Unreadable> {
        let mut found = Found::new(self.list, message);
        json::scan(message, Place::Message, &BOUNDS, &mut found).map_err(|_fault| Unreadable)?;
        let items = found.items().filter(|items| items.len() <= MOST).ok_or(Unreadable)?;
        Ok((items, found.scope))
    }

    /// What a list says of tools counts for calls, whoever reads it.
    pub(super) fn heed(&self, message: &[u8]) -> Result<(), Unreadable> {
        let (items, _) = self.items(message)?;
        self.looked_at(message, items);
        Ok(())
    }

    /// The items, each with how it is shown. What a list says of tools counts for calls, too.
    fn looked_at<'m>(&self, message: &[u8], mut items: Vec<Named<'m>>) -> Vec<Named<'m>> {
        if self.list == List::Tools {
            let pins = self.policy.pins(self.server);
            for item in &mut items {
                let definition = message.get(item.span.clone()).unwrap_or_default();
                item.shown = pinning::shown(definition, item.hidden, pins);
            }
            let list = items.iter().map(|item| (&*item.name, item.shown));
            pinning::learn(self.policy, self.server, (self.state, self.principal.account()), list);
        }
        items
    }

    fn shows(&self, item: &Named<'_>) -> bool {
        let name = &*item.name;
        let (method, target) = match self.list {
            List::Tools => (Method::ToolsCall, Target::Tool(name)),
            List::Prompts => (Method::PromptsGet, Target::Prompt(name)),
            List::Resources | List::Templates | List::Acknowledged => (Method::ResourcesRead, Target::Resource(name)),
            List::Tasks => return self.state.tasks().tool(name, self.principal).is_some(),
        };
        let Self { principal, server, context, .. } = *self;
        let query = Query { principal, server, method, target, context: context.showing(item.shown) };
        self.policy.decide(&query).shows()
    }
}

/// Where things stand in a list's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    /// `result`, or what stands for it in a notification.
    Result,
    Params,
    Items,
    Item,
    /// Within an item.
    Within,
    Name,
    Scope,
    Elsewhere,
}

/// An item of a list, and its name without quotation marks.
struct Item {
    span: Range<usize>,
    name: Option<Range<usize>>,
    hidden: Option<char>,
}

/// What stands in a list's answer.
struct Found<'a> {
    list: List,
    message: &'a [u8],
    items: Vec<Item>,
    name: Option<Range<usize>>,
    /// What some text of the item being read hides.
    hidden: Option<char>,
    scope: Option<Range<usize>>,
    /// The list is one, and of objects.
    sound: bool,
}

impl<'a> Found<'a> {
    fn new(list: List, message: &'a [u8]) -> Self {
        Self { list, message, items: Vec::new(), name: None, hidden: None, scope: None, sound: true }
    }

    /// The span of every item, and its name; `None` if some has none.
    fn items(&self) -> Option<Vec<Named<'a>>> {
        let named = |item: &Item| {
            let name = std::str::from_utf8(self.message.get(item.name.clone()?)?).ok()?;
            let (name, span) = (json::decode(name), item.span.clone());
            Some(Named { span, name, hidden: item.hidden, shown: Shown::NotYet })
        };
        self.items.iter().map(named).collect::<Option<_>>().filter(|_| self.sound)
    }

    /// Looks into a text of a tool.
    fn look(&mut self, span: Range<usize>) {
        let Some(text) = self.message.get(span).filter(|text| may_hide(text)) else {
            return;
        };
        let hidden = std::str::from_utf8(text).ok().and_then(|text| diagnostic::hidden(&json::decode(text)));
        self.hidden = self.hidden.or(hidden);
    }
}

/// Whether something else than plain ASCII may stand here.
fn may_hide(text: &[u8]) -> bool {
    text.iter().any(|byte| *byte == b'\\' || *byte >= 0x7f)
}

/// An item of a list, and its name as it reads.
struct Named<'a> {
    span: Range<usize>,
    name: Cow<'a, str>,
    hidden: Option<char>,
    shown: Shown,
}

impl Lens for Found<'_> {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        let (items, item_name) = match self.list {
            List::Tools => ("tools", "name"),
            List::Prompts => ("prompts", "name"),
            List::Resources => ("resources", "uri"),
            List::Templates => ("resourceTemplates", "uriTemplate"),
            List::Tasks => ("tasks", "taskId"),
            List::Acknowledged => ("resourceSubscriptions", ""),
        };
        Ok(match (place, name) {
            (Place::Message, "result") if self.list != List::Acknowledged => Place::Result,
            (Place::Message, "params") if self.list == List::Acknowledged => Place::Params,
            (Place::Params, "notifications") => Place::Result,
            (Place::Result, "cacheScope") => Place::Scope,
            (Place::Result, name) if name == items => Place::Items,
            (Place::Item, name) if name == item_name => Place::Name,
            (Place::Item | Place::Within, name) if self.list == List::Tools => {
                self.hidden = self.hidden.or_else(|| diagnostic::hidden(name));
                Place::Within
            }
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, place: Place) -> Place {
        match place {
            Place::Items => Place::Item,
            Place::Within => Place::Within,
            _ => Place::Elsewhere,
        }
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match place {
            Place::Name if kind == Kind::String => {
                self.name = Some(span.start + 1..span.end - 1);
                self.look(span);
            }
            Place::Within if kind == Kind::String => self.look(span),
            // A subscription's resources are nothing but their URIs.
            Place::Item if self.list == List::Acknowledged && kind == Kind::String => {
                let name = Some(span.start + 1..span.end - 1);
                self.items.push(Item { span, name, hidden: None });
            }
            Place::Item => {
                self.items.push(Item { span, name: self.name.take(), hidden: self.hidden.take() });
            }
            Place::Scope => self.scope = Some(span),
            Place::Items => self.sound &= kind == Kind::Array,
            Place::Message | Place::Result | Place::Params | Place::Name | Place::Within | Place::Elsewhere => {}
        }
    }
}
