//! A child process that ends before this one does, and is asked before it is made to.

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(8);

pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    /// Held open: its end is how the child notices that this process was killed.
    _stdin: Option<ChildStdin>,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
}

/// A command that runs this very binary.
pub(super) fn ourselves() -> Result<Command, ChildError> {
    std::env::current_exe().map(Command::new).map_err(|error| ChildError::io("this program", error))
}

impl Child {
    /// Starts it out of reach of the terminal's ctrl-c, so that it ends when it is told to and not in the middle.
    pub(super) fn start(name: &'static str, mut command: Command) -> Result<Self, ChildError> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| ChildError::io(name, error))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(Self { name, process, _stdin: stdin, stdout })
    }

    pub(super) const fn take_stdout(&mut self) -> Option<Lines<BufReader<ChildStdout>>> {
        self.stdout.take()
    }

    pub(super) fn take_stderr(&mut self) -> Option<Lines<BufReader<ChildStderr>>> {
        self.process.stderr.take().map(|stderr| BufReader::new(stderr).lines())
    }

    /// Reads standard output up to the line that `read` understands.
    pub(super) async fn line_where<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> Result<T, ChildError> {
        let found = match &mut self.stdout {
            Some(lines) => timeout(START_WITHIN, find(lines, read)).await,
            None => Ok(Ok(None)),
        };
        match found {
            Ok(Ok(Some(found))) => Ok(found),
            Ok(Ok(None)) => Err(self.ended().await),
            Ok(Err(error)) => Err(ChildError::io(self.name, error)),
            Err(_) => Err(ChildError::Silent { name: self.name }),
        }
    }

    /// Why nothing more comes from it.
    pub(super) async fn ended(&mut self) -> ChildError {
        match timeout(STOP_WITHIN, self.process.wait()).await {
            Ok(Ok(status)) => ChildError::Ended { name: self.name, status },
            Ok(Err(error)) => ChildError::io(self.name, error),
            Err(_) => ChildError::Silent { name: self.name },
        }
    }

    /// Asks it to end, and makes it if it does not.
    pub(super) async fn stop(mut self) {
        let process = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(process) = process {
            rustix::process::kill_process(process, Signal::TERM).ok();
        }
        if timeout(STOP_WITHIN, self.process.wait()).await.is_err() {
            self.process.kill().await.ok();
        }
    }
}

async fn find<T>(
    lines: &mut Lines<impl AsyncBufRead + Unpin>,
    read: impl Fn(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    while let Some(line) = lines.next_line().await? {
        if let Some(found) = read(&line) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[derive(Debug)]
pub(crate) enum ChildError {
    Io { name: &'static str, error: io::Error },
    Ended { name: &'static str, status: ExitStatus },
    Silent { name: &'static str },
}

impl ChildError {
    pub(super) const fn io(name: &'static str, error: io::Error) -> Self {
        Self::Io { name, error }
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { name, .. } => write!(f, "{name} cannot be run"),
            Self::Ended { name, status } => write!(f, "{name} ended before it was ready: {status}"),
            Self::Silent { name } => {
                write!(f, "{name} was not ready within {} s", START_WITHIN.as_secs())
            }
        }
    }
}

impl std::error::Error for ChildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Ended { .. } | Self::Silent { .. } => None,
        }
    }
}
