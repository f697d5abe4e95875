//! A view: chosen tools of chosen servers under chosen names, as one server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::catalogue::{Catalogue, News};
use super::kind::Kind;
use super::listing::{Has, Listing};
use super::names::{Origin, Wish};
use crate::clock;
use crate::mcp::{Era, ServerName};

/// All views.
#[derive(Clone, Debug, Default)]
pub struct Views(Vec<Arc<View>>);

/// One view.
#[derive(Debug)]
pub struct View {
    /// What it is called: it is at `/views/{name}/mcp`.
    pub name: ServerName,
    /// Whether it is at `/mcp`, too.
    pub place: Place,
    pub(super) naming: Naming,
    pub(super) members: Vec<Member>,
    /// What was made last of what its servers had, for clients of either era.
    made: [ArcSwapOption<Made>; 2],
    /// The same for callers for whom some of them have something of their own, by all that it was made of.
    own: moka::sync::Cache<Vec<usize>, Arc<Listing>>,
}

/// What was made for callers takes about so much in each view.
const MOST: u64 = 64 << 20;

/// What a view shows, for as long as that is known to hold.
#[derive(Debug)]
struct Made {
    listing: Arc<Listing>,
    /// Nothing of what servers have has changed since.
    news: u64,
    /// Something that was told is too old from then on.
    until: Option<Instant>,
}

/// Where a view is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under its name.
    Named,
    /// At `/mcp`, too.
    Default,
}

/// What tools are called of which nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// As their servers call them, where only one does.
    Bare,
    /// Behind the name of the server.
    Prefixed,
}

/// What a view shows of one server.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) server: ServerName,
    /// Names; `*` at the end of one stands for any more.
    pub(super) tools: Vec<Box<str>>,
    pub(super) prompts: Vec<Box<str>>,
    /// The same of URIs and their templates.
    pub(super) resources: Vec<Box<str>>,
    pub(super) called: BTreeMap<Box<str>, Box<str>>,
    pub(super) described: BTreeMap<Box<str>, Box<str>>,
}

impl Views {
    pub(super) fn new(views: Vec<View>) -> Self {
        Self(views.into_iter().map(Arc::new).collect())
    }

    /// The view of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<View>> {
        self.0.iter().find(|view| view.name.as_str() == name)
    }

    /// The view at `/mcp`.
    pub fn default_one(&self) -> Option<&Arc<View>> {
        self.0.iter().find(|view| view.place == Place::Default)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<View>> {
        self.0.iter()
    }

    /// Whether some view shows something of this server.
    pub fn show(&self, server: &ServerName) -> bool {
        self.iter().any(|view| view.servers().any(|shown| shown == server))
    }
}

impl View {
    pub(super) fn new(name: ServerName, place: Place, naming: Naming, members: Vec<Member>) -> Self {
        let weigh = |_: &Vec<usize>, listing: &Arc<Listing>| u32::try_from(listing.bytes()).unwrap_or(u32::MAX);
        let own = moka::sync::Cache::builder().max_capacity(MOST).weigher(weigh).build();
        Self { name, place, naming, members, made: Default::default(), own }
    }

    /// What it shows to clients of an era, if nothing has changed since that was made.
    pub fn made(&self, era: Era, news: &News) -> Option<Arc<Listing>> {
        let made = self.of(era).load();
        let holds =
            |made: &&Arc<Made>| made.news == news.count() && made.until.is_none_or(|until| clock::monotonic() < until);
        made.as_ref().filter(holds).map(|made| Arc::clone(&made.listing))
    }

    /// What it shows of what its servers have now to clients of an era: of those that speak it. Those that have something else for
    /// each caller are left out, and named.
    pub fn make<'c>(
        &self,
        era: Era,
        servers: impl Iterator<Item = (&'c ServerName, &'c Catalogue)>,
        news: &News,
    ) -> Arc<Listing> {
        // Before it is looked at: what changes meanwhile is seen next time.
        let news = news.count();
        let (each, servers): (Vec<_>, Vec<_>) = servers.partition(|(_, catalogue)| catalogue.callers().is_some());
        let each: Box<[ServerName]> = each.into_iter().map(|(name, _)| name.clone()).collect();
        let told = servers.into_iter().filter_map(|(name, catalogue)| Some((name, catalogue.known().contents()?)));
        let told: Vec<_> = told.filter(|(_, (contents, _))| contents.eras.speak(era)).collect();
        let until = told.iter().map(|(_, (_, until))| *until).min();
        let has: Vec<_> = told.into_iter().map(|(name, (contents, _))| (name.clone(), contents)).collect();
        let before = self.of(era).load_full();
        let before = before.as_ref().map(|made| &made.listing);
        // Nobody waits for another to make it: to make it twice does no harm.
        let listing = match before.filter(|before| before.is_of(&has)) {
            Some(same) => Arc::clone(same),
            None => Arc::new(Listing::new((self, each), has, before.map(Arc::as_ref))),
        };
        self.of(era).store(Some(Arc::new(Made { listing: Arc::clone(&listing), news, until })));
        listing
    }

    /// What it shows to a caller for whom these servers have this, beside what all are shown.
    pub fn make_own(&self, all: &Listing, mut own: Vec<Has>) -> Arc<Listing> {
        own.extend(all.has().iter().cloned());
        own.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        // What it was made of is held by what was made, so that nothing else is ever at the same place.
        let made_of = own.iter().map(|(_, contents)| Arc::as_ptr(contents).addr()).collect();
        self.own.get_with(made_of, || Arc::new(Listing::new((self, all.each().into()), own, Some(all))))
    }

    fn of(&self, era: Era) -> &ArcSwapOption<Made> {
        let [legacy, modern] = &self.made;
        match era {
            Era::Legacy => legacy,
            Era::Modern => modern,
        }
    }

    /// The servers that it shows something of, in the order of their names.
    pub fn servers(&self) -> impl Iterator<Item = &ServerName> {
        self.members.iter().map(|member| &member.server)
    }

    /// What it is to be called here, if it is shown.
    pub(super) fn wish<'a>(&'a self, kind: Kind, origin: &Origin) -> Option<Wish<'a>> {
        let member = self.member(kind, origin)?;
        let given = member.called.get(&origin.name).filter(|_| kind == Kind::Tool).map(|name| Wish::Given(name));
        Some(given.unwrap_or(match self.naming {
            Naming::Bare => Wish::Bare,
            Naming::Prefixed => Wish::Prefixed,
        }))
    }

    /// Whether it is shown.
    pub(super) fn shows(&self, kind: Kind, origin: &Origin) -> bool {
        self.member(kind, origin).is_some()
    }

    /// What is said of the tool here, if not what its server says.
    pub(super) fn description(&self, origin: &Origin) -> Option<&str> {
        self.member(Kind::Tool, origin)?.described.get(&origin.name).map(|text| &**text)
    }

    fn member(&self, kind: Kind, origin: &Origin) -> Option<&Member> {
        self.members.iter().find(|member| member.server == origin.server && member.shows(kind, &origin.name))
    }
}

impl Member {
    pub(super) fn shows(&self, kind: Kind, name: &str) -> bool {
        let patterns = match kind {
            Kind::Tool => &self.tools,
            Kind::Prompt => &self.prompts,
            Kind::Resource | Kind::Template => &self.resources,
        };
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == &**pattern,
        })
    }
}
