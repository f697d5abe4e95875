//! Other proxies beside the gate, each started by a script: it is told where to listen and where the server is, stays in the
//! foreground, and keeps what it writes in the folder where it is started.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::Failure;
use crate::process::{Core, Pinning, Process};

/// What the command line says of one.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What it is called in tables; named once, and as long as the program runs.
    pub(crate) name: &'static str,
    pub(crate) script: PathBuf,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    _folder: TempDir,
}

impl Peer {
    /// What `NAME=SCRIPT` means.
    pub(crate) fn read(said: &str) -> Option<Self> {
        let (name, script) = said.split_once('=')?;
        Some(Self { name: name.to_owned().leak(), script: PathBuf::from(script) })
    }

    /// Starts it before the server.
    pub(crate) fn start(&self, upstream: &Process, pinning: Pinning) -> Result<Running, Failure> {
        let folder = TempDir::new()?;
        // It cannot say which port it took, so it is told one that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let script = self.script.canonicalize().map_err(|error| format!("{}: {error}", self.script.display()))?;
        let mut command = Command::new(script);
        command.arg(address.to_string()).arg(upstream.address.to_string()).current_dir(folder.path());
        let process = Process::start_at(self.name, command, address, (pinning, Core::Proxy))?;
        Ok(Running { process, _folder: folder })
    }
}
