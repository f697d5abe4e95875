//! What a view shows, of what its servers have now: whose each name is, and the pages of the list.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::contents::Contents;
use super::cursor::Cursors;
use super::kind::Kind;
use super::names::{Names, Origin, Wish};
use super::view::View;
use crate::inspect::Listed;
use crate::json::{self, Bounds, Flaw, Lens};
use crate::mcp::{ProtocolVersion, ServerName};

/// What a server of a view has.
pub type Has = (ServerName, Arc<Contents>);

/// What a view shows.
#[derive(Debug)]
pub struct Listing {
    /// What it was made of.
    has: Vec<Has>,
    /// The servers that have something else for each caller.
    each: Box<[ServerName]>,
    tables: [Table; 4],
}

/// What a view shows of one kind.
#[derive(Debug)]
struct Table {
    names: Names,
    /// Each thing as it is shown here.
    things: BTreeMap<Origin, Arc<Shown>>,
}

/// A thing under the name that it has here.
#[derive(Debug)]
struct Shown {
    /// That name.
    name: Arc<str>,
    /// The thing as its server has it.
    thing: Listed,
    /// What is said of it here.
    definition: Box<[u8]>,
}

/// A page of the list.
#[derive(Debug)]
pub struct Page {
    /// The definitions, with commas between them.
    pub things: Vec<u8>,
    /// Where the next one begins, if there is one.
    pub next: Option<String>,
}

/// So many things are looked at for one page.
const PAGE: usize = 250;
/// A thing in a table takes about so much.
const OVERHEAD: usize = 256;
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };

impl Listing {
    /// What this view shows of what these servers have. What has not changed is as it was before.
    pub(super) fn new((view, each): (&View, Box<[ServerName]>), has: Vec<Has>, before: Option<&Self>) -> Self {
        let tables = Kind::ALL.map(|kind| Table::new(kind, view, &has, before.map(|before| before.of(kind))));
        Self { has, each, tables }
    }

    /// About how much memory it takes that was made for one caller.
    pub(super) fn bytes(&self) -> usize {
        let own = self.has.iter().filter(|(server, _)| self.each.contains(server));
        let things = self.has.iter().map(|(_, contents)| contents.count()).sum::<usize>();
        OVERHEAD * (1 + things) + own.map(|(_, contents)| contents.bytes()).sum::<usize>()
    }

    /// The servers that have something else for each caller.
    pub fn each(&self) -> &[ServerName] {
        &self.each
    }

    fn of(&self, kind: Kind) -> &Table {
        let [tools, prompts, resources, templates] = &self.tables;
        match kind {
            Kind::Tool => tools,
            Kind::Prompt => prompts,
            Kind::Resource => resources,
            Kind::Template => templates,
        }
    }

    /// What it was made of.
    pub fn has(&self) -> &[Has] {
        &self.has
    }

    /// The latest legacy revision that all of them speak; `None` if none speaks any.
    pub fn latest_legacy(&self) -> Option<ProtocolVersion> {
        self.has.iter().filter_map(|(_, contents)| contents.eras.legacy).min()
    }

    /// Everything of a kind that is shown.
    pub fn shown(&self, kind: Kind) -> impl Iterator<Item = (&Origin, &Listed)> {
        self.of(kind).things.iter().map(|(origin, shown)| (origin, &shown.thing))
    }

    /// The capabilities of whose lists others stand here than there.
    pub fn changed_since(&self, before: &Self) -> impl Iterator<Item = &'static str> {
        let same = |kind| {
            let (now, then) = (&self.of(kind).things, &before.of(kind).things);
            now.len() == then.len() && now.values().zip(then.values()).all(|(now, then)| Arc::ptr_eq(now, then))
        };
        Kind::ALL.into_iter().filter(move |kind| !same(*kind)).map(Kind::capability)
    }

    /// Whether it was made of just that.
    pub(super) fn is_of(&self, has: &[Has]) -> bool {
        let mut pairs = self.has.iter().zip(has);
        self.has.len() == has.len() && pairs.all(|(was, is)| was.0 == is.0 && Arc::ptr_eq(&was.1, &is.1))
    }

    /// Whose it is that is called so here.
    pub fn origin(&self, kind: Kind, name: &str) -> Option<&Origin> {
        self.of(kind).names.origin(name)
    }

    /// The server that has the resource of this URI: it lists it, or a template of it. What two have is nobody's.
    pub fn owner(&self, uri: &str) -> Option<&ServerName> {
        if let Some(origin) = self.origin(Kind::Resource, uri).or_else(|| self.origin(Kind::Template, uri)) {
            return Some(&origin.server);
        }
        let templates = self.of(Kind::Template).things.keys();
        let mut owners = templates.filter(|origin| is_of(uri, &origin.name)).map(|origin| &origin.server);
        let owner = owners.next()?;
        owners.all(|other| other == owner).then_some(owner)
    }

    /// The page behind a cursor, or the first, of what a caller is shown. `None` if the cursor is none of this
    /// list and account.
    pub fn page(
        &self,
        (kind, view, account): (Kind, &View, &str),
        cursors: &Cursors,
        cursor: Option<&str>,
        shows: impl Fn(&Origin, &Listed) -> bool,
    ) -> Option<Page> {
        let of = (kind, view.name.as_str(), account);
        let behind = match cursor {
            Some(cursor) => Some(cursors.open(of, cursor)?),
            None => None,
        };
        let from = behind.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rest = self.of(kind).things.range((from, std::ops::Bound::Unbounded));
        let (mut things, mut last) = (Vec::new(), None);
        for (origin, shown) in rest.by_ref().take(PAGE) {
            last = Some(origin);
            if shows(origin, &shown.thing) {
                if !things.is_empty() {
                    things.push(b',');
                }
                things.extend_from_slice(&shown.definition);
            }
        }
        let more = last.filter(|_| rest.next().is_some());
        Some(Page { things, next: more.and_then(|origin| cursors.seal(of, origin)) })
    }
}

impl Table {
    fn new(kind: Kind, view: &View, has: &[Has], before: Option<&Self>) -> Self {
        let things = has.iter().flat_map(|(server, contents)| {
            contents.of(kind).iter().map(|it| (Origin { server: server.clone(), name: it.name.clone() }, it))
        });
        let things: Vec<_> = things.filter(|(origin, _)| view.shows(kind, origin)).collect();
        let names = Names::of(things.iter().filter_map(|(origin, it)| {
            // A URI says itself what it is, and clients may fetch it: it is never changed.
            let is_uri = matches!(kind, Kind::Resource | Kind::Template);
            let wish = if is_uri { Some(Wish::Given(&it.name)) } else { view.wish(kind, origin) };
            Some((origin.clone(), wish?))
        }));
        let shown = things.into_iter().filter_map(|(origin, thing)| {
            let name = names.name(&origin)?;
            let known = before.and_then(|before| before.things.get(&origin)).filter(|shown| shown.is(thing, name));
            let shown = known.cloned().or_else(|| {
                let definition = match kind {
                    Kind::Tool => renamed(&thing.definition, name, view.description(&origin))?,
                    Kind::Prompt => renamed(&thing.definition, name, None)?,
                    Kind::Resource | Kind::Template => thing.definition.to_vec(),
                };
                Some(Arc::new(Shown { name: Arc::clone(name), thing: thing.clone(), definition: definition.into() }))
            });
            Some((origin, shown?))
        });
        let things = shown.collect();
        Self { names, things }
    }
}

impl Shown {
    fn is(&self, thing: &Listed, name: &Arc<str>) -> bool {
        self.name == *name && self.thing == *thing
    }
}

/// Whether a URI is one that this template describes (RFC 6570): whatever stands where its braces do.
fn is_of(uri: &str, template: &str) -> bool {
    let mut literals = template.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, behind)| behind));
    let Some(mut rest) = literals.next().and_then(|first| uri.strip_prefix(first)) else {
        return false;
    };
    let mut literals = literals.peekable();
    let has_none = literals.peek().is_none();
    while let Some(literal) = literals.next() {
        let behind = match literals.peek() {
            // What comes behind the last brace ends the URI.
            None => rest.ends_with(literal).then_some(""),
            Some(_) => rest.split_once(literal).map(|(_, behind)| behind),
        };
        let Some(behind) = behind else {
            return false;
        };
        rest = behind;
    }
    !has_none || rest.is_empty()
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

    fn value(&mut self, place: Place, _: json::Kind, span: Range<usize>) {
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
            prompts: vec!["*".into()],
            resources: vec!["*".into()],
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
            things: [inspect::listed(inspect::List::Tools, &Bytes::from(answer)).unwrap(), vec![], vec![], vec![]],
            eras: Eras::default(),
            instructions: None,
            offers: Vec::new(),
        };
        (ServerName::new(server).unwrap(), Arc::new(contents))
    }

    /// All names, page by page.
    fn walked(listing: &Listing, view: &View, shows: impl Fn(&Origin) -> bool) -> Vec<String> {
        let (cursors, mut cursor, mut names) = (Cursors::of_this_process(), None, Vec::new());
        loop {
            let page = listing
                .page((Kind::Tool, view, "alice"), &cursors, cursor.as_deref(), |origin, _| shows(origin))
                .unwrap();
            let tools: serde_json::Value = format!("[{}]", String::from_utf8(page.things).unwrap()).parse().unwrap();
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
            (&view(&["a", "b"]), Box::default()),
            vec![has("a", &["find".to_owned()]), has("b", &["find".to_owned()])],
            None,
        );
        let origin = listing.origin(Kind::Tool, "b_find").unwrap();
        let shown = &listing.of(Kind::Tool).things[origin];
        assert_eq!((origin.server.as_str(), &*origin.name), ("b", "find"));
        assert_eq!(
            std::str::from_utf8(&shown.definition).unwrap(),
            r#"{"description":"Finds \"it\".","x":1, "name" : "b_find","inputSchema":{}}"#
        );
        assert!(listing.origin(Kind::Tool, "find").is_none());
    }

    #[test]
    fn a_uri_is_of_a_template_that_describes_it() {
        for (uri, template, is) in [
            ("demo://records/1", "demo://records/{id}", true),
            ("demo://records/1/parts", "demo://records/{id}/parts", true),
            ("demo://records/1/part", "demo://records/{id}/parts", false),
            ("demo://other/1", "demo://records/{id}", false),
            ("demo://a/b/c", "demo://{a}/b/{c}", true),
            ("demo://records", "demo://records", true),
            ("demo://records/1", "demo://records", false),
            ("file:///a", "{+uri}", true),
        ] {
            assert_eq!(is_of(uri, template), is, "{uri} {template}");
        }
    }

    fn tools() -> impl Strategy<Value = Vec<String>> {
        prop::collection::btree_set("[a-c]{1,2}|(a_|own_)[a-c]", 0..12).prop_map(|tools| tools.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_a_callers_own_stands_among_the_rest_and_is_no_others(
            shared in [tools(), tools()], each in prop::collection::vec(tools(), 1..4),
        ) {
            let (view, own) = (view(&["a", "b", "own"]), ServerName::new("own").unwrap());
            let shared: Vec<_> = ["a", "b"].into_iter().zip(&shared).map(|(server, tools)| has(server, tools)).collect();
            let all = Listing::new((&view, [own].into()), shared.clone(), None);
            for tools in each {
                let its = has("own", &tools);
                let listing = view.make_own(&all, vec![its.clone()]);
                let expected: BTreeMap<_, _> = shared.iter().chain([&its]).flat_map(|(server, contents)| {
                    contents.of(Kind::Tool).iter().map(|tool| {
                        let origin = Origin { server: server.clone(), name: tool.name.clone() };
                        let name = listing.of(Kind::Tool).names.name(&origin).map(ToString::to_string);
                        (origin, name)
                    })
                }).collect();
                for (origin, name) in &expected {
                    let name = name.as_deref().expect("none is lost");
                    prop_assert_eq!(listing.origin(Kind::Tool, name), Some(origin));
                }
                let names: Vec<_> = expected.into_values().flatten().collect();
                prop_assert_eq!(walked(&listing, &view, |_| true), names, "nothing else is there");
                prop_assert!(Arc::ptr_eq(&listing, &view.make_own(&all, vec![its])), "it is made once");
            }
        }
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
            let listing = Listing::new((&view, Box::default()), all, None);
            let shows = |origin: &Origin| origin.name.len().is_multiple_of(every);
            let walked = walked(&listing, &view, shows);
            let expected: Vec<_> = listing.of(Kind::Tool).names.iter().filter(|(origin, _)| shows(origin)).map(|(_, name)| name.to_string()).collect();
            prop_assert_eq!(walked, expected);
        }
    }
}
