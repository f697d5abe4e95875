//! The calls of the tour, and what each of them has to show. The policy they are decided by is policies/records.yaml.

use std::error::Error;

use serde_json::{Value, json};

use super::caller::{self, Caller, Dialect, Reply};
use super::decision::{About, Decisions, Shown};
use super::report::{Report, Tally};

pub(super) struct Cast {
    pub(super) analyst: Caller,
    pub(super) oncall: Caller,
    pub(super) nobody: Caller,
}

#[derive(Debug, Clone, Copy)]
enum Who {
    Analyst,
    Oncall,
    /// The operator, with the session that the analyst opened.
    Intruder,
    Nobody,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    List,
    Tool {
        name: &'static str,
        arguments: &'static str,
    },
    /// `tool` as the gate reads it, if it can; `header` as the mirrored header names it.
    Body {
        tool: Option<&'static str>,
        header: &'static str,
        text: &'static str,
    },
}

/// One call: it must be decided as `expect` says, and `read` must find in the reply what it looks for.
struct Step {
    who: Who,
    what: &'static str,
    ask: Ask,
    expect: Shown,
    read: fn(&Reply) -> Option<String>,
}

const STEPS: [Step; 14] = [
    Step {
        who: Who::Analyst,
        what: "tools/list",
        ask: Ask::List,
        expect: Shown::Allowed,
        read: |reply| listed(reply, &["get_record_detail", "get_statistics", "search_records"]),
    },
    Step {
        who: Who::Analyst,
        what: "search_records \"refund\", open",
        ask: Ask::Tool {
            name: "search_records",
            arguments: r#"{"query":"refund","limit":3,"filters":{"status":"open"}}"#,
        },
        expect: Shown::Allowed,
        read: |reply| {
            let page = reply.structured()?;
            let shown = page.get("records")?.as_array().filter(|records| records.len() == 3)?.len();
            Some(format!("{} found, {shown} on this page", page.get("total")?))
        },
    },
    Step {
        who: Who::Analyst,
        what: "get_record_detail rec-0042",
        ask: Ask::Tool { name: "get_record_detail", arguments: r#"{"record_id":"rec-0042"}"# },
        expect: Shown::Allowed,
        read: |reply| Some(reply.structured()?.pointer("/record/title")?.as_str()?.to_owned()),
    },
    Step {
        who: Who::Analyst,
        what: "get_statistics by category",
        ask: Ask::Tool { name: "get_statistics", arguments: r#"{"group_by":"category"}"# },
        expect: Shown::Allowed,
        read: |reply| {
            let groups = reply.structured()?.get("groups")?.as_array()?;
            let largest = groups.first()?;
            Some(format!("most are {}", largest.get("value")?.as_str()?))
        },
    },
    Step {
        who: Who::Analyst,
        what: "get_pool_status",
        ask: Ask::Tool { name: "get_pool_status", arguments: "{}" },
        expect: Shown::Refused,
        read: |reply| told(reply, "for operators only"),
    },
    Step {
        who: Who::Oncall,
        what: "get_pool_status",
        ask: Ask::Tool { name: "get_pool_status", arguments: "{}" },
        expect: Shown::Allowed,
        read: |reply| {
            let pool = reply.structured()?;
            Some(format!("{} of {} connections open", pool.get("size")?, pool.get("max_size")?))
        },
    },
    Step {
        who: Who::Oncall,
        what: "tools/list",
        ask: Ask::List,
        expect: Shown::Allowed,
        read: |reply| {
            let operators = ["get_pool_status", "get_record_detail", "get_statistics", "search_records", "slow_report"];
            listed(reply, &operators)
        },
    },
    Step {
        who: Who::Oncall,
        what: "delete_record rec-0042",
        ask: Ask::Tool { name: "delete_record", arguments: r#"{"record_id":"rec-0042"}"# },
        expect: Shown::Refused,
        read: |reply| told(reply, "granted to nobody"),
    },
    Step {
        who: Who::Oncall,
        what: "a header that names another tool than its body",
        ask: Ask::Body {
            tool: None,
            header: "get_pool_status",
            text: r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_record","arguments":{"record_id":"rec-0042"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
        },
        expect: Shown::Refused,
        read: |reply| (reply.status == 400).then(|| "HTTP 400".to_owned()),
    },
    Step {
        who: Who::Analyst,
        what: "a body with two tool names",
        ask: Ask::Body {
            tool: None,
            header: "search_records",
            text: r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_records","name":"delete_record","arguments":{"record_id":"rec-0042"}}}"#,
        },
        expect: Shown::Refused,
        read: |reply| (reply.status == 400).then(|| "HTTP 400".to_owned()),
    },
    Step {
        who: Who::Intruder,
        what: "tools/list in the analyst's session",
        ask: Ask::List,
        expect: Shown::Refused,
        read: |reply| (reply.status == 404).then(|| "HTTP 404".to_owned()),
    },
    Step {
        who: Who::Nobody,
        what: "tools/list without a key",
        ask: Ask::List,
        expect: Shown::Refused,
        read: |reply| (reply.status == 401).then(|| "HTTP 401".to_owned()),
    },
    Step {
        who: Who::Oncall,
        what: "slow_report, 3 s where 1 s is granted",
        ask: Ask::Tool { name: "slow_report", arguments: r#"{"seconds":3}"# },
        expect: Shown::Timeout,
        read: |reply| {
            let executed = reply.error_data("executed")?.as_str()?;
            (executed == "unknown").then(|| "may have run".to_owned())
        },
    },
    Step {
        who: Who::Analyst,
        what: "get_record_detail rec-0042 again",
        ask: Ask::Tool { name: "get_record_detail", arguments: r#"{"record_id":"rec-0042"}"# },
        expect: Shown::Allowed,
        read: |reply| reply.structured().map(|_| "still there".to_owned()),
    },
];

/// The allowance of `get_statistics` is smaller than this.
const BURST: u32 = 12;

pub(super) async fn run(
    cast: &Cast,
    decisions: &mut Decisions,
    report: Report,
    source: &str,
) -> Result<Tally, Box<dyn Error>> {
    let mut tour = Tour { cast, decisions, report, source, session: String::new(), tally: Tally::default() };
    tour.open_session().await?;
    for step in &STEPS {
        tour.take(step).await?;
    }
    tour.burst().await?;
    Ok(tour.tally)
}

struct Tour<'a> {
    cast: &'a Cast,
    decisions: &'a mut Decisions,
    report: Report,
    source: &'a str,
    /// The analyst's.
    session: String,
    tally: Tally,
}

impl Tour<'_> {
    async fn open_session(&mut self) -> Result<(), Box<dyn Error>> {
        let (session, reply) = self.cast.analyst.initialize().await?;
        let server = reply.result().and_then(|result| result.pointer("/serverInfo/name")?.as_str());
        let note = match (&session, server) {
            (Some(_), Some(server)) => Some(format!("a session with the server {server:?}")),
            _ => None,
        };
        self.session = session.unwrap_or_default();
        let about = About::Message { method: "initialize", tool: None };
        self.show(("analyst", "initialize"), about, Shown::Allowed, (note, &reply)).await?;
        Ok(())
    }

    async fn take(&mut self, step: &Step) -> Result<(), Box<dyn Error>> {
        let (caller, reply) = self.ask(step.who, step.ask).await?;
        let note = (step.read)(&reply).filter(|_| self.is_from_source(&reply));
        let about = about(&reply, step.ask);
        self.show((caller, step.what), about, step.expect, (note, &reply)).await
    }

    /// Calls until the gate says that it is enough.
    async fn burst(&mut self) -> Result<(), Box<dyn Error>> {
        let ask = Ask::Tool { name: "get_statistics", arguments: "{}" };
        let mut carried = 0;
        let (caller, reply) = loop {
            let (caller, reply) = self.ask(Who::Analyst, ask).await?;
            if reply.structured().is_none() || carried == BURST {
                break (caller, reply);
            }
            carried += 1;
        };
        let retry_ms = reply.error_data("retryAfterMs").and_then(Value::as_u64);
        let note = retry_ms.map(|ms| format!("{carried} more, then: retry in {ms} ms"));
        self.show((caller, "get_statistics at once"), about(&reply, ask), Shown::Limited, (note, &reply)).await
    }

    async fn ask(&self, who: Who, ask: Ask) -> Result<(&'static str, Reply), Box<dyn Error>> {
        let caller = match who {
            Who::Analyst => &self.cast.analyst,
            Who::Oncall | Who::Intruder => &self.cast.oncall,
            Who::Nobody => &self.cast.nobody,
        };
        let name = match ask {
            Ask::List => None,
            Ask::Tool { name, .. } | Ask::Body { header: name, .. } => Some(name),
        };
        let dialect = match who {
            Who::Analyst | Who::Intruder => Dialect::Session(&self.session),
            Who::Oncall | Who::Nobody => Dialect::Stateless { name },
        };
        let method = ask.method();
        let body = match ask {
            Ask::List => caller::message(dialect, method, json!({})),
            Ask::Tool { name, arguments } => {
                let arguments: Value = serde_json::from_str(arguments)?;
                caller::message(dialect, method, json!({"name": name, "arguments": arguments}))
            }
            Ask::Body { text, .. } => text.to_owned(),
        };
        Ok((caller.name, caller.send(dialect, method, body).await?))
    }

    /// Every result says where it comes from; lists and refusals do not.
    fn is_from_source(&self, reply: &Reply) -> bool {
        reply.structured().and_then(|result| result.get("source")).is_none_or(|source| source == self.source)
    }

    /// Finds what the gate decided, shows it, and counts whether it is what was expected.
    async fn show(
        &mut self,
        (who, what): (&str, &str),
        about: About<'_>,
        expect: Shown,
        (note, reply): (Option<String>, &Reply),
    ) -> Result<(), Box<dyn Error>> {
        let decision = self.decisions.about(about).await?;
        let shown = decision.as_ref().map(|decision| decision.outcome.shown());
        // What breaks the protocol breaks no rule of the policy: then the answer says why.
        let rule = decision.and_then(|decision| decision.rule).filter(|rule| !rule.is_empty());
        let rule = rule.as_deref().or_else(|| reply.error_message()).unwrap_or_default();
        let what = note.as_ref().map_or_else(|| what.to_owned(), |note| format!("{what}: {note}"));
        self.report.step(who, &what, shown.unwrap_or(Shown::Failed), rule)?;
        if shown == Some(expect) && note.is_some() {
            self.tally.expected += 1;
            return Ok(());
        }
        self.tally.surprises += 1;
        let found = match shown {
            None => "the gate wrote no decision".to_owned(),
            Some(found) if found != expect => format!("expected {expect:?}, found {found:?}"),
            Some(_) => "the answer is not the expected one".to_owned(),
        };
        self.report.surprise(&format!("{found}; {}", reply.summary()))?;
        Ok(())
    }
}

impl Ask {
    const fn method(self) -> &'static str {
        match self {
            Self::List => "tools/list",
            Self::Tool { .. } | Self::Body { .. } => "tools/call",
        }
    }
}

/// A refusal names its decision; another one is found by what it is about.
fn about(reply: &Reply, ask: Ask) -> About<'_> {
    let tool = match ask {
        Ask::List => None,
        Ask::Tool { name, .. } => Some(name),
        Ask::Body { tool, .. } => tool,
    };
    reply.decision().map_or(About::Message { method: ask.method(), tool }, About::Id)
}

/// The list must hold exactly these tools.
fn listed(reply: &Reply, expected: &[&str]) -> Option<String> {
    let tools = reply.result()?.get("tools")?.as_array()?;
    let mut names: Vec<&str> = tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect();
    names.sort_unstable();
    (names == expected).then(|| format!("{} tools of the server's 6", names.len()))
}

/// The caller must be told no more than about a tool that does not exist.
fn told(reply: &Reply, why: &str) -> Option<String> {
    let is_own = reply.error_data("io.tollgate/origin")?.as_str()? == "gateway";
    (is_own && reply.error_message().is_some()).then(|| why.to_owned())
}
