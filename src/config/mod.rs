//! The files: read, checked all at once, and turned into what the process runs on. Nothing above reads a file of ours.

mod address;
mod assertion;
mod audit;
mod breaker;
mod build;
mod cache;
mod callers;
mod catalogue;
mod credential;
mod endpoints;
mod form;
mod cases;
mod given;
mod kill_switch;
mod limits_store;
mod policies;
mod revision;
mod running;
mod server;
mod server_tls;
mod shown;
mod source;
mod survey;
mod syntax;
mod taking;
mod timeouts;
mod tls;
#[cfg(test)]
mod tests;
mod yaml;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::Settings as AuditSettings;
use crate::cache::CacheSettings;
use crate::clock;
use crate::diagnostic::{At, Diagnostics, SourceFile};
use crate::federation::CatalogueSettings;
use crate::identity::PublicUrl;
use crate::limits::{QuotaHeader, StoreSettings};
use crate::mcp::ServerName;
use crate::secret::Reference;
use crate::state::SessionBounds;
use crate::upstream::{self, Endpoints};

pub use address::endpoint as parse_endpoint;
pub use callers::{Callers, Certificates};
pub use cases::{is_case_file, read_case_file, read_cases};
pub use form::form;
pub use kill_switch::{KillApi, KillSwitchConfig, kill, kills, read_kill_file, write_kill_file};
pub use policies::{Folder, Policies, read_lock};
pub use revision::Revision;
pub use running::ConfigFile;
pub use source::ConfigSource;
pub use timeouts::ListenTimeouts;
pub use tls::Kept;

use build::Draft;

/// What the operator says beside the files. Flags beat the environment, which beats the files.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// The configuration file [default: ./tollgate.yaml, if there is one]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The MCP server to stand in front of
    #[arg(long, value_name = "[NAME=]URL", env = "TOLLGATE_SERVER")]
    pub server: Option<String>,
    /// The folder of policy files [default: policies]
    #[arg(long, value_name = "DIR", env = "TOLLGATE_POLICIES")]
    pub policies: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", env = "TOLLGATE_LISTEN")]
    pub listen: Option<String>,
    /// Where probes and metrics are [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR:PORT", env = "TOLLGATE_ADMIN")]
    pub admin: Option<String>,
}

/// One deployment, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The port that clients speak to.
    pub listen: Listen,
    /// The port of probes and metrics.
    pub admin: SocketAddr,
    /// The servers behind the gate: at least one.
    pub servers: Vec<Server>,
    /// How many legacy sessions there may be.
    pub sessions: SessionBounds,
    /// Where the kill switch is kept, if there is one.
    pub kill_switch: Option<KillSwitchConfig>,
    /// What policies count on to know callers.
    pub callers: Callers,
    /// How it is recorded what happens, if it is.
    pub audit: Option<AuditSettings>,
    /// The file that says so.
    pub file: ConfigFile,
    /// How much memory the process may use, if that was said.
    pub max_memory_bytes: Option<u64>,
    /// How answers are kept that are given again.
    pub cache: CacheSettings,
    /// Where limits are counted together with other gates, if they are.
    pub limits_store: Option<StoreSettings>,
    /// Where the keys are kept that seal cursors of views and ids of sessions, if gates share some.
    pub sealing_keys: Vec<Reference>,
    /// The folder of policy files.
    pub policies: PathBuf,
    /// How long requests in flight may take to end when the process is told to.
    pub drain_timeout: Duration,
}

/// The port that clients speak to.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where it is; port 0 for any free one.
    pub address: SocketAddr,
    /// Which `Host` a request may name.
    pub hosts: Hosts,
    /// Where clients reach it, if that was said.
    pub public_url: Option<PublicUrl>,
    /// Which web origins may call beside the gate's own, in lower case.
    pub origins: Vec<String>,
    /// The largest request body, decompressed.
    pub max_body_bytes: usize,
    /// How many requests may be under way at once.
    pub max_in_flight: usize,
    /// Whether request bodies may be compressed.
    pub request_decompression: RequestDecompression,
    /// Whether a request may hold a batch of messages.
    pub batches: Batches,
    /// A stream says something at least so often.
    pub keep_alive: Duration,
    /// How long a client may take for what.
    pub timeouts: ListenTimeouts,
    /// Whether callers are told what is left for them.
    pub quota_header: QuotaHeader,
    /// TLS, if it is spoken. `None` also for files that are kept elsewhere.
    pub tls: Option<Arc<crate::tls::Server>>,
}

/// Which `Host` a request may name: the guard against DNS rebinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]` with the bound port: what a loopback listener is called.
    Loopback,
    /// Whatever is well formed: behind an ingress the names are not ours to know.
    Any,
    /// These, in lower case, with a port where one was written.
    Only(Vec<String>),
}

/// Whether request bodies may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestDecompression {
    /// They are refused.
    Off,
    /// `gzip` is accepted, within the bounds of a plain body.
    Gzip,
}

/// Whether a request may hold a batch of messages, as in MCP 2025-03-26.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// It is refused.
    Refused,
    /// Each message in it is decided, limited, recorded and carried as if it came alone.
    Taken,
}

/// A server behind the gate.
#[derive(Clone, Debug)]
pub struct Server {
    /// What the policy calls it.
    pub name: ServerName,
    /// Where it is.
    pub endpoints: Endpoints,
    /// The values of `Host`, in lower case, under which it stands alone.
    pub hosts: Vec<String>,
    /// How many bytes its reply to one request may have.
    pub max_reply_bytes: usize,
    /// How what it has is kept.
    pub catalogue: CatalogueSettings,
    /// What it is shown beside its messages.
    pub shown: upstream::Settings,
    /// Where the file says what lets the gate in.
    credential: Option<(SourceFile, At)>,
    /// Where the file names it.
    written: Option<(SourceFile, At)>,
}

/// All that a start needs.
#[derive(Debug)]
pub struct Loaded {
    /// The deployment.
    pub config: Config,
    /// What is enforced in it.
    pub policies: Policies,
    /// What is odd, though not wrong.
    pub warnings: Diagnostics,
}

/// Reads the configuration and the policies it names.
///
/// # Errors
/// Every problem of every file.
pub fn load(overrides: &Overrides, kept: Kept) -> Result<Loaded, Diagnostics> {
    let mut found = Diagnostics::new();
    let mut draft = Draft::read(overrides, kept, &mut found);
    let folder = Folder::read(&draft.policies);
    let servers = draft.name_server(&folder, &mut found);
    found.extend(draft.max_in_flight().map(|most| folder.beyond(most)).unwrap_or_default());
    found.extend(draft.callers.as_ref().map(|callers| callers.lacking(&folder)).unwrap_or_default());
    let unused = draft.unused(&folder);
    let policies = found.take(folder.compile(&servers, draft.reach(), clock::wall()));
    match (draft.finish(), policies) {
        (Some(config), Some(mut policies)) if !found.has_errors() => {
            found.extend(std::mem::take(&mut policies.warnings));
            found.extend(unused);
            for server in &config.servers {
                let warnings = [server.shut(&policies), server.uncached(&policies), server.unviewed(&policies)];
                warnings.into_iter().flatten().for_each(|warning| found.push(warning));
            }
            let config = Config { file: ConfigFile::of(overrides), ..config };
            Ok(Loaded { policies: policies.peppered(&config.callers.peppers), config, warnings: found })
        }
        (_, policies) => {
            found.extend(policies.map(|policies| policies.warnings).unwrap_or_default());
            Err(found)
        }
    }
}

/// Reads the configuration alone, whatever is in the policies: for what makes them right.
///
/// # Errors
/// Every problem of the configuration.
pub fn deployment(overrides: &Overrides) -> Result<Config, Diagnostics> {
    read(overrides, Kept::Elsewhere)
}

fn read(overrides: &Overrides, kept: Kept) -> Result<Config, Diagnostics> {
    // First: a change while it is read is seen at the next look.
    let file = ConfigFile::of(overrides);
    let mut found = Diagnostics::new();
    let mut draft = Draft::read(overrides, kept, &mut found);
    let folder = Folder::read(&draft.policies);
    draft.name_server(&folder, &mut found);
    draft.finish().filter(|_| !found.has_errors()).map(|config| Config { file, ..config }).ok_or(found)
}

/// Where the admin port of a gate of this configuration is, as something on the same machine reaches it.
///
/// # Errors
/// Every problem of the file that says so. A flag is believed without it.
pub fn admin_address(overrides: &Overrides) -> Result<SocketAddr, Diagnostics> {
    let mut found = Diagnostics::new();
    let address = build::admin_address(overrides, &mut found).filter(|_| !found.has_errors());
    address.map(reachable).ok_or(found)
}

/// The address at which something on this machine reaches what listens there.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Config {
    /// What the servers are called.
    pub fn server_names(&self) -> Vec<ServerName> {
        self.servers.iter().map(|server| server.name.clone()).collect()
    }

    /// Reads the policies anew: at a reload. `None` if they are those of this digest.
    ///
    /// # Errors
    /// Every problem of every policy file. What is in force stays in force then.
    pub fn read_policies(&self, known: &Arc<str>) -> Option<Result<Policies, Diagnostics>> {
        // Looking costs little and happens often; reading costs more.
        if Folder::digest(&self.policies).as_ref() == Some(known) {
            return None;
        }
        let (servers, folder) = (self.server_names(), Folder::read(&self.policies));
        let mut found = self.callers.lacking(&folder);
        Some(match found.take(folder.compile(&servers, self.listen.reach(), clock::wall())) {
            Some(policies) if !found.has_errors() => Ok(policies.peppered(&self.callers.peppers)),
            _ => Err(found),
        })
    }
}

impl Listen {
    /// How its URL begins.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Who can connect.
    pub fn reach(&self) -> Reach {
        match (Reach::of(self.address), &self.public_url) {
            (Reach::Network, Some(_)) => Reach::Published,
            (reach, _) => reach,
        }
    }
}

/// From where a listener can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From this machine, or this pod, only.
    Loopback,
    /// From elsewhere.
    Network,
    /// From elsewhere, and clients are told where.
    Published,
    /// Not known: the policies are looked at by themselves.
    Unknown,
    /// From nowhere: what would be decided is asked, of callers who are supposed. Nobody needs a key.
    Nowhere,
}

impl Reach {
    fn of(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}
