//! Several gates, one store: what they let through together, and what becomes of that when the store is away.
//!
//! `TOLLGATE_FULL=1` takes the spans that operators set instead of short ones.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncBufReadExt as _;
use tokio::task::JoinSet;

use crate::support::gate::Gate;
use crate::support::keys::{ALICE, BOB};
use crate::support::message::{message, post, tool_call};
use crate::support::raw::{self, Connection, Response};
use crate::support::store::Store;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, until};

/// A gate of several that have these limits together; `said` beside the store's URL. A machine that is busy with other
/// tests may be slow: for that alone no call goes on without the store.
fn world(upstream: &Upstream, store: &Store, limits: &str, said: &str) -> World {
    World::new(&upstream.url())
        .policy("records.yaml", &format!("{READERS}{limits}\n"))
        .file("store", &store.url())
        .top(&format!("limits_store: {{ url: \"file:HOME/store\", timeout: 1s{said} }}"))
}

async fn call(gate: SocketAddr, key: &str, tool: &str) -> Response {
    raw::call(gate, &post(key, &tool_call("1", tool, "{}"))).await
}

/// The code of the error that a call was answered with; 0 for none.
fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_default()
}

const PASSED: i64 = 0;
const LIMITED: i64 = -31429;
const AWAY: i64 = -31503;

async fn ends(gate: SocketAddr, tool: &str) -> i64 {
    code(&call(gate, ALICE, tool).await.json().unwrap())
}

async fn search(gate: SocketAddr) -> i64 {
    ends(gate, "search_records").await
}

/// Waits until a gate has seen what the store is doing.
async fn sees_store(gate: &Gate, phase: &str) -> bool {
    let line = format!("limits_store {phase}\n");
    until(DEADLINE, async || raw::get(gate.admin, "/readyz?verbose").await.text().contains(&line)).await
}

async fn sees_gates(gate: &Gate, gates: f64) -> bool {
    until(DEADLINE, async || gate.metric("tollgate_limits_store_replicas").await == Some(gates)).await
}

/// One caller's calls until then, at most one in each `pause`: when each began and ended, and how.
async fn calls(gate: SocketAddr, until: Instant, pause: Duration) -> Vec<(Instant, Instant, i64)> {
    let request = post(ALICE, &tool_call("1", "search_records", "{}"));
    let (mut connection, mut heard) = (Connection::open(gate).await, Vec::new());
    let mut turns = tokio::time::interval(pause);
    while Instant::now() < until {
        turns.tick().await;
        let begun = Instant::now();
        let raw::Answer::Response(answer) = connection.exchange(&request).await else {
            panic!("a call without an answer");
        };
        heard.push((begun, Instant::now(), code(&answer.json().unwrap())));
    }
    heard
}

/// What callers of several gates have heard, and when: each call's begin and end.
#[derive(Debug, Default)]
struct Heard(Vec<(Instant, Instant, i64)>);

impl Heard {
    /// Calls again and again at all gates, by several callers each, for so long. At most one in each `pause` by each.
    async fn at(gates: &[SocketAddr], span: Duration, pause: Duration) -> Self {
        let (mut callers, ends) = (JoinSet::new(), Instant::now() + span);
        for gate in gates.iter().flat_map(|gate| [*gate; 4]) {
            callers.spawn(calls(gate, ends, pause));
        }
        Self(callers.join_all().await.concat())
    }

    /// The most that passed in any span: calls that surely lie in it.
    fn most_within(&self, span: Duration) -> usize {
        let mut passed: Vec<_> = self.0.iter().filter(|(.., code)| *code == PASSED).collect();
        passed.sort_by_key(|(_, ended, _)| *ended);
        let from =
            |first: Instant| passed.iter().filter(|(begun, ended, _)| *begun >= first && *ended < first + span).count();
        passed.iter().map(|(begun, ..)| from(*begun)).max().unwrap_or_default()
    }

    /// How many passed in a span from the first call on.
    fn at_first(&self, span: Duration) -> usize {
        let first = self.0.iter().map(|(begun, ..)| *begun).min().unwrap();
        self.0.iter().filter(|(_, ended, code)| *code == PASSED && *ended < first + span).count()
    }

    /// The most that passed in any span, and in the first one, of so many.
    #[expect(clippy::print_stderr, reason = "the figures are worth knowing where they are good, too")]
    fn within(&self, span: Duration, quota: u32) -> (usize, usize, usize) {
        let (most, at_first) = (self.most_within(span), self.at_first(span));
        eprintln!("of {quota} in {span:?}, {} calls: {most} at most, {at_first} at first", self.0.len());
        (most, at_first, usize::try_from(quota).unwrap())
    }

    /// What was answered that is neither the answer nor a limit's refusal.
    fn errors(&self) -> usize {
        self.0.iter().filter(|(.., code)| ![PASSED, LIMITED].contains(code)).count()
    }
}

/// A quota, its time, and how long it is tried.
fn size() -> (u32, Duration) {
    let full = std::env::var("TOLLGATE_FULL").is_ok();
    if full { (6_000, Duration::from_mins(1)) } else { (300, Duration::from_secs(3)) }
}

fn limit(quota: u32, every: Duration) -> String {
    format!("limits: [{{ calls: {quota}, every: {}ms, per: principal }}]", every.as_millis())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_that_share_a_store_let_through_the_quota_together_and_no_more() {
    let (upstream, store, (quota, every)) = (Upstream::start().await, Store::start().await, size());
    let world = world(&upstream, &store, &limit(quota, every), "");
    let (one, other) = (world.start().await, world.start().await);
    let heard = Heard::at(&[one.data, other.data], every * 5 / 2, Duration::from_millis(1)).await;
    let (most, at_first, quota) = heard.within(every, quota);
    assert!(most <= quota, "{most} of {quota}");
    assert!(at_first * 100 >= quota * 99, "{at_first} of {quota}");
    assert_eq!(heard.errors(), 0);
    assert_eq!(code(&call(one.data, BOB, "search_records").await.json().unwrap()), PASSED, "others have their own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_store_is_gone_each_gate_goes_on_with_its_share_and_nobody_hears_of_it() {
    let (upstream, mut store, (quota, every)) = (Upstream::start().await, Store::start().await, size());
    let world = world(&upstream, &store, &limit(quota, every), "");
    let (one, other) = (world.start().await, world.start().await);
    assert!(sees_gates(&one, 2.0).await && sees_gates(&other, 2.0).await);
    // Eight callers: half as much again as the quota. The store goes while about half of it is taken.
    let (gates, pause) = ([one.data, other.data], every * 16 / 3 / quota);
    let calling = tokio::spawn(async move { Heard::at(&gates, every * 5 / 2, pause).await });
    let half = usize::try_from(quota / 2).unwrap();
    assert!(upstream.wait_for(half, DEADLINE + every).await);
    store.kill();
    let heard = calling.await.unwrap();
    let (most, at_first, quota) = heard.within(every, quota);
    assert_eq!(heard.errors(), 0, "0 errors");
    assert!(most * 10 <= quota * 11, "{most} of {quota}");
    assert!(at_first * 10 >= quota * 9, "{at_first} of {quota}");
    let away = one.log.wait_since(0, DEADLINE, |line| line.contains("the limits store is away")).await.unwrap();
    assert!(away.contains("each gate enforces its share") && away.contains("\"replicas\":2"), "{away}");
    let said = one.log.text().matches("limits store").count();
    assert_eq!(said, 1, "it is said once:\n{}", one.log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_while_the_store_was_away_is_not_forgotten() {
    let (upstream, mut store) = (Upstream::start().await, Store::start().await);
    let world = world(&upstream, &store, "limits: [{ calls: 10, every: 1h, per: principal }]", "");
    let (one, other) = (world.start().await, world.start().await);
    assert!(sees_gates(&one, 2.0).await && sees_gates(&other, 2.0).await);
    store.kill();
    assert!(sees_store(&one, "open").await && sees_store(&other, "open").await);
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(search(one.data).await == PASSED);
    }
    assert_eq!(passed, 5, "its share of two");
    store.come_back().await;
    assert!(sees_store(&one, "closed").await && sees_store(&other, "closed").await);
    for _ in 0..10 {
        passed += usize::from(search(other.data).await == PASSED);
    }
    assert_eq!(passed, 10, "the other gate knows of them");
    assert_eq!(search(one.data).await, LIMITED);
    assert!(one.log.says("the limits store is there again").await, "{}", one.log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_costs_nothing_once_that_was_seen() {
    let (upstream, store) = (Upstream::start().await, Store::start().await);
    let limits = "limits: [{ calls: 100000, every: 1h, per: principal }]";
    let gate = world(&upstream, &store, limits, "").start().await;
    let hundred = async || {
        let begun = Instant::now();
        for _ in 0..100 {
            assert_eq!(search(gate.data).await, PASSED);
        }
        begun.elapsed()
    };
    let calm = hundred().await;
    store.hang();
    assert!(sees_store(&gate, "open").await, "that it hangs is seen also where nobody calls");
    let asked = async || gate.metric(r#"tollgate_limits_store_calls_total{result="failed"}"#).await;
    let (before, took) = (asked().await, hundred().await);
    // Each would have waited for a second.
    assert!(took < 2 * calm + Duration::from_secs(1), "not one has waited for it: {took:?}, {calm:?} before it hung");
    assert_eq!(asked().await, before, "not one has asked it");
    store.go_on();
    assert!(sees_store(&gate, "closed").await);
    assert_eq!(search(gate.data).await, PASSED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_counts_are_refused_where_that_is_set_and_pass_where_that_is() {
    let (upstream, mut store) = (Upstream::start().await, Store::start().await);
    let limits = "limits: [{ calls: 3, every: 1h, per: principal }]";
    let closed = world(&upstream, &store, limits, ", when_down: closed").start().await;
    let open = world(&upstream, &store, limits, ", when_down: open").start().await;
    assert_eq!((search(closed.data).await, search(open.data).await), (PASSED, PASSED));
    store.kill();
    assert!(sees_store(&closed, "open").await && sees_store(&open, "open").await);
    let refused = call(closed.data, ALICE, "search_records").await;
    assert_eq!((refused.status, code(&refused.json().unwrap())), (503, AWAY), "{}", refused.text());
    let line = closed.decisions.wait_since(0, DEADLINE, |line| line.contains("limits_unavailable")).await.unwrap();
    assert!(line.contains(r#""outcome":"limited""#), "{line}");
    let listing = raw::call(closed.data, &post(ALICE, &message("1", "tools/list", "{}"))).await;
    assert_eq!(code(&listing.json().unwrap()), PASSED, "what no limit is on passes");
    for _ in 0..5 {
        assert_eq!(search(open.data).await, PASSED);
    }
    store.come_back().await;
    assert!(sees_store(&closed, "closed").await && sees_store(&open, "closed").await);
    assert_eq!(search(closed.data).await, LIMITED, "what passed meanwhile was counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_never_saw_its_store_takes_the_share_that_is_set() {
    let (upstream, mut store) = (Upstream::start().await, Store::start().await);
    store.kill();
    let limits = "limits: [{ calls: 8, every: 1h, per: principal }, { calls: 100, burst: 4, every: 1h, per: server }]";
    let gate = world(&upstream, &store, limits, ", replicas: 4").start().await;
    let mut passed = Vec::new();
    for _ in 0..4 {
        passed.push(search(gate.data).await);
    }
    assert_eq!(passed, [PASSED, LIMITED, LIMITED, LIMITED], "a burst of four is one for each of four");
}

/// A call that the server has, and does not answer. The one before it may not be over yet.
async fn hold(upstream: &Upstream, gate: SocketAddr) -> Connection {
    let request = post(ALICE, &tool_call("1", "search_records", r#"{"q":"hold"}"#));
    let before = upstream.count();
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        let mut held = Connection::open(gate).await;
        held.send(&request).await.unwrap();
        tokio::select! {
            true = upstream.wait_for(before + 1, DEADLINE) => return held,
            raw::Answer::Response(refused) = held.read() => assert_eq!(code(&refused.json().unwrap()), LIMITED),
        }
    }
    panic!("there was never room for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_count_at_all_gates_and_leave_room_when_they_end() {
    let (upstream, store) = (Upstream::start().await, Store::start().await);
    upstream.answer_with(|request: &Recorded| {
        if request.holds("hold") {
            Reply::OnRelease(Box::new(Reply::obliging(request)))
        } else {
            Reply::obliging(request)
        }
    });
    let world = world(&upstream, &store, "limits: [{ in_flight: 1, per: principal }]", "");
    let (one, other) = (world.start().await, world.start().await);
    let mut held = hold(&upstream, one.data).await;
    assert_eq!(search(other.data).await, LIMITED);
    assert_eq!(search(one.data).await, LIMITED);
    upstream.release();
    assert!(matches!(held.read().await, raw::Answer::Response(_)));
    assert!(until(DEADLINE, async || search(other.data).await == PASSED).await, "its room is free for the other gate");

    // Its caller goes away: that ends it, too.
    upstream.hold();
    drop(hold(&upstream, one.data).await);
    assert!(until(DEADLINE, async || search(other.data).await == PASSED).await);

    // And so does the end of its gate, whatever ends that: it is not believed any longer.
    let _held = hold(&upstream, one.data).await;
    assert_eq!(search(other.data).await, LIMITED);
    drop(one);
    assert!(until(DEADLINE * 2, async || search(other.data).await == PASSED).await);
    assert!(sees_gates(&other, 1.0).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_has_brought_counts_at_all_gates() {
    let (upstream, store) = (Upstream::start().await, Store::start().await);
    let world = world(&upstream, &store, "limits: [{ bytes: 50, every: 1h, per: principal }]", "");
    let (one, other) = (world.start().await, world.start().await);
    assert_eq!(search(one.data).await, PASSED);
    assert!(until(DEADLINE, async || search(other.data).await == LIMITED).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_told_what_is_left_at_all_gates_together() {
    let (upstream, store) = (Upstream::start().await, Store::start().await);
    let world = world(&upstream, &store, "limits: [{ calls: 3, every: 1h, per: principal }]", "");
    let world = world.listen("rate_limit_header: true");
    let (one, other) = (world.start().await, world.start().await);
    let mut told = Vec::new();
    for gate in [&one, &other, &one] {
        let answer = call(gate.data, ALICE, "search_records").await;
        told.extend(answer.head.first("ratelimit").map(str::to_owned));
    }
    assert_eq!(told, [2, 1, 0].map(|left| format!("\"calls\";r={left};t=3600")));
    let refused = call(other.data, ALICE, "search_records").await;
    let error = refused.json().unwrap()["error"].take();
    assert!(error["message"].as_str().unwrap().contains("limit of calls: at most 3 in 1h"), "{error}");
    assert!(error["data"]["retryAfterMs"].as_u64().is_some_and(|after| after > 0), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_asks_the_store_once_and_takes_nothing_of_one_limit_if_another_refuses_it() {
    let (upstream, store) = (Upstream::start().await, Store::start().await);
    let limits = "limits: [{ calls: 4, every: 1h, per: principal }, { calls: 100, burst: 50, every: 1h, per: server }]\n\
                  tools: { get_statistics: { limits: [{ calls: 1, every: 1h, per: tool }, { in_flight: 9, per: tool }] } }";
    let gate = world(&upstream, &store, limits, "").start().await;
    let mut overheard = store.overhear().await;
    let calls =
        ["get_statistics", "get_statistics", "get_statistics", "search_records", "search_records", "search_records"];
    let mut ended = Vec::new();
    for tool in calls {
        ended.push(ends(gate.data, tool).await);
    }
    assert_eq!(
        ended,
        [PASSED, LIMITED, LIMITED, PASSED, PASSED, PASSED],
        "four of the caller's, in spite of two refused"
    );
    assert_eq!(search(gate.data).await, LIMITED);
    store.ask("ECHO enough").await.unwrap();
    let (mut scripts, mut line) = (0, String::new());
    while !line.contains("enough") {
        line.clear();
        overheard.read_line(&mut line).await.unwrap();
        let asked_by_script = line.contains(" lua] ");
        if !asked_by_script && line.contains("\"enforce\"") {
            assert!(line.contains("\"EVALSHA\"") && !line.contains("alice"), "{line}");
            scripts += 1;
        }
    }
    assert_eq!(scripts, calls.len() + 1, "one round trip each, for all of its limits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_url_is_told_before_anything_is_served() {
    let (upstream, store) = (Upstream::start().await, Store::start().await);
    let home = tempfile::tempdir().unwrap();
    let file = world(&upstream, &store, "", "").file("store", "http://hunter2@127.0.0.1").write_to(home.path());
    let said = Gate::refuses(&file);
    assert!(said.contains("holds no URL such as redis://HOST:6379"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
