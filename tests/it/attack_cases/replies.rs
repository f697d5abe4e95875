//! Whether a caller saw of a hostile server's reply what it may see: one judge for each expectation of the corpus. No IO.

use std::time::Duration;

use serde_json::Value;

use super::case::Case;
use super::judge::{Seen, carried_cleanly, first, unchanged_behind};
use super::script::Script;
use crate::support::raw::Response;
use crate::support::sse::{self, Event};

/// What a reply did beside being answered.
#[derive(Debug)]
pub(super) struct Effects {
    /// The gate's line about the message.
    pub(super) decision: Value,
    /// By how much the gate's memory grew, in KiB.
    pub(super) grown: Option<usize>,
    /// How long the gate was busy.
    pub(super) cpu: Option<Duration>,
    /// How many connections were made to where none may be.
    pub(super) visits: usize,
}

/// No single reply may take more memory, in KiB.
const MOST_MEMORY: usize = 32 * 1024;
/// Nor more time on a processor, not even in a build that is not optimised.
const MOST_CPU: Duration = Duration::from_secs(2);
/// The gate's word for a server that gave no proper answer.
const UPSTREAM: i64 = -31502;

pub(super) fn judge(case: &Case, seen: &Seen, effects: &Effects, server: &str) -> Result<(), String> {
    unchanged_behind(case, seen)?;
    for request in &seen.upstream {
        carried_cleanly(request, server)?;
    }
    let told = Told { case, response: first(seen)?, effects };
    match case.response_expectation.as_deref() {
        Some(
            "502"
            | "502 / JSON-RPC error, nothing forwarded"
            | "client sees generic 502 body without hunter2"
            | "refused: capability not declared / scheme not https"
            | "endpoint events dropped/refused in streamable HTTP",
        ) => told.refused(),
        Some("502, RSS growth bounded" | "502; RSS growth < 32 MiB") => told.refused().and_then(|()| told.lean()),
        Some("502, bounded CPU/memory") => told.refused().and_then(|()| told.lean()).and_then(|()| told.quick()),
        Some("502; no connection to 169.254.169.254" | "502; evil.test saw nothing") => {
            told.refused().and_then(|()| told.stayed_home())
        }
        Some("second response never delivered to another client") => told.answered().or_else(|_| told.refused()),
        Some("no set-cookie at client" | "none of them at client") => told.answered().and_then(|()| told.only_ours()),
        Some("one message, parsed and policed") => told.answered(),
        Some("second withheld (charset)") => told.lists(&["search_records"]),
        Some("client sees cacheScope private and only search_records") => {
            told.lists(&["search_records"]).and_then(|()| told.private())
        }
        Some("no outbound connection; tool withheld if gateway validates schemas") => {
            told.stayed_home()?;
            told.lists(&["search_records"]).or_else(|_| told.lists(&[]))
        }
        Some("cut at configured max; audit record closed with reason") => told.cut(),
        Some("definition differs from pin: tool withheld, alert, audit event tool_definition_changed") => {
            told.lists(&[])
        }
        Some("withheld or stripped, counted") => told.printable(),
        Some("redacted") => told.without("AKIAIOSFODNN7EXAMPLE"),
        Some("collision reported; route of search_records unchanged") => Err("there is no second server".to_owned()),
        Some("p99 of others unaffected") => told.answered().and_then(|()| told.quick()),
        Some(unknown) => panic!("{}: nothing judges {unknown:?}", case.id),
        None => panic!("{}: a reply without an expectation", case.id),
    }
}

struct Told<'a> {
    case: &'a Case,
    response: &'a Response,
    effects: &'a Effects,
}

impl Told<'_> {
    /// Every message that the caller was told, in order.
    fn messages(&self) -> Result<Vec<Value>, String> {
        if self.response.head.first("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let message = |event: Event| match event.kind.as_str() {
                "" | "message" => serde_json::from_str(&event.data).map_err(|error| format!("an event: {error}")),
                other => Err(format!("an event {other}")),
            };
            return sse::events(&self.response.text()).into_iter().map(message).collect();
        }
        Ok(vec![self.response.json().ok_or("the answer is not JSON")?])
    }

    /// The only message that the caller was told.
    fn only(&self) -> Result<Value, String> {
        match <[Value; 1]>::try_from(self.messages()?) {
            Ok([only]) if only.get("id") == self.case.request_id().as_ref() => Ok(only),
            Ok(_) => Err("the answer does not echo the id".to_owned()),
            Err(all) => Err(format!("{} messages, not 1", all.len())),
        }
    }

    /// The gate's error, and nothing of what the server said.
    fn refused(&self) -> Result<(), String> {
        let error = &self.only()?["error"];
        if error["data"]["io.tollgate/origin"] != "gateway" {
            return Err("no error of the gateway's own".to_owned());
        }
        match (self.response.status, error["code"].as_i64()) {
            (200, Some(UPSTREAM)) => self.decided("upstream_error"),
            (status, code) => Err(format!("status {status}, code {code:?}")),
        }
    }

    /// The server's result.
    fn answered(&self) -> Result<(), String> {
        if self.response.status != 200 || self.only()?.get("result").is_none() {
            return Err("the server's answer does not come back".to_owned());
        }
        self.decided("ok")
    }

    fn decided(&self, outcome: &str) -> Result<(), String> {
        match &self.effects.decision["outcome"] {
            Value::String(decided) if decided == outcome => Ok(()),
            other => Err(format!("the decision says {other}, not {outcome}")),
        }
    }

    fn lists(&self, names: &[&str]) -> Result<(), String> {
        self.answered()?;
        let message = self.only()?;
        let tools = message["result"]["tools"].as_array().ok_or("no list of tools")?;
        let listed: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
        if listed == names { Ok(()) } else { Err(format!("{listed:?} are listed, not {names:?}")) }
    }

    fn private(&self) -> Result<(), String> {
        match &self.only()?["result"]["cacheScope"] {
            Value::String(scope) if scope == "private" => Ok(()),
            other => Err(format!("cacheScope {other}")),
        }
    }

    /// None of the server's header fields but what the body is.
    fn only_ours(&self) -> Result<(), String> {
        let sent = self.case.upstream.iter().flat_map(Script::header_names);
        let mut sent = sent.filter(|name| *name != "content-type");
        match sent.find(|name| self.response.head.first(name).is_some()) {
            Some(name) => Err(format!("{name} comes through")),
            None => Ok(()),
        }
    }

    fn stayed_home(&self) -> Result<(), String> {
        match self.effects.visits {
            0 => Ok(()),
            n => Err(format!("{n} connections to where the server pointed")),
        }
    }

    fn lean(&self) -> Result<(), String> {
        match self.effects.grown {
            Some(grown) if grown >= MOST_MEMORY => Err(format!("memory grew by {grown} KiB")),
            _ => Ok(()),
        }
    }

    fn quick(&self) -> Result<(), String> {
        match self.effects.cpu {
            Some(cpu) if cpu >= MOST_CPU => Err(format!("the gate was busy for {cpu:?}")),
            _ => Ok(()),
        }
    }

    /// The stream was ended, and the last word is why.
    fn cut(&self) -> Result<(), String> {
        let messages = self.messages()?;
        match messages.last() {
            Some(last) if last["error"]["data"]["io.tollgate/origin"] == "gateway" => {
                self.decided("upstream_error")?;
                let reason = &self.effects.decision["refused"];
                if reason == "reply_too_long" { Ok(()) } else { Err(format!("the reason is {reason}")) }
            }
            _ => Err("the stream ends without a reason".to_owned()),
        }
    }

    /// No character that a reviewer would not see.
    fn printable(&self) -> Result<(), String> {
        let unseen = |c: char| {
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{e0000}'..='\u{e007f}')
        };
        let message = self.only()?;
        let tools = message["result"]["tools"].as_array().ok_or("no list of tools")?;
        let described = tools.iter().filter_map(|tool| tool["description"].as_str());
        match described.flat_map(str::chars).find(|c| unseen(*c)) {
            Some(c) => Err(format!("{c:?} in a description")),
            None => Ok(()),
        }
    }

    fn without(&self, secret: &str) -> Result<(), String> {
        // As JSON, so that no escape hides it.
        if self.only()?.to_string().contains(secret) {
            return Err(format!("{secret} comes through"));
        }
        Ok(())
    }
}
