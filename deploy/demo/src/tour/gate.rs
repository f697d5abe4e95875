//! The gate's process: where it listens, and what it decides.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{BufReader, Lines};
use tokio::process::ChildStderr;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::child::{self, Child, ChildError};
use super::decision::Decisions;
use super::report::Report;

const LISTENS_WITHIN: Duration = Duration::from_secs(10);
/// How much of the gate's log is kept, to be shown if it ends too early.
const KEPT_LINES: usize = 40;
/// The demo's environment must not reconfigure the gate of the tour.
const ENVIRONMENT: [&str; 5] =
    ["TOLLGATE_CONFIG", "TOLLGATE_SERVER", "TOLLGATE_POLICIES", "TOLLGATE_LISTEN", "TOLLGATE_ADMIN"];

pub(super) struct Gate {
    child: Child,
    decisions: Decisions,
    url: String,
    admin: String,
    log: Log,
}

impl Gate {
    pub(super) async fn start(config: &Path) -> Result<Self, GateError> {
        let mut command = child::ourselves()?;
        command.args(["gate", "--with-parent", "run", "--config"]).arg(config).stderr(Stdio::piped());
        for variable in ENVIRONMENT {
            command.env_remove(variable);
        }
        let mut child = Child::start("the gate", command)?;
        let log = Log::default();
        let (Some(stdout), Some(mut stderr)) = (child.take_stdout(), child.take_stderr()) else {
            return Err(GateError::NotReady { why: child.ended().await, log });
        };
        let mut found = Addresses::default();
        let listening = async {
            while let Some(line) = stderr.next_line().await? {
                found.read(&line);
                log.keep(line);
                if let Addresses { url: Some(url), admin: Some(admin) } = &found {
                    return Ok(Some((url.clone(), admin.clone())));
                }
            }
            Ok::<_, io::Error>(None)
        };
        let Ok(Ok(Some((url, admin)))) = timeout(LISTENS_WITHIN, listening).await else {
            return Err(GateError::NotReady { why: child.ended().await, log });
        };
        drop(TaskTracker::new().spawn(log.clone().keep_all(stderr)));
        Ok(Self { child, decisions: Decisions::new(stdout, config.parent().unwrap_or(config)), url, admin, log })
    }

    /// Where MCP clients connect.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    pub(super) const fn decisions(&mut self) -> &mut Decisions {
        &mut self.decisions
    }

    /// Shows each decision as it comes, for as long as the gate runs.
    pub(super) async fn show_decisions(&mut self, report: Report) -> Result<(), GateError> {
        while let Some(decision) = self.decisions.next().await.map_err(GateError::Read)? {
            report.decision(&decision).map_err(GateError::Read)?;
        }
        Err(GateError::NotReady { why: self.child.ended().await, log: self.log.clone() })
    }

    pub(super) async fn stop(self) {
        self.child.stop().await;
    }
}

/// The addresses that the gate logs when it listens.
#[derive(Default)]
struct Addresses {
    url: Option<String>,
    admin: Option<String>,
}

impl Addresses {
    fn read(&mut self, line: &str) {
        let after = |words: &str| {
            let (_, rest) = line.split_once(words)?;
            let end = rest.find(|letter: char| letter.is_whitespace() || "\"',;".contains(letter));
            Some(rest.get(..end.unwrap_or(rest.len()))?.to_owned())
        };
        self.url = self.url.take().or_else(|| after("listening on "));
        self.admin = self.admin.take().or_else(|| after("admin on "));
    }
}

/// The last lines of the gate's log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn keep(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Reads on, so that the gate never waits for a reader.
    async fn keep_all(self, mut lines: Lines<BufReader<ChildStderr>>) {
        while let Ok(Some(line)) = lines.next_line().await {
            self.keep(line);
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

#[derive(Debug)]
pub(crate) enum GateError {
    Child(ChildError),
    Read(io::Error),
    NotReady { why: ChildError, log: Log },
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Child(error) => error.fmt(f),
            Self::Read(_) => f.write_str("reading the gate's decisions"),
            Self::NotReady { why, log } => write!(f, "{why}; it said:{log}"),
        }
    }
}

impl std::error::Error for GateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Child(error) => error.source(),
            Self::Read(error) => Some(error),
            Self::NotReady { why, .. } => why.source(),
        }
    }
}

impl From<ChildError> for GateError {
    fn from(error: ChildError) -> Self {
        Self::Child(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_plain_and_from_json_logs() {
        let mut found = Addresses::default();
        found.read("2026-11-21T10:00:00Z  INFO admin on http://127.0.0.1:9901");
        found.read(r#"{"level":"INFO","message":"listening on http://127.0.0.1:8080/mcp","target":"x"}"#);
        assert_eq!(found.url.as_deref(), Some("http://127.0.0.1:8080/mcp"));
        assert_eq!(found.admin.as_deref(), Some("http://127.0.0.1:9901"));
    }
}
