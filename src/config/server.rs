//! Which servers the gate stands in front of: from a flag, from `tollgate.yaml`, and a name from the policy files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::Uri;

use super::build::{all, number};
use super::given::Place;
use super::shown::Written;
use super::source::{ConfigSource, ServerSource};
use super::{Folder, Policies, Server, address, catalogue, endpoints};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::federation::CatalogueSettings;
use crate::mcp::ServerName;
use crate::state::Per;
use crate::upstream::{Endpoints, Settings};

/// So many are named where several are meant.
const SHUT_NAMED: usize = 3;
const DEFAULT_REPLY: usize = 64 << 20;
pub(super) const MAX_REPLY: u64 = 16 << 30;

/// The servers, as far as they are known.
pub(super) enum ServersDraft {
    /// Names and URLs are, of at least one.
    Named(Vec<Server>),
    /// Only the URL is: `--server URL`.
    Unnamed(Uri),
    /// Something of them is not; that was told. They are called so, if all names are known.
    Wrong(Option<Vec<ServerName>>),
}

impl ServersDraft {
    /// The server of the flag, or else those of the file; `None` if neither names one.
    pub(super) fn read(
        flag: Option<&str>,
        (file, beside): (&SourceFile, &Path),
        source: &ConfigSource,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let written: Vec<_> =
            source.servers.iter().map(|(name, server)| Entry { file, beside, name, server }).collect();
        match (flag, written.as_slice()) {
            (Some(text), written) => Some(Self::from_flag(text, written, found)),
            (None, []) => None,
            (None, entries) => {
                shared_hosts(entries, found);
                let read = entries.iter().map(|entry| {
                    let endpoints = endpoints::read(file, entry.name.referenced, entry.server, found);
                    entry.read(endpoints, found)
                });
                Some(Self::of(read.collect()))
            }
        }
    }

    fn of(read: Vec<Result<Server, Option<ServerName>>>) -> Self {
        let names = read.iter().map(|read| match read {
            Ok(server) => Some(server.name.clone()),
            Err(name) => name.clone(),
        });
        let names = names.collect();
        read.into_iter().collect::<Result<_, _>>().map_or(Self::Wrong(names), Self::Named)
    }

    /// `URL`, or `NAME=URL`; without a name it is the one in the file, if there is one. It says where the server is, and
    /// nothing else: what the file says of a server of this name counts all the same.
    fn from_flag(text: &str, written: &[Entry<'_>], found: &mut Diagnostics) -> Self {
        let place = Place::Flag("--server");
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains([':', '/']) => (Some(name), url),
            _ => (None, text),
        };
        let url = read_url(url, place, found);
        let entry = match (name, written) {
            (None, [entry]) => Some(entry),
            (None, [_, _, ..]) => {
                let problem = place.error(Code::SeveralServers, "the file has several servers");
                found.push(problem.help("say which of them this is: `--server NAME=URL`"));
                return Self::Wrong(None);
            }
            (Some(name), entries) => entries.iter().find(|entry| entry.name.value == name),
            (None, []) => None,
        };
        if let Some(entry) = entry {
            return Self::of(vec![entry.read(url.map(Endpoints::from), found)]);
        }
        match (url, name.map(|name| read_name(name, place, found))) {
            (Some(url), None) => Self::Unnamed(url),
            (Some(url), Some(Some(name))) => Self::Named(vec![server(name, url)]),
            (_, name) => Self::Wrong(name.flatten().map(|name| vec![name])),
        }
    }

    /// Takes the one name that the policy files use, if it has none. Returns all names there are.
    pub(super) fn name(
        &mut self,
        in_policies: impl FnOnce() -> Vec<ServerName>,
        found: &mut Diagnostics,
    ) -> Vec<ServerName> {
        let url = match self {
            Self::Named(servers) => return servers.iter().map(|server| server.name.clone()).collect(),
            Self::Wrong(Some(names)) => return names.clone(),
            Self::Wrong(None) => return in_policies(),
            Self::Unnamed(url) => url.clone(),
        };
        let names = in_policies();
        if let [name] = names.as_slice() {
            *self = Self::Named(vec![server(name.clone(), url)]);
        } else {
            let several = names.iter().map(ServerName::as_str).collect::<Vec<_>>().join(", ");
            found.push(
                Diagnostic::error(
                    Code::SeveralServers,
                    "--server",
                    format!("the policy files are for several servers: {several}"),
                )
                .help("say which of them this is: `--server NAME=URL`"),
            );
        }
        names
    }
}

impl Server {
    /// A warning that nobody may use it, where no policy file is for it.
    pub(super) fn unused(&self, folder: &Folder) -> Option<Diagnostic> {
        let (file, at) = self.written.as_ref()?;
        if folder.is_for(&self.name) {
            return None;
        }
        let message = format!("no policy file is for {}, so nobody may use it", quoted(self.name.as_str()));
        let help = format!("write one that begins with `server: {}`, or leave the server out", self.name);
        Some(file.warning(Code::ServerWithoutPolicy, *at, message).help(help))
    }

    /// A warning of callers who may use it, and whom it never takes: it is shown callers' tokens, and they have none.
    pub(super) fn shut(&self, policies: &Policies) -> Option<Diagnostic> {
        let (file, at) = self.credential.as_ref().filter(|_| self.shown.credential.needs_callers_token())?;
        let opens: BTreeSet<&str> = policies.policy.roles(&self.name).collect();
        let shut: Vec<String> = policies
            .authenticators
            .without_tokens()
            .into_iter()
            .filter(|(_, roles)| roles.iter().any(|role| opens.contains(&**role)))
            .map(|(what, _)| what)
            .collect();
        let named = shut.iter().take(SHUT_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more =
            if shut.len() > SHUT_NAMED { format!(" and {} more", shut.len() - SHUT_NAMED) } else { String::new() };
        let message = format!("who comes with {named}{more} is refused: only callers' tokens open this server");
        let help = "take its roles away, or let the gate in by `client_credentials`, `bearer` or `header`";
        (!shut.is_empty()).then(|| file.warning(Code::NoTokenToShow, *at, message).help(help))
    }

    /// A warning of what is each caller's own in no view. Servers of 2024-11-05 are in none.
    pub(super) fn unviewed(&self, policies: &Policies) -> Option<Diagnostic> {
        let (file, at) = self.written.as_ref().filter(|_| self.catalogue.per == Per::Caller)?;
        let viewed = policies.views.show(&self.name) && !self.endpoints.streamable().is_empty();
        let message = "`catalogue.per` says nothing: no view shows this server";
        let help = "delete it, or show the server in a view; servers of 2024-11-05 (`sse`) are in none";
        (!viewed).then(|| file.warning(Code::UnusedCatalogue, *at, message).help(help))
    }

    /// A warning of answers that are never given again, whatever the policy says: the server sees each caller's own token, and may
    /// answer each of them otherwise.
    pub(super) fn uncached(&self, policies: &Policies) -> Option<Diagnostic> {
        let (file, at) = self.credential.as_ref().filter(|_| self.shown.credential.needs_callers_token())?;
        let first = policies.policy.cached(&self.name).into_iter().next()?;
        let message =
            format!("no answer of this server is given again, though {first} says so: it sees each caller's own token");
        let help = "delete `cache:` there, or let the gate in by `client_credentials`, `bearer` or `header`";
        Some(file.warning(Code::UnusedCache, *at, message).help(help))
    }
}

/// What the file says of one server.
struct Entry<'a> {
    file: &'a SourceFile,
    beside: &'a Path,
    name: &'a Spanned<String>,
    server: &'a ServerSource,
}

impl Entry<'_> {
    /// The hosts under which it stands alone, in lower case.
    fn hosts(&self, found: &mut Diagnostics) -> Option<Vec<String>> {
        let Some(written) = &self.server.hosts else {
            return Some(Vec::new());
        };
        if written.value.is_empty() {
            let problem = self.file.error(Code::EmptyList, written.referenced, "`hosts` is empty");
            found.push(problem.help("name a host, or leave `hosts` out: the server is found by its path"));
        }
        let hosts = all(self.file, &written.value, address::host, found);
        (hosts.len() == written.value.len() && !hosts.is_empty()).then_some(hosts)
    }

    /// The server, at these endpoints.
    ///
    /// # Errors
    /// Something of it is wrong; what it is called, if that is known.
    fn read(&self, endpoints: Option<Endpoints>, found: &mut Diagnostics) -> Result<Server, Option<ServerName>> {
        let Self { file, beside, name, server } = self;
        let max_reply_bytes = number(file, server.max_reply_bytes.as_ref(), DEFAULT_REPLY, MAX_REPLY, found);
        let shown = Written { file, beside, name: &name.value, server }.read(endpoints.as_ref(), found);
        let name = read_name(&name.value, Place::File(file, name.referenced), found);
        let hosts = self.hosts(found);
        let catalogue = catalogue::build(file, &server.catalogue, found);
        match (name, endpoints, max_reply_bytes.zip(catalogue), (shown, hosts)) {
            (Some(name), Some(endpoints), Some((max_reply_bytes, catalogue)), (Some(shown), Some(hosts))) => {
                let credential = server.credential.as_ref().map(|written| ((*file).clone(), written.referenced));
                let written = Some(((*file).clone(), self.name.referenced));
                Ok(Server { name, endpoints, hosts, max_reply_bytes, catalogue, shown, credential, written })
            }
            (name, ..) => Err(name),
        }
    }
}

/// A request that names a host can be for one server only.
fn shared_hosts(entries: &[Entry<'_>], found: &mut Diagnostics) {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for entry in entries {
        for host in entry.server.hosts.iter().flat_map(|hosts| &hosts.value) {
            if let Some(other) = taken.insert(host.value.to_ascii_lowercase(), &entry.name.value) {
                let message = format!("{} is a host of {} already", quoted(&host.value), quoted(other));
                let problem = entry.file.error(Code::DuplicateHost, host.referenced, message);
                found.push(problem.help("give it to one server; each is also at its own path, `/NAME/mcp`"));
            }
        }
    }
}

/// What a flag says of a server: nothing but its URL.
fn server(name: ServerName, url: Uri) -> Server {
    Server {
        name,
        endpoints: Endpoints::from(url),
        hosts: Vec::new(),
        max_reply_bytes: DEFAULT_REPLY,
        catalogue: CatalogueSettings::default(),
        shown: Settings::default(),
        credential: None,
        written: None,
    }
}

fn read_name(text: &str, place: Place<'_>, found: &mut Diagnostics) -> Option<ServerName> {
    ServerName::new(text)
        .map_err(|error| {
            let message = format!("{} cannot name a server", quoted(text));
            found.push(place.error(Code::InvalidServerName, message).help(error.to_string()));
        })
        .ok()
}

/// The URL itself is not repeated if it is wrong: it may hold a password.
pub(super) fn read_url(text: &str, place: Place<'_>, found: &mut Diagnostics) -> Option<Uri> {
    address::endpoint(text)
        .map_err(|expected| {
            let problem = place.error(Code::InvalidUrl, "this is not the URL of an MCP server");
            found.push(problem.without_source_line().help(expected));
        })
        .ok()
}

/// There is none at all.
pub(super) fn missing(file: Option<&Path>) -> Diagnostic {
    let place = file.map_or_else(|| "--server".to_owned(), |path| path.display().to_string());
    Diagnostic::error(Code::MissingServer, &place, "there is no server to stand in front of").help(
        "give one: `tollgate run --server http://127.0.0.1:8000/mcp`,\n\
         or in tollgate.yaml: `servers: { records: { url: http://127.0.0.1:8000/mcp } }`",
    )
}
