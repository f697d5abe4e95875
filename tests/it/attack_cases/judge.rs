//! Whether what was seen of a case is what must be seen. No IO.

use serde_json::Value;

use super::case::{Case, Expectation};
use crate::support::keys;
use crate::support::raw::{Answer, Response};
use crate::support::upstream::Recorded;

/// What one run of a case brought.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answers: Vec<Answer>,
    pub(super) upstream: Vec<Recorded>,
    /// Whether the gate closed the connection afterwards, where the case asks.
    pub(super) closed: Option<bool>,
}

/// The header fields that may stand in a request behind the gate; `mcp-*` beside them.
const CARRIED: [&str; 12] = [
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "accept",
    "last-event-id",
    "user-agent",
    "traceparent",
    "tracestate",
    "x-gateway-principal",
    "x-forwarded-for",
    "x-request-id",
];

/// Judges by the expectation, else by each that is acceptable instead; reports against the first.
pub(super) fn judge(case: &Case, seen: &Seen, server: &str) -> Result<(), String> {
    expected(case, case.expectation, seen).or_else(|why| {
        let others = &case.also_acceptable;
        let other = others.iter().any(|e| acceptable(case, *e, seen).is_ok());
        if other { Ok(()) } else { Err(why) }
    })?;
    for request in &seen.upstream {
        carried_cleanly(request, server)?;
    }
    if seen.upstream.is_empty() {
        answered_by_the_gate(seen)?;
    }
    if case.expect.connection.as_deref() == Some("close") && seen.closed != Some(true) {
        return Err("the connection stays open".to_owned());
    }
    Ok(())
}

fn expected(case: &Case, expectation: Expectation, seen: &Seen) -> Result<(), String> {
    acceptable(case, expectation, seen)?;
    let wanted = &case.expect;
    if !wanted.status.is_empty() {
        let status = first(seen)?.status;
        if !wanted.status.contains(&status) {
            return Err(format!("status {status}, not {:?}", wanted.status));
        }
    }
    if !wanted.jsonrpc_code.is_empty() {
        let code = error_of(first(seen)?).and_then(|error| error["code"].as_i64());
        if !code.is_some_and(|code| wanted.jsonrpc_code.contains(&code)) {
            return Err(format!("code {code:?}, not {:?}", wanted.jsonrpc_code));
        }
    }
    Ok(())
}

fn acceptable(case: &Case, expectation: Expectation, seen: &Seen) -> Result<(), String> {
    match expectation {
        Expectation::RejectedBeforeUpstream => rejected(seen),
        Expectation::BlockedByPolicy => blocked(case, seen),
        Expectation::ForwardedUnchanged | Expectation::ForwardedNormalised => carried(case, seen),
    }
}

fn rejected(seen: &Seen) -> Result<(), String> {
    nothing_behind(seen)?;
    match seen.answers.first() {
        Some(Answer::Closed) => Ok(()),
        Some(Answer::Response(response)) if response.status >= 400 => Ok(()),
        _ => Err("neither refused nor closed".to_owned()),
    }
}

fn blocked(case: &Case, seen: &Seen) -> Result<(), String> {
    nothing_behind(seen)?;
    let response = first(seen)?;
    let Some(id) = case.request_id() else {
        // A notification has no answer that could say no; it may be swallowed.
        return match response.status {
            202 => Ok(()),
            status => Err(format!("status {status} for a notification")),
        };
    };
    denial(response, &id)?;
    let modern = case.http.headers.iter().any(|(name, value)| name == "mcp-protocol-version" && value == "2026-07-28");
    let code = error_of(response).and_then(|error| error["code"].as_i64());
    match (response.status, code) {
        (200, _) => Ok(()),
        (404, Some(-32601)) if modern => Ok(()),
        (status, _) => Err(format!("status {status} for a denial")),
    }
}

/// A refusal by policy: a JSON-RPC error that echoes the id and bears a code of a missing thing.
pub(super) fn denial(response: &Response, id: &Value) -> Result<(), String> {
    let message = response.json().ok_or("the body is not JSON")?;
    let error = error_of(response).ok_or("no JSON-RPC error")?;
    if message.get("id") != Some(id) {
        return Err(format!("the error does not echo the id {id}"));
    }
    match error["code"].as_i64() {
        Some(-32601 | -32602) => Ok(()),
        code => Err(format!("code {code:?} for a denial")),
    }
}

/// One request behind the gate, with the body that was sent.
pub(super) fn unchanged_behind(case: &Case, seen: &Seen) -> Result<(), String> {
    let [request] = seen.upstream.as_slice() else {
        return Err(format!("{} requests behind the gate, not 1", seen.upstream.len()));
    };
    if case.is_of_telemetry() && request.json().map(untraced) == case.sent().map(untraced) {
        return Ok(());
    }
    if request.without_context() != case.carried_body() {
        return Err(format!("another body behind the gate: {}", request.text()));
    }
    Ok(())
}

/// A message without what it says of a trace: that is the gate's to say.
fn untraced(mut message: Value) -> Value {
    if let Some(params) = message["params"].as_object_mut() {
        params.remove("_meta");
    }
    message
}

fn carried(case: &Case, seen: &Seen) -> Result<(), String> {
    unchanged_behind(case, seen)?;
    let response = first(seen)?;
    match case.request_id() {
        None if response.status == 202 => Ok(()),
        None => Err(format!("status {} for a notification", response.status)),
        Some(id) => {
            let message = response.json().ok_or("the answer is not JSON")?;
            let answered = message.get("result").is_some() && message.get("id") == Some(&id);
            if response.status == 200 && answered {
                Ok(())
            } else {
                Err("the server's answer does not come back".to_owned())
            }
        }
    }
}

fn nothing_behind(seen: &Seen) -> Result<(), String> {
    match seen.upstream.len() {
        0 => Ok(()),
        n => Err(format!("{n} requests behind the gate, not 0")),
    }
}

/// No credential, nothing hop-by-hop, nothing unknown; and the gate's own word on who asks.
pub(super) fn carried_cleanly(request: &Recorded, server: &str) -> Result<(), String> {
    for key in keys::ALL {
        if request.holds(key) || request.holds(&key.to_uppercase()) {
            return Err("a key behind the gate".to_owned());
        }
    }
    for (name, _) in &request.head.headers {
        if !CARRIED.contains(&name.as_str()) && !name.starts_with("mcp-") {
            return Err(format!("header {name} behind the gate"));
        }
    }
    let one = |name: &str, value: &str| match request.head.all(name).as_slice() {
        [only] if *only == value => Ok(()),
        other => Err(format!("{name} behind the gate is {other:?}")),
    };
    one("x-gateway-principal", "alice")?;
    one("x-forwarded-for", "127.0.0.1")?;
    one("host", server)?;
    if request.head.all("x-request-id").len() != 1 {
        return Err("not one x-request-id behind the gate".to_owned());
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/mcp") => Ok(()),
        (method, path) => Err(format!("{method} {path} behind the gate")),
    }
}

/// What the gate answers by itself says so, wherever it speaks JSON-RPC.
fn answered_by_the_gate(seen: &Seen) -> Result<(), String> {
    for answer in &seen.answers {
        let Answer::Response(response) = answer else {
            continue;
        };
        let typed = response.head.first("content-type");
        if typed.is_some_and(|kind| kind.starts_with("application/json")) && response.json().is_none() {
            return Err("the refusal's body is not JSON".to_owned());
        }
        if let Some(error) = error_of(response)
            && error["data"]["io.tollgate/origin"] != "gateway"
        {
            return Err("the refusal does not name the gateway as its origin".to_owned());
        }
    }
    Ok(())
}

pub(super) fn error_of(response: &Response) -> Option<Value> {
    response.json()?.get("error").cloned()
}

pub(super) fn first(seen: &Seen) -> Result<&Response, String> {
    match seen.answers.first() {
        Some(Answer::Response(response)) => Ok(response),
        Some(Answer::Closed) => Err("closed without an answer".to_owned()),
        Some(Answer::Nothing) | None => Err("no answer in time".to_owned()),
    }
}

/// What was seen, in few words.
pub(super) fn summary(seen: &Seen) -> String {
    let answer = |answer: &Answer| match answer {
        Answer::Closed => "closed".to_owned(),
        Answer::Nothing => "nothing".to_owned(),
        Answer::Response(response) => {
            let text: String = response.text().chars().take(240).collect();
            format!("{} {text}", response.status)
        }
    };
    let answers: Vec<String> = seen.answers.iter().map(answer).collect();
    format!("{} behind; {}", seen.upstream.len(), answers.join(" / "))
}
