//! What a view shows, of what its servers have now: whose each name is, and the pages of the list.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::catalogue::Contents;
use super::cursor::Seal;
use super::names::{Names, Origin};
use super::view::View;
use crate::inspect::Tool;
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::mcp::{ProtocolVersion, ServerName};

/// What a server of a view has.
pub type Has = (ServerName, Arc<Contents>);

/// What a view shows.
#[derive(Debug)]
pub struct Listing {
    /// What it was made of.
    has: Vec<Has>,
    names: Names,
    /// Each tool as it is shown here.
    tools: BTreeMap<Origin, Arc<Shown>>,
}

/// A tool under the name that it has here.
#[derive(Debug)]
pub struct Shown {
    /// That name.
    name: Arc<str>,
    /// The tool as its server has it.
    pub tool: Tool,
    /// What is said of it here.
    pub definition: Box<[u8]>,
}

/// A page of the list.
#[derive(Debug)]
pub struct Page {
    /// The definitions, with commas between them.
    pub tools: Vec<u8>,
    /// Where the next one begins, if there is one.
    pub next: Option<String>,
}

/// So many tools are looked at for one page.
const PAGE: usize = 250;
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };

impl Listing {
    /// What this view shows of what these servers have. What has not changed is as it was before.
    pub(super) fn new(view: &View, has: Vec<Has>, before: Option<&Self>) -> Self {
        let tools = has.iter().flat_map(|(server, contents)| {
            contents.tools.iter().map(|tool| (Origin { server: server.clone(), tool: tool.name.clone() }, tool))
        });
        let tools: Vec<_> = tools.filter_map(|(origin, tool)| Some((view.wish(&origin)?, origin, tool))).collect();
        let names = Names::of(tools.iter().map(|(wish, origin, _)| (origin.clone(), *wish)));
        let shown = tools.into_iter().filter_map(|(_, origin, tool)| {
            let name = names.name(&origin)?;
            let known = before.and_then(|before| before.tools.get(&origin)).filter(|shown| shown.is(tool, name));
            let shown = known.cloned().or_else(|| {
                let definition = renamed(&tool.definition, name, view.description(&origin))?;
                Some(Arc::new(Shown { name: Arc::clone(name), tool: tool.clone(), definition: definition.into() }))
            });
            Some((origin, shown?))
        });
        let tools = shown.collect();
        Self { has, names, tools }
    }

    /// What it was made of.
    pub fn has(&self) -> &[Has] {
        &self.has
    }

    /// The latest legacy revision that all of them speak; `None` if none speaks any.
    pub fn latest_legacy(&self) -> Option<ProtocolVersion> {
        self.has.iter().filter_map(|(_, contents)| contents.eras.legacy).min()
    }

    /// Whether that tool is shown.
    pub fn shows(&self, origin: &Origin) -> bool {
        self.tools.contains_key(origin)
    }

    /// Whether it was made of just that.
    pub(super) fn is_of(&self, has: &[Has]) -> bool {
        let mut pairs = self.has.iter().zip(has);
        self.has.len() == has.len() && pairs.all(|(was, is)| was.0 == is.0 && Arc::ptr_eq(&was.1, &is.1))
    }

    /// The tool that is called so here, and how its server shows it.
    pub fn tool(&self, name: &str) -> Option<(&Origin, &Shown)> {
        let origin = self.names.origin(name)?;
        Some((origin, self.tools.get(origin).map(Arc::as_ref)?))
    }

    /// The page behind a cursor, or the first, of the tools that a caller is shown. `None` if the cursor is none of this
    /// list and account.
    pub fn page(
        &self,
        (view, account): (&View, &str),
        seal: &Seal,
        cursor: Option<&str>,
        shows: impl Fn(&Origin, &Tool) -> bool,
    ) -> Option<Page> {
        let behind = match cursor {
            Some(cursor) => Some(seal.open(view.name.as_str(), account, cursor)?),
            None => None,
        };
        let from = behind.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rest = self.tools.range((from, std::ops::Bound::Unbounded));
        let (mut tools, mut last) = (Vec::new(), None);
        for (origin, shown) in rest.by_ref().take(PAGE) {
            last = Some(origin);
            if shows(origin, &shown.tool) {
                if !tools.is_empty() {
                    tools.push(b',');
                }
                tools.extend_from_slice(&shown.definition);
            }
        }
        let more = last.filter(|_| rest.next().is_some());
        Some(Page { tools, next: more.and_then(|origin| seal.seal(view.name.as_str(), account, origin)) })
    }
}

impl Shown {
    fn is(&self, tool: &Tool, name: &Arc<str>) -> bool {
        self.name == *name && self.tool == *tool
    }
}

/// A definition under another name, and with other words for models, if there are any. Every other byte stays.
fn renamed(definition: &[u8], name: &str, description: Option<&str>) -> Option<Vec<u8>> {
    let mut found = Found::default();
    json::scan(definition, Place::Definition, &BOUNDS, &mut found).ok()?;
    let quoted = |text: &str| {
        let mut quoted = String::new();
        json::quote(text, &mut quoted);
        quoted.into_bytes()
    };
    let mut edits = vec![(found.name?, quoted(name))];
    match (found.description, description) {
        (Some(span), Some(text)) => edits.push((span, quoted(text))),
        // Behind the brace that opens it.
        (None, Some(text)) => edits.push((1..1, [b"\"description\":", &*quoted(text), b","].concat())),
        (_, None) => {}
    }
    Some(json::edited(definition, edits))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Definition,
    Name,
    Description,
    Elsewhere,
}

/// Where name and description stand.
#[derive(Default)]
struct Found {
    name: Option<Range<usize>>,
    description: Option<Range<usize>>,
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(match (place, name) {
            (Place::Definition, "name") => Place::Name,
            (Place::Definition, "description") => Place::Description,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, _: Kind, span: Range<usize>) {
        match place {
            Place::Name => self.name = Some(span),
            Place::Description => self.description = Some(span),
            Place::Definition | Place::Elsewhere => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::federation::Eras;
    use crate::federation::view::{Member, Naming, Place as At};
    use crate::inspect;

    fn view(servers: &[&str]) -> View {
        let member = |server: &&str| Member {
            server: ServerName::new(server).unwrap(),
            tools: vec!["*".into()],
            called: BTreeMap::new(),
            described: BTreeMap::from([("find".into(), "Finds \"it\".".into())]),
        };
        let members = servers.iter().map(member).collect();
        View::new(ServerName::new("all").unwrap(), At::Named, Naming::Bare, members)
    }

    fn has(server: &str, tools: &[String]) -> Has {
        let tools: Vec<_> =
            tools.iter().map(|tool| format!(r#"{{"x":1, "name" : "{tool}","inputSchema":{{}}}}"#)).collect();
        let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(","));
        let contents = Contents {
            tools: inspect::tools(&Bytes::from(answer)).unwrap(),
            eras: Eras::default(),
            instructions: None,
            logs: false,
        };
        (ServerName::new(server).unwrap(), Arc::new(contents))
    }

    /// All names, page by page.
    fn walked(listing: &Listing, view: &View, shows: impl Fn(&Origin) -> bool) -> Vec<String> {
        let (seal, mut cursor, mut names) = (Seal::of_this_process(), None, Vec::new());
        loop {
            let page = listing.page((view, "alice"), &seal, cursor.as_deref(), |origin, _| shows(origin)).unwrap();
            let tools: serde_json::Value = format!("[{}]", String::from_utf8(page.tools).unwrap()).parse().unwrap();
            names.extend(tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
            cursor = page.next;
            if cursor.is_none() {
                return names;
            }
        }
    }

    #[test]
    fn a_tool_is_shown_under_its_name_here_with_every_other_byte_as_it_was() {
        let listing = Listing::new(
            &view(&["a", "b"]),
            vec![has("a", &["find".to_owned()]), has("b", &["find".to_owned()])],
            None,
        );
        let (origin, shown) = listing.tool("b_find").unwrap();
        assert_eq!((origin.server.as_str(), &*origin.tool), ("b", "find"));
        assert_eq!(
            std::str::from_utf8(&shown.definition).unwrap(),
            r#"{"description":"Finds \"it\".","x":1, "name" : "b_find","inputSchema":{}}"#
        );
        assert!(listing.tool("find").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_page_is_dropped_and_none_is_shown_twice(counts in prop::collection::vec(0_usize..700, 1..4), every in 1_usize..5) {
            let servers = ["a", "a_b", "c"];
            let all: Vec<_> = counts.iter().zip(servers).map(|(count, server)| {
                has(server, &(0..*count).map(|n| format!("tool_{n}")).collect::<Vec<_>>())
            }).collect();
            let view = view(&servers);
            let listing = Listing::new(&view, all, None);
            let shows = |origin: &Origin| origin.tool.len().is_multiple_of(every);
            let walked = walked(&listing, &view, shows);
            let expected: Vec<_> = listing.names.iter().filter(|(origin, _)| shows(origin)).map(|(_, name)| name.to_string()).collect();
            prop_assert_eq!(walked, expected);
        }
    }
}
