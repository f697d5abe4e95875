//! Process logs on standard error: for people on a terminal, JSON otherwise. Decisions are not logs; see `line`.

use std::fmt;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use super::TelemetrySettings;

/// What the OpenTelemetry SDK says of itself, unless the filter says otherwise: only what went wrong.
const SDK: &str = "opentelemetry=warn";

/// Why process logs could not be started.
#[derive(Debug)]
pub enum LogError {
    /// The filter cannot be read.
    Filter(ParseError),
    /// The process has a subscriber already.
    Init(TryInitError),
}

/// Sends the logs of the process to standard error from now on.
pub fn start_log(settings: &TelemetrySettings) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(format!("{SDK},{}", settings.log)).map_err(LogError::Filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if io::stderr().is_terminal() {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
    };
    started.map_err(LogError::Init)
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(f, "the log filter cannot be read: {error}"),
            Self::Init(error) => write!(f, "process logs cannot be started: {error}"),
        }
    }
}

impl std::error::Error for LogError {}
