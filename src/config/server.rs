//! Which server the gate stands in front of: from a flag, from `tollgate.yaml`, and its name from the policy files.

use std::path::Path;

use http::Uri;

use super::build::number;
use super::given::Place;
use super::shown::Written;
use super::source::{ConfigSource, ServerSource};
use super::{Server, address, breaker};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::mcp::ServerName;
use crate::upstream::{Endpoints, Settings};

const DEFAULT_REPLY: usize = 64 << 20;
pub(super) const MAX_REPLY: u64 = 16 << 30;

/// The server, as far as it is known.
#[expect(clippy::large_enum_variant, reason = "there is one of it, and not for long")]
pub(super) enum ServerDraft {
    /// Name and URL are.
    Named(Server),
    /// Only the URL is: `--server URL`.
    Unnamed(Uri),
    /// Neither; that was told.
    Wrong(Option<ServerName>),
}

impl ServerDraft {
    /// The server of the flag, or else of the file; `None` if neither names one.
    pub(super) fn read(
        flag: Option<&str>,
        file: &SourceFile,
        source: &ConfigSource,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let written: Vec<_> = source.servers.iter().collect();
        match (flag, written.as_slice()) {
            (Some(text), [(name, _)]) => Some(Self::from_flag(text, Some(&name.value), found)),
            (Some(text), _) => Some(Self::from_flag(text, None, found)),
            (None, []) => None,
            (None, [(name, server)]) => Some(Self::from_file(file, name, server, found)),
            (None, [_, (second, _), ..]) => {
                found.push(
                    file.error(
                        Code::SeveralServers,
                        second.referenced,
                        "this version of Tollgate stands in front of one server",
                    )
                    .help("run one gate for each server, or leave one of them out"),
                );
                Some(Self::Wrong(None))
            }
        }
    }

    /// `URL`, or `NAME=URL`; without a name it is the one in the file, if there is one.
    fn from_flag(text: &str, in_file: Option<&str>, found: &mut Diagnostics) -> Self {
        let place = Place::Flag("--server");
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains([':', '/']) => (Some(name), url),
            _ => (in_file, text),
        };
        let name = name.map(|name| read_name(name, place, found));
        match (read_url(url, place, found), name) {
            (Some(url), None) => Self::Unnamed(url),
            (Some(url), Some(Some(name))) => Self::Named(server(name, url)),
            (_, name) => Self::Wrong(name.flatten()),
        }
    }

    fn from_file(file: &SourceFile, name: &Spanned<String>, server: &ServerSource, found: &mut Diagnostics) -> Self {
        let mut url = |written: &Option<Spanned<String>>| {
            written.as_ref().map(|url| read_url(&url.value, Place::File(file, url.referenced), found))
        };
        let endpoints = match (url(&server.url), url(&server.sse)) {
            (Some(Some(streamable)), Some(Some(sse))) => Some(Endpoints::Both { streamable, sse }),
            (Some(Some(streamable)), None) => Some(Endpoints::Streamable(streamable)),
            (None, Some(Some(sse))) => Some(Endpoints::Sse(sse)),
            (None, None) => {
                found.push(file.error(Code::MissingServer, name.referenced, "nothing says where this server is").help(
                    "give its `url`, such as `http://127.0.0.1:8000/mcp`; or `sse`, if it speaks HTTP+SSE of 2024-11-05",
                ));
                None
            }
            _ => None,
        };
        let max_reply_bytes = number(file, server.max_reply_bytes.as_ref(), DEFAULT_REPLY, MAX_REPLY, found);
        let (forward_headers, credential) = (server.forward_headers.as_ref(), server.credential.as_ref());
        let shown = Written { file, forward_headers, credential }.read(found);
        let breaker = breaker::build(file, &server.breaker, found);
        let shown = shown.zip(breaker).map(|(shown, breaker)| Settings { breaker, ..shown });
        let name = read_name(&name.value, Place::File(file, name.referenced), found);
        match (name, endpoints, max_reply_bytes, shown) {
            (Some(name), Some(endpoints), Some(max_reply_bytes), Some(shown)) => {
                Self::Named(Server { name, endpoints, max_reply_bytes, shown })
            }
            (name, ..) => Self::Wrong(name),
        }
    }

    /// Takes the one name that the policy files use, if it has none. Returns all names there are.
    pub(super) fn name(
        &mut self,
        in_policies: impl FnOnce() -> Vec<ServerName>,
        found: &mut Diagnostics,
    ) -> Vec<ServerName> {
        let url = match self {
            Self::Named(Server { name, .. }) | Self::Wrong(Some(name)) => {
                return vec![name.clone()];
            }
            Self::Wrong(None) => return in_policies(),
            Self::Unnamed(url) => url.clone(),
        };
        let names = in_policies();
        if let [name] = names.as_slice() {
            *self = Self::Named(server(name.clone(), url));
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

/// What a flag says of a server: nothing but its URL.
fn server(name: ServerName, url: Uri) -> Server {
    Server { name, endpoints: Endpoints::Streamable(url), max_reply_bytes: DEFAULT_REPLY, shown: Settings::default() }
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
fn read_url(text: &str, place: Place<'_>, found: &mut Diagnostics) -> Option<Uri> {
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
