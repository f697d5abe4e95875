//! Spans and metrics that really leave, to a collector over real sockets.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::*;
use crate::telemetry::settings::{Exporter, Protocol};

/// What was posted: path and body.
type Posted = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that takes everything, by HTTP/1.1 and by gRPC.
async fn collector() -> (String, Posted) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let posted = Posted::default();
    let kept = Arc::clone(&posted);
    TaskTracker::new().spawn(async move {
        let connections = TaskTracker::new();
        while let Ok((stream, _)) = listener.accept().await {
            let posted = Arc::clone(&kept);
            connections.spawn(async move {
                let service = service_fn(move |request| take(request, Arc::clone(&posted)));
                let builder = auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (url, posted)
}

type Body = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, hyper::Error>>>>;

async fn take(request: Request<Incoming>, posted: Posted) -> hyper::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let mut frames = Vec::new();
    if path.contains("Service/Export") {
        // An empty message, and the status that ends a gRPC answer.
        let trailers = [("grpc-status", "0")]
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        frames.push(Ok(Frame::data(Bytes::from_static(&[0; 5]))));
        frames.push(Ok(Frame::trailers(HeaderMap::from_iter(trailers))));
    }
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend(frame?.into_data().unwrap_or_default());
    }
    posted.lock().unwrap().push((path, bytes));
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

async fn leaves(protocol: Protocol, traces: &str, metrics: &str) {
    let (url, posted) = collector().await;
    let otlp = |path: &str| Exporter::Otlp {
        protocol,
        endpoint: match protocol {
            Protocol::Grpc => url.clone(),
            Protocol::HttpProtobuf => format!("{url}{path}"),
        },
    };
    let settings = TelemetrySettings {
        traces: otlp(traces),
        metrics: otlp(metrics),
        resource: vec![("deployment.environment.name".to_owned(), "test-7".to_owned())],
        ..TelemetrySettings::quiet()
    };
    let (telemetry, guard) = Telemetry::start_with(&settings, io::sink()).unwrap();
    telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    tokio::task::spawn_blocking(|| guard.shutdown()).await.unwrap();
    let posted = posted.lock().unwrap();
    let body = |path: &str| {
        let found = posted.iter().find(|(known, _)| known == path);
        found.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap()
    };
    let (spans, points) = (body(traces), body(metrics));
    assert!(spans.contains("tools/call search") && spans.contains("test-7") && spans.contains("alice"));
    assert!(points.contains("mcp.tool.calls") && points.contains("test-7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_metrics_leave_by_http() {
    leaves(Protocol::HttpProtobuf, "/v1/traces", "/v1/metrics").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_metrics_leave_by_grpc() {
    const COLLECTOR: &str = "/opentelemetry.proto.collector";
    let traces = format!("{COLLECTOR}.trace.v1.TraceService/Export");
    let metrics = format!("{COLLECTOR}.metrics.v1.MetricsService/Export");
    leaves(Protocol::Grpc, &traces, &metrics).await;
}

#[test]
fn a_collector_that_never_answers_holds_the_end_up_for_five_seconds_at_most() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let settings = TelemetrySettings {
        traces: Exporter::Otlp {
            protocol: Protocol::HttpProtobuf,
            endpoint: format!("http://{}/v1/traces", silent.local_addr().unwrap()),
        },
        ..TelemetrySettings::quiet()
    };
    let (telemetry, guard) = Telemetry::start_with(&settings, io::sink()).unwrap();
    telemetry.open(search(), &HeaderMap::new()).close(Outcome::Ok);
    let begun = clock::monotonic();
    guard.shutdown();
    assert!(begun.elapsed() < SHUTDOWN + Duration::from_secs(2));
}
