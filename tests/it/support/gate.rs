//! The gate as a process: started from files, watched by its output, ended by a signal.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{DEADLINE, raw};

/// Names another build of the gate than the one that is built with the tests, which is not optimised.
pub(super) const PROGRAM: &str = "TOLLGATE_PROGRAM";

/// The program that is tested. Wherever it is started from, it is the same one.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os(PROGRAM).map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tollgate")), PathBuf::from);
    named.canonicalize().unwrap_or_else(|error| panic!("{PROGRAM} names {}: {error}", named.display()))
}

/// What a process has written so far, line by line.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    written: Arc<Mutex<Vec<String>>>,
    state: watch::Receiver<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This many lines, and more may come.
    Open(usize),
    /// The process has closed its end.
    Closed,
}

impl Lines {
    /// Follows a pipe to its end on a thread of its own.
    fn follow(pipe: impl Read + Send + 'static) -> Self {
        let written = Arc::<Mutex<Vec<String>>>::default();
        let (tell, state) = watch::channel(State::Open(0));
        let kept = Arc::clone(&written);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push(String::from_utf8_lossy(&line).into_owned());
                tell.send_replace(State::Open(kept.len()));
            }
            tell.send_replace(State::Closed);
        });
        Self { written, state }
    }

    pub(crate) fn count(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    /// Every line from the nth on.
    pub(crate) fn since(&self, n: usize) -> Vec<String> {
        self.written.lock().unwrap()[n..].to_vec()
    }

    pub(crate) fn text(&self) -> String {
        self.written.lock().unwrap().join("\n")
    }

    /// Whether some line says this, or will: lines are written while nobody waits for them.
    pub(crate) async fn says(&self, what: &str) -> bool {
        self.wait_since(0, DEADLINE, |line| line.contains(what)).await.is_some()
    }

    /// Waits for the first line from the nth on that `wanted` accepts.
    pub(crate) async fn wait_since(
        &self,
        n: usize,
        deadline: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let mut state = self.state.clone();
        timeout(deadline, async {
            loop {
                let now = *state.borrow_and_update();
                if let Some(line) = self.since(n).into_iter().find(|line| wanted(line)) {
                    return Some(line);
                }
                if now == State::Closed || state.changed().await.is_err() {
                    return None;
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    async fn wait_for_close(&self, deadline: Duration) -> bool {
        let mut state = self.state.clone();
        timeout(deadline, state.wait_for(|state| *state == State::Closed)).await.is_ok()
    }
}

/// A serving gate. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Where callers connect.
    pub(crate) data: SocketAddr,
    /// Where probes and scrapers connect.
    pub(crate) admin: SocketAddr,
    /// One JSON object per decision.
    pub(crate) decisions: Lines,
    /// The log.
    pub(crate) log: Lines,
    child: Child,
    home: Arc<TempDir>,
    environment: Vec<(String, String)>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Both fail only where the process has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Gate {
    /// Starts the binary on the files in `home` and waits until it serves.
    pub(crate) async fn start(home: Arc<TempDir>, environment: &[(String, String)]) -> Self {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOLLGATE_") || name.starts_with("OTEL_"))
        {
            command.env_remove(name);
        }
        let mut child = command
            .args(["run", "--config"])
            .arg(home.path().join("tollgate.yaml"))
            .current_dir(home.path())
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let decisions = Lines::follow(child.stdout.take().expect("piped"));
        let log = Lines::follow(child.stderr.take().expect("piped"));
        let Some((data, admin)) = serving(&log).await else {
            panic!("the gate does not serve; its log:\n{}", log.text());
        };
        Self { data, admin, decisions, log, child, home, environment: environment.to_vec() }
    }

    /// What a gate says that must not start on this file. One that starts all the same is ended, and is a failure.
    pub(crate) fn refuses(config: &Path) -> String {
        let ran = Command::new("timeout")
            .arg(DEADLINE.as_secs().to_string())
            .arg(program())
            .args(["run", "--config"])
            .arg(config)
            .output()
            .expect("what every system has");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{said}");
        said
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.file("policies")
    }

    /// What lies beside its configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Asks it to end, as Kubernetes does.
    pub(crate) fn signal_end(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "the process takes the signal");
    }

    /// Asks it to look at its files.
    pub(crate) fn signal_look(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "the process takes the signal");
    }

    /// Waits for its end; the exit code, or `None` if a signal ended it or it does not end in time.
    pub(crate) async fn exit_code(&mut self, deadline: Duration) -> Option<i32> {
        if !self.log.wait_for_close(deadline).await {
            return None;
        }
        self.child.wait().expect("it is our child").code()
    }

    /// Ends it and starts another on the same files.
    pub(crate) async fn restart(mut self) -> Self {
        assert_eq!(self.terminate().await, Some(0), "it ends well");
        Self::start(Arc::clone(&self.home), &self.environment).await
    }

    /// Asks it to end and waits for that.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal_end();
        self.exit_code(DEADLINE).await
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The most memory it held since the last [`Self::forget_peak`], in KiB. Known on Linux only.
    pub(crate) fn peak_memory_kib(&self) -> Option<usize> {
        self.status_kib("VmHWM:")
    }

    /// The memory that it holds now, in KiB. Known on Linux only.
    pub(crate) fn memory_kib(&self) -> Option<usize> {
        self.status_kib("VmRSS:")
    }

    /// Lets the peak begin anew at what is held now, where the system allows it.
    pub(crate) fn forget_peak(&self) {
        // Where it does not, what grows is only seen above the peak so far.
        drop(std::fs::write(self.proc("clear_refs"), "5"));
    }

    /// The time it spent on a processor so far. Known on Linux only.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat")).ok()?;
        let (_, behind_name) = stat.rsplit_once(") ")?;
        // utime and stime are the 14th and 15th field of all; a tick is 10 ms on every Linux that matters here.
        let ticks = behind_name.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>();
        ticks.ok().map(|ticks: u64| Duration::from_millis(ticks * 10))
    }

    /// How many descriptors it has open. Known on Linux only.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        std::fs::read_dir(self.proc("fd")).ok().map(Iterator::count)
    }

    /// What a metric without labels of its own says now.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = raw::get(self.admin, "/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    fn status_kib(&self, field: &str) -> Option<usize> {
        let status = std::fs::read_to_string(self.proc("status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix(field))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }
}

/// The addresses that the log names once both ports are open.
async fn serving(log: &Lines) -> Option<(SocketAddr, SocketAddr)> {
    let admin = address_after("admin on http://", log).await?;
    let data = address_after("listening on http", log).await?;
    Some((data, admin))
}

async fn address_after(words: &str, log: &Lines) -> Option<SocketAddr> {
    let line = log.wait_since(0, DEADLINE, |line| line.contains(words)).await?;
    let (_, rest) = line.split_once(words)?;
    let rest = rest.trim_start_matches("s://").trim_start_matches("://");
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
