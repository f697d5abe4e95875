//! The policies that a question is put to: found where `check` finds them, compiled by what `run` compiles them with.

use std::path::{Path, PathBuf};

use crate::clock;
use crate::config::{self, Folder, Kept, Overrides, Policies, Reach};
use crate::diagnostic::Diagnostics;
use crate::mcp::ServerName;
use crate::trial::{Against, Sources};

const CONFIG: &str = "tollgate.yaml";
const POLICIES: &str = "policies";

/// A policy folder that holds together.
pub(super) struct Consulted {
    pub(super) folder: PathBuf,
    pub(super) servers: Vec<ServerName>,
    pub(super) policies: Policies,
    pub(super) sources: Sources,
}

impl Consulted {
    /// The policies of a folder, or of a configuration.
    pub(super) fn read(path: &Path) -> Result<Self, Diagnostics> {
        let (folder, servers) = match configuration(path) {
            Some(overrides) => {
                let config = config::load(&overrides, Kept::Elsewhere)?.config;
                let servers = config.server_names();
                (config.policies, Some(servers))
            }
            None => (path.to_owned(), None),
        };
        let read = Folder::read(&folder);
        let servers = servers.unwrap_or_else(|| read.servers());
        let sources = Sources::of(read.sources());
        let policies = read.compile(&servers, Reach::Nowhere, clock::wall())?;
        Ok(Self { folder, servers, policies, sources })
    }

    /// What cases and questions are about.
    pub(super) fn against(&self) -> Against<'_> {
        let Policies { policy, authenticators, .. } = &self.policies;
        Against { policy, authenticators, servers: &self.servers }
    }
}

/// What is meant where nobody says.
pub(super) fn usual() -> Option<PathBuf> {
    [CONFIG, POLICIES].map(PathBuf::from).into_iter().find(|path| path.exists())
}

/// The configuration that a path means, if it does not mean a folder of policies.
pub(super) fn configuration(path: &Path) -> Option<Overrides> {
    let config = if path.is_dir() { path.join(CONFIG) } else { path.to_owned() };
    config.is_file().then(|| Overrides { config: Some(config), ..Overrides::default() })
}
