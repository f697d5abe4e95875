//! Recorders, spans, metrics and lines together, through the public door.

mod export;
mod metric;
mod panics;
mod record;
mod span;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderValue;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};

use super::*;
use crate::audit::Audit;
use crate::exchange::{Outcome, ToolLabel};
use crate::identity::Principal;
use crate::json::Bounds;
use crate::jsonrpc::code;
use crate::mcp::{self, Call, Method, ServerName};
use crate::policy::RuleId;

/// Standard output, as far as a test is concerned.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A collector, as far as a test is concerned.
#[derive(Clone, Debug, Default)]
struct Collected(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Collected {
    async fn export(&self, batch: Vec<SpanData>) -> Result<(), OTelSdkError> {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Telemetry whose spans and lines can be looked at.
struct Fixture {
    telemetry: Arc<Telemetry>,
    guard: TelemetryGuard,
    spans: Collected,
    sink: Sink,
}

impl Fixture {
    fn sampling(sampler: Sampler) -> Self {
        let spans = Collected::default();
        let provider = SdkTracerProvider::builder().with_sampler(sampler).with_simple_exporter(spans.clone()).build();
        Self::with(Some(provider), spans)
    }

    fn untraced() -> Self {
        Self::with(None, Collected::default())
    }

    /// Everything sampled, with what is said or without.
    fn showing(content: Content) -> Self {
        let spans = Collected::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        Self::telling(Some(provider), spans, &TelemetrySettings { content, ..TelemetrySettings::quiet() })
    }

    fn with(provider: Option<SdkTracerProvider>, spans: Collected) -> Self {
        Self::telling(provider, spans, &TelemetrySettings::quiet())
    }

    fn telling(provider: Option<SdkTracerProvider>, spans: Collected, settings: &TelemetrySettings) -> Self {
        let sink = Sink::default();
        let meters = Meters::start(settings).unwrap();
        let nothing = (Audit::off(), Observed::default());
        let (telemetry, guard) =
            Telemetry::assemble((meters, provider), settings.content, sink.clone(), nothing).unwrap();
        Self { telemetry, guard, spans, sink }
    }

    fn spans(&self) -> Vec<SpanData> {
        self.spans.0.lock().unwrap().clone()
    }

    /// The lines, once all are written.
    fn lines(&self) -> Vec<serde_json::Value> {
        self.telemetry.lines.flush(clock::monotonic() + SHUTDOWN).unwrap();
        let text = String::from_utf8(self.sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn metric(&self, line: &str) -> bool {
        self.telemetry.metrics_text().lines().any(|known| known == line)
    }
}

const META: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HTTP: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn call(method: &str, params: &serde_json::Value) -> Arc<Call> {
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
    Arc::new(mcp::read(&Bytes::from(body), &Bounds::default()).unwrap())
}

fn exchange(call: Option<Arc<Call>>) -> Exchange {
    let peer = SocketAddr::from(([192, 0, 2, 7], 4711));
    let mut exchange = Exchange::begin(peer, ServerName::new("records").unwrap(), Arc::from("0123456789ab"));
    exchange.principal = Some(Arc::new(Principal::for_test("alice", &["reader"])));
    exchange.rule = Some(RuleId::at("policies/records.yaml", 4, "roles.reader.tools"));
    exchange.call = call;
    exchange
}

fn search() -> Exchange {
    let mut exchange =
        exchange(Some(call("tools/call", &serde_json::json!({"name": "search", "arguments": {"a": "s3cret"}}))));
    exchange.tool = ToolLabel::Name;
    exchange
}

fn traced(meta: &str) -> Exchange {
    exchange(Some(call("tools/call", &serde_json::json!({"name": "search", "_meta": {"traceparent": meta}}))))
}

fn url() -> http::Uri {
    http::Uri::from_static("http://127.0.0.1:8000/mcp")
}

fn headers(traceparent: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), HeaderValue::from_str(traceparent).unwrap())])
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
}

fn of_kind(spans: &[SpanData], kind: &SpanKind) -> SpanData {
    spans.iter().find(|span| span.span_kind == *kind).unwrap().clone()
}
