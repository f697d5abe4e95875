//! Streamable HTTP to one server, over pooled connections.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Scheme, Uri};
use http::{Method as HttpMethod, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::error::chain;
use super::{SESSION_ID, Sessions, UpstreamError, headers};
use crate::limits::Admission;
use crate::mcp::{Era, Method};

/// An MCP server behind the gate.
#[derive(Debug)]
pub struct Upstream {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    sessions: Sessions,
    tasks: TaskTracker,
}

/// What travels with a call beside its body.
#[derive(Debug)]
pub struct Carried<'a> {
    /// The caller's headers; those that may pass do.
    pub headers: &'a HeaderMap,
    /// The other end of the caller's connection.
    pub peer: IpAddr,
    /// The decision's id.
    pub request_id: HeaderValue,
}

/// What the server said.
#[derive(Debug)]
pub struct Reply {
    /// Status and headers, already fit for the caller.
    pub head: http::response::Parts,
    /// The body.
    pub body: ReplyBody,
}

/// A reply's body: short JSON as a whole, anything else as it comes.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// A stream of it.
    Stream(Incoming),
}

/// A connection stands within this, or the server is not there.
const CONNECT: Duration = Duration::from_secs(1);
/// Kept-alive connections go before Node's and Python's servers close them (after 5 s), so that no request is written
/// into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// How long a server may be silent about anything but a tool call, which has a timeout of its own.
const SILENCE: Duration = Duration::from_mins(1);
/// JSON up to this length is read as a whole, so that a server that breaks off is told of properly.
const SHORT: u64 = 64 * 1024;

const PRINCIPAL: HeaderName = HeaderName::from_static("x-gateway-principal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Upstream {
    /// A server at this URL. Nothing is connected yet. What nobody awaits runs on `tasks`.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn new(url: Uri, tasks: TaskTracker) -> std::io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = if *url.scheme().unwrap_or(&Scheme::HTTP) == Scheme::HTTPS {
            HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().wrap_connector(connector)
        } else {
            let no_roots = rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            HttpsConnectorBuilder::new()
                .with_tls_config(no_roots)
                .https_or_http()
                .enable_http1()
                .wrap_connector(connector)
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(1024)
            .set_host(true)
            .build(connector);
        Ok(Self { url, client, sessions: Sessions::default(), tasks })
    }

    /// The legacy sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Asks the server for anything at all, and waits a moment for any answer: then it is there.
    pub async fn answers(&self) -> bool {
        // OPTIONS begins no session and runs nothing, whatever the server makes of it.
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = HttpMethod::OPTIONS;
        *request.uri_mut() = self.url.clone();
        matches!(timeout_at(Instant::now() + CONNECT, self.client.request(request)).await, Ok(Ok(_)))
    }

    /// Carries an admitted call. Never twice: what was sent once may have run.
    ///
    /// # Errors
    /// There is no proper reply; the error says whether the call may have run.
    pub async fn send(&self, admission: &Admission, carried: Carried<'_>) -> Result<Reply, UpstreamError> {
        let headers = carried.headers;
        let reply = self.attempt(admission, carried).await;
        if matches!(reply, Err(UpstreamError::TimedOut(_))) {
            self.abandon(admission, headers);
        }
        reply
    }

    async fn attempt(&self, admission: &Admission, carried: Carried<'_>) -> Result<Reply, UpstreamError> {
        let session = self.session(admission, carried.headers)?;
        let request = self.request(admission, carried, session.as_ref().map(|(_, theirs)| theirs.clone()));
        let silence = admission.permit().tool().map_or(SILENCE, |tool| tool.timeout);
        let deadline = Instant::now() + silence;
        let response = timeout_at(deadline, self.client.request(request)).await;
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() => {
                return Err(UpstreamError::Unreachable(chain(&error)));
            }
            Ok(Err(error)) => return Err(UpstreamError::BrokeOff(chain(&error))),
            Err(_) => return Err(UpstreamError::TimedOut(silence)),
        };
        let (mut head, body) = response.into_parts();
        acceptable(&head)?;
        let ours = self.our_session(admission, &head, session.map(|(ours, _)| ours));
        headers::to_caller(&mut head.headers);
        if let Some(ours) = ours {
            head.headers.insert(SESSION_ID, ours);
        }
        let body = match timeout_at(deadline, whole(&head.headers, body)).await {
            Ok(body) => body?,
            Err(_) => return Err(UpstreamError::TimedOut(silence)),
        };
        Ok(Reply { head, body })
    }

    /// Tells a legacy server that nobody waits for this call any more; a modern one knows from the connection's end.
    /// The caller has its answer by then, and whether the server hears of it changes nothing: so it is not awaited.
    pub fn abandon(&self, admission: &Admission, headers: &HeaderMap) {
        let call = admission.permit().call();
        let (Some(id), Era::Legacy) = (call.id(), call.era()) else {
            return;
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"timeout"}}}}"#,
            id.as_json()
        );
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = HttpMethod::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers::to_server(headers);
        if let Ok(Some((_, theirs))) = self.session(admission, headers) {
            request.headers_mut().insert(SESSION_ID, theirs);
        }
        let sent = timeout_at(Instant::now() + CONNECT, self.client.request(request));
        self.tasks.spawn(async move {
            if !matches!(sent.await, Ok(Ok(_))) {
                tracing::debug!("the server did not take a cancellation");
            }
        });
    }

    /// Our id and theirs, for a legacy message that names a session. Modern ones have none; a stray header means
    /// nothing then.
    fn session(
        &self,
        admission: &Admission,
        headers: &HeaderMap,
    ) -> Result<Option<(HeaderValue, HeaderValue)>, UpstreamError> {
        let permit = admission.permit();
        let Some(ours) = headers.get(&SESSION_ID).filter(|_| permit.call().era() == Era::Legacy) else {
            return Ok(None);
        };
        let theirs = self.sessions.find(ours, permit.principal()).ok_or(UpstreamError::NoSession)?;
        Ok(Some((ours.clone(), theirs)))
    }

    /// The session that the caller is told of, if any: the one it named, or the one that its `initialize` began.
    fn our_session(
        &self,
        admission: &Admission,
        head: &http::response::Parts,
        named: Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        let permit = admission.permit();
        if let Some(ours) = named {
            let ended = permit.call().method() == Method::EndSession && head.status.is_success();
            if ended || head.status == http::StatusCode::NOT_FOUND {
                self.sessions.end(&ours);
            }
            return head.headers.contains_key(&SESSION_ID).then_some(ours);
        }
        let theirs = head.headers.get(&SESSION_ID)?;
        let begins = permit.call().method() == Method::Initialize && head.status.is_success();
        begins.then(|| self.sessions.begin(permit.principal(), theirs.clone())).flatten()
    }

    fn request(
        &self,
        admission: &Admission,
        carried: Carried<'_>,
        session: Option<HeaderValue>,
    ) -> Request<Full<Bytes>> {
        let permit = admission.permit();
        let call = permit.call();
        let mut request = Request::new(Full::new(call.body().clone()));
        *request.method_mut() = match call.method() {
            Method::OpenStream => HttpMethod::GET,
            Method::EndSession => HttpMethod::DELETE,
            _ => HttpMethod::POST,
        };
        *request.uri_mut() = self.url.clone();
        let mut headers = headers::to_server(carried.headers);
        let own = [
            (SESSION_ID, session),
            (PRINCIPAL, HeaderValue::from_str(permit.principal().id()).ok()),
            (FORWARDED_FOR, HeaderValue::from_str(&carried.peer.to_string()).ok()),
            (REQUEST_ID, Some(carried.request_id)),
        ];
        for (name, value) in own {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        *request.headers_mut() = headers;
        request
    }
}

/// Redirects are followed for nobody, demands for credentials are the operator's to answer, and no protocol but HTTP
/// is spoken; a failure without a message is told by the gate. Everything else passes, with its meaning.
fn acceptable(head: &http::response::Parts) -> Result<(), UpstreamError> {
    let status = head.status;
    let encoded = head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let unspeaking = status.is_server_error() && media_type(&head.headers) != MediaType::Json;
    let foreign = status.is_redirection() || status.is_informational() || matches!(status.as_u16(), 401 | 407);
    if foreign || unspeaking || encoded {
        return Err(UpstreamError::Unacceptable(status.as_u16()));
    }
    Ok(())
}

/// Short JSON as a whole; anything else as it comes.
async fn whole(headers: &HeaderMap, mut body: Incoming) -> Result<ReplyBody, UpstreamError> {
    let length = body.size_hint().exact();
    if length == Some(0) {
        return Ok(ReplyBody::Whole(Bytes::new()));
    }
    let short = length.is_some_and(|length| length <= SHORT);
    if !short || media_type(headers) == MediaType::EventStream {
        return Ok(ReplyBody::Stream(body));
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::BrokeOff(chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        match first.take() {
            None if all.is_empty() => first = Some(data),
            before => {
                all.extend_from_slice(&before.unwrap_or_default());
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(ReplyBody::Whole(first.unwrap_or_else(|| all.freeze())))
}

/// What a reply's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    EventStream,
    /// Anything else, or nothing.
    Other,
}

/// The media type, whatever its parameters and case.
pub fn media_type(headers: &HeaderMap) -> MediaType {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        MediaType::Json
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        MediaType::EventStream
    } else {
        MediaType::Other
    }
}
