//! A Redis or Valkey of our own, and what it does to whoever needs it: it goes, hangs, and comes back.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{DEADLINE, until};

/// A running store. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) address: SocketAddr,
    child: Child,
    home: TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Store {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let home = tempfile::tempdir().expect("a temporary folder");
        let child = serve(address, home.path());
        let store = Self { address, child, home };
        store.wait().await;
        store
    }

    /// It is gone at once, with all it knew.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// It is there again, and knows nothing.
    pub(crate) async fn come_back(&mut self) {
        self.child = serve(self.address, self.home.path());
        self.wait().await;
    }

    /// It takes connections and answers nothing.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// It answers again.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// What stands in `limits_store.url`.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// What it answers to a command, as it came; the start of it, if it is long.
    pub(crate) async fn ask(&self, command: &str) -> Option<String> {
        let mut connection = TcpStream::connect(self.address).await.ok()?;
        connection.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        let mut answer = vec![0; 1 << 16];
        let read = connection.read(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer[..read]).into_owned())
    }

    /// What it is asked from now on, a command each.
    pub(crate) async fn overhear(&self) -> BufReader<TcpStream> {
        let mut connection = BufReader::new(TcpStream::connect(self.address).await.expect("it listens"));
        connection.write_all(b"MONITOR\r\n").await.expect("it listens");
        let mut answer = String::new();
        connection.read_line(&mut answer).await.expect("it answers");
        assert_eq!(answer, "+OK\r\n");
        connection
    }

    async fn wait(&self) {
        let answers = async || self.ask("PING").await.is_some_and(|answer| answer == "+PONG\r\n");
        assert!(until(DEADLINE, answers).await, "the store answers");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "the process takes the signal");
    }
}

fn serve(address: SocketAddr, home: &Path) -> Child {
    let run = |program: &str| {
        let mut command = Command::new(program);
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let server = run("redis-server").or_else(|_missing| run("valkey-server"));
    server.expect("redis-server or valkey-server is needed; `tests/run.sh` installs one")
}
