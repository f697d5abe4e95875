//! Process logs on standard error: for people on a terminal, JSON otherwise. Decisions are not logs; see `line`.
//!
//! Nobody waits for whoever reads them: a line that finds no room is lost and counted.

mod format;
mod otlp;
mod request;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::TelemetrySettings;
use super::metric::Gauge;
use super::panics;
use super::queue::Lines;
use crate::clock;

pub use request::RequestScope;

pub(super) use otlp::exporter;

use format::{Named, Shape};

/// What the OpenTelemetry SDK says of itself, unless the filter says otherwise: only what went wrong.
const SDK: &str = "opentelemetry=warn";
/// What is still to be written may take this long when it ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of the process. Dropping it writes what is still there, for at most a second.
#[derive(Debug)]
#[must_use]
pub struct Log {
    lines: Arc<Lines>,
    dropped: Gauge,
    otlp: Option<SdkLoggerProvider>,
}

/// Why process logs could not be started.
#[derive(Debug)]
pub enum LogError {
    /// The filter cannot be read.
    Filter(ParseError),
    /// No thread to write them.
    Thread(io::Error),
    /// They cannot be sent to a collector.
    Exporter(ExporterBuildError),
    /// The process has a subscriber already.
    Init(TryInitError),
}

/// Sends the logs of the process to standard error from now on, and to a collector if the settings say so. That needs a
/// runtime where they go out by gRPC. Panics are logs, too.
pub fn start_log(settings: &TelemetrySettings) -> Result<Log, LogError> {
    let stderr = io::stderr();
    let shape = if stderr.is_terminal() { Shape::Text } else { Shape::Json };
    let otlp = otlp::provider(settings).map_err(LogError::Exporter)?;
    let (log, subscriber) = logging(settings, shape, Box::new(stderr), otlp)?;
    subscriber.try_init().map_err(LogError::Init)?;
    panics::watch();
    Ok(log)
}

/// The log, and what is to be told of every event.
fn logging(
    settings: &TelemetrySettings,
    shape: Shape,
    sink: Box<dyn Write + Send>,
    otlp: Option<SdkLoggerProvider>,
) -> Result<(Log, impl Subscriber + Send + Sync + use<>), LogError> {
    let filter = EnvFilter::builder().parse(format!("{SDK},{}", settings.log)).map_err(LogError::Filter)?;
    let dropped = Gauge::default();
    let lines = Arc::new(Lines::start("process-log", sink, dropped.clone()).map_err(LogError::Thread)?);
    let layer = tracing_subscriber::fmt::layer::<Registry>().with_ansi(false).with_writer(Queue(Arc::clone(&lines)));
    let layer = match shape {
        Shape::Text => layer.map_event_format(|format| Named { format, shape }).boxed(),
        Shape::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(|format| Named { format, shape })
            .boxed(),
    };
    let subscriber = Registry::default().with(layer).with(otlp.as_ref().map(otlp::layer)).with(filter);
    Ok((Log { lines, dropped, otlp }, subscriber))
}

impl Log {
    /// Lines that were lost.
    pub(super) fn dropped(&self) -> &Gauge {
        &self.dropped
    }

    /// What sends them to a collector.
    pub(super) fn otlp(&self) -> Option<&SdkLoggerProvider> {
        self.otlp.as_ref()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nobody is left to be told that some lines were not written.
        let _late = self.lines.flush(clock::monotonic() + LAST_LINES);
    }
}

/// Where lines are queued.
#[derive(Debug)]
struct Queue(Arc<Lines>);

/// A place in the queue: each piece that is written is a line.
#[derive(Debug)]
struct Place<'a>(&'a Lines);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Place<'a>;

    fn make_writer(&'a self) -> Place<'a> {
        Place(&self.0)
    }
}

impl Write for Place<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(|text| text.push_str(&String::from_utf8_lossy(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(f, "the log filter cannot be read: {error}"),
            Self::Thread(error) => write!(f, "no thread for process logs: {error}"),
            Self::Exporter(error) => write!(f, "process logs cannot be sent to a collector: {error}"),
            Self::Init(error) => write!(f, "process logs cannot be started: {error}"),
        }
    }
}

impl std::error::Error for LogError {}
