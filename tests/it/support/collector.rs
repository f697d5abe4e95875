//! An OpenTelemetry collector: takes what comes by HTTP and by gRPC, and reads it with the official messages.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::until;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It takes everything at once.
    Ready,
    /// It answers after so long.
    Slow(Duration),
    /// It takes connections, and never says a word.
    BlackHole,
}

/// What has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) spans: Vec<Span>,
    /// Of each metric what came last.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) resource: Vec<KeyValue>,
    /// How many requests there were.
    pub(crate) requests: usize,
}

/// The collector. Ends when it is dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Collector {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let received = Arc::<Mutex<Received>>::default();
        let kept = Arc::clone(&received);
        let accepting = tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                if mood == Mood::BlackHole {
                    silent.push(stream);
                    continue;
                }
                let received = Arc::clone(&kept);
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(request, mood, Arc::clone(&received)));
                    drop(
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await,
                    );
                });
            }
        });
        Self { url, received, accepting }
    }

    pub(crate) fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }

    /// Waits until what has come is enough; else what has come instead.
    pub(crate) async fn wait_for(&self, enough: impl Fn(&Received) -> bool) -> Received {
        let came = until(super::DEADLINE, async || enough(&self.received.lock().unwrap())).await;
        let received = self.received();
        assert!(came, "it does not come; but: {received:#?}");
        received
    }
}

type Answer = Response<StreamBody<futures_util::stream::Iter<std::vec::IntoIter<hyper::Result<Frame<Bytes>>>>>>;

async fn take(request: Request<Incoming>, mood: Mood, received: Arc<Mutex<Received>>) -> hyper::Result<Answer> {
    let path = request.uri().path().to_owned();
    let by_grpc = request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
    let body = request.into_body().collect().await?.to_bytes();
    if let Mood::Slow(pause) = mood {
        sleep(pause).await;
    }
    // A gRPC message has a length before it (and a byte that says that it is not compressed).
    received.lock().unwrap().take(&path, if by_grpc { body.slice(5..) } else { body });
    let mut frames = Vec::new();
    if by_grpc {
        // An empty message, and the status that ends a gRPC answer.
        let status = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        frames.extend([Ok(Frame::data(Bytes::from_static(&[0; 5]))), Ok(Frame::trailers(status))]);
    }
    let mut answer = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    let kind = if by_grpc { "application/grpc" } else { "application/x-protobuf" };
    answer.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    Ok(answer)
}

impl Received {
    fn take(&mut self, path: &str, body: Bytes) {
        self.requests += 1;
        if path.contains("trace") {
            for part in ExportTraceServiceRequest::decode(body).expect("spans").resource_spans {
                self.resource = part.resource.unwrap_or_default().attributes;
                self.spans.extend(part.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        } else if path.contains("metrics") {
            for part in ExportMetricsServiceRequest::decode(body).expect("metrics").resource_metrics {
                self.metrics = part.scope_metrics.into_iter().flat_map(|scope| scope.metrics).collect();
            }
        } else {
            for part in ExportLogsServiceRequest::decode(body).expect("logs").resource_logs {
                self.logs.extend(part.scope_logs.into_iter().flat_map(|scope| scope.log_records));
            }
        }
    }
}

/// Attributes as `name=value`, in the order of their names.
pub(crate) fn told(attributes: &[KeyValue]) -> Vec<String> {
    let mut told: Vec<_> =
        attributes.iter().map(|pair| format!("{}={}", pair.key, text(pair.value.as_ref()))).collect();
    told.sort();
    told
}

/// One attribute's value.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    attributes.iter().find(|pair| pair.key == name).map(|pair| text(pair.value.as_ref()))
}

/// A value as text.
pub(crate) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

/// An id as hexadecimal digits.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
