//! The server behind the gate: as little work as a server can do, so that what stands before it shows.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::{Interval, interval};
use tokio_util::task::TaskTracker;
use tollgate::json::Bounds;
use tollgate::mcp::{self, Call};

use crate::process::announce;
use crate::wire::{PACED, Tool};
use crate::{Failure, pace};

/// Serves until it is killed.
pub(crate) fn serve() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (listener, tasks) = (announce().await?, TaskTracker::new());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tasks.spawn(async { connection.await.ok() });
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    const LARGEST: usize = 1 << 20;
    let body = match Limited::new(request.into_body(), LARGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_broken) => return Ok(refused()),
    };
    let Ok(call) = mcp::read(&body, &Bounds::default()) else {
        return Ok(refused());
    };
    if call.target().name() == Some(PACED) {
        return Ok(paced(&call));
    }
    Ok(match call.target().name().and_then(Tool::named) {
        Some(Tool::Echo) => {
            let arguments = call.arguments().unwrap_or_default();
            json(Bytes::from(result(&call, &String::from_utf8_lossy(&arguments))))
        }
        Some(Tool::Blob16k) => json(BLOB_16K.get_or_init(|| blob(&call, 1 << 14)).clone()),
        Some(Tool::Blob1m) => json(BLOB_1M.get_or_init(|| blob(&call, 1 << 20)).clone()),
        Some(Tool::Sse1) => events(&call, 0),
        Some(Tool::Sse100) => events(&call, 99),
        None => refused(),
    })
}

/// Long answers are made once: every call of the load has the same id.
static BLOB_16K: OnceLock<Bytes> = OnceLock::new();
static BLOB_1M: OnceLock<Bytes> = OnceLock::new();

fn blob(call: &Call, length: usize) -> Bytes {
    let line = "A line of a document, as tools return them: \"quoted\", with a few words and an end.\n";
    Bytes::from(result(call, &line.repeat(length / line.len())))
}

/// The answer to a call: a result with one text, which stands in it as a string.
fn result(call: &Call, text: &str) -> String {
    let id = call.id().map_or("null", |id| id.as_json());
    let mut quoted = String::with_capacity(text.len() + 64);
    tollgate::json::quote(text, &mut quoted);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{quoted}}}],"isError":false}}}}"#
    )
}

fn json(text: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn events(call: &Call, notifications: u32) -> Response<Answer> {
    stream(Answer::Events { told: 0, of: notifications, last: Some(last_event(call)) })
}

fn paced(call: &Call) -> Response<Answer> {
    stream(Answer::Paced { ticks: interval(pace::INTERVAL), told: 0, last: Some(last_event(call)) })
}

fn last_event(call: &Call) -> Bytes {
    Bytes::from(format!("event: message\ndata: {}\n\n", result(call, "done")))
}

fn stream(answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn refused() -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// A body: all of it, or events as fast as they are taken, or in their own time.
enum Answer {
    Whole(Option<Bytes>),
    Events { told: u32, of: u32, last: Option<Bytes> },
    Paced { ticks: Interval, told: u32, last: Option<Bytes> },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Paced { ticks, told, last } => {
                ready!(ticks.poll_tick(cx));
                *told += 1;
                if *told <= pace::EVENTS { Some(Bytes::from(pace::stamped())) } else { last.take() }
            }
            Self::Whole(bytes) => bytes.take(),
            Self::Events { told, of, last } if told == of => last.take(),
            Self::Events { told, of, .. } => {
                *told += 1;
                Some(Bytes::from(format!(
                    "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\
                     \"level\":\"info\",\"data\":\"step {told} of {of}, with some words that fill the event up\"}}}}\n\n"
                )))
            }
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |it| it.len() as u64)),
            Self::Events { .. } | Self::Paced { .. } => SizeHint::default(),
        }
    }
}
