//! Where spans and metrics leave the process: to a collector, or into the process log.
//!
//! Batches are sent by threads of the SDK's own, with a blocking HTTP client: its asynchronous one would look for a
//! runtime that those threads do not have, and lose everything.

use std::fmt::{self, Write as _};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, TracerProviderBuilder,
};

use super::settings::{Choice, Exporter, Protocol, Sampling, TelemetrySettings};

/// How long the console waits for more spans before it writes them.
const CONSOLE_DELAY: Duration = Duration::from_millis(200);
/// How many wait for it, and with how many it waits no longer. The queue's memory is taken from the beginning, 360 bytes for each.
const CONSOLE_QUEUE: usize = 512;
const CONSOLE_BATCH: usize = 128;

/// The provider of spans, or none if tracing is off.
pub(super) fn tracing(settings: &TelemetrySettings) -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
    let builder =
        SdkTracerProvider::builder().with_resource(resource(settings)).with_sampler(sampler(settings.sampler));
    let builder: TracerProviderBuilder = match &settings.traces {
        Exporter::None => return Ok(None),
        Exporter::Console => {
            let config = BatchConfigBuilder::default()
                .with_scheduled_delay(CONSOLE_DELAY)
                .with_max_queue_size(CONSOLE_QUEUE)
                .with_max_export_batch_size(CONSOLE_BATCH);
            builder.with_span_processor(BatchSpanProcessor::builder(Console).with_batch_config(config.build()).build())
        }
        Exporter::Otlp { protocol, endpoint } => builder.with_batch_exporter(match protocol {
            Protocol::Grpc => SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?,
            Protocol::HttpProtobuf => SpanExporter::builder()
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(endpoint)
                .build()?,
        }),
    };
    Ok(Some(builder.build()))
}

/// Adds the reader that pushes metrics, if they are to be pushed.
pub(super) fn metrics(
    settings: &TelemetrySettings,
    builder: MeterProviderBuilder,
) -> Result<SdkMeterProvider, ExporterBuildError> {
    let builder = builder.with_resource(resource(settings));
    let builder = match &settings.metrics {
        Exporter::None => builder,
        Exporter::Console => builder.with_reader(periodic(Console, settings)),
        Exporter::Otlp { protocol, endpoint } => {
            let exporter = match protocol {
                Protocol::Grpc => MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?,
                Protocol::HttpProtobuf => MetricExporter::builder()
                    .with_http()
                    .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                    .with_endpoint(endpoint)
                    .build()?,
            };
            builder.with_reader(periodic(exporter, settings))
        }
    };
    Ok(builder.build())
}

fn periodic<E: PushMetricExporter>(exporter: E, settings: &TelemetrySettings) -> PeriodicReader<E> {
    PeriodicReader::builder(exporter).with_interval(settings.interval).build()
}

/// `OTEL_SERVICE_NAME` wins over `service.name` among the resource's attributes, as the specification has it; the
/// default does not.
pub(super) fn resource(settings: &TelemetrySettings) -> Resource {
    let attributes = settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("telemetry.sdk.language", "rust"))
        .with_attribute(KeyValue::new("telemetry.sdk.name", "opentelemetry"))
        .with_attributes(attributes)
        .with_service_name(settings.service.clone())
        .build()
}

fn sampler(sampling: Sampling) -> Sampler {
    let choice = |choice| match choice {
        Choice::On => Sampler::AlwaysOn,
        Choice::Off => Sampler::AlwaysOff,
        Choice::Ratio(part) => Sampler::TraceIdRatioBased(part),
    };
    match sampling {
        Sampling::Root(root) => choice(root),
        Sampling::ParentBased(root) => Sampler::ParentBased(Box::new(choice(root))),
    }
}

/// Writes spans and metrics into the process log, one line each.
#[derive(Debug)]
struct Console;

impl opentelemetry_sdk::trace::SpanExporter for Console {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &batch {
            tracing::info!(target: "tollgate::span", "{}", SpanLine(span));
        }
        Ok(())
    }
}

impl PushMetricExporter for Console {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
            for point in points(metric) {
                tracing::info!(target: "tollgate::metric", "{}{point}", metric.name());
            }
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// A span on one line: kind, name, time taken, whether it failed, ids, attributes.
struct SpanLine<'a>(&'a SpanData);

impl fmt::Display for SpanLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(span) = self;
        let took = span.end_time.duration_since(span.start_time).unwrap_or_default();
        let failed = if matches!(span.status, Status::Error { .. }) { " FAILED" } else { "" };
        let kind = format!("{:?}", span.span_kind).to_uppercase();
        // The name has a part that the caller chose.
        write!(f, "{kind} {} {took:.1?}{failed}", span.name.escape_debug())?;
        write!(f, " trace={:032x} span={:016x}", span.span_context.trace_id(), span.span_context.span_id())?;
        if span.parent_span_id != SpanId::INVALID {
            write!(f, " parent={:016x}", span.parent_span_id)?;
        }
        f.write_str(&attributes(&span.attributes))
    }
}

fn attributes<'a>(attributes: impl IntoIterator<Item = &'a KeyValue>) -> String {
    attributes.into_iter().fold(String::new(), |mut text, pair| {
        // Writing to a String cannot fail.
        let _ = write!(text, " {}={}", pair.key, pair.value.as_str().escape_debug());
        text
    })
}

/// The points of a metric, as text: attributes and value.
fn points(metric: &Metric) -> Vec<String> {
    match metric.data() {
        AggregatedMetrics::F64(data) => values(data),
        AggregatedMetrics::U64(data) => values(data),
        AggregatedMetrics::I64(data) => values(data),
    }
}

fn values<T: fmt::Display + Copy>(data: &MetricData<T>) -> Vec<String> {
    match data {
        MetricData::Gauge(gauge) => {
            gauge.data_points().map(|it| format!("{} value={}", attributes(it.attributes()), it.value())).collect()
        }
        MetricData::Sum(sum) => {
            sum.data_points().map(|it| format!("{} value={}", attributes(it.attributes()), it.value())).collect()
        }
        MetricData::Histogram(histogram) => histogram
            .data_points()
            .map(|it| format!("{} count={} sum={}", attributes(it.attributes()), it.count(), it.sum()))
            .collect(),
        MetricData::ExponentialHistogram(_) => Vec::new(),
    }
}
