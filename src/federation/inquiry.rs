//! What the gate asks a server in its own name: which eras it speaks, and all pages of its list of tools. Nothing that runs
//! anything.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::contents::{self, Asks, Eras, Offer, Pages};
use super::ear::Open;
use super::kind::Kind;
use crate::json::{self, Bounds};
use crate::mcp::ProtocolVersion;
use crate::state::SESSION_ID;
use crate::upstream::{Endpoint, Inquired, Upstream, VERSION};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Its lists.
    pub(super) pages: Pages,
    pub(super) eras: Eras,
    pub(super) instructions: Option<Box<str>>,
    pub(super) offers: Vec<Offer>,
    /// Who has told it.
    pub(super) at: Arc<Endpoint>,
    /// Whether it tells when it has something else.
    pub(super) tells: bool,
}

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// What is read of an answer's members at once.
const BOUNDS: Bounds = Bounds { depth: 128, members: 10_000, values: 1_000_000, number: 4096 };
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
        Ok((answer, _)) => contents::discovered(answer).contains(&ProtocolVersion::V2026_07_28),
        Err(refused) => refused.verdict()?,
    };
    let mut legacy = Leg::legacy(server, to);
    let hello = legacy.open().await;
    let legacy_revision = hello.as_ref().ok().and_then(contents::agreed);
    // What it does for clients of one era only, it says to those.
    let offers = contents::offers(&[discovered.as_ref().ok().map(|(told, _)| told), hello.as_ref().ok()]);
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
    let pages = Pages::of(&told, &Kind::ALL, &mut leg).await;
    leg.close().await;
    let is_true = |path: &str| contents::capability(&told, path).and_then(Value::as_bool) == Some(true);
    let tells = Kind::ALL.iter().any(|kind| is_true(&format!("{}/listChanged", kind.capability())));
    let instructions = contents::instructions(&told);
    Ok(Found { pages: pages?, eras, instructions, offers, at: Arc::clone(to), tells })
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

impl Asks for Leg<'_> {
    async fn ask(&mut self, method: &'static str, params: Value) -> Result<(Value, Bytes), String> {
        let Inquired { bytes, .. } = self.send(method, params).await.map_err(|refused| refused.told())?;
        let answer = json::value(&bytes, &BOUNDS);
        let answer = answer.map_err(|_fault| format!("its list by {method} has not one reading"))?;
        Ok((answer, bytes))
    }
}

fn code(answer: &Value) -> Option<i64> {
    answer.pointer("/error/code").and_then(Value::as_i64)
}
