//! The tower layers around the gateway: what does not care what is inside.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use super::{GateBody, Gateway, Peer, respond};

type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// Headers that no log may show.
const CREDENTIALS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// The service of one connection. First line first to see the request.
pub fn service(
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
) -> impl Service<Request<Incoming>, Response = Response<BoxBody>, Error = Infallible, Future: Send> + Clone {
    ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked)) // one message's panic is one message's failure
        .layer(SetSensitiveRequestHeadersLayer::new(CREDENTIALS)) // before anything can log a header
        .service(service_fn(move |request: Request<Incoming>| {
            let (gateway, peer) = (Arc::clone(&gateway), Arc::clone(&peer));
            // In a box of its own it goes when the answer begins; hyper keeps what it holds by value as long as the stream.
            let answer = Box::pin(async move {
                let version = request.version();
                let mut answer = gateway.answer(request, &peer).await;
                if gateway.draining.is_cancelled() && version <= Version::HTTP_11 {
                    // Told so, a client does not send its next call into a connection that is being closed.
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                answer
            });
            async move { Ok(answer.await) }
        }))
}

fn panicked(_: Box<dyn Any + Send>) -> Response<GateBody> {
    // What a panic says may hold a caller's data; the hook has logged where it was.
    respond::panicked()
}
