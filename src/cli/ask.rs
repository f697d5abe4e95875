//! Asks a live server for its tools and prompts, in whichever era it speaks. For `init` and `lock` only: the gate itself does not
//! ask.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde_json::{Value, json};

use crate::diagnostic;
use crate::mcp::{Definition, ProtocolVersion};
use crate::sse;

/// A server that is silent for longer is not there.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
/// Pages of a list, and what stands on all of them.
const MAX_PAGES: usize = 100;
const MAX_LISTED: usize = 5_000;
/// The server does not speak the revision that was offered (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;
/// It could not do what was asked, whatever that was (JSON-RPC 2.0, 5.1).
const INTERNAL_ERROR: i64 = -32603;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");

/// What a server offers.
#[derive(Debug)]
pub(super) struct Offer {
    /// Its tools, by name.
    pub(super) tools: Vec<Tool>,
    /// What its prompts are called. One of a name that nobody can read or grant is left out.
    pub(super) prompts: BTreeSet<String>,
    /// Which revisions of the protocol it speaks: the latest of those with sessions, and that of 2026.
    pub(super) revisions: BTreeSet<ProtocolVersion>,
}

/// A tool, as the server describes it.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) definition: Definition,
    pub(super) nature: Nature,
}

/// What the server says of a tool's effects. It need not be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It changes nothing.
    ReadOnly,
    /// It changes things, but only adds.
    Additive,
    /// It changes things.
    Destructive,
    /// Nothing is said.
    Unsaid,
}

/// All that a server offers.
pub(super) fn offer(server: &Uri) -> Result<Offer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(server)).await });
    asked
        .unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", PATIENCE.as_secs())))
        .map_err(|problem| format!("{server} cannot be asked for its tools: {problem}"))
}

async fn ask(server: &Uri) -> Result<Offer, String> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| chain(&error))?;
    let mut modern = Server::new(client.clone(), server);
    let speaks_modern = match modern.discover().await {
        Ok(found) => speaks_modern(&found),
        Err(refused) if refused.is_of_its_era() => false,
        Err(refused) => return Err(refused.told()),
    };
    let mut server = Server::new(client, server);
    let declared = server.open().await?;
    let offered = server.offer(&declared).await;
    server.close().await;
    let revisions = server.agreed.into_iter().chain(speaks_modern.then_some(ProtocolVersion::V2026_07_28)).collect();
    offered.map(|offer| Offer { revisions, ..offer })
}

/// A server that is being asked.
struct Server {
    client: reqwest::Client,
    url: String,
    /// Sent with every message.
    headers: HeaderMap,
    /// `params._meta` of every request, in the modern era.
    meta: Option<Value>,
    /// The revision that it has agreed to, if that is known here.
    agreed: Option<ProtocolVersion>,
    asked: u64,
}

/// A reply that is no result.
enum Refused {
    /// An error in the protocol's words.
    Error { status: StatusCode, code: i64, message: String },
    /// An answer of this status that says nothing that can be read.
    Unread(StatusCode),
    /// No answer, or too much of one.
    Other(String),
}

impl Server {
    fn new(client: reqwest::Client, url: &Uri) -> Self {
        Self { client, url: url.to_string(), headers: HeaderMap::new(), meta: None, agreed: None, asked: 0 }
    }

    /// Shakes hands, or learns that this server wants no handshake. Tells what the server declares.
    async fn open(&mut self) -> Result<Value, String> {
        let hello = json!({
            "protocolVersion": ProtocolVersion::V2025_11_25.name(),
            "capabilities": {},
            "clientInfo": { "name": "tollgate-init", "version": env!("CARGO_PKG_VERSION") },
        });
        match self.request("initialize", hello).await {
            Ok(result) => {
                let agreed = result.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
                self.agreed = ProtocolVersion::named(agreed);
                if agreed >= ProtocolVersion::V2025_06_18.name() {
                    let value = HeaderValue::from_str(agreed).map_err(|error| error.to_string())?;
                    self.headers.insert(VERSION, value);
                }
                self.notify("notifications/initialized").await?;
                Ok(result)
            }
            Err(Refused::Error { code: UNSUPPORTED_VERSION, .. }) => {
                let found = self.discover().await.map_err(Refused::told)?;
                let unspoken = || format!("it does not speak MCP {}", ProtocolVersion::V2026_07_28.name());
                Some(found).filter(speaks_modern).ok_or_else(unspoken)
            }
            Err(refused) => Err(refused.told()),
        }
    }

    /// The modern era: every message says itself what it speaks.
    async fn discover(&mut self) -> Result<Value, Refused> {
        let version = ProtocolVersion::V2026_07_28.name();
        self.headers.insert(VERSION, HeaderValue::from_static(version));
        self.meta = Some(json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "tollgate-init", "version": env!("CARGO_PKG_VERSION") },
        }));
        self.request("server/discover", json!({})).await
    }

    async fn offer(&mut self, declared: &Value) -> Result<Offer, String> {
        let mut tools: Vec<Tool> = self.list("tools/list", "tools").await?.into_iter().filter_map(tool).collect();
        tools.sort_by(|a, b| a.name().cmp(b.name()));
        tools.dedup_by(|a, b| a.name() == b.name());
        let prompts = match declared.pointer("/capabilities/prompts") {
            Some(_) => self.list("prompts/list", "prompts").await?,
            None => Vec::new(),
        };
        let names = prompts.iter().filter_map(|prompt| prompt.get("name").and_then(Value::as_str));
        let legible = names.filter(|name| !name.is_empty() && diagnostic::hidden(name).is_none());
        let prompts = legible.map(str::to_owned).collect();
        Ok(Offer { tools, prompts, revisions: BTreeSet::new() })
    }

    /// All pages of a list.
    async fn list(&mut self, method: &'static str, member: &str) -> Result<Vec<Value>, String> {
        let mut listed: Vec<Value> = Vec::new();
        let mut cursor: Option<Value> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.take().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let page = self.request(method, params).await.map_err(Refused::told)?;
            let more = page.get(member).and_then(Value::as_array);
            listed.extend(more.ok_or_else(|| format!("its list of {member} is no list"))?.iter().cloned());
            if listed.len() > MAX_LISTED {
                return Err(format!("it has more than {MAX_LISTED} {member}"));
            }
            cursor = page.get("nextCursor").filter(|cursor| cursor.is_string()).cloned();
            if cursor.is_none() {
                return Ok(listed);
            }
        }
        Err(format!("its list of {member} has more than {MAX_PAGES} pages"))
    }

    /// Ends the session. Nothing depends on it.
    async fn close(&self) {
        if self.headers.contains_key(SESSION) {
            drop(self.client.delete(&self.url).headers(self.headers.clone()).send().await);
        }
    }

    async fn request(&mut self, method: &'static str, mut params: Value) -> Result<Value, Refused> {
        self.asked += 1;
        if let (Some(meta), Some(params)) = (&self.meta, params.as_object_mut()) {
            params.insert("_meta".to_owned(), meta.clone());
        }
        let message = json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params });
        let response = self.send(method, &message).await.map_err(Refused::Other)?;
        if let Some(session) = response.headers().get(SESSION) {
            self.headers.insert(SESSION, session.clone());
        }
        answer(response, self.asked).await
    }

    async fn notify(&self, method: &'static str) -> Result<(), String> {
        let sent = self.send(method, &json!({ "jsonrpc": "2.0", "method": method })).await?;
        if sent.status().is_success() { Ok(()) } else { Err(format!("it answers {method} with {}", sent.status())) }
    }

    async fn send(&self, method: &'static str, message: &Value) -> Result<reqwest::Response, String> {
        let mut request = self
            .client
            .post(&self.url)
            .headers(self.headers.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json, text/event-stream")
            .body(message.to_string());
        if self.meta.is_some() {
            request = request.header(METHOD, method);
        }
        request.send().await.map_err(|error| chain(&error))
    }
}

/// Whether what a server tells of itself names the revision that it was asked in.
fn speaks_modern(found: &Value) -> bool {
    let versions = found.get("supportedVersions").and_then(Value::as_array);
    versions.is_some_and(|versions| versions.iter().any(|known| known == ProtocolVersion::V2026_07_28.name()))
}

impl Refused {
    /// Whether a server refuses so what only later revisions know than it speaks. One that is unwell, has too much to do or
    /// wants a credential says nothing of what it speaks.
    fn is_of_its_era(&self) -> bool {
        match self {
            Self::Error { code: INTERNAL_ERROR, .. } | Self::Other(_) => false,
            Self::Error { status, .. } | Self::Unread(status) => {
                let asks_for_more = matches!(status.as_u16(), 401 | 403 | 408 | 429);
                (status.is_success() || status.is_client_error()) && !asks_for_more
            }
        }
    }

    fn told(self) -> String {
        match self {
            Self::Error { code, message, .. } => format!("it answers with error {code}: {message}"),
            Self::Unread(status) => no_reply(status),
            Self::Other(problem) => problem,
        }
    }
}

/// The reply to the request of this id, from a body or an event stream.
async fn answer(mut response: reqwest::Response, id: u64) -> Result<Value, Refused> {
    let status = response.status();
    let kind =
        response.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let streams = kind.starts_with("text/event-stream");
    let (mut splitter, mut body, mut size) = (sse::Splitter::default(), Vec::new(), 0);
    while let Some(bytes) = response.chunk().await.map_err(|error| Refused::Other(chain(&error)))? {
        size += bytes.len();
        if size > MAX_ANSWER {
            return Err(Refused::Other(format!("its answer is larger than {MAX_ANSWER} bytes")));
        }
        let mut rest = bytes.as_ref();
        while let Some(end) = streams.then(|| splitter.next(rest)).flatten() {
            let (event, next) = rest.split_at(end);
            body.extend_from_slice(event);
            rest = next;
            let event = std::mem::take(&mut body);
            if let Some(reply) = sse::Event::read(&event).data.and_then(|message| reply(&message, id, status)) {
                return reply;
            }
        }
        body.extend_from_slice(rest);
    }
    reply(&body, id, status).unwrap_or(Err(Refused::Unread(status)))
}

/// The result or error in a message, if it is the reply to this request. An error may come without the id.
fn reply(message: &[u8], id: u64, status: StatusCode) -> Option<Result<Value, Refused>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is decided or forwarded by this; a person reviews what comes of it"
    )]
    let mut message: Value = serde_json::from_slice(message).ok()?;
    if let Some(error) = message.get("error") {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
        return Some(Err(Refused::Error { status, code, message: diagnostic::quoted(text) }));
    }
    let ours = message.get("id").and_then(Value::as_u64) == Some(id);
    let result = message.as_object_mut()?.remove("result").filter(|_| ours)?;
    Some(Ok(result))
}

fn no_reply(status: StatusCode) -> String {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("it wants a credential ({status})")
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            format!("there is no MCP endpoint ({status}); the path is often /mcp")
        }
        status if status.is_redirection() => {
            format!("it redirects ({status}); give the URL that it redirects to")
        }
        status => format!("its answer is no JSON-RPC reply ({status})"),
    }
}

/// A tool of a list. What has no name cannot be granted.
fn tool(listed: Value) -> Option<Tool> {
    let definition = Definition::new(listed).filter(|definition| !definition.name().is_empty())?;
    let nature = match (definition.hint("readOnlyHint"), definition.hint("destructiveHint")) {
        (Some(true), None | Some(false)) => Nature::ReadOnly,
        (None, None) => Nature::Unsaid,
        (Some(false) | None, Some(false)) => Nature::Additive,
        // Whoever says both that it changes nothing and that it destroys is not believed the first.
        (_, Some(true)) | (Some(false), None) => Nature::Destructive,
    };
    Some(Tool { definition, nature })
}

impl Tool {
    pub(super) fn name(&self) -> &str {
        self.definition.name()
    }

    /// What it is called for people, or else what is said of it.
    pub(super) fn about(&self) -> &str {
        let said = [self.definition.title(), self.definition.description()];
        said.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default()
    }
}

/// An error with its causes: reqwest keeps the reason there.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
