//! The cases about sessions of the revisions with a handshake: alice and bob have begun one each.

use super::case::Case;
use super::judge::error_of;
use super::{ALLOWED, Bench, Run};
use crate::support::gate::Gate;
use crate::support::keys;
use crate::support::message::{LEGACY, message, post, post_with, tool_call};
use crate::support::raw::{self, Answer, Connection, Response};
use crate::support::upstream::{Recorded, Reply, Upstream};

const SESSION: &str = "mcp-session-id";
/// What a server of the tests calls its sessions; a caller never hears it.
const THEIRS: &str = "session-of-the-server-";
/// How many sessions one principal may have where the operator says nothing else.
const CAP: usize = 1_000;
/// How many more are asked for. The record says 100,000 in all: behind the cap each is refused like the one before it,
/// so that many would only take longer.
const MORE: usize = 100;
/// What so many attempts may leave in memory, in KiB.
const MOST_MEMORY: usize = 32 * 1024;

/// A server that begins a session with every `initialize`.
pub(super) fn with_sessions(request: &Recorded) -> Reply {
    let reply = Reply::obliging(request);
    let begins = request.json().unwrap_or_default()["method"] == "initialize";
    match reply {
        Reply::Whole { status, mut headers, body } if begins => {
            let request_id = request.head.first("x-request-id").unwrap_or_default();
            headers.push((SESSION.to_owned(), format!("{THEIRS}{request_id}")));
            Reply::Whole { status, headers, body }
        }
        reply => reply,
    }
}

async fn begin(gate: &Gate, key: &str) -> Response {
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    raw::call(gate.data, &post(key, &message("1", "initialize", params))).await
}

/// The caller's id of the session that this answer began.
fn begun(response: &Response) -> Result<String, String> {
    let id = response.head.first(SESSION);
    let id = id.filter(|id| response.status == 200 && !id.contains(THEIRS));
    id.map(str::to_owned).ok_or_else(|| format!("no session begins: {} {}", response.status, response.text()))
}

impl Bench {
    /// One run of a case; alice's session must have outlived it.
    pub(super) async fn run_in_sessions(&self, case: &Case, run: Run) -> Result<(), String> {
        let alice = begun(&begin(&self.gate, keys::ALICE).await)?;
        let bob = begun(&begin(&self.gate, keys::BOB).await)?;
        let case = case.with(&[("{{SID_ALICE}}", &alice), ("{{SID_BOB}}", &bob)]);
        self.run_once(&case, run).await?;
        lives_on(&self.gate, &self.upstream, keys::ALICE, &alice).await
    }

    /// Alice begins sessions without end; bob is none the worse for it.
    pub(super) async fn too_many_sessions(&self, case: &Case) -> Result<(), String> {
        let (gate, upstream) = (&self.gate, &self.upstream);
        gate.forget_peak();
        let (mark, memory) = (upstream.count(), gate.memory_kib());
        let mut connection = Connection::open(gate.data).await;
        for n in 0..CAP + MORE {
            let answer = connection.exchange(&case.wire()).await;
            let Answer::Response(response) = answer else {
                return Err(format!("initialize {n}: {answer:?}"));
            };
            let verdict = if n < CAP { begun(&response).map(drop) } else { refused(&response) };
            verdict.map_err(|why| format!("initialize {n}: {why}"))?;
        }
        if upstream.count() - mark != CAP {
            return Err(format!("{} requests behind the gate, not {CAP}", upstream.count() - mark));
        }
        let grown = gate.peak_memory_kib().zip(memory).map_or(0, |(now, then)| now.saturating_sub(then));
        if grown >= MOST_MEMORY {
            return Err(format!("memory grew by {grown} KiB"));
        }
        let bob = begun(&begin(gate, keys::BOB).await)?;
        lives_on(gate, upstream, keys::BOB, &bob).await
    }
}

fn refused(response: &Response) -> Result<(), String> {
    let error = error_of(response).unwrap_or_default();
    let ours = error["data"]["io.tollgate/origin"] == "gateway";
    let answers = response.json().unwrap_or_default()["id"] == 1;
    if response.status == 429 && ours && answers {
        return Ok(());
    }
    Err(format!("not refused: {} {}", response.status, response.text()))
}

/// A call in the session is carried, and the server hears its own id for it.
async fn lives_on(gate: &Gate, upstream: &Upstream, key: &str, session: &str) -> Result<(), String> {
    let mark = upstream.count();
    let mut headers = LEGACY.to_vec();
    headers.extend([("x-api-key", key), (SESSION, session)]);
    let response = raw::call(gate.data, &post_with(&headers, &tool_call("1", ALLOWED, "{}"))).await;
    let behind = upstream.since(mark);
    match behind.as_slice() {
        [only] if only.head.first(SESSION).is_some_and(|id| id.starts_with(THEIRS)) && response.status == 200 => Ok(()),
        _ => Err(format!("the session is gone: {} {}", response.status, response.text())),
    }
}
