//! Every attack case of the corpus against the running gate: over raw sockets, with a recording server behind it.
//! What the cases are is in `tests/fixtures/attack_cases.json`; which of them are held to be wrong, in
//! `attack_exceptions.json` beside it. `TOLLGATE_CASES=CTL-001,DUP-003` picks some.

mod asserts;
mod audit;
mod case;
mod hostile;
mod http2;
mod judge;
mod replies;
mod script;
mod sessions;
mod table;
mod telemetry;
mod tokens;

use std::net::SocketAddr;

use serde_json::Value;

use self::case::{Case, Expectation};
use self::judge::{Seen, judge, summary};
use self::table::Table;
use crate::support::DEADLINE;
use crate::support::canary::Canary;
use crate::support::gate::Gate;
use crate::support::keys;
use crate::support::message::{post, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::tunnel::{Tunnel, client};
use crate::support::upstream::{Recorded, Reply, Upstream, tools};
use crate::support::world::{READERS, World, lock, principals};
use crate::tls::Secure;

/// Detectors, and a pattern that an engine which tries again and again would be slow with.
const REDACTIONS: &str =
    "redact:\n  - { find: [secrets], then: mask }\n  - { pattern: \"(a{1,4}){1,4}b\", name: own, then: mask }\n";
/// A tool that alice and bob may call.
const ALLOWED: &str = "search_records";

/// The settings that the cases ask for. One gate serves all the cases that share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Default,
    OriginAllowed,
    Unpacking,
    AliceHoldsAnotherTool,
    /// The server answers alice as the case says.
    HostileServer,
    /// So it does, and whatever it calls a tool is granted.
    HostileServerOfAnyTool,
    /// So it does, and its tools are pinned.
    HostileServerOfPinnedTools,
    /// So it does, and a reply may have 32 KiB.
    BoundedReplies,
    /// So it does, and secrets in what it says are masked.
    Redacting,
    /// Alice and bob have a session each.
    Sessions,
    /// Nobody has one yet.
    NoSessions,
}

impl Setting {
    const ALL: [Self; 11] = [
        Self::Default,
        Self::OriginAllowed,
        Self::Unpacking,
        Self::AliceHoldsAnotherTool,
        Self::HostileServer,
        Self::HostileServerOfAnyTool,
        Self::HostileServerOfPinnedTools,
        Self::BoundedReplies,
        Self::Redacting,
        Self::Sessions,
        Self::NoSessions,
    ];

    fn of(case: &Case) -> Self {
        match case.response_expectation.as_deref() {
            // A name that no rule spells is withheld anyway; the characters only count where a pattern grants it.
            Some("second withheld (charset)") => return Self::HostileServerOfAnyTool,
            Some("definition differs from pin: tool withheld, alert, audit event tool_definition_changed") => {
                return Self::HostileServerOfPinnedTools;
            }
            Some("cut at configured max; audit record closed with reason") => return Self::BoundedReplies,
            Some("redacted" | "p99 of others unaffected") => return Self::Redacting,
            Some(_) => return Self::HostileServer,
            None => {}
        }
        let Some(settings) = case.config.as_object() else {
            return Self::Default;
        };
        let names: Vec<&str> = settings.keys().map(String::as_str).collect();
        match names.as_slice() {
            ["allowed_origins"] => Self::OriginAllowed,
            ["http"] => Self::Unpacking,
            ["principals"] => Self::AliceHoldsAnotherTool,
            ["mcp"] if case.repeat.is_some() => Self::NoSessions,
            ["mcp"] => Self::Sessions,
            // Settings that the gate does not have, and these cases stand among the exceptions; those of `audit` have gates of
            // their own.
            ["audit" | "auth" | "jsonrpc" | "pinned_tools"] => Self::Default,
            other => panic!("{}: settings {other:?} are not known here", case.id),
        }
    }

    fn world(self, server: &str) -> World {
        let world = World::new(server);
        match self {
            Self::Default | Self::HostileServer | Self::Sessions | Self::NoSessions => world,
            Self::BoundedReplies => world.server("max_reply_bytes: 32768"),
            Self::Redacting => world.policy("records.yaml", &format!("{READERS}{REDACTIONS}")),
            Self::OriginAllowed => world.listen("origins: [\"http://localhost:8080\"]"),
            Self::Unpacking => world.listen("request_decompression: true"),
            Self::AliceHoldsAnotherTool => world
                .policy("records.yaml", &format!("{READERS}  watcher: {{ tools: [get_pool_status] }}\n"))
                .policy("principals.yaml", &principals("watcher")),
            Self::HostileServerOfPinnedTools => world.policy("tools.lock", &lock(tools())),
            Self::HostileServerOfAnyTool => {
                world.policy("records.yaml", "server: records\nroles:\n  reader: { tools: [\"*\"] }\n")
            }
        }
    }

    fn answers(self) -> fn(&Recorded) -> Reply {
        match self {
            Self::Sessions | Self::NoSessions => sessions::with_sessions,
            _ => echo_or_hold,
        }
    }
}

/// How a case is put to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// On a connection of its own.
    Fresh,
    /// On a connection that is used for one more request afterwards.
    Reused,
    /// Over HTTP/2, with one more request afterwards.
    Http2,
    /// By many callers at once.
    Crowd,
    /// Again and again.
    Repeated,
}

/// One gate, the server behind it, and a place where neither may send the other.
struct Bench {
    setting: Setting,
    gate: Gate,
    upstream: Upstream,
    canary: Canary,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_case_ends_as_the_corpus_says() {
    let cases: Vec<_> = Case::load()
        .into_iter()
        .filter(|case| !case.is_of_tokens() && !case.is_of_telemetry() && !case.is_of_audit())
        .collect();
    let mut table = Table::new();
    for setting in Setting::ALL {
        let mine: Vec<&Case> = cases.iter().filter(|c| Setting::of(c) == setting).collect();
        if mine.is_empty() {
            continue;
        }
        let upstream = Upstream::start().await;
        upstream.answer_with(setting.answers());
        let gate = setting.world(&upstream.url()).start().await;
        let mut bench = Bench { setting, gate, upstream, canary: Canary::start().await };
        for case in mine {
            bench.run(case, &mut table).await;
        }
        let written = bench.gate.log.text() + &bench.gate.decisions.text();
        if keys::ALL.iter().any(|key| written.contains(key)) {
            table.fail_apart(&format!("{setting:?}"), "a key in the log or the output");
        }
        if bench.canary.visits() != 0 {
            table.fail_apart(&format!("{setting:?}"), "a connection to where a server pointed");
        }
    }
    table.finish(&cases);
}

/// What reads the bytes of a connection reads those that TLS has unpacked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_about_http_ends_the_same_through_tls() {
    let of_http = |case: &Case| Setting::of(case) == Setting::Default && case.category.starts_with("http.");
    let cases: Vec<Case> = Case::load().into_iter().filter(of_http).collect();
    let mut table = Table::new().only(&cases);
    let mut secure = Secure::with("", |world| world).await;
    secure.upstream.answer_with(Setting::Default.answers());
    let tunnel = Tunnel::start(secure.gate.data, client(&secure.authority.pem, None)).await;
    secure.gate.data = tunnel.address;
    let (gate, upstream) = (secure.gate, secure.upstream);
    let mut bench = Bench { setting: Setting::Default, gate, upstream, canary: Canary::start().await };
    for case in &cases {
        bench.run(case, &mut table).await;
    }
    table.finish(&cases);
}

/// Obliging, except that a call may ask to be held until the server is released.
fn echo_or_hold(request: &Recorded) -> Reply {
    let reply = Reply::obliging(request);
    let message = request.json().unwrap_or_default();
    match message["params"]["arguments"]["hold"] {
        Value::Bool(true) => Reply::OnRelease(Box::new(reply)),
        _ => reply,
    }
}

impl Bench {
    async fn run(&mut self, case: &Case, table: &mut Table) {
        let mut runs = vec![Run::Fresh, Run::Reused];
        if case.http_version.as_deref() == Some("2") {
            runs = vec![Run::Http2];
        } else if case.asserts("repeat 1000x at concurrency 64: 0 crossings") {
            runs = vec![Run::Crowd];
        } else if self.setting == Setting::NoSessions {
            runs = vec![Run::Repeated];
        }
        for run in runs {
            let before = self.gate.decisions.count();
            let outcome = match run {
                Run::Fresh | Run::Reused => self.run_as_set(case, run).await,
                Run::Http2 => http2::run(case, &self.gate, &self.upstream).await,
                Run::Crowd => self.same_id_at_once().await,
                Run::Repeated => self.too_many_sessions(case).await,
            };
            let decided = (&self.gate.decisions, before);
            let name = format!("{run:?}");
            table.enter(case, &name, outcome, decided).await;
        }
        let alive = self.gate.is_alive();
        assert!(alive, "the gate died of {}:\n{}", case.id, self.gate.log.text());
    }

    async fn run_as_set(&self, case: &Case, run: Run) -> Result<(), String> {
        match &case.upstream {
            Some(script) => self.run_hostile(case, &script.reply(self.canary.address), run).await,
            None if self.setting == Setting::Sessions => self.run_in_sessions(case, run).await,
            None => self.run_once(case, run).await,
        }
    }

    async fn run_once(&self, case: &Case, run: Run) -> Result<(), String> {
        let memory = self.gate.peak_memory_kib();
        let held = if case.asserts("no other client's request is cancelled") {
            Some(self.hold_a_call_of_bob().await)
        } else {
            None
        };
        let mark = self.upstream.count();
        let mut connection = Connection::open(self.gate.data).await;
        let mut seen = self.exchange(case, &mut connection, mark).await;
        if case.expect.connection.as_deref() == Some("close") {
            seen.closed = Some(connection.closes().await);
        }
        let server = self.upstream.address.to_string();
        let verdict = judge(case, &seen, &server).and_then(|()| asserts::check(case, &seen, &self.gate, memory));
        let verdict = verdict.map_err(|why| format!("{why} ({})", summary(&seen)));
        let released = self.release(held).await;
        verdict?;
        released?;
        if run == Run::Reused && seen.closed.is_none() {
            self.use_again(case, connection, mark).await?;
        }
        Ok(())
    }

    /// Sends the case and reads an answer to each request in it, or until the gate closes.
    async fn exchange(&self, case: &Case, connection: &mut Connection, mark: usize) -> Seen {
        let mut answers = if case.asserts("client half-closes after sending") {
            // An error means that the gate has closed; the read tells the same.
            drop(connection.send(&case.wire()).await);
            connection.half_close().await;
            vec![connection.read().await]
        } else {
            vec![connection.exchange(&case.wire()).await]
        };
        while answers.len() < case.requests() && matches!(answers.last(), Some(Answer::Response(_))) {
            answers.push(connection.read().await);
        }
        let carried = matches!(case.expectation, Expectation::ForwardedUnchanged | Expectation::ForwardedNormalised);
        if carried && case.request_id().is_none() && matches!(&answers[0], Answer::Response(r) if r.status == 202) {
            // A notification may be answered before it is carried.
            self.upstream.wait_for(mark + 1, DEADLINE).await;
        }
        Seen { answers, upstream: self.upstream.since(mark), closed: None }
    }

    /// Another caller's request on the connection that the case was sent on: answered as ever, and as that caller's
    /// own, or the gate has closed the connection.
    async fn use_again(&self, case: &Case, mut connection: Connection, mark: usize) -> Result<(), String> {
        if case.asserts("client half-closes after sending") {
            return Ok(());
        }
        let carried = self.upstream.since(mark).len();
        let body = tool_call("\"after\"", ALLOWED, r#"{"q":"a"}"#);
        let mut answer = connection.exchange(&post(keys::BOB, &body)).await;
        loop {
            match answer {
                Answer::Closed => return Ok(()),
                Answer::Nothing => return Err("reused: neither answered nor closed".to_owned()),
                Answer::Response(response) => {
                    let message = response.json().unwrap_or_default();
                    if message["id"] == "after" && message.get("result").is_some() {
                        break;
                    }
                    if message["id"] == "after" {
                        return Err(format!("reused: {}", response.text()));
                    }
                }
            }
            answer = connection.read().await;
        }
        let behind = &self.upstream.since(mark)[carried..];
        match behind {
            [only] if only.without_context() == body.as_bytes() && only.head.all("x-gateway-principal") == ["bob"] => {
                Ok(())
            }
            _ => Err(format!("reused: {} requests behind the gate", behind.len())),
        }
    }

    async fn hold_a_call_of_bob(&self) -> Connection {
        let before = self.upstream.count();
        self.upstream.hold();
        let mut connection = Connection::open(self.gate.data).await;
        let call = post(keys::BOB, &tool_call("1", ALLOWED, r#"{"hold":true}"#));
        connection.send(&call).await.expect("the gate reads");
        assert!(self.upstream.wait_for(before + 1, DEADLINE).await);
        connection
    }

    async fn release(&self, held: Option<Connection>) -> Result<(), String> {
        let Some(mut connection) = held else {
            return Ok(());
        };
        self.upstream.release();
        match connection.read().await {
            Answer::Response(r) if r.text().contains("hold") => Ok(()),
            other => Err(format!("bob's call ended as {other:?}")),
        }
    }

    /// Alice and bob use the same id at the same time, a thousand times over 64 connections.
    async fn same_id_at_once(&self) -> Result<(), String> {
        let to = self.gate.data;
        let clients = (0..64).map(|client| {
            let (key, mine, other) = if client % 2 == 0 {
                (keys::ALICE, "alice-secret", "bob-secret")
            } else {
                (keys::BOB, "bob-secret", "alice-secret")
            };
            tokio::spawn(hear_only_own(to, key, mine, other))
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("a client ends")?;
        }
        Ok(())
    }
}

/// Sixteen calls in turn on one connection: each answer holds the caller's word, and never another's.
async fn hear_only_own(to: SocketAddr, key: &str, mine: &str, other: &str) -> Result<(), String> {
    let arguments = format!(r#"{{"id":"{mine}"}}"#);
    let call = post(key, &tool_call("1", ALLOWED, &arguments));
    let mut connection = Connection::open(to).await;
    for _ in 0..16 {
        let answer = connection.exchange(&call).await;
        let Answer::Response(response) = &answer else {
            return Err(format!("{mine}: {answer:?}"));
        };
        let text = response.text();
        if !text.contains(mine) || text.contains(other) {
            return Err(format!("{mine}: {text}"));
        }
    }
    Ok(())
}
