//! Streamable HTTP to one server, over pooled connections.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Scheme, Uri};
use http::{Method as HttpMethod, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::error::chain;
use super::{UpstreamError, headers};
use crate::limits::Admission;
use crate::mcp::{Era, Method};
use crate::state::{Conversation, Declined, SESSION_ID};

/// An MCP server behind the gate.
#[derive(Debug)]
pub struct Upstream {
    endpoints: Endpoints,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    tasks: TaskTracker,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// It speaks Streamable HTTP here.
    Streamable(Uri),
    /// It speaks HTTP+SSE (2024-11-05): its stream is here.
    Sse(Uri),
    /// It speaks both.
    Both {
        /// Its endpoint of Streamable HTTP.
        streamable: Uri,
        /// Its stream of HTTP+SSE.
        sse: Uri,
    },
}

impl Endpoints {
    /// Its endpoint of Streamable HTTP.
    pub fn streamable(&self) -> Option<&Uri> {
        match self {
            Self::Streamable(url) | Self::Both { streamable: url, .. } => Some(url),
            Self::Sse(_) => None,
        }
    }

    /// Its stream of HTTP+SSE.
    pub fn sse(&self) -> Option<&Uri> {
        match self {
            Self::Sse(url) | Self::Both { sse: url, .. } => Some(url),
            Self::Streamable(_) => None,
        }
    }

    /// Whichever there is.
    pub fn any(&self) -> &Uri {
        match self {
            Self::Streamable(url) | Self::Sse(url) | Self::Both { streamable: url, .. } => url,
        }
    }
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
    /// JSON up to this length is read before anything of it passes.
    pub held: usize,
}

/// On whose behalf the gate says something of its own to a server.
#[derive(Clone, Copy, Debug)]
pub struct Behalf<'a> {
    /// Whose call it is about.
    pub admission: &'a Admission,
    /// Where that belongs.
    pub conversation: &'a Conversation,
    /// The protocol revision that its caller's headers name.
    pub version: Option<&'a HeaderValue>,
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
    /// What has come, and what is still to come.
    Stream(Bytes, Incoming),
}

/// A connection stands within this, or the server is not there.
const CONNECT: Duration = Duration::from_secs(1);
/// Kept-alive connections go before Node's and Python's servers close them (after 5 s), so that no request is written
/// into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// How long a server may be silent about anything but a tool call, which has a timeout of its own.
const SILENCE: Duration = Duration::from_mins(1);

/// When to ask again for a stream whose predecessor the server has not seen the end of.
const STILL_OPEN: [Duration; 3] = [Duration::from_millis(10), Duration::from_millis(40), Duration::from_millis(150)];

/// Names the protocol revision (MCP 2025-06-18 and later).
pub const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const PRINCIPAL: HeaderName = HeaderName::from_static("x-gateway-principal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Upstream {
    /// A server at this URL. Nothing is connected yet. What nobody awaits runs on `tasks`.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn new(endpoints: Endpoints, tasks: TaskTracker) -> std::io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let urls = || endpoints.streamable().into_iter().chain(endpoints.sse());
        let (tls, plain) =
            (|url: &Uri| url.scheme() == Some(&Scheme::HTTPS), |url: &Uri| url.scheme() != Some(&Scheme::HTTPS));
        let connector = if urls().any(tls) {
            let with_roots = HttpsConnectorBuilder::new().with_native_roots()?;
            // What is to be encrypted never goes out in clear by mistake.
            let https = if urls().any(plain) { with_roots.https_or_http() } else { with_roots.https_only() };
            https.enable_http1().wrap_connector(connector)
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
        Ok(Self { endpoints, client, tasks })
    }

    /// Where the server is.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Asks the server for anything at all, and waits a moment for any answer: then it is there.
    pub async fn answers(&self) -> bool {
        // OPTIONS begins no session and runs nothing, whatever the server makes of it.
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = HttpMethod::OPTIONS;
        *request.uri_mut() = self.endpoints.any().clone();
        matches!(timeout(CONNECT, self.client.request(request)).await, Ok(Ok(_)))
    }

    /// Carries an admitted call. Never twice: what was sent once may have run.
    ///
    /// # Errors
    /// There is no proper reply; the error says whether the call may have run.
    pub async fn send(
        &self,
        admission: &Admission,
        conversation: &Conversation,
        carried: Carried<'_>,
    ) -> Result<Reply, UpstreamError> {
        let behalf = Behalf { admission, conversation, version: carried.headers.get(VERSION) };
        let reply = self.attempt(admission, conversation, carried).await;
        if matches!(reply, Err(UpstreamError::TimedOut(_))) {
            self.abandon(behalf);
        }
        reply
    }

    async fn attempt(
        &self,
        admission: &Admission,
        conversation: &Conversation,
        carried: Carried<'_>,
    ) -> Result<Reply, UpstreamError> {
        let whole_up_to = carried.held;
        let request = self.request(admission, conversation, carried);
        let silence = admission.permit().tool().map_or(SILENCE, |tool| tool.timeout);
        let method = admission.permit().call().method();
        let response = match timeout(silence, self.ask(request, method)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() => {
                return Err(UpstreamError::Unreachable(chain(&error)));
            }
            Ok(Err(error)) => return Err(UpstreamError::BrokeOff(chain(&error))),
            Err(_) => return Err(UpstreamError::TimedOut(silence)),
        };
        let (mut head, body) = response.into_parts();
        acceptable(&head)?;
        headers::to_caller(&mut head.headers);
        let body = whole(&head.headers, body, whole_up_to, silence).await?;
        Ok(Reply { head, body })
    }

    /// Sends it and waits for the head of the answer. A listening stream that is refused because the session's last one
    /// is not over is asked for again: its caller may have closed that one just now, of which a server hears later
    /// through a gate. What was refused so has opened nothing.
    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        method: Method,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        if method == Method::OpenStream {
            for pause in STILL_OPEN {
                let response = self.client.request(request.clone()).await?;
                if response.status() != StatusCode::CONFLICT {
                    return Ok(response);
                }
                sleep(pause).await;
            }
        }
        self.client.request(request).await
    }

    /// Tells a legacy server that nobody waits for this call any more; a modern one knows from the connection's end.
    /// The caller has its answer by then, and whether the server hears of it changes nothing: so it is not awaited.
    pub fn abandon(&self, behalf: Behalf<'_>) {
        let call = behalf.admission.permit().call();
        let (Some(id), Era::Legacy) = (call.id(), call.era()) else {
            return;
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"timeout"}}}}"#,
            id.as_json()
        );
        let told = self.tell(Bytes::from(body), behalf);
        self.tasks.spawn(async move {
            if !told.await {
                tracing::debug!("the server did not take a cancellation");
            }
        });
    }

    /// Declines a question of a legacy server with this answer. Its client does not know of it, and nothing waits for the
    /// server to take it: so it is not awaited, either.
    pub fn decline(&self, declined: Declined, answer: String, behalf: Behalf<'_>) {
        let told = self.tell(Bytes::from(answer), behalf);
        self.tasks.spawn(async move {
            if !told.await {
                tracing::debug!("the server did not take the answer to what it may not ask");
            }
            drop(declined);
        });
    }

    /// Sends a message of the gate's own. Whether the server took it.
    fn tell(&self, message: Bytes, behalf: Behalf<'_>) -> impl Future<Output = bool> + use<> {
        let Behalf { admission, conversation, version } = behalf;
        let permit = admission.permit();
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = HttpMethod::POST;
        *request.uri_mut() = self.url(permit.call().method(), conversation);
        let headers = [
            (header::CONTENT_TYPE, Some(HeaderValue::from_static("application/json"))),
            (header::ACCEPT, Some(HeaderValue::from_static("application/json, text/event-stream"))),
            (VERSION, version.cloned()),
            (SESSION_ID, conversation.header().cloned()),
            (PRINCIPAL, HeaderValue::from_str(permit.principal().id()).ok()),
        ];
        *request.headers_mut() = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let sent = timeout(CONNECT, self.client.request(request));
        async move { matches!(sent.await, Ok(Ok(response)) if response.status().is_success()) }
    }

    /// Where this goes.
    fn url(&self, method: Method, conversation: &Conversation) -> Uri {
        let url = match (conversation, method) {
            (Conversation::Begins(_), Method::OpenStream) => self.endpoints.sse(),
            (Conversation::Begins(_) | Conversation::Stateless | Conversation::Within { .. }, _) => {
                conversation.url().or(self.endpoints.streamable())
            }
        };
        url.unwrap_or(self.endpoints.any()).clone()
    }

    fn request(
        &self,
        admission: &Admission,
        conversation: &Conversation,
        carried: Carried<'_>,
    ) -> Request<Full<Bytes>> {
        let permit = admission.permit();
        let call = permit.call();
        let mut request = Request::new(Full::new(call.body().clone()));
        *request.method_mut() = match call.method() {
            Method::OpenStream => HttpMethod::GET,
            Method::EndSession => HttpMethod::DELETE,
            _ => HttpMethod::POST,
        };
        *request.uri_mut() = self.url(call.method(), conversation);
        let mut headers = headers::to_server(carried.headers);
        let own = [
            (SESSION_ID, conversation.header().cloned()),
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

/// Short JSON as a whole; anything else as it comes. A server may be silent for so long before each piece.
async fn whole(
    headers: &HeaderMap,
    mut body: Incoming,
    held: usize,
    silence: Duration,
) -> Result<ReplyBody, UpstreamError> {
    if body.is_end_stream() {
        return Ok(ReplyBody::Whole(Bytes::new()));
    }
    let long = body.size_hint().lower() > u64::try_from(held).unwrap_or(u64::MAX);
    if long || media_type(headers) != MediaType::Json {
        return Ok(ReplyBody::Stream(Bytes::new(), body));
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut read = 0;
    loop {
        let frame = timeout(silence, body.frame()).await.map_err(|_elapsed| UpstreamError::TimedOut(silence))?;
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| UpstreamError::BrokeOff(chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read += data.len();
        match first.take() {
            None if all.is_empty() => first = Some(data),
            before => {
                all.extend_from_slice(&before.unwrap_or_default());
                all.extend_from_slice(&data);
            }
        }
        if read > held {
            return Ok(ReplyBody::Stream(first.unwrap_or_else(|| all.freeze()), body));
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
