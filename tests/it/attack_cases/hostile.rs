//! The cases in which it is the server that attacks: it answers alice as the case says, and everybody else as ever.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::case::Case;
use super::judge::{Seen, summary};
use super::replies::{self, Effects};
use super::{ALLOWED, Bench, Run, echo_or_hold};
use crate::support::DEADLINE;
use crate::support::message::{message, post, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::Recorded;
use crate::support::{keys, upstream};

impl Bench {
    /// One run of a case, and another caller's call after it.
    pub(super) async fn run_hostile(&self, case: &Case, script: &upstream::Reply, run: Run) -> Result<(), String> {
        let scripted = script.clone();
        self.upstream
            .answer_with(move |request| if is_alices(request) { scripted.clone() } else { echo_or_hold(request) });
        self.gate.forget_peak();
        let (memory, cpu, visits) = (self.gate.memory_kib(), self.gate.cpu(), self.canary.visits());
        let mark = self.upstream.count();
        let mut connection = Connection::open(self.gate.data).await;
        let answer = timeout(patience(script), connection.exchange(&case.wire())).await.unwrap_or(Answer::Nothing);
        let seen = Seen { answers: vec![answer], upstream: self.upstream.since(mark), closed: None };
        let effects = Effects {
            decision: self.decision_on(&seen).await,
            grown: self.gate.peak_memory_kib().zip(memory).map(|(now, then)| now.saturating_sub(then)),
            cpu: self.gate.cpu().zip(cpu).map(|(now, then)| now.saturating_sub(then)),
            visits: self.canary.visits() - visits,
        };
        let server = self.upstream.address.to_string();
        let verdict = replies::judge(case, &seen, &effects, &server);
        let verdict = verdict.map_err(|why| format!("{why} ({})", summary(&seen)));
        self.another_is_answered().await?;
        verdict?;
        if run == Run::Reused {
            self.use_again(case, connection, mark).await?;
        }
        Ok(())
    }

    /// The gate's line about the message that it carried, or null.
    async fn decision_on(&self, seen: &Seen) -> Value {
        let carried = seen.upstream.first().and_then(|request| request.head.first("x-request-id"));
        let (Some(id), Some(Answer::Response(_))) = (carried, seen.answers.first()) else {
            return Value::Null;
        };
        let line = self.gate.decisions.wait_since(0, DEADLINE, |line| line.contains(id)).await;
        line.and_then(|line| serde_json::from_str(&line).ok()).unwrap_or(Value::Null)
    }

    /// Whatever the server did to one caller, another one, who is shown the tools as ever, hears the answer to its call.
    async fn another_is_answered(&self) -> Result<(), String> {
        raw::call(self.gate.data, &post(keys::BOB, &message("\"list\"", "tools/list", "{}"))).await;
        let call = tool_call("\"bobs\"", ALLOWED, r#"{"q":"of-bob"}"#);
        let response = raw::call(self.gate.data, &post(keys::BOB, &call)).await;
        let heard = response.json().unwrap_or_default();
        let his_own = heard["id"] == "bobs" && response.text().contains("of-bob");
        if his_own { Ok(()) } else { Err(format!("bob hears {} {}", response.status, response.text())) }
    }
}

/// How long the answer may take. What never ends need not be waited for as long as what is slow.
fn patience(script: &upstream::Reply) -> Duration {
    match script {
        upstream::Reply::Endless(_) => Duration::from_secs(2),
        _ => DEADLINE,
    }
}

fn is_alices(request: &Recorded) -> bool {
    request.head.first("x-gateway-principal") == Some("alice")
}
