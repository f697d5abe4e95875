//! A view: chosen tools of chosen servers under chosen names, as one server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::listing::{Has, Listing};
use super::names::{Origin, Wish};
use crate::mcp::ServerName;

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
    /// What was made last of what its servers had.
    made: Mutex<Option<Made>>,
}

/// What a view shows, and of what that was made.
#[derive(Debug)]
struct Made {
    of: Vec<Has>,
    listing: Arc<Listing>,
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
        Self { name, place, naming, members, made: Mutex::default() }
    }

    /// What it shows of what its servers have now. It is made once for that.
    pub fn listing(&self, has: Vec<Has>) -> Arc<Listing> {
        let same = |made: &&Made| {
            let pairs = made.of.iter().zip(&has);
            made.of.len() == has.len() && pairs.into_iter().all(|(was, is)| was.0 == is.0 && Arc::ptr_eq(&was.1, &is.1))
        };
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made().as_ref().filter(same) {
            return Arc::clone(&made.listing);
        }
        // Nobody waits for another to make it: to make it twice does no harm.
        let listing = Arc::new(Listing::new(self, &has));
        *made() = Some(Made { of: has, listing: Arc::clone(&listing) });
        listing
    }

    /// The servers that it shows something of, in the order of their names.
    pub fn servers(&self) -> impl Iterator<Item = &ServerName> {
        self.members.iter().map(|member| &member.server)
    }

    /// What the tool is to be called here, if it is shown.
    pub(super) fn wish<'a>(&'a self, origin: &Origin) -> Option<Wish<'a>> {
        let member = self.member(origin)?;
        let given = member.called.get(&origin.tool).map(|name| Wish::Given(name));
        Some(given.unwrap_or(match self.naming {
            Naming::Bare => Wish::Bare,
            Naming::Prefixed => Wish::Prefixed,
        }))
    }

    /// What is said of the tool here, if not what its server says.
    pub(super) fn description(&self, origin: &Origin) -> Option<&str> {
        self.member(origin)?.described.get(&origin.tool).map(|text| &**text)
    }

    fn member(&self, origin: &Origin) -> Option<&Member> {
        self.members.iter().find(|member| member.server == origin.server && member.shows(&origin.tool))
    }
}

impl Member {
    pub(super) fn shows(&self, tool: &str) -> bool {
        self.tools.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => tool.starts_with(beginning),
            None => tool == &**pattern,
        })
    }
}
