//! A Postgres of our own.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::types::FromSql;
use tokio_postgres::{Client, NoTls};

use super::pki::Authority;
use super::{DEADLINE, until};

/// The password of `postgres`.
pub(crate) const PASSWORD: &str = "of-a-test";
/// Whom it belongs to where we are root, as whom it does not run.
const NOBODY: u32 = 65534;

/// A running server, with TLS beside plain text. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    address: SocketAddr,
    child: Child,
    _home: TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Postgres {
    /// Its certificate is by this authority.
    pub(crate) async fn start(authority: &Authority) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        authority.server().write(home.path());
        fs::write(home.path().join("password"), PASSWORD).expect("it can be written");
        for file in fs::read_dir(home.path()).expect("it is there") {
            own(&file.expect("it is there").path(), 0o600);
        }
        own(home.path(), 0o700);
        let made = command("initdb", home.path())
            .args(["-D", "data", "-U", "postgres", "-A", "scram-sha-256", "--pwfile=password"])
            .args(["-E", "UTF8", "--no-locale", "--no-sync"])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = format!(
            "listen_addresses=127.0.0.1 port={} unix_socket_directories= fsync=off ssl=on ssl_cert_file=../tls.crt ssl_key_file=../tls.key",
            address.port()
        );
        let child = command("postgres", home.path())
            .args(["-D", "data"])
            .args(said.split(' ').flat_map(|said| ["-c", said]))
            .spawn()
            .expect("postgres runs");
        let postgres = Self { address, child, _home: home };
        assert!(until(DEADLINE, async || postgres.client().await.is_some()).await, "it answers");
        postgres
    }

    /// Its URL, with the password.
    pub(crate) fn url(&self, more: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@localhost:{}/postgres{more}", self.address.port())
    }

    /// The one value that a query returns.
    pub(crate) async fn ask<T: for<'a> FromSql<'a>>(&self, query: &str) -> T {
        let client = self.client().await.expect("it answers");
        client.query_one(query, &[]).await.expect("a row").get(0)
    }

    /// Carries out a statement.
    pub(crate) async fn run(&self, statement: &str) {
        let client = self.client().await.expect("it answers");
        client.batch_execute(statement).await.expect("it is carried out");
    }

    async fn client(&self) -> Option<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url(""), NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }
}

/// A program of Postgres: from the PATH, or from where Debian keeps it.
fn command(program: &str, home: &Path) -> Command {
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let mut places: Vec<PathBuf> = debian.collect();
    places.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).chain(places.into_iter().rev()).map(|place| place.join(program));
    // Postgres finds its own files from where it really is.
    let path =
        found.find_map(|path| path.canonicalize().ok()).unwrap_or_else(|| panic!("no {program}: tests/it/setup.sh"));
    let mut command = Command::new(path);
    command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env_remove("PGDATA");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn own(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("we are root");
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("it is there").uid() == 0
}
