//! A private Postgres: made in a temporary folder, reachable only through a socket in it, gone with it. Not for data
//! that anybody wants to keep.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

/// Debian and its children install the server programs here, outside PATH.
const VERSIONED: &str = "/usr/lib/postgresql";
const USER: &str = "postgres";
const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A running cluster. Dropping it stops the server and removes the folder.
#[derive(Debug)]
pub(crate) struct Cluster {
    server: Child,
    folder: TempDir,
}

impl Cluster {
    /// Makes and starts a cluster, and waits until it answers.
    pub(crate) async fn start() -> Result<Self, ClusterError> {
        let programs = Programs::find().ok_or(ClusterError::NotInstalled)?;
        let owner = Owner::choose().map_err(ClusterError::Io)?;
        let folder = tempfile::Builder::new().prefix("tollgate-demo-pg-").tempdir().map_err(ClusterError::Io)?;
        owner.own(folder.path()).map_err(ClusterError::Io)?;

        initialise(&programs, &owner, folder.path()).await?;
        let server = programs.server(&owner, folder.path()).map_err(ClusterError::Io)?;
        let mut cluster = Self { server, folder };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// How to reach it. Statements have a time limit: nothing in the demo needs a quarter of a minute.
    pub(crate) fn database(&self) -> Config {
        let mut database = Config::new();
        database
            .host_path(self.folder.path())
            .user(USER)
            .dbname(USER)
            .application_name("tollgate-demo")
            .options("-c statement_timeout=15s");
        database
    }

    async fn wait_until_ready(&mut self) -> Result<(), ClusterError> {
        let ready = async {
            loop {
                if let Some(status) = self.server.try_wait().map_err(ClusterError::Io)? {
                    return Err(self.said("postgres", status));
                }
                if let Ok((_client, connection)) = self.database().connect(NoTls).await {
                    drop(connection);
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
        };
        tokio::time::timeout(START_WITHIN, ready).await.map_err(ClusterError::Slow)?
    }

    fn said(&self, program: &'static str, status: ExitStatus) -> ClusterError {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        ClusterError::failed(program, status, &log)
    }

    fn stop(&mut self) -> io::Result<()> {
        // "Fast shutdown": ends sessions, keeps nothing waiting.
        if let Some(server) = Pid::from_raw(self.server.id().cast_signed()) {
            rustix::process::kill_process(server, Signal::INT)?;
        }
        let mut waited = Duration::ZERO;
        while self.server.try_wait()?.is_none() {
            if waited >= STOP_WITHIN {
                self.server.kill()?;
                self.server.wait()?;
                break;
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
            waited += LOOK_AGAIN_AFTER;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The folder goes either way, when `folder` is dropped after this; a server without one ends itself.
        self.stop().ok();
    }
}

async fn initialise(programs: &Programs, owner: &Owner, folder: &Path) -> Result<(), ClusterError> {
    let mut initdb = owner.command(&programs.initdb, folder);
    initdb
        .arg("--pgdata")
        .arg(folder.join("data"))
        .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Killed when this is dropped: a demo that is interrupted here leaves no initdb behind.
    let output = tokio::process::Command::from(initdb).kill_on_drop(true).output().await.map_err(ClusterError::Io)?;
    if output.status.success() {
        return Ok(());
    }
    Err(ClusterError::failed("initdb", output.status, &String::from_utf8_lossy(&output.stderr)))
}

/// The two programs that make and run a cluster, from one installation.
struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut versioned: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONED)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let folder = entry.ok()?.path();
                let version = folder.file_name()?.to_str()?.parse().ok()?;
                Some((version, folder.join("bin")))
            })
            .collect();
        versioned.sort_by(|(left, _), (right, _)| right.cmp(left));
        let newest_first = versioned.into_iter().map(|(_, folder)| folder);
        std::env::split_paths(&path).chain(newest_first).find_map(|folder| Self::within(&folder))
    }

    fn within(folder: &Path) -> Option<Self> {
        // PATH often holds links; Postgres finds its own files from where it really is.
        let initdb = folder.join("initdb").canonicalize().ok()?;
        let postgres = folder.join("postgres").canonicalize().ok()?;
        Some(Self { initdb, postgres })
    }

    fn server(&self, owner: &Owner, folder: &Path) -> io::Result<Child> {
        let log = fs::File::create(folder.join("log"))?;
        owner
            .command(&self.postgres, folder)
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", "5432", "-c", "listen_addresses="])
            .args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
            .args(["-c", "shared_buffers=16MB", "-c", "max_connections=40"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }
}

/// Whom the cluster belongs to. Postgres refuses to run as root, so root lends it another user.
enum Owner {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

impl Owner {
    fn choose() -> io::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let users = fs::read_to_string("/etc/passwd")?;
        ["nobody", USER]
            .into_iter()
            .find_map(|wanted| Self::named(wanted, &users))
            .ok_or_else(|| io::Error::other("neither of the users nobody and postgres exists"))
    }

    /// Reads one entry of /etc/passwd: `name:password:uid:gid:..`.
    fn named(wanted: &str, users: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == wanted;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            found.then_some(Self::Other { uid, gid })
        })
    }

    fn own(&self, folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(folder, Some(*uid), Some(*gid)),
        }
    }

    /// A command of this owner, in `folder`, out of reach of the terminal's ctrl-c: the cluster ends last.
    fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null()).process_group(0).env_remove("PGDATA");
        if let Self::Other { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }
}

/// Why there is no private Postgres.
#[derive(Debug)]
pub(crate) enum ClusterError {
    NotInstalled,
    Io(io::Error),
    Slow(tokio::time::error::Elapsed),
    Failed { program: &'static str, status: ExitStatus, last_line: String },
}

impl ClusterError {
    fn failed(program: &'static str, status: ExitStatus, output: &str) -> Self {
        let last_line = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        Self::Failed { program, status, last_line }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str("found no initdb and postgres"),
            Self::Io(error) => write!(f, "could not set up a private Postgres: {error}"),
            Self::Slow(_) => write!(f, "Postgres did not answer within {} s", START_WITHIN.as_secs()),
            Self::Failed { program, status, last_line } => write!(f, "{program}: {status}: {last_line}"),
        }
    }
}

impl std::error::Error for ClusterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Slow(error) => Some(error),
            Self::NotInstalled | Self::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_its_line() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\n\nnobodys:x:1:1::/:/bin/sh\nnobody:x:65534:65533:n:/:/bin/false\n";
        assert!(matches!(Owner::named("nobody", users), Some(Owner::Other { uid: 65534, gid: 65533 })));
        assert!(Owner::named("postgres", users).is_none());
    }
}
