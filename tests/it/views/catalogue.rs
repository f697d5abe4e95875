//! What servers have, as a view shows it: soon after it changes, for a while after its server is gone, and whatever the
//! others do.

use std::io::{Write as _, stderr};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{ALL, RECORDS, Two, ask, called, listed, modern, server, text};
use crate::support::gate::Gate;
use crate::support::message::post_modern;
use crate::support::raw::Connection;
use crate::support::upstream::{Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const ACKNOWLEDGED: &str = r#"data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true}}}"#;
const CHANGED: &str = r#"data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#;
const ONE: &str = "views: { all: { default: true, names: bare, servers: { records: { tools: [\"*\"] } } } }\n";

/// A server whose list holds for long, and which says when it has changed.
fn telling(tools: &[&str], request: &Recorded) -> Reply {
    let message = request.json().unwrap_or_default();
    match message["method"].as_str() {
        Some("subscriptions/listen") => Reply::Pushed(ACKNOWLEDGED.to_owned()),
        Some("server/discover") => {
            let result = json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 300_000, "cacheScope": "public",
                "capabilities": { "tools": { "listChanged": true } },
            });
            Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
        }
        Some("tools/list") => {
            let tools: Vec<_> = tools.iter().map(|name| super::tool(name)).collect();
            let result = json!({ "resultType": "complete", "tools": tools, "ttlMs": 300_000, "cacheScope": "public" });
            Reply::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
        }
        _ => modern("records", tools, request),
    }
}

fn lists(upstream: &Upstream) -> usize {
    upstream.since(0).iter().filter(|it| it.text().contains("tools/list")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_has_changed_is_shown_at_once() {
    let records = Upstream::start().await;
    let changed = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&changed);
    records.answer_with(move |request: &Recorded| {
        telling(if says.load(Ordering::SeqCst) { &["find", "count"] } else { &["find"] }, request)
    });
    let gate = World::new(&records.url()).policy("records.yaml", RECORDS).policy("views.yaml", ONE).start().await;
    // It is asked once more as soon as it is listened to: behind that only what it says can make anybody ask.
    assert!(until(DEADLINE, async || lists(&records) == 2).await, "{}", gate.log.text());
    assert_eq!(listed(gate.data, "/views/all/mcp").await, ["find"]);
    changed.store(true, Ordering::SeqCst);
    records.push(CHANGED);
    assert!(until(DEADLINE, async || listed(gate.data, "/views/all/mcp").await == ["count", "find"]).await);
    assert_eq!(lists(&records), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_had_is_shown_with_its_age_and_not_for_ever() {
    let records = server("records", &["find", "count"]).await;
    let billing = server("billing", &["find", "pay"]).await;
    let said = format!("url: {}, catalogue: {{ timeout: 200ms, shown_for: 3s }}", billing.url());
    let world = World::new(&records.url()).policy("records.yaml", RECORDS).beside("billing", &said, super::BILLING);
    let gate = world.policy("views.yaml", ALL).start().await;
    let list = async || ask(gate.data, "/mcp", "tools/list", "", None).await.json().unwrap()["result"].clone();
    assert_eq!(listed(gate.data, "/mcp").await.len(), 4);
    assert_eq!(list().await["_meta"].get("io.tollgate/ageMs"), None, "it is as its server says");
    billing.answer(Reply::Hang);
    let aged = async || {
        let list = list().await;
        list["tools"].as_array().unwrap().len() == 4
            && list["_meta"]["io.tollgate/ageMs"].is_u64()
            && list["ttlMs"] == 0
    };
    assert!(until(DEADLINE, aged).await, "{}", list().await);
    let age = r#"tollgate_catalogue_age_seconds{server="billing"}"#;
    assert!(gate.metric(age).await.is_some());
    assert!(until(DEADLINE, async || listed(gate.data, "/mcp").await == ["count", "find"]).await);
    billing.answer_with(|request: &Recorded| modern("billing", &["find", "pay"], request));
    assert!(until(DEADLINE, async || listed(gate.data, "/mcp").await.len() == 4).await, "{}", gate.log.text());
}

/// How a server goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Hung,
    Garbage,
    Drips,
}

/// So many call the one that goes wrong, each so often or as often as it is answered.
const ITS_CALLERS: usize = 4;
const PACE: Duration = Duration::from_millis(10);

const OTHERS: [&str; 4] = ["a", "b", "c", "d"];

/// Five servers in one view, of which the last is the one that goes wrong.
struct Five {
    gate: Gate,
    _others: Vec<Upstream>,
    victim: Upstream,
    /// How many tools all of them have.
    tools: usize,
}

impl Five {
    async fn start() -> Self {
        let victim = server("records", &["find"]).await;
        let mut world = World::new(&victim.url()).policy("records.yaml", RECORDS);
        let (mut others, mut servers) = (Vec::new(), "records: { tools: [\"*\"] }".to_owned());
        for name in OTHERS {
            let other = server(name, &["find"]).await;
            world = world.beside(name, &format!("url: {}", other.url()), "roles: { reader: { tools: [find] } }\n");
            servers += ", ";
            servers += name;
            servers += ": { tools: [\"*\"] }";
            others.push(other);
        }
        let views = format!("views: {{ all: {{ default: true, servers: {{ {servers} }} }} }}\n");
        let gate = world.policy("views.yaml", &views).start().await;
        assert!(until(DEADLINE, async || listed(gate.data, "/mcp").await.len() == 5).await, "{}", gate.log.text());
        Self { gate, _others: others, victim, tools: 5 }
    }

    /// How long calls of the others take, and lists, while the one is called, too.
    async fn took(&self, rounds: usize) -> Vec<Duration> {
        let (mut took, mut its_callers) = (Vec::new(), JoinSet::new());
        for _ in 0..ITS_CALLERS {
            its_callers.spawn(call_for_ever(self.gate.data));
        }
        for round in 0..rounds {
            let begun = Instant::now();
            let name = OTHERS[round % OTHERS.len()];
            let answer = called(self.gate.data, "/mcp", &format!("{name}_find")).await;
            assert_eq!(text(&answer), format!("{name} \"find\" find"), "{answer}");
            if round % 10 == 0 {
                assert_eq!(listed(self.gate.data, "/mcp").await.len(), self.tools, "what it had is shown");
            }
            took.push(begun.elapsed());
        }
        took
    }

    /// The one goes wrong. Where it listened, which nobody else may take meanwhile.
    async fn goes_wrong(&mut self, fault: Fault) -> SocketAddr {
        let address = self.victim.address;
        match fault {
            Fault::Hung => self.victim.answer(Reply::Hang),
            Fault::Garbage => self.victim.answer(Reply::Raw(b"\x16\x03\x01garbage".to_vec())),
            Fault::Drips => self.victim.answer(Reply::Dripping),
            Fault::Killed => {
                self.victim.answer(Reply::BreakOff);
                // Its port stays taken until another is there, so that nobody else takes it.
                drop(std::mem::replace(&mut self.victim, Upstream::start().await));
            }
        }
        address
    }

    /// It is there again and has one tool more, and the gate has noticed.
    async fn recovers(&mut self, fault: Fault, address: SocketAddr) {
        if matches!(fault, Fault::Killed) {
            self.victim = Upstream::start_at(address).await;
        }
        self.victim.answer_with(|request: &Recorded| modern("records", &["find", "count"], request));
        self.tools = 6;
        let there = async || text(&called(self.gate.data, "/mcp", "records_count").await) == "records \"count\" count";
        assert!(until(DEADLINE * 2, there).await, "{fault:?}: {}", self.gate.log.text());
    }
}

/// What the slowest hundredth of them takes.
fn slowest(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Calls the one that goes wrong, whatever comes of it.
async fn call_for_ever(gate: SocketAddr) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        called(gate, "/mcp", "records_find").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_five_that_goes_wrong_costs_the_others_nothing() {
    let full = std::env::var("TOLLGATE_FULL").is_ok_and(|full| full == "1");
    // In turns: the machine is somebody else's, too, and what it does changes.
    let (turns, rounds) = if full { (5, 1_000) } else { (1, 100) };
    for fault in [Fault::Killed, Fault::Hung, Fault::Garbage, Fault::Drips] {
        let mut five = Five::start().await;
        let (mut calm, mut within) = (five.took(rounds).await, Vec::new());
        for _ in 0..turns {
            let address = five.goes_wrong(fault).await;
            within.extend(five.took(rounds).await);
            let refused =
                async || called(five.gate.data, "/mcp", "records_find").await["error"]["data"]["executed"] == "no";
            if matches!(fault, Fault::Killed) {
                assert!(until(DEADLINE, refused).await, "nothing runs where nobody is");
            }
            five.recovers(fault, address).await;
            calm.extend(five.took(rounds).await);
        }
        let (calm, within) = (slowest(calm), slowest(within));
        writeln!(stderr(), "{fault:?}: {calm:?} before and behind, {within:?} within").expect("it may be said");
        // All of it is one process on a machine that others use: in full size it must hold.
        assert!(!full || within <= calm.mul_f64(1.1), "{fault:?}: {calm:?} before and behind, {within:?} within");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_server_that_never_answered() {
    let two = Two::start().await;
    two.billing.answer(Reply::Hang);
    let gate = two.world(ALL).start().await;
    assert_eq!(listed(gate.data, "/mcp").await, ["count", "find"]);
    // It was waited for once. Were it waited for again, this many would take longer than anything may.
    let many = async {
        for _ in 0..50 {
            let answer = called(gate.data, "/mcp", "count").await;
            assert_eq!(answer["result"]["isError"], Value::Bool(false), "{answer}");
        }
    };
    assert!(tokio::time::timeout(DEADLINE, many).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_subscribed_hears_that_other_tools_are_shown() {
    let two = Two::start().await;
    let listens = "methods: [subscriptions/listen], tools:";
    let world = two.world(ALL).policy("records.yaml", &RECORDS.replace("tools:", listens));
    let gate = world.start().await;
    assert_eq!(listed(gate.data, "/mcp").await.len(), 4);
    let itself = ask(gate.data, "/mcp", "server/discover", "", None).await.json().unwrap();
    assert_eq!(itself["result"]["capabilities"], json!({ "tools": { "listChanged": true } }));
    let wanted = r#""notifications":{"toolsListChanged":true,"promptsListChanged":true}"#;
    let mut stream = Connection::open(gate.data).await;
    stream.send(&post_modern("subscriptions/listen", wanted, None)).await.unwrap();
    stream.read_head().await.unwrap().unwrap();
    let mut heard = String::new();
    let mut hear = async |what: &str| {
        while !heard.contains(what) {
            heard +=
                std::str::from_utf8(&stream.read_chunk().await.unwrap().unwrap_or_else(|| panic!("{what}"))).unwrap();
        }
        heard.clone()
    };
    let first = hear("acknowledged").await;
    assert!(
        first.contains(r#""notifications":{"promptsListChanged":true,"toolsListChanged":true}}"#),
        "what it hears of, and nothing else: {first}"
    );
    two.billing.answer_with(|request: &Recorded| modern("billing", &["find"], request));
    let changed = hear("notifications/tools/list_changed").await;
    assert!(changed.contains(r#""io.modelcontextprotocol/subscriptionId":1"#), "{changed}");
}
