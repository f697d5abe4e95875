//! A process that is measured: started, found, read and ended.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tollgate::clock;

use crate::Failure;

/// What a process says when it serves. The gate's log says it so.
const LISTENING: &str = "listening on http://";
/// A process serves within this, or it never will.
const START: Duration = Duration::from_secs(30);

/// A process that serves HTTP on loopback. It ends with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

/// Where a process may run, on a machine with two cores or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// The first core has the proxy to itself.
    Proxy,
    /// The second has the load and the server.
    Load,
}

impl Core {
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Proxy => "0",
            Self::Load => "1",
        }
    }
}

/// Whether processes are bound to cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinning {
    Pinned,
    Free,
}

impl Process {
    /// Starts a process and waits until it serves.
    pub(crate) fn start(name: &'static str, command: Command, pinning: Pinning, core: Core) -> Result<Self, Failure> {
        let mut command = match pinning {
            Pinning::Pinned => pinned(&command, core),
            Pinning::Free => command,
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let Some(stderr) = child.stderr.take() else {
            return Err("standard error was not opened".into());
        };
        let address = match address(stderr) {
            Ok(address) => address,
            Err(said) => {
                child.kill()?;
                child.wait()?;
                return Err(format!("{name} does not serve: {said}").into());
            }
        };
        Ok(Self { name, address, child })
    }

    /// Starts a process that was told where to serve and says nothing of it; waits until it does.
    pub(crate) fn start_at(
        name: &'static str,
        command: Command,
        address: SocketAddr,
        (pinning, core): (Pinning, Core),
    ) -> Result<Self, Failure> {
        let mut command = match pinning {
            Pinning::Pinned => pinned(&command, core),
            Pinning::Free => command,
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut process = Self { name, address, child };
        let begun = clock::monotonic();
        while TcpStream::connect(address).is_err() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || clock::monotonic().duration_since(begun) > START {
                return Err(format!("{name} does not serve: {ended:?}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in its own way.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        Command::new("/bin/kill").arg(self.id().to_string()).stderr(Stdio::null()).status()?;
        self.child.wait()?;
        Ok(())
    }

    /// Time on a processor so far, of all threads, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread that has just ended is not there any more.
            let Ok(counters) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let on_cpu = counters.split_whitespace().next().unwrap_or_default();
            nanos += on_cpu.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak_memory(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In its own way, by which it writes what it has to write. It may have ended by itself.
        self.end().ok();
    }
}

/// The same command, bound to a core before it starts, so that it counts its cores right.
fn pinned(command: &Command, core: Core) -> Command {
    let mut pinned = Command::new("/usr/bin/taskset");
    pinned.args(["-c", core.number()]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            pinned.env(name, value);
        }
    }
    pinned
}

/// The address that a process says it serves at; or what it said instead.
fn address(stderr: ChildStderr) -> Result<SocketAddr, String> {
    let (tell, told) = mpsc::channel();
    // To the end, so that the process never waits for a reader.
    thread::spawn(move || {
        let mut said = String::new();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once(LISTENING) {
                let address = rest.split('/').next().unwrap_or_default().parse();
                tell.send(address.map_err(|_not_one| line.clone())).ok();
            } else {
                said.push('\n');
                said.push_str(&line);
            }
        }
        tell.send(Err(said)).ok();
    });
    told.recv_timeout(START).unwrap_or_else(|_silent| Err("it says nothing".to_owned()))
}

/// Binds a free port and says so as the gate does.
#[expect(clippy::print_stderr, reason = "this is how a part is found")]
pub(crate) async fn announce() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    eprintln!("{LISTENING}{}/mcp", listener.local_addr()?);
    Ok(listener)
}
