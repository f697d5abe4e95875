//! The requests that callers of the test world send.

use std::fmt::Write as _;

use super::keys;

/// A `tools/call`; `id` and `arguments` are JSON.
pub(crate) fn tool_call(id: &str, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

/// Any request; `params` is JSON.
pub(crate) fn message(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// The header fields of a well-behaved caller of the last revision with a handshake, without a credential.
pub(crate) const LEGACY: [(&str, &str); 4] = [
    ("host", "localhost:8080"),
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2025-11-25"),
];

/// A POST of this body with a key, as a well-behaved caller sends it.
pub(crate) fn post(key: &str, body: &str) -> Vec<u8> {
    let mut headers = LEGACY.to_vec();
    headers.push(("x-api-key", key));
    post_with(&headers, body)
}

/// A POST of this body with exactly these header fields, and the length.
pub(crate) fn post_with(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut request = String::from("POST /mcp HTTP/1.1\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").expect("a String takes what is written to it");
    }
    write!(request, "content-length: {}\r\n\r\n{body}", body.len()).expect("likewise");
    request.into_bytes()
}

/// The same request to another path than `/mcp`.
pub(crate) fn at(path: &str, request: &[u8]) -> Vec<u8> {
    [format!("POST {path}").as_bytes(), request.strip_prefix(b"POST /mcp").expect("it is to /mcp")].concat()
}

/// A POST of a 2026-07-28 request by alice: `params` are the members beside `_meta`, `name` the mirrored target.
pub(crate) fn post_modern(method: &str, params: &str, name: Option<&str>) -> Vec<u8> {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let comma = if params.is_empty() { "" } else { "," };
    let body = message("1", method, &format!("{{{params}{comma}{meta}}}"));
    let mut headers = LEGACY.to_vec();
    headers[3].1 = "2026-07-28";
    headers.extend([("x-api-key", keys::ALICE), ("mcp-method", method)]);
    headers.extend(name.map(|name| ("mcp-name", name)));
    post_with(&headers, &body)
}
