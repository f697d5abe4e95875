//! The copy of the audit log at a collector: log records whose body is the line, as it stands in the log.
//!
//! Who writes the log never waits for it. What finds no room is lost to the copy and counted, and so is what the collector
//! does not take; the log itself has all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::Meter;
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchConfigBuilder, BatchLogProcessor, LogBatch, SdkLogger, SdkLoggerProvider};

use super::attribute::RESULT;
use super::settings::TelemetrySettings;
use super::{TelemetryError, export, log};
use crate::audit::Copyist;

/// Instrumentation scope, and name, of these log records.
const SCOPE: &str = "tollgate.audit";
const EVENT: &str = "tollgate.audit.record";
/// The most lines that are on their way.
const MOST: usize = 2048;

/// The copy. Clones are the same one.
#[derive(Clone, Debug)]
pub struct AuditCopy {
    provider: SdkLoggerProvider,
    logger: SdkLogger,
    counts: Arc<Counts>,
}

/// What became of lines.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
}

impl AuditCopy {
    /// Begins it where the environment says that logs go.
    ///
    /// # Errors
    /// It does not say so, or there is nothing that could send them.
    pub fn start(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let exporter = log::exporter(&settings.records).map_err(TelemetryError::Exporter)?;
        let exporter = exporter.ok_or(TelemetryError::NoCollector)?;
        let counts = Arc::<Counts>::default();
        let counted = Counted { exporter, counts: Arc::clone(&counts) };
        let config = BatchConfigBuilder::default().with_max_queue_size(MOST).build();
        let processor = BatchLogProcessor::builder(counted).with_batch_config(config).build();
        let builder = SdkLoggerProvider::builder().with_resource(export::resource(settings));
        let provider = builder.with_log_processor(processor).build();
        Ok(Self { logger: provider.logger(SCOPE), provider, counts })
    }

    /// What became of lines is told from now on.
    pub(super) fn register(&self, meter: &Meter) {
        let counts = Arc::clone(&self.counts);
        meter
            .u64_observable_counter("tollgate.audit.copies")
            .with_description("Lines of the audit log that were to be copied to a collector, by what became of them")
            .with_callback(move |observer| {
                let Counts { sent, refused, dropped, .. } = &*counts;
                for (count, result) in [(sent, "ok"), (refused, "failed"), (dropped, "dropped")] {
                    observer.observe(count.load(Ordering::Relaxed), &[KeyValue::new(RESULT, result)]);
                }
            })
            .build();
    }

    /// Sends what is still on its way.
    pub(super) fn end(&self, timeout: Duration) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(timeout)
    }
}

impl Copyist for AuditCopy {
    fn take(&mut self, line: &str) {
        let Counts { taken, dropped, .. } = &*self.counts;
        if self.counts.on_their_way() >= MOST as u64 {
            dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        taken.fetch_add(1, Ordering::Relaxed);
        let mut record = self.logger.create_log_record();
        record.set_event_name(EVENT);
        record.set_severity_number(Severity::Info);
        record.set_body(AnyValue::from(line.to_owned()));
        self.logger.emit(record);
    }
}

impl Counts {
    /// As many as the queue and the batch that is being sent hold.
    fn on_their_way(&self) -> u64 {
        let done = self.sent.load(Ordering::Relaxed) + self.refused.load(Ordering::Relaxed);
        self.taken.load(Ordering::Relaxed).saturating_sub(done)
    }
}

/// An exporter of which it is counted what became of what it was given.
#[derive(Debug)]
struct Counted {
    exporter: LogExporter,
    counts: Arc<Counts>,
}

impl opentelemetry_sdk::logs::LogExporter for Counted {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let lines = u64::try_from(batch.iter().count()).unwrap_or(u64::MAX);
        let sent = self.exporter.export(batch).await;
        let count = if sent.is_ok() { &self.counts.sent } else { &self.counts.refused };
        count.fetch_add(lines, Ordering::Relaxed);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
