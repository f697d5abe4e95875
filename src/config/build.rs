//! From `tollgate.yaml` and flags to a [`Config`], or every problem in them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use serde_yaml::{Location, Spanned};

use super::source::{ConfigSource, ListenSource, ServerSource};
use super::yaml::Document;
use super::{
    Config, Folder, Hosts, Listen, Overrides, Reach, RequestDecompression, Server, address,
    policies,
};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, quoted};
use crate::mcp::ServerName;
use crate::policy::parse_duration;

const DEFAULT_FILE: &str = "tollgate.yaml";
const DEFAULT_POLICIES: &str = "policies";
const DEFAULT_BODY: usize = 1 << 20;
const MAX_BODY: u64 = 256 << 20;
const DEFAULT_IN_FLIGHT: usize = 1024;
const MAX_IN_FLIGHT: u64 = 100_000;
const DRAIN: Duration = Duration::from_secs(30);

/// A configuration whose parts may still be missing, because they were wrong.
pub(super) struct Draft {
    pub(super) policies: PathBuf,
    listen: Option<Listen>,
    admin: Option<SocketAddr>,
    server: ServerDraft,
    drain_timeout: Option<Duration>,
}

/// The server, as far as it is known.
enum ServerDraft {
    /// Name and URL are.
    Named(Server),
    /// Only the URL is: `--server URL`.
    Unnamed(Uri),
    /// Neither; that was told.
    Wrong(Option<ServerName>),
}

/// A text that somebody wrote somewhere.
struct Given<'a> {
    text: &'a str,
    place: Place<'a>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Flag(&'static str),
    File(&'a SourceFile, Location),
}

impl<'a> Given<'a> {
    /// The flag, or else the value in the file.
    fn either(
        flag: Option<&'a str>,
        name: &'static str,
        file: Option<(&'a SourceFile, &'a Spanned<String>)>,
    ) -> Option<Self> {
        match (flag, file) {
            (Some(text), _) => Some(Self {
                text,
                place: Place::Flag(name),
            }),
            (None, Some((file, value))) => Some(Self {
                text: &value.value,
                place: Place::File(file, value.referenced),
            }),
            (None, None) => None,
        }
    }
}

impl Place<'_> {
    fn error(self, message: impl Into<String>) -> Diagnostic {
        match self {
            Self::Flag(name) => Diagnostic::error(name, message),
            Self::File(file, at) => file.error(at, message),
        }
    }

    fn warning(self, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: crate::diagnostic::Severity::Warning,
            ..self.error(message)
        }
    }
}

impl Draft {
    /// Reads the file, if there is one, and lays the flags over it.
    pub(super) fn read(overrides: &Overrides, found: &mut Diagnostics) -> Self {
        let path = overrides
            .config
            .clone()
            .or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let document = path.as_ref().and_then(|path| found.take(document(path)));
        let broken = path.is_some() && document.is_none();
        let written = document
            .as_ref()
            .and_then(|document| found.take(document.read().map_err(Diagnostics::from)));
        let broken = broken || (document.is_some() && written.is_none());
        let source: ConfigSource = written.unwrap_or_default();
        let none = SourceFile::new(DEFAULT_FILE, "");
        let file = document.as_ref().map_or(&none, Document::file);
        let server = match server(overrides.server.as_deref(), file, &source, found) {
            // What a broken file says of servers is not known, so nothing is missing in it.
            ServerChoice::Missing if broken => ServerDraft::Wrong(None),
            ServerChoice::Missing => {
                found.push(no_server(path.as_deref()));
                ServerDraft::Wrong(None)
            }
            ServerChoice::Made(server) => server,
        };
        Self {
            policies: policies_folder(overrides, path.as_deref(), source.policies.as_ref()),
            listen: listen(overrides.listen.as_deref(), file, &source.listen, found),
            admin: admin(
                overrides.admin.as_deref(),
                file,
                source.admin.address.as_ref(),
                found,
            ),
            server,
            drain_timeout: drain_timeout(file, source.drain_timeout.as_ref(), found),
        }
    }

    /// Gives the server the name that the policy files use, if it has none. Returns all names there are.
    pub(super) fn name_server(
        &mut self,
        folder: &Folder,
        found: &mut Diagnostics,
    ) -> Vec<ServerName> {
        let name = match &self.server {
            ServerDraft::Named(server) => return vec![server.name.clone()],
            ServerDraft::Wrong(Some(name)) => return vec![name.clone()],
            ServerDraft::Wrong(None) => return folder.servers(),
            ServerDraft::Unnamed(_) => folder.servers(),
        };
        let [only] = name.as_slice() else {
            let names = name
                .iter()
                .map(ServerName::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            found.push(
                Diagnostic::error(
                    "--server",
                    format!("the policy files are for several servers: {names}"),
                )
                .help("say which of them this is: `--server NAME=URL`"),
            );
            return name;
        };
        if let ServerDraft::Unnamed(url) = &self.server {
            self.server = ServerDraft::Named(Server {
                name: only.clone(),
                url: url.clone(),
            });
        }
        name
    }

    /// From where the listener can be reached.
    pub(super) fn reach(&self) -> Reach {
        self.listen.as_ref().map_or(Reach::Unknown, Listen::reach)
    }

    /// The whole, if nothing is missing.
    pub(super) fn finish(self) -> Option<Config> {
        let ServerDraft::Named(server) = self.server else {
            return None;
        };
        Some(Config {
            listen: self.listen?,
            admin: self.admin?,
            server,
            policies: self.policies,
            drain_timeout: self.drain_timeout?,
        })
    }
}

fn document(path: &Path) -> Result<Document, Diagnostics> {
    let name = path.display().to_string();
    let bytes = policies::read_file(path).map_err(|error| {
        Diagnostic::error(&name, format!("cannot be read: {error}"))
            .help("`--config` and TOLLGATE_CONFIG name this file")
    })?;
    Document::new(&name, &bytes)
}

/// The folder as the operator named it; a relative one in the file is relative to the file.
fn policies_folder(
    overrides: &Overrides,
    file: Option<&Path>,
    written: Option<&Spanned<String>>,
) -> PathBuf {
    let beside = file.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    match (&overrides.policies, written) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => beside.join(&path.value),
        (None, None) => beside.join(DEFAULT_POLICIES),
    }
}

enum ServerChoice {
    Made(ServerDraft),
    Missing,
}

fn server(
    flag: Option<&str>,
    file: &SourceFile,
    source: &ConfigSource,
    found: &mut Diagnostics,
) -> ServerChoice {
    let written: Vec<_> = source.servers.iter().collect();
    if let (None, [_, (second, _), ..]) = (flag, written.as_slice()) {
        found.push(
            file.error(
                second.referenced,
                "this version of Tollgate stands in front of one server",
            )
            .help("run one gate for each server, or leave one of them out"),
        );
        return ServerChoice::Made(ServerDraft::Wrong(None));
    }
    let chosen = match (flag, written.first()) {
        (Some(text), first) => from_flag(text, first.map(|(name, _)| name.value.as_str())),
        (None, Some((name, server))) => from_file(file, name, server),
        (None, None) => return ServerChoice::Missing,
    };
    ServerChoice::Made(chosen.unwrap_or_else(|(name, problem)| {
        found.push(problem);
        ServerDraft::Wrong(name)
    }))
}

type Wrong = (Option<ServerName>, Diagnostic);

fn from_file(
    file: &SourceFile,
    name: &Spanned<String>,
    server: &ServerSource,
) -> Result<ServerDraft, Wrong> {
    let at = name.referenced;
    let name = ServerName::new(&name.value).map_err(|error| {
        (
            None,
            file.error(at, format!("{} cannot name a server", quoted(&name.value)))
                .help(error.to_string()),
        )
    })?;
    let place = Place::File(file, server.url.referenced);
    match address::endpoint(&server.url.value) {
        Ok(url) => Ok(ServerDraft::Named(Server { name, url })),
        Err(expected) => Err((Some(name), not_an_endpoint(place, expected))),
    }
}

/// `URL`, or `NAME=URL`; without a name it is the one in the file, if there is one.
fn from_flag(text: &str, in_file: Option<&str>) -> Result<ServerDraft, Wrong> {
    let place = Place::Flag("--server");
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => (Some(name), url),
        _ => (in_file, text),
    };
    let name = name.map(ServerName::new).transpose().map_err(|error| {
        (
            None,
            place
                .error(format!(
                    "{} cannot name a server",
                    quoted(name.unwrap_or_default())
                ))
                .help(error.to_string()),
        )
    })?;
    match (address::endpoint(url), name) {
        (Ok(url), Some(name)) => Ok(ServerDraft::Named(Server { name, url })),
        (Ok(url), None) => Ok(ServerDraft::Unnamed(url)),
        (Err(expected), name) => Err((name, not_an_endpoint(place, expected))),
    }
}

/// The URL itself is not repeated: it may hold a password.
fn not_an_endpoint(place: Place<'_>, expected: &str) -> Diagnostic {
    place
        .error("this is not the URL of an MCP server")
        .without_source_line()
        .help(expected)
}

fn no_server(file: Option<&Path>) -> Diagnostic {
    let place = file.map_or_else(|| "--server".to_owned(), |path| path.display().to_string());
    Diagnostic::error(&place, "there is no server to stand in front of").help(
        "give one: `tollgate run --server http://127.0.0.1:8000/mcp`,\n\
         or in tollgate.yaml: `servers: { records: { url: http://127.0.0.1:8000/mcp } }`",
    )
}

fn listen(
    flag: Option<&str>,
    file: &SourceFile,
    source: &ListenSource,
    found: &mut Diagnostics,
) -> Option<Listen> {
    let given = Given::either(
        flag,
        "--listen",
        source.address.as_ref().map(|address| (file, address)),
    );
    let address = socket(given.as_ref(), 8080, found);
    let hosts = match (&source.hosts, address) {
        (Some(hosts), _) => {
            if hosts.value.is_empty() {
                found.push(
                    file.error(hosts.referenced, "`hosts` is empty")
                        .help("name a host, or leave `hosts` out"),
                );
            }
            Hosts::Only(all(file, &hosts.value, address::host, found))
        }
        (None, Some(address)) if Reach::of(address) == Reach::Network => Hosts::Any,
        (None, _) => Hosts::Loopback,
    };
    let origins = source
        .origins
        .as_deref()
        .map(|origins| all(file, origins, address::origin, found));
    let max_body = number(
        file,
        source.max_body_bytes.as_ref(),
        DEFAULT_BODY,
        MAX_BODY,
        found,
    );
    let max_in_flight = number(
        file,
        source.max_in_flight.as_ref(),
        DEFAULT_IN_FLIGHT,
        MAX_IN_FLIGHT,
        found,
    );
    Some(Listen {
        address: address?,
        hosts,
        origins: origins.unwrap_or_default(),
        max_body_bytes: max_body?,
        max_in_flight: max_in_flight?,
        request_decompression: match source.request_decompression {
            Some(true) => RequestDecompression::Gzip,
            Some(false) | None => RequestDecompression::Off,
        },
    })
}

fn admin(
    flag: Option<&str>,
    file: &SourceFile,
    written: Option<&Spanned<String>>,
    found: &mut Diagnostics,
) -> Option<SocketAddr> {
    let given = Given::either(flag, "--admin", written.map(|address| (file, address)));
    let address = socket(given.as_ref(), 9901, found)?;
    if let Some(given) = given
        && Reach::of(address) == Reach::Network
    {
        found.push(
            given
                .place
                .warning(
                    "metrics and probes can be reached from other machines, without any credential",
                )
                .help("in a pod that is usual; elsewhere use `127.0.0.1`"),
        );
    }
    Some(address)
}

fn socket(
    given: Option<&Given<'_>>,
    default_port: u16,
    found: &mut Diagnostics,
) -> Option<SocketAddr> {
    let Some(given) = given else {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, default_port)));
    };
    match address::socket(given.text) {
        Ok(address) => Some(address),
        Err(expected) => {
            found.push(
                given
                    .place
                    .error(format!("{} is not an address", quoted(given.text)))
                    .help(expected),
            );
            None
        }
    }
}

/// All that can be read; the others are told.
fn all(
    file: &SourceFile,
    values: &[Spanned<String>],
    read: fn(&str) -> Result<String, &'static str>,
    found: &mut Diagnostics,
) -> Vec<String> {
    let mut good = Vec::new();
    for value in values {
        match read(&value.value) {
            Ok(text) => good.push(text),
            Err(expected) => {
                found.push(
                    file.error(
                        value.referenced,
                        format!("{} does not fit here", quoted(&value.value)),
                    )
                    .help(expected),
                );
            }
        }
    }
    good
}

fn number(
    file: &SourceFile,
    written: Option<&Spanned<u64>>,
    default: usize,
    max: u64,
    found: &mut Diagnostics,
) -> Option<usize> {
    let Some(number) = written else {
        return Some(default);
    };
    if !(1..=max).contains(&number.value) {
        found.push(file.error(
            number.referenced,
            format!("expected a number from 1 to {max}"),
        ));
        return None;
    }
    usize::try_from(number.value).ok()
}

fn drain_timeout(
    file: &SourceFile,
    written: Option<&Spanned<String>>,
    found: &mut Diagnostics,
) -> Option<Duration> {
    let Some(text) = written else {
        return Some(DRAIN);
    };
    parse_duration(&text.value, Duration::ZERO..=Duration::from_hours(1))
        .map_err(|expected| {
            let message = format!(
                "{} is not a span of time that fits here",
                quoted(&text.value)
            );
            found.push(file.error(text.referenced, message).help(expected));
        })
        .ok()
}
