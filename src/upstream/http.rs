//! Streamable HTTP to one server, over pooled connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Uri;
use http::{Method as HttpMethod, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use super::assertion::Assertions;
use super::balance::EndpointSet;
use super::client::Pool;
use super::credential::{self, Asks, Credential, Shown};
use super::error::says;
use super::headers::REQUEST_ID;
use super::links::SendError;
use super::reply::{self, Reply};
use super::retry::{self, Again, Retries};
use super::{
    Connections, CredentialError, Deadline, Endpoint, Endpoints, InFlight, ReplyStream, Settings, Timeouts,
    UpstreamError, client, headers,
};
use crate::breaker::{Attempt, Ended, Phase};
use crate::clock;
use crate::limits::Admission;
use crate::mcp::{Baggage, Era, IdempotencyKey, Method, TraceContext, alike};
use crate::policy::Permit;
use crate::state::{Conversation, Declined, SESSION_ID};

/// An MCP server behind the gate.
#[derive(Debug)]
pub struct Upstream {
    endpoints: EndpointSet,
    pool: Pool,
    connections: Arc<Connections>,
    retries: Arc<Retries>,
    timeouts: ArcSwap<Timeouts>,
    /// Headers of callers that it may see beside the protocol's.
    forward_headers: Vec<HeaderName>,
    credential: Arc<Credential>,
    assertions: Option<Arc<Assertions>>,
    tasks: TaskTracker,
}

/// What travels with a call beside its body.
#[derive(Debug)]
pub struct Carried<'a> {
    /// The caller's headers; those that may pass do.
    pub headers: &'a HeaderMap,
    /// The other end of the caller's connection, as the server is told of it.
    pub forwarded_for: Option<&'a HeaderValue>,
    /// What the request is called in everybody's logs.
    pub request_id: HeaderValue,
    /// The endpoint that has what it is about, if not every one of them does.
    pub home: Option<Uri>,
    /// Hears of each attempt.
    pub attempts: &'a mut dyn Attempts,
    /// JSON up to this length is read before anything of it passes.
    pub held: usize,
}

/// Hears of attempts at a server.
pub trait Attempts: fmt::Debug + Send {
    /// One begins there. Says who is the parent of what the server does; `None`: what the caller says of that goes on as
    /// it came.
    fn begin(&mut self, url: &Uri) -> Option<TraceContext>;

    /// It has failed so, and another follows.
    fn fail(&mut self, error: &UpstreamError);
}

/// A call on its way.
struct Sending<'a> {
    admission: &'a Admission,
    conversation: &'a Conversation,
    carried: Carried<'a>,
    /// What it lacks for its server to know it again.
    key: Option<IdempotencyKey>,
    /// So long the server may be silent, in all attempts.
    silence: Duration,
    until: Instant,
}

/// On whose behalf the gate says something of its own to a server.
#[derive(Clone, Copy, Debug)]
pub struct Behalf<'a> {
    /// Whose call it is about.
    pub admission: &'a Admission,
    /// Where that belongs.
    pub conversation: &'a Conversation,
    /// The endpoint that has the call.
    pub to: &'a Uri,
    /// The protocol revision that its caller's headers name.
    pub version: Option<&'a HeaderValue>,
}

/// How long to wait for a word of the server that nobody else waits for.
const A_MOMENT: Duration = Duration::from_secs(1);

/// When to ask again for a stream whose predecessor the server has not seen the end of.
const STILL_OPEN: [Duration; 3] = [Duration::from_millis(10), Duration::from_millis(40), Duration::from_millis(150)];

/// Names the protocol revision (MCP 2025-06-18 and later).
pub const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const PRINCIPAL: HeaderName = HeaderName::from_static("x-gateway-principal");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Upstream {
    /// A server there, which is shown this. Nothing is connected yet. What nobody awaits runs on `tasks`.
    ///
    /// # Errors
    /// The machine's certificates cannot be read, or a secret that the settings name.
    pub fn new(endpoints: &Endpoints, settings: &Settings, tasks: TaskTracker) -> std::io::Result<Self> {
        let connections = Arc::<Connections>::default();
        let pool = Pool::new(endpoints, settings, Arc::clone(&connections))?;
        let credential = Arc::new(Credential::new(&settings.credential, tasks.clone())?);
        let assertions = settings.assertion.as_ref().map(Assertions::new).transpose()?.map(Arc::new);
        let endpoints = EndpointSet::new(endpoints, settings);
        let forward_headers = settings.forward_headers.clone();
        let (retries, timeouts) = (Arc::default(), ArcSwap::from_pointee(settings.timeouts));
        Ok(Self { endpoints, pool, connections, retries, timeouts, forward_headers, credential, assertions, tasks })
    }

    /// What signs who asks, if the server is told so.
    pub fn assertions(&self) -> Option<&Arc<Assertions>> {
        self.assertions.as_ref()
    }

    /// Where the server is.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.all()
    }

    /// Looks whether secrets that are kept in files have changed, and uses the new ones from now on.
    pub fn renew(&self) {
        self.pool.renew();
        self.credential.renew();
        self.assertions.iter().for_each(|assertions| assertions.renew());
    }

    /// Asks the server for anything at all wherever it is, and waits a moment for any answer. It is there if for each
    /// transport that it speaks there is an endpoint that answers. A server that could not be shown the gate's own
    /// credential is as good as not there.
    pub async fn answers(&self) -> bool {
        let Ok(Ok(shown)) = timeout(A_MOMENT, self.credential.shown(Asks::Gate)).await else {
            return false;
        };
        let mut asked = JoinSet::new();
        for endpoint in self.endpoints() {
            let (endpoint, client, shown) = (Arc::clone(endpoint), self.pool.now(), shown.clone());
            asked.spawn(async move {
                // OPTIONS begins no session and runs nothing, whatever the server makes of it.
                let mut request = Request::new(Full::new(Bytes::new()));
                *request.method_mut() = HttpMethod::OPTIONS;
                *request.uri_mut() = endpoint.url().clone();
                credential::put(shown, request.headers_mut());
                let answers = matches!(timeout(A_MOMENT, client::say(&client, request)).await, Ok(Ok(_)));
                if answers {
                    endpoint.answers();
                }
                answers.then_some(endpoint)
            });
        }
        let there: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        self.endpoints.is_served_by(&there)
    }

    /// Sends a request there in the gate's own name, and waits for the head of the answer.
    pub(super) async fn own(
        &self,
        to: &Arc<Endpoint>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<ReplyStream>, UpstreamError> {
        credential::put(self.credential.shown(Asks::Gate).await?, request.headers_mut());
        *request.uri_mut() = to.url().clone();
        let (_in_flight, attempt) = to.ask(Method::ToolsList)?;
        let silence = self.timeouts().first_byte;
        let response = match timeout(silence, client::say(&self.pool.now(), request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(UpstreamError::TimedOut(Deadline::FirstByte, silence)),
        };
        match says(response.as_ref().err()) {
            Some(ended) => attempt.end(ended, clock::monotonic()),
            None => drop(attempt),
        }
        response
    }

    /// The connections to it, counted.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// What it would be told by headers of such a call, but for what only traces or names that. `None` where it is shown
    /// each caller's own token, by which it may answer each of them otherwise.
    pub fn sees(&self, permit: &Permit, caller: &HeaderMap) -> Option<HeaderMap> {
        if self.credential.is_callers() {
            return None;
        }
        let mut seen = headers::to_server(caller, &self.forward_headers, permit.upstream_headers());
        for name in [headers::TRACEPARENT, headers::TRACESTATE, headers::BAGGAGE, REQUEST_ID, header::ACCEPT] {
            seen.remove(name);
        }
        seen.extend(permit.upstream_headers().iter().cloned());
        Some(seen)
    }

    /// Looks up where the name of one of its places leads, if it was ever asked for.
    pub async fn look_up(&self, endpoint: &Endpoint) {
        self.pool.look_up(endpoint.url()).await;
    }

    /// Whether it fails anywhere, as far as anybody knows.
    pub fn fails(&self) -> bool {
        self.endpoints.all().any(|endpoint| *endpoint.phases().borrow() != Phase::Closed)
    }

    /// How long it may take for what.
    pub fn timeouts(&self) -> Timeouts {
        **self.timeouts.load()
    }

    /// From now on it may take so long, but for connections: those are made as at the start.
    pub fn allow(&self, timeouts: Timeouts) {
        self.timeouts.store(Arc::new(timeouts));
    }

    /// How often calls were sent again.
    pub fn retries(&self) -> &Arc<Retries> {
        &self.retries
    }

    /// Carries an admitted call. Never twice, unless nothing of it ran or the policy lets it run twice.
    ///
    /// # Errors
    /// There is no proper reply; the error says whether the call may have run.
    pub async fn send<'a>(
        &self,
        admission: &'a Admission,
        conversation: &'a Conversation,
        carried: Carried<'a>,
    ) -> Result<Reply, UpstreamError> {
        // Before the breaker: that there is none says nothing of the server.
        let shown = self.credential.shown(Asks::Caller(admission.permit().principal())).await?;
        let silence = admission.permit().tool().map_or_else(|| self.timeouts().first_byte, |tool| tool.timeout);
        let (key, until) = (retry::key(admission.permit()), Instant::now() + silence);
        let mut sending = Sending { admission, conversation, carried, key, silence, until };
        let reply = self.send_until_answered(&mut sending, shown).await;
        match conversation.session().and_then(|session| session.home()) {
            Some(home) => reply.map_err(|error| self.endpoints.without(home, error)),
            None => reply,
        }
    }

    async fn send_until_answered(&self, sending: &mut Sending<'_>, shown: Shown) -> Result<Reply, UpstreamError> {
        let mut tried = Vec::new();
        let mut next = self.choose(sending, &tried)?;
        self.retries.earn();
        loop {
            tried.push(next.0.url().clone());
            let error = match self.send_once(sending, next, shown.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            next = match self.again(&error, sending, &tried) {
                Some(next) => next,
                None => return Err(error),
            };
            sending.carried.attempts.fail(&error);
            sleep(retry::pause(tried.len())).await;
        }
    }

    fn choose(&self, sending: &Sending<'_>, tried: &[Uri]) -> Result<(InFlight, Attempt<'_>), UpstreamError> {
        let method = sending.admission.permit().call().method();
        self.endpoints.ask(method, sending.conversation, sending.carried.home.as_ref(), tried)
    }

    /// Who is asked next for a call that failed so where it was tried, if anybody is.
    fn again(&self, error: &UpstreamError, sending: &Sending<'_>, tried: &[Uri]) -> Option<(InFlight, Attempt<'_>)> {
        let why = Again::of(error, sending.admission.permit()).filter(|_| tried.len() < retry::MOST)?;
        let next = self.choose(sending, tried).ok()?;
        // Where there was no connection a moment ago there is none now.
        let may_help = why != Again::Unreached || !tried.contains(next.0.url());
        (may_help && self.retries.take(why)).then_some(next)
    }

    async fn send_once(
        &self,
        sending: &mut Sending<'_>,
        (to, attempt): (InFlight, Attempt<'_>),
        shown: Shown,
    ) -> Result<Reply, UpstreamError> {
        let url = to.url().clone();
        let reply = self.attempt(sending, to, shown).await;
        match ended(&reply) {
            Some(ended) => attempt.end(ended, clock::monotonic()),
            None => drop(attempt),
        }
        if matches!(reply, Err(UpstreamError::TimedOut(..))) {
            let Sending { admission, conversation, carried, .. } = sending;
            self.abandon(Behalf { admission, conversation, to: &url, version: carried.headers.get(VERSION) });
        }
        reply
    }

    async fn attempt(&self, sending: &mut Sending<'_>, to: InFlight, shown: Shown) -> Result<Reply, UpstreamError> {
        let whole_up_to = sending.carried.held;
        let mut request = self.request(sending, to.url())?;
        // Last: whatever else there is, this is what lets it in.
        credential::put(shown.clone(), request.headers_mut());
        let permit = sending.admission.permit();
        let silence = sending.silence;
        let response = match timeout_at(sending.until, self.ask(request, permit.call().method())).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(UpstreamError::TimedOut(Deadline::FirstByte, silence)),
        };
        let (mut head, body) = response.into_parts();
        if let Some((_, shown)) = shown.filter(|_| head.status == StatusCode::UNAUTHORIZED) {
            self.credential.rejected(permit.principal(), &shown);
        }
        reply::acceptable(&head)?;
        headers::to_caller(&mut head.headers);
        let total = self.timeouts().total;
        let ends = (Instant::from_std(to.since()) + total, total);
        let body = reply::whole(&head.headers, body, whole_up_to, silence, ends).await?;
        Ok(Reply { head, body, from: to })
    }

    /// Sends it and waits for the head of the answer. A listening stream that is refused because the session's last one
    /// is not over is asked for again: its caller may have closed that one just now, of which a server hears later
    /// through a gate. What was refused so has opened nothing.
    async fn ask(&self, request: Request<Full<Bytes>>, method: Method) -> Result<Response<ReplyStream>, SendError> {
        if method == Method::OpenStream {
            for pause in STILL_OPEN {
                let response = self.pool.now().request(request.clone()).await?;
                if response.status() != StatusCode::CONFLICT {
                    return Ok(response);
                }
                sleep(pause).await;
            }
        }
        self.pool.now().request(request).await
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
        let Behalf { admission, conversation, to, version } = behalf;
        let permit = admission.permit();
        let headers = [
            (header::CONTENT_TYPE, Some(HeaderValue::from_static("application/json"))),
            (header::ACCEPT, Some(HeaderValue::from_static("application/json, text/event-stream"))),
            (VERSION, version.cloned()),
            (SESSION_ID, conversation.header().cloned()),
        ];
        let mut headers: HeaderMap = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let told = self.introduce(permit, &message, &format!("{:016x}", rand::random::<u64>()), &mut headers);
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = HttpMethod::POST;
        *request.uri_mut() = conversation.url().unwrap_or(to).clone();
        *request.headers_mut() = headers;
        let (lets_in, principal) = (Arc::clone(&self.credential), Arc::clone(permit.principal()));
        let client = self.pool.now();
        async move {
            let (Ok(()), Ok(shown)) = (told, lets_in.shown(Asks::Caller(&principal)).await) else {
                return false;
            };
            credential::put(shown, request.headers_mut());
            let sent = timeout(A_MOMENT, client::say(&client, request)).await;
            matches!(sent, Ok(Ok(response)) if response.status().is_success())
        }
    }

    /// Tells the server who asks, by whatever it is told that.
    fn introduce(
        &self,
        permit: &Permit,
        body: &[u8],
        id: &str,
        headers: &mut HeaderMap,
    ) -> Result<(), CredentialError> {
        let principal = permit.principal();
        let named = HeaderValue::from_str(principal.id())
            .map_err(|_not_shown| CredentialError::Untold("its id cannot stand in a header"))?;
        headers.insert(PRINCIPAL, named);
        let asserted = |name: &HeaderName| {
            self.assertions.as_ref().is_some_and(|assertions| alike(assertions.name().as_str(), name.as_str()))
        };
        headers.extend(permit.upstream_headers().iter().filter(|(name, _)| !asserted(name)).cloned());
        if let Some(assertions) = &self.assertions {
            headers.insert(assertions.name(), assertions.header(principal, body, id, clock::wall())?);
        }
        Ok(())
    }

    fn request(&self, sending: &mut Sending<'_>, to: &Uri) -> Result<Request<Full<Bytes>>, CredentialError> {
        let Sending { admission, conversation, carried, key, .. } = sending;
        let (permit, url) = (admission.permit(), conversation.url().unwrap_or(to));
        let (call, trace) = (permit.call(), carried.attempts.begin(url));
        let baggage = if self.forward_headers.contains(&headers::BAGGAGE) { Baggage::Passed } else { Baggage::Dropped };
        let body = call.carrying(trace.as_ref(), baggage, key.as_ref());
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = match call.method() {
            Method::OpenStream => HttpMethod::GET,
            Method::EndSession => HttpMethod::DELETE,
            _ => HttpMethod::POST,
        };
        *request.uri_mut() = url.clone();
        let mut headers = headers::to_server(carried.headers, &self.forward_headers, permit.upstream_headers());
        let id = carried.request_id.to_str().unwrap_or_default();
        self.introduce(permit, &body, id, &mut headers)?;
        if let Some(trace) = &trace {
            headers::traced(&mut headers, trace);
        }
        if let Some(redaction) = permit.masked() {
            headers::mask(&mut headers, redaction);
        }
        let own = [
            (SESSION_ID, conversation.header().cloned()),
            (FORWARDED_FOR, carried.forwarded_for.cloned()),
            (REQUEST_ID, Some(carried.request_id.clone())),
        ];
        for (name, value) in own {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// What the end of a call says of the server; `None`: nothing.
fn ended(reply: &Result<Reply, UpstreamError>) -> Option<Ended> {
    says(reply.as_ref().err())
}
