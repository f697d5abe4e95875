//! Error objects: the codes, and how one is written.

use std::fmt::Write as _;

use super::RequestId;
use crate::json;

/// Codes that JSON-RPC, MCP or the gate give a meaning.
///
/// The gate's own lie outside the ranges that JSON-RPC (-32768..-32000) and MCP (-32099..-32020) reserve.
pub mod code {
    /// Not JSON (JSON-RPC 2.0, 5.1).
    pub const PARSE: i64 = -32700;
    /// Not a JSON-RPC message (JSON-RPC 2.0, 5.1).
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method (JSON-RPC 2.0, 5.1).
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Bad parameters; in MCP also an unknown tool, prompt or resource (JSON-RPC 2.0, 5.1; MCP, Tools).
    pub const INVALID_PARAMS: i64 = -32602;
    /// The gate has a fault (JSON-RPC 2.0, 5.1).
    pub const INTERNAL: i64 = -32603;
    /// The client's user must open an address first (MCP 2025-11-25, Elicitation).
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
    /// A mirrored header says something else than the body (MCP 2026-07-28, Transports).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability that the request needs (MCP 2026-07-28, Capabilities).
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// The protocol revision is not spoken (MCP 2026-07-28, Versioning).
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// A rate or concurrency limit has no room.
    pub const LIMITED: i64 = -31429;
    /// The call ran, and its answer holds what the policy does not let out.
    pub const WITHHELD: i64 = -31451;
    /// The server could not be reached or gave no proper answer.
    pub const UPSTREAM: i64 = -31502;
    /// The gate is too busy, or what is asked is switched off.
    pub const UNAVAILABLE: i64 = -31503;
    /// The server was silent for too long.
    pub const TIMEOUT: i64 = -31504;
}

/// An error answer in the making.
#[derive(Debug)]
pub struct ErrorObject {
    code: i64,
    message: String,
    data: String,
}

impl ErrorObject {
    /// An error with this code and message.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: String::new() }
    }

    /// The code.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Adds a text to `data`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        json::quote(value, &mut self.data);
        self
    }

    /// Adds a number to `data`.
    #[must_use]
    pub fn with_number(mut self, name: &str, value: u64) -> Self {
        self.name(name);
        // Writing to a String cannot fail.
        let _ = write!(self.data, "{value}");
        self
    }

    /// Adds a value that is JSON already.
    #[must_use]
    pub fn with_json(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.data.push_str(value);
        self
    }

    /// Adds a list of texts to `data`.
    #[must_use]
    pub fn with_list(mut self, name: &str, values: &[&str]) -> Self {
        self.name(name);
        self.data.push('[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.data.push(',');
            }
            json::quote(value, &mut self.data);
        }
        self.data.push(']');
        self
    }

    fn name(&mut self, name: &str) {
        if !self.data.is_empty() {
            self.data.push(',');
        }
        json::quote(name, &mut self.data);
        self.data.push(':');
    }

    /// The whole message. The id is left out where it could not be read unambiguously.
    pub fn to_json(&self, id: Option<&RequestId>) -> String {
        let mut text = String::with_capacity(160 + self.message.len() + self.data.len());
        text.push_str("{\"jsonrpc\":\"2.0\",");
        if let Some(id) = id {
            text.push_str("\"id\":");
            text.push_str(id.as_json());
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "\"error\":{{\"code\":{},\"message\":", self.code);
        json::quote(&self.message, &mut text);
        if !self.data.is_empty() {
            text.push_str(",\"data\":{");
            text.push_str(&self.data);
            text.push('}');
        }
        text.push_str("}}");
        text
    }
}
