//! The tower layers around the gateway: what does not care what is inside.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body, Incoming};
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use super::taken::Taken;
use super::{Broken, GateBody, Gateway, Peer, respond};

type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// Headers that no log may show.
const CREDENTIALS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// The service of one connection. First line first to see the request.
pub fn service(
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
) -> impl Service<Request<Incoming>, Response = Response<BoxBody>, Error = Infallible, Future: Send> + Clone {
    around(move |request: Request<Incoming>| {
        let (gateway, peer) = (Arc::clone(&gateway), Arc::clone(&peer));
        let asking = peer.asks();
        async move {
            let version = request.version();
            let mut answer = gateway.answer(request, &peer).await;
            if gateway.draining.is_cancelled() && version <= Version::HTTP_11 {
                // Told so, a client does not send its next call into a connection that is being closed.
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            answer.map(|body| Taken::new(body, asking))
        }
    })
}

/// The layers around whatever answers.
fn around<A, F, B>(
    answer: A,
) -> impl Service<Request<Incoming>, Response = Response<BoxBody>, Error = Infallible, Future: Send> + Clone
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Broken> + Send + 'static,
{
    ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked)) // one message's panic is one message's failure
        .layer(SetSensitiveRequestHeadersLayer::new(CREDENTIALS)) // before anything can log a header
        .service(service_fn(move |request: Request<Incoming>| {
            // In a box of its own it goes when the answer begins; hyper keeps what it holds by value as long as the stream.
            let answer = boxed(|| answer(request));
            async move { Ok(answer.await) }
        }))
}

/// A future in a box of its own, made where it stays: a large one would be copied whole.
pub(super) fn boxed<F>(future: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), future()))
}

fn panicked(_: Box<dyn Any + Send>) -> Response<GateBody> {
    // What a panic says may hold a caller's data; the hook has logged where it was.
    respond::panicked()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use http::StatusCode;
    use http_body_util::{BodyExt as _, Collected, Empty, Limited};
    use hyper::body::Frame;
    use hyper::{client, server};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::service::TowerToHyperService;
    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn one_messages_panic_is_one_messages_failure() {
        let answers = |request: Request<Incoming>| async move {
            assert!(request.uri().path() != "/panics", "with what a caller has said");
            Response::new(GateBody::whole(Bytes::from_static(b"fine")))
        };
        let (ours, theirs) = tokio::io::duplex(4096);
        let service = TowerToHyperService::new(around(answers));
        let tasks = TaskTracker::new();
        let serving = tasks.spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
        let connection = tasks.spawn(connection);
        for (path, status, says) in [("/", 200, "fine"), ("/panics", 500, "internal error"), ("/", 200, "fine")] {
            let request =
                Request::builder().uri(path).header(header::HOST, "gate").body(Empty::<Bytes>::new()).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::from_u16(status).unwrap());
            #[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
            let body = Limited::new(answer.into_body(), 4096).collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains(says) && !body.contains("a caller has said"), "{body}");
        }
        drop(sender);
        assert!(serving.await.unwrap().is_ok() && connection.await.unwrap().is_ok());
    }

    /// An answer that begins well.
    enum Flowing {
        Fine(Option<Bytes>),
        Panics(Option<Bytes>),
    }

    impl Body for Flowing {
        type Data = Bytes;
        type Error = Broken;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
            let next = match &mut *self {
                Self::Fine(begin) => begin.take(),
                Self::Panics(begin) => Some(begin.take().expect("what an injected panic is about")),
            };
            Poll::Ready(next.map(|data| Ok(Frame::data(data))))
        }
    }

    fn flows(request: &Request<Incoming>) -> impl Future<Output = Response<Flowing>> + use<> {
        let begin = Some(Bytes::from_static(b"fine"));
        let body = if request.uri().path() == "/panics" { Flowing::Panics(begin) } else { Flowing::Fine(begin) };
        async move { Response::new(body) }
    }

    /// What comes of an answer; `None` if it breaks off.
    async fn all(answer: Response<Incoming>) -> Option<Bytes> {
        #[expect(clippy::disallowed_methods, reason = "`collect` is bounded by `Limited`")]
        let whole = Limited::new(answer.into_body(), 4096).collect().await;
        whole.ok().map(Collected::to_bytes)
    }

    fn request(path: &str) -> Request<Empty<Bytes>> {
        Request::builder().uri(format!("http://gate{path}")).header(header::HOST, "gate").body(Empty::new()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_in_an_answer_that_has_begun_breaks_off_that_answer_alone() {
        let tasks = TaskTracker::new();
        // Over HTTP/2 the connection and the other answers go on.
        let (ours, theirs) = tokio::io::duplex(4096);
        let service = TowerToHyperService::new(around(|request: Request<Incoming>| flows(&request)));
        let serving = server::conn::http2::Builder::new(TokioExecutor::new());
        tasks.spawn(serving.serve_connection(TokioIo::new(theirs), service));
        let (mut sender, connection) =
            client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(ours)).await.unwrap();
        tasks.spawn(connection);
        for (path, comes) in [("/", Some("fine")), ("/panics", None), ("/", Some("fine"))] {
            let answer = sender.send_request(request(path)).await.unwrap();
            assert_eq!(all(answer).await.as_deref(), comes.map(str::as_bytes), "{path}");
        }
        // Over HTTP/1 its connection ends, and the answer is not one that looks whole.
        let (ours, theirs) = tokio::io::duplex(4096);
        let service = TowerToHyperService::new(around(|request: Request<Incoming>| flows(&request)));
        tasks.spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
        tasks.spawn(connection);
        let answer = match sender.send_request(request("/panics")).await {
            Ok(answer) => all(answer).await,
            Err(_broken_off) => None,
        };
        assert_eq!(answer, None);
    }
}
