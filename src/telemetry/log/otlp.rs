//! Process logs to a collector, where the settings say so, with the trace that each belongs to.

use std::time::Duration;

use opentelemetry::logs::{AnyValue, LogRecord as _};
use opentelemetry::trace::SpanId;
use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, WithExportConfig as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLoggerProvider};
use tracing::Metadata;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;

use super::super::export;
use super::super::settings::{Exporter, Protocol, TelemetrySettings};
use super::RequestScope;

/// Those that carry logs away: what they say would be carried away by them, without an end.
const CARRIERS: [&str; 6] = ["opentelemetry", "reqwest", "hyper", "h2", "tonic", "tower"];

/// What sends them, if they are to be sent.
pub(super) fn provider(settings: &TelemetrySettings) -> Result<Option<SdkLoggerProvider>, ExporterBuildError> {
    let Some(exporter) = exporter(&settings.logs)? else {
        return Ok(None);
    };
    let builder = SdkLoggerProvider::builder().with_resource(export::resource(settings));
    // First what names them, then what takes them away.
    Ok(Some(builder.with_log_processor(Naming).with_batch_exporter(exporter).build()))
}

/// What takes logs there, if that is a collector.
pub(in crate::telemetry) fn exporter(to: &Exporter) -> Result<Option<LogExporter>, ExporterBuildError> {
    let Exporter::Otlp { protocol, endpoint } = to else {
        return Ok(None);
    };
    let exporter = match protocol {
        Protocol::Grpc => LogExporter::builder().with_tonic().with_endpoint(endpoint).build()?,
        Protocol::HttpProtobuf => LogExporter::builder()
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build()?,
    };
    Ok(Some(exporter))
}

pub(super) fn layer<L>(provider: &SdkLoggerProvider) -> impl Layer<L> + use<L>
where
    L: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    OpenTelemetryTracingBridge::new(provider).with_filter(filter_fn(is_ours))
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    !CARRIERS.iter().any(|carrier| metadata.target().starts_with(carrier))
}

/// Says of each record which request it belongs to.
#[derive(Debug)]
struct Naming;

impl LogProcessor for Naming {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        let Some(request) = RequestScope::current() else { return };
        let decision = AnyValue::from(request.decision().to_string());
        record.add_attribute(Key::from_static_str("tollgate.decision.id"), decision);
        if let Some(trace) = request.trace() {
            record.set_trace_context(trace, SpanId::INVALID, None);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
