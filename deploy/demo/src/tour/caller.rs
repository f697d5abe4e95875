//! A caller of the gate: plain HTTP and JSON, so that the tour shows what is on the wire and not what an SDK makes of it.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

/// The gate answers sooner than this, even about a server that does not.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
const SESSION: &str = "mcp-session-id";
const ERA_OF_SESSIONS: &str = "2025-11-25";
const ERA_WITHOUT: &str = "2026-07-28";

/// How a message is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect<'a> {
    /// With the session that `initialize` opened.
    Session(&'a str),
    /// Every message says all that is needed to understand it; headers mirror its method and target.
    Stateless { name: Option<&'a str> },
}

pub(super) struct Caller {
    pub(super) name: &'static str,
    key: Option<String>,
    url: String,
    http: Client,
}

impl Caller {
    pub(super) fn new(name: &'static str, key: Option<&str>, url: &str) -> reqwest::Result<Self> {
        // A proxy of the environment is not for loopback addresses.
        let http = Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
        Ok(Self { name, key: key.map(str::to_owned), url: url.to_owned(), http })
    }

    /// Opens a session, and says so as the protocol wants it.
    pub(super) async fn initialize(&self) -> reqwest::Result<(Option<String>, Reply)> {
        let params = json!({
            "protocolVersion": ERA_OF_SESSIONS,
            "capabilities": {},
            "clientInfo": {"name": "tollgate-demo", "version": env!("CARGO_PKG_VERSION")},
        });
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let response = self.request(body.to_string()).send().await?;
        let session = response.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let reply = Reply::read(response).await?;
        if let Some(session) = &session {
            let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            self.send(Dialect::Session(session), "notifications/initialized", body.to_string()).await?;
        }
        Ok((session, reply))
    }

    pub(super) async fn send(&self, dialect: Dialect<'_>, method: &str, body: String) -> reqwest::Result<Reply> {
        let request = self.request(body);
        let request = match dialect {
            Dialect::Session(session) => {
                request.header(SESSION, session).header("mcp-protocol-version", ERA_OF_SESSIONS)
            }
            Dialect::Stateless { name } => {
                let request = request.header("mcp-protocol-version", ERA_WITHOUT).header("mcp-method", method);
                match name {
                    Some(name) => request.header("mcp-name", name),
                    None => request,
                }
            }
        };
        Reply::read(request.send().await?).await
    }

    fn request(&self, body: String) -> RequestBuilder {
        let request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(body);
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }
}

/// A request as a caller of this dialect writes it.
pub(super) fn message(dialect: Dialect<'_>, method: &str, mut params: Value) -> String {
    if let (Dialect::Stateless { .. }, Some(params)) = (dialect, params.as_object_mut()) {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": ERA_WITHOUT,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        params.insert("_meta".to_owned(), meta);
    }
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// What came back: the HTTP status and the JSON-RPC answer, be it alone or at the end of a stream.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    message: Value,
}

impl Reply {
    async fn read(response: Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let text = response.text().await?;
        let message = if is_stream { answer_in(&text) } else { serde_json::from_str(&text).ok() };
        Ok(Self { status, message: message.unwrap_or_default() })
    }

    pub(super) fn result(&self) -> Option<&Value> {
        self.message.get("result")
    }

    /// What a tool said, if it did what it was asked.
    pub(super) fn structured(&self) -> Option<&Value> {
        let result = self.result()?;
        if result.get("isError").and_then(Value::as_bool).unwrap_or_default() {
            return None;
        }
        result.get("structuredContent")
    }

    pub(super) fn error_message(&self) -> Option<&str> {
        self.message.pointer("/error/message")?.as_str()
    }

    pub(super) fn error_data(&self, name: &str) -> Option<&Value> {
        self.message.get("error")?.get("data")?.get(name)
    }

    /// The decision that a refusal names.
    pub(super) fn decision(&self) -> Option<&str> {
        self.error_data("io.tollgate/decision")?.as_str()
    }

    /// What came back, in a few words, for whoever has to find out why it was not what was expected.
    pub(super) fn summary(&self) -> String {
        let text: String = self.message.to_string().chars().take(200).collect();
        format!("HTTP {}: {text}", self.status)
    }
}

/// The answer in an event stream. Each of these servers' events is one line of data.
fn answer_in(stream: &str) -> Option<Value> {
    stream
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok())
        .find(|message| message.get("result").is_some() || message.get("error").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_behind_primers_and_notifications() {
        let stream = ": hello\nid: 0\nretry: 3000\ndata:\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n\n\
                      data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":1}}\n\n";
        assert_eq!(answer_in(stream).unwrap().pointer("/result/a"), Some(&json!(1)));
        assert_eq!(answer_in("data:\n\n"), None);
    }

    #[test]
    fn only_stateless_messages_describe_themselves() {
        let stateless = message(Dialect::Stateless { name: None }, "tools/list", json!({}));
        assert!(stateless.contains("io.modelcontextprotocol/protocolVersion"));
        let session = message(Dialect::Session("s"), "tools/list", json!({}));
        assert!(!session.contains("_meta"));
    }
}
