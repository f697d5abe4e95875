//! The servers behind the gate, and which of them a request is for. Every server has its own of everything that calls
//! take room in, so that what one does is none of the others' matter.

use std::collections::HashMap;
use std::sync::Arc;

use super::Capacity;
use crate::federation::{Catalogue, View, Views};
use crate::identity::PublicUrl;
use crate::mcp::ServerName;
use crate::state::{MESSAGES, STREAM, State};
use crate::upstream::Upstream;

/// Where Streamable HTTP is.
pub(super) const ENDPOINT: &str = "/mcp";

/// What stands before the names of views.
const VIEWS: &str = "/views/";

/// A server, as the gate serves it. What one has, no other touches.
#[derive(Debug)]
pub struct Served {
    /// What it is called.
    pub name: ServerName,
    /// The values of `Host`, in lower case, under which it stands alone.
    pub hosts: Vec<String>,
    /// Which transports it has.
    pub transports: Transports,
    /// The server.
    pub upstream: Arc<Upstream>,
    /// What is remembered of it between messages.
    pub state: Arc<State>,
    /// How many bytes its reply to one request may have.
    pub max_reply_bytes: usize,
    /// How many messages for it may be under way at once.
    pub capacity: Capacity,
    /// What it has, for views.
    pub catalogue: Arc<Catalogue>,
}

/// Which transports a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transports {
    /// Streamable HTTP.
    pub streamable: bool,
    /// HTTP+SSE (MCP 2024-11-05).
    pub sse: bool,
}

/// A way to a server.
#[derive(Debug)]
pub(super) struct Route {
    /// The server.
    pub(super) served: Arc<Served>,
    /// What stands before the protocol's own paths.
    pub(super) base: Box<str>,
    /// Where clients reach it, as they write it, if that was said.
    pub(super) public: Option<PublicUrl>,
}

/// All servers, and the ways to them.
#[derive(Debug)]
pub struct Routes {
    served: Vec<Arc<Served>>,
    /// Those under `/{server}/…`.
    named: HashMap<Box<str>, Arc<Route>>,
    /// Hosts under which one server stands alone.
    hosts: HashMap<Box<str>, Arc<Route>>,
    /// Where there is but one server, it needs no name.
    sole: Option<Arc<Route>>,
    none: ServerName,
    /// Where clients reach `/mcp`, if that was said.
    public: Option<PublicUrl>,
}

impl Routes {
    /// Ways to these servers, for clients that reach `/mcp` of the gate there.
    pub fn new(served: Vec<Arc<Served>>, public: Option<&PublicUrl>) -> Self {
        let way = |served: &Arc<Served>, base: String, public| {
            Arc::new(Route { served: Arc::clone(served), base: base.into(), public })
        };
        let named = served.iter().map(|it| {
            let name = it.name.as_str();
            (Box::from(name), way(it, format!("/{name}"), public.map(|url| url.of_server(name))))
        });
        let hosts = served.iter().flat_map(|it| it.hosts.iter().map(move |host| (host, it)));
        let hosts = hosts
            .map(|(host, it)| (Box::from(host.as_str()), way(it, String::new(), public.map(|url| url.at_host(host)))));
        let (named, hosts) = (named.collect(), hosts.collect());
        let sole = match served.as_slice() {
            [only] => Some(way(only, String::new(), public.cloned())),
            _ => None,
        };
        Self { served, named, hosts, sole, none: ServerName::none(), public: public.cloned() }
    }

    /// All servers.
    pub fn served(&self) -> &[Arc<Served>] {
        &self.served
    }

    /// Where they and these views are, beside those that only their hosts lead to.
    pub fn paths(&self, views: &Views) -> Vec<String> {
        let sole = self.sole.iter();
        let named = self.served.iter().filter_map(|it| self.named.get(it.name.as_str()));
        let has = |route: &Route| if route.served.transports.streamable { ENDPOINT } else { STREAM };
        let servers = sole.chain(named).map(|route| format!("{}{}", route.base, has(route)));
        let default = views.default_one().filter(|_| self.sole.is_none()).map(|_| ENDPOINT.to_owned());
        let views = views.iter().map(|view| format!("{VIEWS}{}{ENDPOINT}", view.name));
        servers.chain(default).chain(views).collect()
    }

    /// What a message counts for of which it is not known yet which server it is for.
    pub(super) fn before_any(&self) -> &ServerName {
        self.sole.as_ref().map_or(&self.none, |sole| &sole.served.name)
    }

    /// The way that a path leads at this host, and what of the path is the protocol's own. A path that leads nowhere is
    /// no other server's.
    pub(super) fn find<'p>(&self, host: &str, path: &'p str) -> Option<(&Arc<Route>, &'p str)> {
        if let Some(own) = self.at_own_host(host) {
            return Some((own, path));
        }
        let unnamed = path == ENDPOINT || path == STREAM || path.starts_with(MESSAGES);
        if let Some(sole) = self.sole.as_ref().filter(|_| unnamed) {
            return Some((sole, path));
        }
        let (name, _) = path.strip_prefix('/')?.split_once('/')?;
        let route = self.named.get(name)?;
        Some((route, path.strip_prefix(&*route.base)?))
    }

    /// The server of this name, if it is here.
    pub(super) fn server(&self, name: &ServerName) -> Option<&Arc<Served>> {
        self.route(name).map(|route| &route.served)
    }

    /// The way to it by its name.
    pub(super) fn route(&self, name: &ServerName) -> Option<&Arc<Route>> {
        self.named.get(name.as_str())
    }

    /// The view that a path leads to at this host, if it does. None stands where one server stands alone.
    pub(super) fn view<'v>(&self, host: &str, path: &str, views: &'v Views) -> Option<&'v Arc<View>> {
        if self.at_own_host(host).is_some() {
            return None;
        }
        if path == ENDPOINT {
            return views.default_one().filter(|_| self.sole.is_none());
        }
        views.named(path.strip_prefix(VIEWS)?.strip_suffix(ENDPOINT)?)
    }

    /// Where clients reach a view, as they write it.
    pub(super) fn view_url(&self, view: &View) -> Option<PublicUrl> {
        self.public.as_ref().map(|url| url.of_server(&format!("views/{}", view.name)))
    }

    /// The public URL whose metadata is at this path of this host.
    pub(super) fn published(&self, host: &str, path: &str, views: &Views) -> Option<PublicUrl> {
        let own = self.at_own_host(host);
        let unnamed = own.or(self.sole.as_ref());
        let named = self.named.values().filter(|_| own.is_none());
        let mut published = unnamed.into_iter().chain(named).filter_map(|route| route.public.as_ref());
        if PublicUrl::is_metadata_root(path) {
            return unnamed?.public.clone();
        }
        let of_views = views.iter().filter(|_| own.is_none()).filter_map(|view| self.view_url(view));
        published
            .find(|url| url.has_metadata_at(path))
            .cloned()
            .or_else(|| of_views.into_iter().find(|url| url.has_metadata_at(path)))
    }

    fn at_own_host(&self, host: &str) -> Option<&Arc<Route>> {
        if self.hosts.is_empty() { None } else { self.hosts.get(host.to_ascii_lowercase().as_str()) }
    }
}
