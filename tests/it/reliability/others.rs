//! R3, R7, R10, R13, R23: what those notice of a disturbance whom it is not about.
//!
//! The same calls go on at the same pace while all is calm and while it is not, by turns, so that both have their share of
//! whatever else the machine does. In the test command every call must be answered; with `TOLLGATE_FULL=1` it is also
//! judged how long the slowest hundredth takes, as a ratio of the two.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::load::size;
use crate::audit::Audited;
use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{at, post, post_modern, tool_call};
use crate::support::raw::{self, Answer, Connection};
use crate::support::shim::BlackHole;
use crate::support::store::Store;
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::{READERS, World};
use crate::support::{DEADLINE, half, is_optimised, until};

/// So many connections, on each of which a call begins so often.
const CALLERS: usize = 4;
const PACE: Duration = Duration::from_millis(10);

/// Those whom it is not about, and how long their calls took.
struct Others {
    gate: SocketAddr,
    request: Vec<u8>,
    calm: Vec<Duration>,
    disturbed: Vec<Duration>,
}

impl Others {
    /// They call a tool at this path.
    async fn at(gate: &Gate, path: &str) -> Self {
        let request = at(path, &post(ALICE, &tool_call("1", "search_records", r#"{"q":"x"}"#)));
        let mut others = Self { gate: gate.data, request, calm: Vec::new(), disturbed: Vec::new() };
        // The first of anything costs more.
        others.call(sleep(span())).await;
        others
    }

    /// They call while nothing else happens.
    async fn calm(&mut self) {
        let (took, ()) = self.call(sleep(span())).await;
        self.calm.extend(took);
    }

    /// They call while this happens.
    async fn beside<T>(&mut self, disturbance: impl Future<Output = T>) -> T {
        let (took, done) = self.call(disturbance).await;
        self.disturbed.extend(took);
        done
    }

    async fn call<T>(&mut self, meanwhile: impl Future<Output = T>) -> (Vec<Duration>, T) {
        let (stop, stopped) = watch::channel(false);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let connection = Connection::open(self.gate).await;
            callers.spawn(call(connection, self.request.clone(), stopped.clone()));
        }
        let done = meanwhile.await;
        stop.send_replace(true);
        (callers.join_all().await.concat(), done)
    }

    /// The slowest hundredth took no longer beside it than it may, by how long it took in calm.
    #[expect(clippy::print_stderr, reason = "the figures are worth knowing where they are good, too")]
    fn judge(mut self, demand: &str, may: impl Fn(Duration) -> Duration) {
        let [calm, disturbed] = [&mut self.calm, &mut self.disturbed].map(|took| p99(took));
        let (most, calls) = (may(calm), (self.calm.len(), self.disturbed.len()));
        let said =
            format!("{demand}: p99 {calm:?} in calm, {disturbed:?} beside it, {most:?} at most; {calls:?} calls");
        eprintln!("{said}");
        assert!(!is_full() || disturbed <= most, "{said}");
    }
}

/// Calls at its pace until it is stopped: how long each took. Whatever is no result is the end of the test.
async fn call(mut connection: Connection, request: Vec<u8>, stopped: watch::Receiver<bool>) -> Vec<Duration> {
    let (mut took, mut pace) = (Vec::new(), interval(PACE));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        pace.tick().await;
        let began = Instant::now();
        match connection.exchange(&request).await {
            Answer::Response(answer) if answer.text().contains(r#""result""#) => took.push(began.elapsed()),
            other => panic!("a call that nothing was to disturb: {other:?}"),
        }
    }
    took
}

fn p99(took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    took[(took.len() * 99).div_ceil(100) - 1]
}

fn is_full() -> bool {
    size(0, 1) == 1
}

/// How often they call in calm and beside a disturbance, by turns.
fn turns() -> usize {
    size(2, 6)
}

/// How long they do each time.
fn span() -> Duration {
    Duration::from_millis(if is_full() { 4_000 } else { 300 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_policies_that_change_others_notice_little() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let file = gate.policies().join("records.yaml");
    let mut others = Others::at(&gate, "/mcp").await;
    let changes = size(2, 17); // a hundred in all turns
    let before = gate.memory_kib();
    for turn in 0..turns() {
        others.calm().await;
        let change = async |change: usize| {
            let widens = change.is_multiple_of(2);
            let wider = if widens { READERS.replace("search", "get_pool_status, search") } else { READERS.into() };
            let (next, began) = (file.with_extension("next"), Instant::now());
            fs::write(&next, format!("{wider}# {turn}.{change}\n")).unwrap();
            fs::rename(&next, &file).unwrap();
            let call = post(ALICE, &tool_call("1", "get_pool_status", "{}"));
            let counts = async || {
                let answer = raw::call(gate.data, &call).await.json().unwrap();
                answer.get("result").is_some() == widens
            };
            assert!(until(DEADLINE, counts).await, "{turn}.{change}");
            assert!(!is_full() || began.elapsed() <= Duration::from_secs(1), "it counts after {:?}", began.elapsed());
        };
        let all = async {
            for n in 0..changes {
                change(n).await;
            }
        };
        others.beside(all).await;
    }
    let grown = gate.memory_kib().zip(before).map(|(now, before)| now.saturating_sub(before));
    assert!(!is_full() || !is_optimised() || grown.is_none_or(|kib| kib <= 5 << 10), "{grown:?} KiB more");
    others.judge("R3, a hundred reloads", |calm| calm.mul_f64(1.5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_server_that_is_a_black_hole_callers_of_the_others_notice_nothing() {
    let (records, billing, hole) = (Upstream::start().await, Upstream::start().await, BlackHole::start().await);
    let policy = "roles: { reader: { tools: [find_invoice] } }\n";
    let world = World::new(&records.url()).beside("billing", &format!("url: {}", billing.url()), policy);
    let gate = world.beside("hole", &format!("url: {}", hole.url()), policy).start().await;
    let mut others = Others::at(&gate, "/records/mcp").await;
    let mut fallen = Fallen::default();
    for _ in 0..turns() {
        others.calm().await;
        let calls = async {
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                callers.spawn(fall_into(gate.data, Instant::now() + span()));
            }
            callers.join_all().await
        };
        let before = fallen.in_vain.len();
        others.beside(calls).await.into_iter().for_each(|one| fallen.add(one));
        let in_vain = &fallen.in_vain[before..];
        assert!(in_vain.len() <= 10, "the circuit opens soon: {in_vain:?}");
    }
    fallen.judge(&mut others.disturbed);
    others.judge("R7, a black hole", |calm| calm.mul_f64(1.1));
}

/// How long calls took that were made to a black hole.
#[derive(Debug, Default)]
struct Fallen {
    /// They waited for a connection.
    in_vain: Vec<Duration>,
    /// They were refused because the circuit is open.
    left_alone: Vec<Duration>,
}

impl Fallen {
    fn add(&mut self, other: Self) {
        self.in_vain.extend(other.in_vain);
        self.left_alone.extend(other.left_alone);
    }

    /// R7 names two times: the connect timeout and 50 ms, and 5 ms. What the gate itself takes is in every call, so half of
    /// them keep both as they stand. But an unoptimised gate that shares two cores with its callers, its servers and whatever
    /// else is built there does not answer anybody in 5 ms: there, to be refused takes no longer than what is carried at
    /// the same time, which is more work. So it is with the slowest, too, in any build: a fixed time would be too short on
    /// one machine and say nothing on another.
    #[expect(clippy::print_stderr, reason = "the figures are worth knowing where they are good, too")]
    fn judge(mut self, others: &mut [Duration]) {
        const IN_VAIN: Duration = Duration::from_millis(1_050);
        const LEFT_ALONE: Duration = Duration::from_millis(5);
        if !is_full() {
            return; // there are too few
        }
        let [in_vain, left_alone] = [&mut self.in_vain, &mut self.left_alone].map(|took| (half(took), p99(took)));
        let others = (half(others), p99(others));
        let said = format!("R7: in vain {in_vain:?}, left alone {left_alone:?}, carried {others:?} (half, p99)");
        eprintln!("{said}");
        let usual = if is_optimised() { LEFT_ALONE } else { LEFT_ALONE.max(others.0) };
        let quick = in_vain.0 <= IN_VAIN && left_alone.0 <= usual;
        let none_slow = in_vain.1 <= IN_VAIN + others.1 && left_alone.1 <= LEFT_ALONE.max(others.1.mul_f64(1.1));
        assert!(quick && none_slow, "{said}");
    }
}

/// Calls the black hole until then.
async fn fall_into(gate: SocketAddr, end: Instant) -> Fallen {
    let call = at("/hole/mcp", &post(ALICE, &tool_call("1", "find_invoice", "{}")));
    let (mut connection, mut fallen, mut pace) = (Connection::open(gate).await, Fallen::default(), interval(PACE));
    while Instant::now() < end {
        pace.tick().await;
        let began = Instant::now();
        let Answer::Response(answer) = connection.exchange(&call).await else { panic!("no answer") };
        match answer.json().unwrap()["error"]["code"].as_i64() {
            Some(-31502) => fallen.in_vain.push(began.elapsed()),
            Some(-31503) => fallen.left_alone.push(began.elapsed()),
            other => panic!("{other:?}"),
        }
    }
    fallen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_peers_that_send_their_heads_byte_by_byte_others_notice_little() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).start().await;
    let mut others = Others::at(&gate, "/mcp").await;
    let (count, gate) = (u32::try_from(size(100, 1_000)).unwrap(), gate.data);
    for _ in 0..size(1, 4) {
        others.calm().await;
        let slow = async {
            let mut peers = JoinSet::new();
            for nth in 0..count {
                peers.spawn(drip(gate, Duration::from_secs(1) * nth / count));
            }
            if is_full() {
                return peers.join_all().await;
            }
            sleep(span()).await;
            Vec::new()
        };
        for after in others.beside(slow).await {
            assert!((9.9..=11.0).contains(&after.as_secs_f64()), "closed after {after:?}");
        }
        // Before it and behind it: the machine is not the same twice.
        others.calm().await;
    }
    others.judge("R10, a thousand slow heads", |calm| calm.mul_f64(1.2));
}

/// Sends a byte of a head every second, until the gate has enough of it: after how long. Each at its own moment, as strangers do: in
/// step they hold up the test itself, which writes all of it on the cores that it shares with the gate.
async fn drip(gate: SocketAddr, comes: Duration) -> Duration {
    sleep(comes).await;
    let mut peer = TcpStream::connect(gate).await.unwrap();
    let began = Instant::now();
    peer.write_all(b"POST /mcp HTTP/1.1\r\nx-slow: ").await.unwrap();
    let (mut heard, mut second) = ([0; 1], interval(Duration::from_secs(1)));
    loop {
        let (mut reading, mut writing) = peer.split();
        tokio::select! {
            _closed = reading.read(&mut heard) => return began.elapsed(),
            _ = second.tick() => drop(writing.write_all(b"x").await),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_streams_on_which_nothing_happens_others_notice_little() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request: &Recorded| match request.json().unwrap_or_default()["method"].as_str() {
        Some("subscriptions/listen") => Reply::Events(Vec::new(), Ending::StayOpen),
        _ => Reply::obliging(request),
    });
    let policy = READERS.replace("tools:", "methods: [subscriptions/listen], tools:");
    let world = World::new(&upstream.url()).listen("max_in_flight: 16384").policy("records.yaml", &policy);
    let gate = world.start().await;
    let mut others = Others::at(&gate, "/mcp").await;
    let listen = post_modern("subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#, None);
    for _ in 0..size(1, 2) {
        others.calm().await;
        let mut streams = Vec::new();
        for _ in 0..size(200, 9_000) {
            let mut stream = Connection::open(gate.data).await;
            stream.send(&listen).await.unwrap();
            assert!(stream.read_head().await.unwrap().is_some());
            streams.push(stream);
        }
        others.beside(sleep(span() * 4)).await;
        let before = gate.cpu();
        sleep(span()).await;
        let used = gate.cpu().zip(before).map(|(now, before)| now.saturating_sub(before));
        let little = used.is_none_or(|used| used.as_secs_f64() < span().as_secs_f64() * 0.03);
        assert!(!is_full() || !is_optimised() || little, "{used:?} of a processor in {:?}", span());
        let open = streams.len();
        drop(streams);
        assert!(upstream.wait_for_hang_ups(open, DEADLINE * 3).await, "their server hears of it");
    }
    others.judge("R13, idle streams", |calm| calm.mul_f64(2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_limits_store_that_is_gone_or_hangs_callers_notice_nothing_and_the_books_say_all() {
    let (upstream, mut store, books) =
        (Upstream::start().await, Store::start().await, [Audited::new(), Audited::new()]);
    let limits = "limits: [{ calls: 1000000, every: 1h, per: principal }]\n";
    let world = |books: &Audited, when_down: &str| {
        let said = format!("limits_store: {{ url: \"file:HOME/store\", when_down: {when_down} }}");
        let world = books.world(&upstream.url(), "").policy("records.yaml", &format!("{READERS}{limits}"));
        world.file("store", &store.url()).top(&said)
    };
    let (mut open, mut closed) = (world(&books[0], "open").start().await, world(&books[1], "closed").start().await);
    let mut others = Others::at(&open, "/mcp").await;
    for turn in 0..turns() {
        others.calm().await;
        let began = Instant::now();
        if turn.is_multiple_of(2) {
            store.hang();
        } else {
            store.kill();
        }
        assert!(is_left_alone(&open).await && is_left_alone(&closed).await);
        assert!(
            !is_full() || began.elapsed() <= Duration::from_secs(1),
            "that it is away is seen in {:?}",
            began.elapsed()
        );
        others.beside(sleep(span())).await;
        let refused = raw::call(closed.data, &search()).await;
        assert_eq!((refused.status, refused.head.first("retry-after").is_some()), (503, true), "{}", refused.text());
        if turn.is_multiple_of(2) {
            store.go_on();
        } else {
            store.come_back().await;
        }
        assert!(sees_store(&open, "closed").await && sees_store(&closed, "closed").await);
    }
    others.judge("R23, a store that is away", |calm| calm + Duration::from_millis(1));
    assert_eq!((open.terminate().await, closed.terminate().await), (Some(0), Some(0)));
    assert_eq!(books.each_ref().map(|books| books.verify(&[])), [0, 0]);
    let [of_open, of_closed] = books.map(|books| books.of_kind("decision"));
    assert!(of_open.iter().all(|record| record["effect"] == "allow"));
    assert_eq!(of_open.len(), upstream.count(), "every call that ran stands in the books, whoever counted it");
    assert!(of_closed.len() >= turns() && of_closed.iter().all(|record| record["refused"] == "limits_unavailable"));
}

fn search() -> Vec<u8> {
    post(ALICE, &tool_call("1", "search_records", "{}"))
}

/// Whether a gate to which calls come sees that its store is away.
async fn is_left_alone(gate: &Gate) -> bool {
    let seen = async || {
        raw::call(gate.data, &search()).await;
        says_of_store(gate, "open").await
    };
    until(DEADLINE, seen).await
}

async fn sees_store(gate: &Gate, phase: &str) -> bool {
    until(DEADLINE, async || says_of_store(gate, phase).await).await
}

async fn says_of_store(gate: &Gate, phase: &str) -> bool {
    raw::get(gate.admin, "/readyz?verbose").await.text().contains(&format!("limits_store {phase}\n"))
}
