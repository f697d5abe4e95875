//! What the gate asks a server in its own name: which eras it speaks, and all pages of its list of tools. Nothing that runs
//! anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::catalogue::{Eras, Offer};
use super::ear::Open;
use super::kind::Kind;
use crate::json::{self, Bounds};
use crate::jsonrpc::code::METHOD_NOT_FOUND;
use crate::mcp::ProtocolVersion;
use crate::state::SESSION_ID;
use crate::upstream::{Endpoint, Inquired, Upstream, VERSION};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Its lists, page by page.
    pub(super) pages: Vec<(Kind, Bytes)>,
    pub(super) eras: Eras,
    pub(super) instructions: Option<Box<str>>,
    pub(super) offers: Vec<Offer>,
    /// For how long the server says that it holds.
    pub(super) ttl: Option<Duration>,
    /// Who has told it.
    pub(super) at: Arc<Endpoint>,
    /// Whether it tells when it has something else.
    pub(super) tells: bool,
}

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Pages of a list, and what is read of an answer's members at once.
const MOST_PAGES: usize = 200;
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };
/// So much of what a server tells models of itself is passed on.
const MOST_INSTRUCTIONS: usize = 4096;

/// Asks all of it.
///
/// # Errors
/// Why it cannot be asked.
pub(super) async fn ask(server: &Upstream) -> Result<Found, String> {
    let mut problem = "it is nowhere".to_owned();
    // What one place has, all have.
    for endpoint in server.endpoints() {
        match ask_at(server, endpoint).await {
            Ok(found) => return Ok(found),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

async fn ask_at(server: &Upstream, to: &Arc<Endpoint>) -> Result<Found, String> {
    let mut modern = Leg::modern(server, to);
    let discovered = modern.request("server/discover", json!({})).await;
    let speaks_modern = match &discovered {
        Ok((answer, _)) => speaks(answer),
        Err(refused) => refused.verdict()?,
    };
    let mut legacy = Leg::legacy(server, to);
    let hello = legacy.open().await;
    let legacy_revision = hello.as_ref().ok().and_then(agreed);
    // What it does for clients of one era only, it says to those.
    let offers = offers(&[discovered.as_ref().ok().map(|(told, _)| told), hello.as_ref().ok()]);
    let (eras, mut leg, told) = match (speaks_modern, hello) {
        (true, _) => {
            legacy.close().await;
            let told = discovered.map(|(told, _)| told).unwrap_or_default();
            (Eras { modern: true, legacy: legacy_revision }, modern, told)
        }
        (false, Ok(_)) if legacy_revision.is_none() => return Err("it agrees to no revision that is known".to_owned()),
        (false, Ok(told)) => (Eras { modern: false, legacy: legacy_revision }, legacy, told),
        (false, Err(refused)) => return Err(refused.told()),
    };
    let capability = |path: &str| told.pointer(&format!("/result/capabilities/{path}"));
    let (mut pages, mut ttl) = (Vec::new(), None);
    for kind in Kind::ALL.into_iter().filter(|kind| capability(kind.capability()).is_some()) {
        match leg.list(kind, &mut pages).await {
            Ok(holds) => ttl = ttl.into_iter().chain(holds).min(),
            Err(error) => {
                leg.close().await;
                return Err(error);
            }
        }
    }
    leg.close().await;
    let is_true = |path: &str| capability(path).and_then(Value::as_bool) == Some(true);
    let tells = Kind::ALL.iter().any(|kind| is_true(&format!("{}/listChanged", kind.capability())));
    let instructions = instructions(&told);
    Ok(Found { pages, eras, instructions, offers, ttl, at: Arc::clone(to), tells })
}

/// What a server says that it can do beside having things, to clients of either era.
fn offers(told: &[Option<&Value>]) -> Vec<Offer> {
    let has = |path: &str| {
        let path = format!("/result/capabilities/{path}");
        // What is `false` is not offered.
        told.iter().flatten().any(|told| told.pointer(&path).is_some_and(|it| it != &Value::Bool(false)))
    };
    let offers = [
        (Offer::Logging, "logging"),
        (Offer::Completions, "completions"),
        (Offer::Subscriptions, "resources/subscribe"),
        (Offer::Tasks, "tasks/requests/tools/call"),
        (Offer::TaskLists, "tasks/list"),
        (Offer::TaskCancellations, "tasks/cancel"),
        // A slash in a name is `~1` there (RFC 6901, 4).
        (Offer::TasksExtension, "extensions/io.modelcontextprotocol~1tasks"),
    ];
    offers.into_iter().filter_map(|(offer, path)| has(path).then_some(offer)).collect()
}

/// Listens there for what the server has otherwise than before, by whatever it speaks.
pub(super) async fn listen(server: &Upstream, to: &Arc<Endpoint>, eras: Eras) -> Option<Open> {
    let mut leg = if eras.modern { Leg::modern(server, to) } else { Leg::legacy(server, to) };
    let question = if eras.modern {
        let all = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
        Some(leg.message("subscriptions/listen", json!({ "notifications": all })))
    } else {
        leg.open().await.ok()?;
        None
    };
    let (message, headers) =
        question.map_or_else(|| (None, leg.headers.clone()), |(message, headers)| (Some(message), headers));
    match server.hear(to, message, headers).await {
        Ok(hearing) => {
            let header = |name| leg.headers.get(name).cloned();
            Some(Open { hearing, session: header(SESSION_ID), version: header(VERSION), to: Arc::clone(to) })
        }
        Err(_none) => {
            leg.close().await;
            None
        }
    }
}

/// The legacy revision that a server has agreed to.
fn agreed(told: &Value) -> Option<ProtocolVersion> {
    let agreed = told.pointer("/result/protocolVersion").and_then(Value::as_str).and_then(ProtocolVersion::named);
    agreed.filter(|version| !version.is_modern())
}

/// Whether a discover result names a modern revision that the gate speaks.
fn speaks(answer: &Value) -> bool {
    let modern = ProtocolVersion::V2026_07_28.name();
    let versions = answer.pointer("/result/supportedVersions").and_then(Value::as_array);
    versions.is_some_and(|versions| versions.iter().any(|version| version == modern))
}

fn instructions(told: &Value) -> Option<Box<str>> {
    let text = told.pointer("/result/instructions")?.as_str()?.trim();
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MOST_INSTRUCTIONS).last()?;
    let cut = if text.len() > MOST_INSTRUCTIONS { text.get(..end)? } else { text };
    (!cut.is_empty()).then(|| cut.into())
}

/// Why there is no result.
enum Refused {
    /// The server says so, by HTTP status and, if it gave one, the code of an error.
    Said(u16, Option<i64>),
    /// There is no answer.
    Unanswered(String),
}

impl Refused {
    /// What it says of the modern era: that the server does not speak it. Nothing, where it may just be away.
    fn verdict(&self) -> Result<bool, String> {
        match self {
            Self::Said(200..=499, _) => Ok(false),
            Self::Said(..) | Self::Unanswered(_) => Err(self.told()),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Said(_, Some(code)) => format!("it answers with error {code}"),
            Self::Said(status, None) => format!("it answers with HTTP {status}"),
            Self::Unanswered(error) => error.clone(),
        }
    }
}

/// One way of speaking to the server.
struct Leg<'a> {
    server: &'a Upstream,
    to: &'a Arc<Endpoint>,
    headers: HeaderMap,
    /// `params._meta` of every request, in the modern era.
    meta: Option<Value>,
    asked: u64,
}

impl<'a> Leg<'a> {
    fn modern(server: &'a Upstream, to: &'a Arc<Endpoint>) -> Self {
        let version = ProtocolVersion::V2026_07_28.name();
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "tollgate", "version": env!("CARGO_PKG_VERSION") },
        });
        let headers = HeaderMap::from_iter([(VERSION, HeaderValue::from_static(version))]);
        Self { server, to, headers, meta: Some(meta), asked: 0 }
    }

    fn legacy(server: &'a Upstream, to: &'a Arc<Endpoint>) -> Self {
        Self { server, to, headers: HeaderMap::new(), meta: None, asked: 0 }
    }

    /// Shakes hands.
    async fn open(&mut self) -> Result<Value, Refused> {
        let hello = json!({
            "protocolVersion": ProtocolVersion::V2025_11_25.name(),
            "capabilities": {},
            "clientInfo": { "name": "tollgate", "version": env!("CARGO_PKG_VERSION") },
        });
        let (told, session) = self.request("initialize", hello).await?;
        let agreed = told.pointer("/result/protocolVersion").and_then(Value::as_str).unwrap_or_default();
        if agreed >= ProtocolVersion::V2025_06_18.name()
            && let Ok(agreed) = HeaderValue::from_str(agreed)
        {
            self.headers.insert(VERSION, agreed);
        }
        self.headers.extend(session.map(|session| (SESSION_ID, session)));
        let done = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        // A server that does not take it will not list anything, either.
        drop(self.server.inquire(self.to, Bytes::from(done.to_string()), self.headers.clone()).await);
        Ok(told)
    }

    /// All pages of a list, and the shortest time that one holds. A server that has no templates need not know of them.
    async fn list(&mut self, kind: Kind, pages: &mut Vec<(Kind, Bytes)>) -> Result<Option<Duration>, String> {
        let method = kind.list().name();
        let (mut ttl, mut params) = (None, json!({}));
        for _ in 0..MOST_PAGES {
            let (answer, bytes) = self.page(method, params.clone()).await?;
            match answer.get("result") {
                Some(_) => pages.push((kind, bytes)),
                None if kind == Kind::Template && code(&answer) == Some(METHOD_NOT_FOUND) => return Ok(None),
                None => return Err(Refused::Said(200, code(&answer)).told()),
            }
            let said = answer.pointer("/result/ttlMs").and_then(Value::as_u64).map(Duration::from_millis);
            ttl = ttl.into_iter().chain(said).min();
            let next = answer.pointer("/result/nextCursor").filter(|cursor| cursor.is_string());
            let Some(next) = next.map(|cursor| json!({ "cursor": cursor })) else {
                return Ok(ttl);
            };
            if next == params {
                return Err(format!("its list by {method} does not end: a page leads to itself"));
            }
            params = next;
        }
        Err(format!("its list by {method} has more than {MOST_PAGES} pages"))
    }

    async fn page(&mut self, method: &'static str, params: Value) -> Result<(Value, Bytes), String> {
        let Inquired { bytes, .. } = self.send(method, params).await.map_err(|refused| refused.told())?;
        let answer = json::value(&bytes, &BOUNDS);
        let answer = answer.map_err(|_fault| format!("its list by {method} has not one reading"))?;
        Ok((answer, bytes))
    }

    /// The answer to a request, and the session that it began.
    async fn request(&mut self, method: &'static str, params: Value) -> Result<(Value, Option<HeaderValue>), Refused> {
        let Inquired { status, session, bytes } = self.send(method, params).await?;
        let answer = json::value(&bytes, &BOUNDS).unwrap_or_default();
        match answer.get("result") {
            Some(_) if status == 200 => Ok((answer, session)),
            _ => Err(Refused::Said(status, code(&answer))),
        }
    }

    async fn send(&mut self, method: &'static str, params: Value) -> Result<Inquired, Refused> {
        let (message, headers) = self.message(method, params);
        let inquired = self.server.inquire(self.to, message, headers).await;
        inquired.map_err(|error| Refused::Unanswered(error.to_string()))
    }

    /// The next message to it, and its headers.
    fn message(&mut self, method: &'static str, mut params: Value) -> (Bytes, HeaderMap) {
        self.asked += 1;
        let mut headers = self.headers.clone();
        if let (Some(meta), Some(params)) = (&self.meta, params.as_object_mut()) {
            params.insert("_meta".to_owned(), meta.clone());
            headers.insert(METHOD, HeaderValue::from_static(method));
        }
        let message = json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params });
        (Bytes::from(message.to_string()), headers)
    }

    /// Ends the session, if there is one. Nothing depends on it.
    async fn close(&self) {
        if let Some(session) = self.headers.get(&SESSION_ID) {
            self.server.forget(self.to, session, self.headers.get(VERSION)).await;
        }
    }
}

fn code(answer: &Value) -> Option<i64> {
    answer.pointer("/error/code").and_then(Value::as_i64)
}
