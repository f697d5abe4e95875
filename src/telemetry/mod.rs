//! Traces, metrics, decision lines and process logs. The only folder that names OpenTelemetry.
//!
//! Steps never call it: they write facts into the [`Exchange`], and the [`Recorder`] around it reads them once, at the
//! end. Nothing here makes a call wait: spans, metrics and lines leave through bounded queues on threads of their own.

mod attribute;
mod content;
mod copy;
mod context;
mod credential;
mod exemplar;
mod export;
mod line;
mod log;
mod metric;
mod panics;
mod queue;
mod recorder;
mod settings;
mod span;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use prometheus::{Registry, TextEncoder};

use crate::audit::Audit;
use crate::cache::Cache;
use crate::clock;
use crate::exchange::{Exchange, TimeoutKind};
use crate::identity::IssuerState;
use crate::limits::{Crowd, Store};
use crate::mcp::ServerName;
use crate::policy::{KillScope, Kills};
use crate::state::Sessions;

pub use content::Content;
pub use copy::AuditCopy;
pub use credential::Credential;
pub use log::{Log, LogError, RequestScope, start_log};
pub use metric::{Counted, Gauge, Handshake, MemoryUse, Reload, Watched};
pub use recorder::Recorder;
pub use settings::{BadSettings, Choice, Exporter, Protocol, Sampling, TelemetrySettings};

use metric::{InForce, Metrics, Observed, register_sessions};
use queue::Lines;

/// Instrumentation scope of spans and metrics.
const SCOPE: &str = "tollgate";
/// How long what is still queued may take to leave at the end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Everything that records. One for the process.
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracer>,
    meter: Meter,
    metrics: Metrics,
    observed: Observed,
    registry: Registry,
    lines: Lines,
    audit: Audit,
    content: Content,
}

/// What must be shut down for the last spans, metrics and lines to leave. Dropping it ends spans and metrics at once.
#[derive(Debug)]
#[must_use]
pub struct TelemetryGuard {
    tracing: Option<SdkTracerProvider>,
    metrics: SdkMeterProvider,
    logs: Option<SdkLoggerProvider>,
    copy: Option<AuditCopy>,
    telemetry: Arc<Telemetry>,
}

/// Why telemetry cannot be started.
#[derive(Debug)]
pub enum TelemetryError {
    /// An exporter refuses its settings.
    Exporter(ExporterBuildError),
    /// Metrics cannot be read out.
    Metrics(OTelSdkError),
    /// No thread for decision lines.
    Lines(io::Error),
    /// Nothing says where the audit log is copied to.
    NoCollector,
}

/// Where metrics are read from and pushed.
struct Meters {
    registry: Registry,
    provider: SdkMeterProvider,
}

impl Meters {
    fn start(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // The name of the scope on every series would say nothing.
            .scope_info_enabled(false)
            .build()
            .map_err(TelemetryError::Metrics)?;
        let builder = SdkMeterProvider::builder().with_reader(reader);
        let provider = export::metrics(settings, builder).map_err(TelemetryError::Exporter)?;
        Ok(Self { registry, provider })
    }
}

impl Telemetry {
    /// Starts it, with decision lines on standard output. Needs a runtime where spans or metrics go out by gRPC.
    pub fn start(
        settings: &TelemetrySettings,
        (audit, copy): (Audit, Option<AuditCopy>),
        log: &Log,
    ) -> Result<(Arc<Self>, TelemetryGuard), TelemetryError> {
        let meters = Meters::start(settings)?;
        // Whatever queues spans counts there what it had no room for; it looks for that once, when it is made.
        opentelemetry::global::set_meter_provider(meters.provider.clone());
        let tracing = export::tracing(settings).map_err(TelemetryError::Exporter)?;
        let observed = Observed { unlogged: log.dropped().clone(), ..Observed::default() };
        let (telemetry, guard) = Self::assemble((meters, tracing), settings.content, io::stdout(), (audit, observed))?;
        if let Some(copy) = &copy {
            copy.register(&telemetry.meter);
        }
        Ok((telemetry, TelemetryGuard { logs: log.otlp().cloned(), copy, ..guard }))
    }

    /// The same with decision lines elsewhere, and without an audit log.
    pub fn start_with(
        settings: &TelemetrySettings,
        decisions: impl Write + Send + 'static,
    ) -> Result<(Arc<Self>, TelemetryGuard), TelemetryError> {
        let tracing = export::tracing(settings).map_err(TelemetryError::Exporter)?;
        let meters = Meters::start(settings)?;
        Self::assemble((meters, tracing), settings.content, decisions, (Audit::off(), Observed::default()))
    }

    fn assemble(
        (Meters { registry, provider }, tracing): (Meters, Option<SdkTracerProvider>),
        content: Content,
        decisions: impl Write + Send + 'static,
        (audit, observed): (Audit, Observed),
    ) -> Result<(Arc<Self>, TelemetryGuard), TelemetryError> {
        let lines = Lines::start("decisions", decisions, observed.dropped.clone()).map_err(TelemetryError::Lines)?;
        let meter = provider.meter(SCOPE);
        let telemetry = Arc::new(Self {
            tracer: tracing.as_ref().map(|provider| provider.tracer(SCOPE)),
            metrics: Metrics::new(&meter, &observed, &audit),
            meter,
            observed,
            registry,
            lines,
            audit,
            content,
        });
        let guard =
            TelemetryGuard { tracing, metrics: provider, logs: None, copy: None, telemetry: Arc::clone(&telemetry) };
        Ok((telemetry, guard))
    }

    /// Begins to record one message. Of the headers only the trace context is read.
    pub fn open(self: &Arc<Self>, exchange: Exchange, headers: &HeaderMap) -> Recorder {
        Recorder::open(Arc::clone(self), exchange, headers)
    }

    /// Says which policy is in force, by its digest.
    pub fn policy(&self, digest: Arc<str>) {
        *self.observed.policy.write().unwrap_or_else(PoisonError::into_inner) =
            Some(InForce { digest, since: clock::monotonic() });
    }

    /// Which policy is in force, if one is.
    pub fn digest(&self) -> Option<Arc<str>> {
        let policy = self.observed.policy.read().unwrap_or_else(PoisonError::into_inner);
        policy.as_ref().map(|policy| Arc::clone(&policy.digest))
    }

    /// Says how issuers of tokens stand.
    pub fn issuers(&self, issuers: Vec<IssuerState>) {
        *self.observed.issuers.write().unwrap_or_else(PoisonError::into_inner) = issuers;
    }

    /// Says how often limits have counted callers together, from now on.
    pub fn crowd(&self, crowd: Crowd) {
        *self.observed.crowd.write().unwrap_or_else(PoisonError::into_inner) = crowd;
    }

    /// Says how the store of limits fares, from now on.
    pub fn limits_store(&self, store: Arc<Store>) {
        *self.observed.limits_store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    /// Says which answers are given again, from now on.
    pub fn cache(&self, cache: Arc<Cache>) {
        *self.observed.cache.write().unwrap_or_else(PoisonError::into_inner) = Some(cache);
    }

    /// Counts a reload of the policy.
    pub fn reloaded(&self, result: Reload) {
        self.metrics.reloaded(result);
    }

    /// Says what is stopped, as far as it is not over.
    pub fn stopped(&self, kills: &Kills) {
        for (scope, gauge) in KillScope::ALL.into_iter().zip(&self.observed.kills) {
            let count = kills.iter().filter(|kill| kill.scope() == scope).count();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Says whether the file of the kill switch is in force.
    pub fn kill_switch(&self, file: Reload) {
        self.observed.kills_stale.set(i64::from(file == Reload::Refused));
    }

    /// Says whether the configuration file is what the gate runs on.
    pub fn config(&self, file: Reload) {
        self.observed.config_stale.set(i64::from(file == Reload::Refused));
    }

    /// Counts a reload of certificates.
    pub fn tls_reloaded(&self, result: Reload) {
        self.metrics.tls_reloaded(result);
    }

    /// Counts a TLS handshake.
    pub fn handshake(&self, result: Handshake) {
        self.metrics.handshake(result);
    }

    /// Counts a connection for which the system had no room.
    pub fn not_accepted(&self) {
        self.metrics.not_accepted();
    }

    /// Counts a connection that a deadline has ended.
    pub fn timed_out(&self, kind: TimeoutKind) {
        self.metrics.timed_out(kind);
    }

    /// From now on it shows how much memory is used, of how much, and whether it is short.
    pub fn memory(&self, memory: MemoryUse) {
        memory.register(&self.meter);
    }

    /// Says when the first credential of a kind ends; `None` if there is none.
    pub fn credential_ends(&self, credential: Credential, end: Option<SystemTime>) {
        self.observed.ends.set(credential, end);
    }

    /// From now on this is looked at when metrics are collected.
    pub fn watch(&self, watched: Watched) {
        watched.register(&self.meter);
    }

    /// Says how many sessions there are with this server, from now on.
    pub fn sessions(&self, server: &ServerName, sessions: &Arc<Sessions>) {
        register_sessions(&self.meter, server, sessions);
    }

    /// A session with this server has ended, that was there for so long.
    pub fn session_ended(&self, server: &ServerName, lived: Duration) {
        self.metrics.session_ended(server, lived);
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Open event streams.
    pub fn streams(&self) -> &Gauge {
        &self.observed.streams
    }

    /// Messages under way.
    pub fn in_flight(&self) -> &Gauge {
        &self.observed.in_flight
    }

    /// All metrics, in the text format of `OpenMetrics`: that of Prometheus, and to buckets a trace of each.
    pub fn open_metrics(&self) -> String {
        self.metrics.exemplars().open_metrics(&self.metrics_text())
    }

    /// All metrics, in the text format of Prometheus.
    pub fn metrics_text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics cannot be written as text");
        }
        text
    }
}

impl TelemetryGuard {
    /// Sends what is still queued, for at most five seconds. It blocks: never call it on a runtime's worker thread.
    pub fn shutdown(self) {
        let deadline = clock::monotonic() + SHUTDOWN;
        let Self { tracing, metrics, logs, copy, telemetry } = self;
        let (done, finished) = channel();
        let mut waiting = Vec::new();
        let mut start = |name: &'static str, work: Box<dyn FnOnce() -> bool + Send>| {
            let done = done.clone();
            let started = thread::Builder::new().name(format!("flush-{name}")).spawn(move || {
                // Whoever waited may have given up.
                let _ = done.send((name, work()));
            });
            match started {
                Ok(_) => waiting.push(name),
                Err(error) => tracing::warn!(%error, "no thread to flush {name}"),
            }
        };
        start("lines", Box::new(move || telemetry.lines.flush(deadline).is_ok()));
        start("metrics", Box::new(move || metrics.shutdown_with_timeout(SHUTDOWN).is_ok()));
        if let Some(tracing) = tracing {
            start("spans", Box::new(move || tracing.shutdown_with_timeout(SHUTDOWN).is_ok()));
        }
        if let Some(logs) = logs {
            start("logs", Box::new(move || logs.shutdown_with_timeout(SHUTDOWN).is_ok()));
        }
        if let Some(copy) = copy {
            start("copies of the audit log", Box::new(move || copy.end(SHUTDOWN).is_ok()));
        }
        while !waiting.is_empty() {
            let left = deadline.saturating_duration_since(clock::monotonic());
            let Ok((name, flushed)) = finished.recv_timeout(left) else {
                break;
            };
            waiting.retain(|other| *other != name);
            if !flushed {
                tracing::warn!("not all {name} could be sent");
            }
        }
        for name in waiting {
            tracing::warn!("{name} were still being sent when time was up");
        }
    }
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exporter(error) => {
                write!(f, "an exporter of telemetry cannot be started: {error}")
            }
            Self::Metrics(error) => write!(f, "metrics cannot be started: {error}"),
            Self::Lines(error) => write!(f, "no thread for decision lines: {error}"),
            Self::NoCollector => f.write_str(
                "the audit log is to be copied to a collector (audit.otlp), and nothing says where that is; set \
                 OTEL_EXPORTER_OTLP_LOGS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT",
            ),
        }
    }
}

impl std::error::Error for TelemetryError {}
