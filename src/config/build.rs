//! From `tollgate.yaml` and flags to a [`Config`], or every problem in them.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::given::{Given, reference};
use super::server::{self, ServersDraft};
use super::source::{ConfigSource, ListenSource, SessionsSource};
use super::yaml::{Document, MAX_BYTES};
use super::{
    AuditSettings, Batches, Callers, Config, ConfigFile, Folder, Hosts, Kept, KillSwitchConfig, Listen, Overrides,
    Reach, RequestDecompression, address, audit, cache, kill_switch, limits_store, policies, timeouts, tls,
};
use crate::cache::CacheSettings;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::duration::parse_duration;
use crate::limits::{QuotaHeader, StoreSettings};
use crate::mcp::ServerName;
use crate::secret::Reference;
use crate::state::SessionBounds;

pub(super) const DEFAULT_FILE: &str = "tollgate.yaml";
const DEFAULT_POLICIES: &str = "policies";
const DEFAULT_BODY: usize = 1 << 20;
pub(super) const MAX_BODY: u64 = 256 << 20;
const DEFAULT_IN_FLIGHT: usize = 1024;
pub(super) const MAX_IN_FLIGHT: u64 = 100_000;
/// With less nothing can be done; more no machine has.
pub(super) const MEMORY: RangeInclusive<u64> = 32 << 20..=1 << 50;
const DEFAULT_SESSIONS: usize = 10_000;
const DEFAULT_SESSIONS_PER_PRINCIPAL: usize = 1_000;
pub(super) const MAX_SESSIONS: u64 = 1_000_000;
/// Spans of time: what is usual, and what makes sense.
pub(super) struct Span(pub(super) Duration, pub(super) RangeInclusive<Duration>);
const DRAIN: Span = Span(Duration::from_secs(30), Duration::ZERO..=Duration::from_hours(1));
const KEEP_ALIVE: Span = Span(Duration::from_secs(15), Duration::from_secs(1)..=Duration::from_hours(1));
const SESSION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 30);
const IDLE_SESSION: Span = Span(Duration::from_hours(24), SESSION);
const DEFAULT_LIFETIME: Duration = Duration::from_hours(24 * 7);

/// A configuration whose parts may still be missing, because they were wrong.
pub(super) struct Draft {
    pub(super) policies: PathBuf,
    listen: Option<Listen>,
    admin: Option<SocketAddr>,
    servers: ServersDraft,
    sessions: Option<SessionBounds>,
    kill_switch: Option<KillSwitchConfig>,
    pub(super) callers: Option<Callers>,
    audit: Option<AuditSettings>,
    max_memory_bytes: Option<u64>,
    cache: Option<CacheSettings>,
    limits_store: Option<StoreSettings>,
    sealing_keys: Option<Vec<Reference>>,
    drain_timeout: Option<Duration>,
}

impl Draft {
    /// Reads the file, if there is one, and lays the flags over it.
    pub(super) fn read(overrides: &Overrides, kept: Kept, found: &mut Diagnostics) -> Self {
        let Written { path, document, source } = Written::read(overrides, found);
        let broken = path.is_some() && source.is_none();
        let source = source.unwrap_or_default();
        let none = SourceFile::new(DEFAULT_FILE, "");
        let file = document.as_ref().map_or(&none, Document::file);
        let tls = source.listen.tls.as_ref().map(|tls| tls::server(file, path.as_deref(), tls, kept, found));
        let servers =
            match ServersDraft::read(overrides.server.as_deref(), (file, folder(path.as_deref())), &source, found) {
                Some(servers) => servers,
                // What a broken file says of servers is not known, so nothing is missing in it.
                None if broken => ServersDraft::Wrong(None),
                None => {
                    found.push(server::missing(path.as_deref()));
                    ServersDraft::Wrong(None)
                }
            };
        Self {
            policies: policies_folder(overrides, path.as_deref(), source.policies.as_ref()),
            listen: listen(overrides.listen.as_deref(), file, &source.listen, found)
                .map(|listen| Listen { tls: tls.flatten(), ..listen }),
            admin: admin(overrides.admin.as_deref(), file, source.admin.address.as_ref(), found),
            servers,
            sessions: sessions(file, &source.sessions, found),
            kill_switch: kill_switch::build(folder(path.as_deref()), file, &source.kill_switch, found),
            callers: Callers::read(file, &source, kept, found),
            audit: source
                .audit
                .as_ref()
                .and_then(|written| audit::build(folder(path.as_deref()), file, written, found)),
            max_memory_bytes: memory(file, source.max_memory_bytes.as_ref(), found),
            cache: cache::build(file, &source, found),
            limits_store: source.limits_store.as_ref().and_then(|store| limits_store::build(file, store, found)),
            sealing_keys: sealing_keys(file, source.sealing_keys.as_ref(), found),
            drain_timeout: span(file, source.drain_timeout.as_ref(), DRAIN, found),
        }
    }

    /// Gives the server the name that the policy files use, if it has none. Returns all names there are.
    pub(super) fn name_server(&mut self, folder: &Folder, found: &mut Diagnostics) -> Vec<ServerName> {
        self.servers.name(|| folder.servers(), found)
    }

    /// Warnings of servers that no policy is for.
    pub(super) fn unused(&self, folder: &Folder) -> Diagnostics {
        let ServersDraft::Named(servers) = &self.servers else {
            return Diagnostics::new();
        };
        let mut unused = Diagnostics::new();
        servers.iter().filter_map(|server| server.unused(folder)).for_each(|warning| unused.push(warning));
        unused
    }

    /// From where the listener can be reached.
    pub(super) fn reach(&self) -> Reach {
        self.listen.as_ref().map_or(Reach::Unknown, Listen::reach)
    }

    /// How many requests may be under way at once.
    pub(super) fn max_in_flight(&self) -> Option<usize> {
        self.listen.as_ref().map(|listen| listen.max_in_flight)
    }

    /// The whole, if nothing is missing.
    pub(super) fn finish(self) -> Option<Config> {
        let ServersDraft::Named(servers) = self.servers else {
            return None;
        };
        Some(Config {
            listen: self.listen?,
            admin: self.admin?,
            servers,
            sessions: self.sessions?,
            kill_switch: self.kill_switch,
            callers: self.callers?,
            audit: self.audit,
            file: ConfigFile::default(),
            max_memory_bytes: self.max_memory_bytes,
            cache: self.cache?,
            limits_store: self.limits_store,
            sealing_keys: self.sealing_keys?,
            policies: self.policies,
            drain_timeout: self.drain_timeout?,
        })
    }
}

/// The configuration file, if there is one; what is missing in it was wrong.
struct Written {
    path: Option<PathBuf>,
    document: Option<Document>,
    source: Option<ConfigSource>,
}

impl Written {
    fn read(overrides: &Overrides, found: &mut Diagnostics) -> Self {
        let path = overrides.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let document = path.as_ref().and_then(|path| found.take(document(path)));
        // What stands where something else must may be a secret: lines are not shown.
        let read = |document: &Document| document.read().map_err(|problem| problem.without_source_line().into());
        let source = document.as_ref().and_then(|document| found.take(read(document)));
        Self { path, document, source }
    }
}

/// Where the admin port is, whatever the rest of the configuration says. Nothing is known from a broken file.
pub(super) fn admin_address(overrides: &Overrides, found: &mut Diagnostics) -> Option<SocketAddr> {
    let flag = overrides.admin.as_deref();
    let none = SourceFile::new(DEFAULT_FILE, "");
    if flag.is_some() {
        return admin(flag, &none, None, found);
    }
    let Written { path, document, source } = Written::read(overrides, found);
    if path.is_some() && source.is_none() {
        return None;
    }
    let file = document.as_ref().map_or(&none, Document::file);
    admin(None, file, source.unwrap_or_default().admin.address.as_ref(), found)
}

fn document(path: &Path) -> Result<Document, Diagnostics> {
    let name = path.display().to_string();
    let bytes = policies::read_file(path, MAX_BYTES).map_err(|error| {
        Diagnostic::error(Code::Unreadable, &name, format!("cannot be read: {error}"))
            .help("`--config` and TOLLGATE_CONFIG name this file")
    })?;
    Document::new(&name, &bytes)
}

/// The folder as the operator named it; a relative one in the file is relative to the file.
fn policies_folder(overrides: &Overrides, file: Option<&Path>, written: Option<&Spanned<String>>) -> PathBuf {
    let beside = folder(file);
    match (&overrides.policies, written) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => beside.join(&path.value),
        (None, None) => beside.join(DEFAULT_POLICIES),
    }
}

/// Where the configuration file lies.
fn folder(file: Option<&Path>) -> &Path {
    file.and_then(Path::parent).unwrap_or_else(|| Path::new(""))
}

fn listen(flag: Option<&str>, file: &SourceFile, source: &ListenSource, found: &mut Diagnostics) -> Option<Listen> {
    let given = Given::either(flag, "--listen", source.address.as_ref().map(|address| (file, address)));
    let address = socket(given.as_ref(), 8080, found);
    let hosts = match (&source.hosts, address) {
        (Some(hosts), _) => {
            if hosts.value.is_empty() {
                found.push(
                    file.error(Code::EmptyList, hosts.referenced, "`hosts` is empty")
                        .help("name a host, or leave `hosts` out"),
                );
            }
            Hosts::Only(all(file, &hosts.value, address::host, found))
        }
        (None, Some(address)) if Reach::of(address) == Reach::Network => Hosts::Any,
        (None, _) => Hosts::Loopback,
    };
    let public_url = source.public_url.as_ref().map(|url| (url, address::public(&url.value)));
    if let Some((url, Err(expected))) = &public_url {
        let message = "this is not where clients can reach the gate";
        // As with the URLs of servers: what is wrong with it may be a password.
        found.push(file.error(Code::InvalidUrl, url.referenced, message).without_source_line().help(*expected));
    }
    let origins = source.origins.as_deref().map(|origins| all(file, origins, address::origin, found));
    let max_body = number(file, source.max_body_bytes.as_ref(), DEFAULT_BODY, MAX_BODY, found);
    let max_in_flight = number(file, source.max_in_flight.as_ref(), DEFAULT_IN_FLIGHT, MAX_IN_FLIGHT, found);
    let keep_alive = span(file, source.keep_alive.as_ref(), KEEP_ALIVE, found);
    let timeouts = timeouts::of_clients(file, &source.timeouts, found);
    Some(Listen {
        address: address?,
        hosts,
        public_url: match public_url {
            Some((_, url)) => Some(url.ok()?),
            None => None,
        },
        origins: origins.unwrap_or_default(),
        max_body_bytes: max_body?,
        max_in_flight: max_in_flight?,
        request_decompression: match source.request_decompression {
            Some(true) => RequestDecompression::Gzip,
            Some(false) | None => RequestDecompression::Off,
        },
        batches: match source.batches {
            Some(true) => Batches::Taken,
            Some(false) | None => Batches::Refused,
        },
        keep_alive: keep_alive?,
        timeouts: timeouts?,
        quota_header: match source.rate_limit_header {
            Some(true) => QuotaHeader::Sent,
            Some(false) | None => QuotaHeader::Off,
        },
        tls: None,
    })
}

/// Where the keys are kept that gates share.
fn sealing_keys(
    file: &SourceFile,
    written: Option<&Spanned<Vec<Spanned<String>>>>,
    found: &mut Diagnostics,
) -> Option<Vec<Reference>> {
    let Some(keys) = written else {
        return Some(Vec::new());
    };
    if keys.value.is_empty() {
        let help = "name where a key is kept, or leave `sealing_keys` out";
        found.push(file.error(Code::EmptyList, keys.referenced, "`sealing_keys` is empty").help(help));
    }
    keys.value.iter().map(|key| reference(file, key, found)).collect()
}

/// How much memory may be used, if that is said.
fn memory(file: &SourceFile, written: Option<&Spanned<u64>>, found: &mut Diagnostics) -> Option<u64> {
    let bytes = written?;
    if MEMORY.contains(&bytes.value) {
        return Some(bytes.value);
    }
    let message = format!("expected a number of bytes from {} to {}", MEMORY.start(), MEMORY.end());
    let help = "128 MiB are 134217728; without it the limit of the process's control group counts";
    found.push(file.error(Code::NumberOutOfRange, bytes.referenced, message).help(help));
    None
}

fn sessions(file: &SourceFile, source: &SessionsSource, found: &mut Diagnostics) -> Option<SessionBounds> {
    let most = number(file, source.max.as_ref(), DEFAULT_SESSIONS, MAX_SESSIONS, found);
    let per_principal =
        number(file, source.max_per_principal.as_ref(), DEFAULT_SESSIONS_PER_PRINCIPAL, MAX_SESSIONS, found);
    let idle = span(file, source.idle.as_ref(), IDLE_SESSION, found);
    let lifetime = Span(DEFAULT_LIFETIME.max(idle.unwrap_or_default()), SESSION);
    let lifetime = span(file, source.lifetime.as_ref(), lifetime, found);
    Some(SessionBounds { most: most?, most_per_principal: per_principal?, idle: idle?, lifetime: lifetime? })
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
                    Code::AdminOnNetwork,
                    "metrics and probes can be reached from other machines, without any credential",
                )
                .help("in a pod that is usual; elsewhere use `127.0.0.1`"),
        );
    }
    Some(address)
}

fn socket(given: Option<&Given<'_>>, default_port: u16, found: &mut Diagnostics) -> Option<SocketAddr> {
    let Some(given) = given else {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, default_port)));
    };
    match address::socket(given.text) {
        Ok(address) => Some(address),
        Err(expected) => {
            found.push(
                given
                    .place
                    .error(Code::InvalidAddress, format!("{} is not an address", quoted(given.text)))
                    .help(expected),
            );
            None
        }
    }
}

/// All that can be read; the others are told.
pub(super) fn all(
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
                        Code::InvalidHost,
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

pub(super) fn number(
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
        found.push(
            file.error(Code::NumberOutOfRange, number.referenced, format!("expected a number from 1 to {max}"))
                .help("to keep the default, leave it out"),
        );
        return None;
    }
    usize::try_from(number.value).ok()
}

pub(super) fn span(
    file: &SourceFile,
    written: Option<&Spanned<String>>,
    span: Span,
    found: &mut Diagnostics,
) -> Option<Duration> {
    let Span(default, bounds) = span;
    let Some(text) = written else {
        return Some(default);
    };
    parse_duration(&text.value, bounds)
        .map_err(|expected| {
            let message = format!("{} is not a span of time that fits here", quoted(&text.value));
            found.push(file.error(Code::InvalidDuration, text.referenced, message).help(expected));
        })
        .ok()
}
