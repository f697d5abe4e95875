//! THE table: every attribute of spans and every label of metrics – its name, where it shows, where it comes from.
//!
//! Names follow the OpenTelemetry conventions for MCP (semantic-conventions-genai, `docs/gen-ai/mcp.md`, status
//! Development); `tollgate.*` is ours. `tool_name`, `server` and `outcome` are the labels that `FastMCP` deployments
//! already graph. What shows on a metric comes from a closed set.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use opentelemetry::{KeyValue, Value};
use sha2::{Digest as _, Sha256};

use super::content::{self, Content};
use crate::exchange::{Exchange, Outcome, ToolLabel};
use crate::jsonrpc::code;
use crate::mcp::{Call, Era, Method, ServerName, Target};
use crate::policy::{Flow, Reason};

use Signal::{Cached, ClientDuration, ClientSpan, Decisions, Replies, ServerDuration, ServerSpan, ToolCalls};

/// Where an attribute shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The span of the message, as received.
    ServerSpan,
    /// The span of an attempt at the upstream.
    ClientSpan,
    /// `mcp.server.operation.duration`.
    ServerDuration,
    /// `mcp.client.operation.duration`.
    ClientDuration,
    /// `mcp.tool.calls`, `mcp.tool.errors` and `mcp.tool.duration`.
    ToolCalls,
    /// `tollgate.decisions`.
    Decisions,
    /// `tollgate.reply.size` and `tollgate.reply.tokens`.
    Replies,
    /// `tollgate.cache.calls`.
    Cached,
}

/// What telemetry tells of a message that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// What was learnt.
    pub(super) exchange: &'a Exchange,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Whether what was said may be told.
    pub(super) content: Content,
}

/// One row of the table.
struct Attribute {
    name: &'static str,
    on: &'static [Signal],
    value: fn(&Facts<'_>) -> Option<Value>,
}

const fn row(name: &'static str, on: &'static [Signal], value: fn(&Facts<'_>) -> Option<Value>) -> Attribute {
    Attribute { name, on, value }
}

const SPANS: &[Signal] = &[ServerSpan, ClientSpan];
const DURATIONS: &[Signal] = &[ServerDuration, ClientDuration];
const ALL_OF_MCP: &[Signal] = &[ServerSpan, ClientSpan, ServerDuration, ClientDuration];
const RECEIVED: &[Signal] = &[ServerSpan, ServerDuration];
const SENT: &[Signal] = &[ClientSpan, ClientDuration];

#[rustfmt::skip]
const TABLE: &[Attribute] = &[
    row("mcp.method.name", ALL_OF_MCP, |f| Some(f.method().name().into())),
    row("gen_ai.operation.name", ALL_OF_MCP, |f| (f.method() == Method::ToolsCall).then(|| "execute_tool".into())),
    row("gen_ai.tool.name", SPANS, |f| match f.target() { Target::Tool(name) => Some(text(name)), _ => None }),
    row("gen_ai.tool.name", DURATIONS, |f| f.tool_label().map(text)),
    row("gen_ai.prompt.name", SPANS, |f| match f.target() { Target::Prompt(name) => Some(text(name)), _ => None }),
    row("mcp.resource.uri", SPANS, |f| match f.target() { Target::Resource(uri) => Some(text(uri)), _ => None }),
    row("mcp.protocol.version", ALL_OF_MCP, |f| f.exchange.version.map(|version| version.name().into())),
    row("mcp.session.id", SPANS, |f| f.session().map(Value::from)),
    row("jsonrpc.request.id", SPANS, |f| f.exchange.call.as_ref()?.id().map(|id| id.to_string().into())),
    row("rpc.response.status_code", SPANS, |f| f.code().map(|code| code.to_string().into())),
    row("rpc.response.status_code", DURATIONS, |f| f.code().map(|code| code_label(code).into())),
    row("error.type", &[ServerSpan], |f| f.received_error().map(ErrorType::exact)),
    row("error.type", &[ClientSpan], |f| f.sent_error().map(ErrorType::exact)),
    row("error.type", &[ServerDuration], |f| f.received_error().map(ErrorType::bounded)),
    row("error.type", &[ClientDuration], |f| f.sent_error().map(ErrorType::bounded)),
    row("http.response.status_code", &[ClientSpan], |f| f.exchange.attempt.as_ref()?.status.map(|status| i64::from(status).into())),
    row("gen_ai.tool.call.arguments", SPANS, |f| f.said(Flow::Arguments, Call::arguments).map(|it| content::arguments(&it).into())),
    row("gen_ai.tool.call.result", SPANS, |f| f.said(Flow::Results, |_| f.exchange.answer.clone()).and_then(|it| content::result(&it)).map(Value::from)),
    row(NETWORK_PROTOCOL, ALL_OF_MCP, |_| Some(HTTP.into())),
    row("network.protocol.version", RECEIVED, |f| Some(http_version(f.exchange.http).into())),
    // The pool speaks nothing else.
    row("network.protocol.version", SENT, |_| Some("1.1".into())),
    row(NETWORK_TRANSPORT, ALL_OF_MCP, |_| Some(TCP.into())),
    row("server.address", SENT, |f| f.upstream().map(|(host, _)| host)),
    row("server.port", SENT, |f| f.upstream().and_then(|(_, port)| port)),
    row("client.address", &[ServerSpan], |f| Some(text(f.exchange.peer.ip().to_string()))),
    row("client.port", &[ServerSpan], |f| Some(i64::from(f.exchange.peer.port()).into())),
    row("tollgate.decision.id", SPANS, |f| Some(text(f.exchange.id.to_string()))),
    row(OWN_SERVER, ALL_OF_MCP, |f| Some(f.server())),
    row("tollgate.principal", &[ServerSpan], |f| f.exchange.principal.as_ref().map(|it| it.id().clone().into())),
    row("tollgate.auth", &[ServerSpan], |f| f.exchange.principal.as_ref().map(|it| it.auth().into())),
    row("tollgate.issuer", &[ServerSpan], |f| f.exchange.principal.as_ref()?.issuer().map(text)),
    row("tollgate.outcome", &[ServerSpan], |f| Some(f.outcome.label().into())),
    row("tollgate.refused", &[ServerSpan], |f| f.exchange.refused.map(Into::into)),
    row("tollgate.rule", &[ServerSpan], |f| f.exchange.rule.as_ref().map(|rule| text(rule.to_string()))),
    row("tollgate.would_deny", &[ServerSpan], |f| f.exchange.would_deny.as_ref().map(|it| it.reason.into())),
    row("tollgate.would_deny.rule", &[ServerSpan], |f| f.exchange.would_deny.as_ref().map(|it| text(it.rule.to_string()))),
    row("tollgate.redacted", &[ServerSpan], |f| {
        let found: Vec<_> = f.exchange.found().into_keys().collect();
        (!found.is_empty()).then(|| text(found.join(",")))
    }),
    row("tollgate.cache", &[ServerSpan], |f| f.exchange.cache.map(|served| served.word().into())),
    row("tollgate.reply.size", &[ServerSpan], |f| f.replied().map(number)),
    row("tollgate.reply.tokens", &[ServerSpan], |f| f.replied().map(|bytes| number(tokens(bytes)))),
    row("tollgate.policy.digest", &[ServerSpan], |f| Some(f.exchange.policy.clone().into())),
    row("tollgate.request.id", &[ServerSpan], |f| f.exchange.request_id.as_ref()?.to_str().ok().map(text)),
    row(TOOL, &[ToolCalls, Replies, Cached], |f| f.tool_label().map(text)),
    row(SERVER, &[ToolCalls, Decisions, Replies, Cached], |f| Some(f.server())),
    row(RESULT, &[Cached], |f| f.exchange.cache.map(|served| served.word().into())),
    row(OUTCOME, &[ToolCalls, Decisions], |f| Some(f.outcome.label().into())),
    row("tollgate.timeout.kind", SPANS, |f| f.exchange.timeout.map(|kind| kind.label().into())),
    row(TIMEOUT_KIND, &[Decisions], |f| f.exchange.timeout.map(|kind| kind.label().into())),
    row("would_deny", &[Decisions], |f| f.exchange.would_deny.as_ref().map(|it| it.reason.into())),
    row(METHOD, &[Decisions, Replies], |f| Some(f.method().name().into())),
];

/// The tool that was called, by a name that a policy has.
pub(super) const TOOL: &str = "tool_name";
/// The server that was asked, or asks.
pub(super) const SERVER: &str = "server";
/// What was asked.
pub(super) const METHOD: &str = "method";
/// How a message ended.
pub(super) const OUTCOME: &str = "outcome";
/// Label of `tollgate.rule.decisions`: file and path of the rule that decided.
pub(super) const RULE: &str = "rule";
/// Label of `tollgate.upstream.circuit` and `tollgate.upstream.in_flight`: a URL of the server, as configured.
pub(super) const ENDPOINT: &str = "endpoint";
/// Label of `tollgate.upstream.circuit`.
pub(super) const STATE: &str = "state";
/// Label of `tollgate.log.dropped`.
pub(super) const LOG: &str = "log";
/// Label of `tollgate.policy.info`.
pub(super) const DIGEST: &str = "digest";
/// Label of `tollgate.cache.calls`, `tollgate.cache.shared.looks`, `tollgate.policy.reloads`, `tollgate.tls.reloads`, `tollgate.tls.handshakes`, `tollgate.issuer.fetches` and
/// `tollgate.upstream.connects`.
pub(super) const RESULT: &str = "result";
/// Label of `tollgate.issuer.*`: an issuer of tokens, as the principals file has it.
pub(super) const ISSUER: &str = "issuer";
/// Label of `tollgate.authentication.failures` and `tollgate.upstream.retries`: a word of a closed set.
pub(super) const REASON: &str = "reason";
/// Label of `tollgate.connections.timed_out`: which deadline was over.
pub(super) const TIMEOUT_KIND: &str = "timeout_kind";
/// Label of `tollgate.kill_switch.active`.
pub(super) const SCOPE: &str = "scope";
/// Label of `tollgate.credential.time_left`.
pub(super) const CREDENTIAL: &str = "credential";
/// Labels of `tollgate.redactions`: what was found, where, and what came of it.
pub(super) const DETECTOR: &str = "detector";
pub(super) const FLOW: &str = "in";
pub(super) const ACTION: &str = "action";
const OWN_SERVER: &str = "tollgate.server";
const NETWORK_PROTOCOL: &str = "network.protocol.name";
const NETWORK_TRANSPORT: &str = "network.transport";
const HTTP: &str = "http";
const TCP: &str = "tcp";
/// Stands in labels for every tool that no rule names.
pub(super) const OTHER: &str = "_other";

/// The attributes of one signal, in the order of the table.
pub(super) fn of(signal: Signal, facts: &Facts<'_>) -> Vec<KeyValue> {
    TABLE
        .iter()
        .filter(|row| row.on.contains(&signal))
        .filter_map(|row| Some(KeyValue::new(row.name, (row.value)(facts)?)))
        .collect()
}

/// The labels of `mcp.server.session.duration` and `mcp.client.session.duration`.
pub(super) fn of_session(server: &ServerName) -> [KeyValue; 3] {
    let server = KeyValue::new(OWN_SERVER, server.as_str().to_owned());
    [server, KeyValue::new(NETWORK_PROTOCOL, HTTP), KeyValue::new(NETWORK_TRANSPORT, TCP)]
}

/// What `error.type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorType {
    /// A JSON-RPC error of this code.
    Code(i64),
    /// A failure that has a name.
    Named(&'static str),
}

impl ErrorType {
    fn exact(self) -> Value {
        match self {
            Self::Code(code) => code.to_string().into(),
            Self::Named(name) => name.into(),
        }
    }

    fn bounded(self) -> Value {
        match self {
            Self::Code(code) => code_label(code).into(),
            Self::Named(name) => name.into(),
        }
    }
}

impl<'a> Facts<'a> {
    /// The method; a message that was not read counts as an unknown one.
    pub(super) fn method(&self) -> Method {
        self.exchange.call.as_ref().map_or(Method::Other, |call| call.method())
    }

    /// What it was about.
    pub(super) fn target(&self) -> Target<'a> {
        self.exchange.call.as_ref().map_or(Target::None, |call| call.target())
    }

    /// The tool's name as a label may have it; only of tool calls.
    pub(super) fn tool_label(&self) -> Option<&'a str> {
        match (self.target(), self.exchange.tool) {
            (Target::Tool(name), ToolLabel::Name) => Some(name),
            (Target::Tool(_), ToolLabel::Other) => Some(OTHER),
            (Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_), _) => None,
        }
    }

    /// The JSON-RPC error code that the client was answered with.
    pub(super) fn code(&self) -> Option<i64> {
        self.exchange.answered_code(self.outcome)
    }

    /// What failed, as the receiver of the message sees it. What is the caller's own fault is no failure of ours.
    pub(super) fn received_error(&self) -> Option<ErrorType> {
        match self.outcome {
            Outcome::ServerError(code) => (!is_callers_fault(code)).then_some(ErrorType::Code(code)),
            Outcome::ToolError => Some(ErrorType::Named("tool_error")),
            Outcome::Timeout => Some(ErrorType::Named("timeout")),
            Outcome::UpstreamError => Some(ErrorType::Named("upstream_error")),
            Outcome::Unrecorded => Some(ErrorType::Named("unrecorded")),
            Outcome::Ok
            | Outcome::Denied
            | Outcome::Limited
            | Outcome::Invalid
            | Outcome::Unauthenticated
            | Outcome::Cancelled => self.exchange.code.filter(|code| *code == code::INTERNAL).map(ErrorType::Code),
        }
    }

    /// What failed, as the sender to the upstream sees it: there every error counts.
    pub(super) fn sent_error(&self) -> Option<ErrorType> {
        match self.outcome {
            Outcome::ServerError(code) => Some(ErrorType::Code(code)),
            Outcome::Cancelled => Some(ErrorType::Named("cancelled")),
            Outcome::Ok
            | Outcome::ToolError
            | Outcome::Denied
            | Outcome::Limited
            | Outcome::Timeout
            | Outcome::UpstreamError
            | Outcome::Invalid
            | Outcome::Unauthenticated
            | Outcome::Unrecorded => self.received_error(),
        }
    }

    /// Something that was said in a tool call, if that may be told: not what holds something that is not for everyone's
    /// eyes, and was not masked.
    fn said(&self, flow: Flow, what: impl FnOnce(&'a Call) -> Option<Bytes>) -> Option<Bytes> {
        let call = self.exchange.call.as_ref().filter(|call| call.method() == Method::ToolsCall)?;
        if self.exchange.unmasked(flow).next().is_some() || self.exchange.refused == Some(Reason::Sensitive.word()) {
            return None;
        }
        if self.content == Content::OnSpans { what(call) } else { None }
    }

    /// How many bytes the caller got of a reply, if it got any.
    fn replied(&self) -> Option<usize> {
        Some(self.exchange.replied).filter(|bytes| *bytes > 0)
    }

    fn server(&self) -> Value {
        text(self.exchange.server.as_str())
    }

    /// The session, where there are any: not its name, with which one could ask in it, but what tells it from others.
    fn session(&self) -> Option<String> {
        let session = self.exchange.session.as_ref()?;
        let legacy = self.exchange.call.as_ref().is_none_or(|call| call.era() == Era::Legacy);
        let digits = HEXLOWER.encode(&Sha256::digest(session.as_bytes()));
        legacy.then(|| digits.chars().take(16).collect())
    }

    /// Host and port of the server.
    fn upstream(&self) -> Option<(Value, Option<Value>)> {
        let server = self.exchange.attempt.as_ref()?.server.as_ref()?;
        let host = server.host().trim_start_matches('[').trim_end_matches(']');
        Some((text(host), server.port_u16().map(|port| i64::from(port).into())))
    }
}

/// The codes that say that the request was wrong, not its handling (the conventions' own list).
fn is_callers_fault(code: i64) -> bool {
    matches!(
        code,
        code::PARSE | code::INVALID_REQUEST | code::METHOD_NOT_FOUND | code::INVALID_PARAMS | RESOURCE_NOT_FOUND
    )
}

/// No such resource (MCP up to 2025-11-25, Resources, Error Handling).
const RESOURCE_NOT_FOUND: i64 = -32002;

/// A code that labels may be chosen by: all without a meaning are one.
pub(super) fn bounded_code(code: i64) -> i64 {
    code_label(code).parse().unwrap_or_default()
}

/// A code as labels have it: servers choose codes freely, so only those with a meaning keep theirs.
fn code_label(code: i64) -> &'static str {
    match code {
        code::PARSE => "-32700",
        code::INVALID_REQUEST => "-32600",
        code::METHOD_NOT_FOUND => "-32601",
        code::INVALID_PARAMS => "-32602",
        code::INTERNAL => "-32603",
        -32000 => "-32000",
        -32001 => "-32001",
        RESOURCE_NOT_FOUND => "-32002",
        code::HEADER_MISMATCH => "-32020",
        -32021 => "-32021",
        code::UNSUPPORTED_VERSION => "-32022",
        -32042 => "-32042",
        code::LIMITED => "-31429",
        code::UPSTREAM => "-31502",
        code::UNAVAILABLE => "-31503",
        code::TIMEOUT => "-31504",
        // The conventions' word for an error type that has no name.
        _ => "_OTHER",
    }
}

fn http_version(version: http::Version) -> &'static str {
    if version == http::Version::HTTP_2 { "2" } else { "1.1" }
}

/// How many tokens of a model so many bytes of JSON are, more or less: good enough to see what fills a context.
pub(super) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(4)
}

fn number(number: usize) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn text(text: impl Into<String>) -> Value {
    text.into().into()
}
