//! R19: callers that go away, ten thousand of them, each at a moment of its own: nothing of them is left behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::gate::Gate;
use crate::support::keys::ALICE;
use crate::support::message::{LEGACY, post, post_modern, tool_call};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Ending, Recorded, Reply, Upstream};
use crate::support::world::World;
use crate::support::{DEADLINE, until};

const CALLERS: usize = 10_000;
/// So many of them at a time.
const AT_ONCE: usize = 256;
/// The dice always fall the same.
const SEED: u64 = 19;
/// Within this the gate passes on the beginning of a long answer, if it ever does before the end.
const LONG_ANSWER: Duration = Duration::from_millis(250);
/// What the gate opens and keeps for its own ends: connections to the admin port, and of its look at the server.
const OWN: usize = 8;

/// A rule that would run out if it were not given back.
const POLICY: &str = "\
server: records
roles:
  reader: { tools: [search_records] }
tools:
  search_records:
    limits:
      - { in_flight: 512, per: tool }
";

/// When a caller goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// In its request's head, or before it.
    InHead,
    /// In its request's body.
    InBody,
    /// Right behind its request.
    AtOnce,
    /// While the server is silent.
    Unanswered,
    /// In a short answer, which the gate holds until it is whole.
    InShortAnswer,
    /// In a long one.
    InLongAnswer,
    /// In an event stream, of which it has heard something.
    InStream,
    /// On a stream of its own that is idle.
    OnIdleStream,
}

const MOMENTS: [Moment; 8] = [
    Moment::InHead,
    Moment::InBody,
    Moment::AtOnce,
    Moment::Unanswered,
    Moment::InShortAnswer,
    Moment::InLongAnswer,
    Moment::InStream,
    Moment::OnIdleStream,
];

impl Moment {
    fn of(caller: usize) -> Self {
        MOMENTS[caller % MOMENTS.len()]
    }

    /// What the server does about a request whose caller will go.
    fn reply(self) -> Reply {
        let progress =
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
        match self {
            Self::InHead | Self::InBody | Self::AtOnce | Self::Unanswered => Reply::Hang,
            Self::InShortAnswer => begun(1_000),
            Self::InLongAnswer => begun(1_000_000),
            Self::InStream => Reply::Events(vec![format!("data: {progress}")], Ending::StayOpen),
            Self::OnIdleStream => Reply::Events(Vec::new(), Ending::StayOpen),
        }
    }
}

/// The beginning of an answer of this length, and then silence.
fn begun(length: usize) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""#;
    Reply::RawKept((head + body).into_bytes())
}

/// How a caller goes, drawn beforehand.
#[derive(Debug, Clone, Copy)]
struct Farewell {
    moment: Moment,
    /// After how much of its request, if in it.
    cut: f64,
    /// After how long, once the server has it.
    pause: Duration,
    /// With a reset instead of an orderly end.
    resets: bool,
}

impl Farewell {
    fn draw(dice: &mut StdRng, caller: usize) -> Self {
        Self {
            moment: Moment::of(caller),
            cut: dice.random(),
            pause: Duration::from_micros(dice.random_range(0..4_000)),
            resets: dice.random(),
        }
    }
}

/// The server tells here that it has a caller's request.
type Arrivals = Arc<[Notify]>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_go_away_and_leave_nothing_behind() {
    let upstream = Upstream::start().await;
    let mut gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    assert_eq!(call(&gate).await, 200);
    let descriptors = gate.descriptors();

    let arrivals: Arrivals = (0..CALLERS).map(|_| Notify::new()).collect();
    let told = Arc::clone(&arrivals);
    upstream.answer_with(move |request| match caller_of(request) {
        Some(caller) => {
            told[caller].notify_one();
            Moment::of(caller).reply()
        }
        None => Reply::obliging(request),
    });
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut callers, room) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for caller in 0..CALLERS {
        let farewell = Farewell::draw(&mut dice, caller);
        let (room, arrivals, to) = (Arc::clone(&room), Arc::clone(&arrivals), gate.data);
        callers.spawn(async move {
            let _room = room.acquire_owned().await.expect("it is never closed");
            come_and_go(to, caller, farewell, &arrivals[caller]).await;
        });
    }
    while let Some(gone) = callers.join_next().await {
        gone.expect("a caller goes as it should");
    }

    nothing_is_left(&gate, descriptors).await;
    // Those that were waited for hung, every one; of the others some may not have come so far.
    let hung = CALLERS / MOMENTS.len() * 3;
    assert!(upstream.wait_for_hang_ups(hung, DEADLINE).await, "the server hears of everyone that goes");
    every_one_is_told_of_once(&gate, &upstream).await;
    assert_eq!(call(&gate).await, 200);
    assert_eq!(gate.terminate().await, Some(0), "nothing keeps it");
}

/// R19 names the time. Half of them keep it: a single one may be held up by all else that the machine does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_hears_at_once_that_its_caller_has_gone() {
    const CALLERS: usize = 21;
    let upstream = Upstream::start().await;
    upstream.answer(Reply::Hang);
    let gate = World::new(&upstream.url()).policy("records.yaml", POLICY).start().await;
    let call = post_modern("tools/call", r#""name":"search_records","arguments":{}"#, Some("search_records"));
    let mut took = Vec::new();
    for n in 1..=CALLERS {
        let mut caller = Connection::open(gate.data).await;
        caller.send(&call).await.unwrap();
        assert!(upstream.wait_for(n, DEADLINE).await);
        let gone = Instant::now();
        drop(caller);
        assert!(upstream.wait_for_hang_ups(n, DEADLINE).await, "{n}");
        took.push(gone.elapsed());
    }
    took.sort_unstable();
    assert!(took[CALLERS / 2] <= Duration::from_millis(100), "{took:?}");
    assert_eq!(upstream.count(), CALLERS, "the end of its connection is all that it hears");
}

async fn come_and_go(to: SocketAddr, caller: usize, farewell: Farewell, arrived: &Notify) {
    let mut stream = timeout(DEADLINE, TcpStream::connect(to)).await.expect("in time").expect("the gate accepts");
    let request = request(caller, farewell.moment);
    let body = request.len() - request.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") - 4;
    let head = request.len() - body;
    let sent = match farewell.moment {
        Moment::InHead => part_of(head, farewell.cut),
        Moment::InBody => head + part_of(body, farewell.cut),
        _ => request.len(),
    };
    stream.write_all(&request[..sent]).await.expect("the gate reads");
    if matches!(farewell.moment, Moment::InHead | Moment::InBody | Moment::AtOnce) {
        return part(stream, farewell);
    }
    let mut room = [0; 512];
    if timeout(DEADLINE, arrived.notified()).await.is_err() {
        let told = stream.try_read(&mut room).map(|read| String::from_utf8_lossy(&room[..read]).into_owned());
        panic!("{caller}: {farewell:?} never arrives, but hears {told:?}");
    }
    if farewell.moment == Moment::InLongAnswer {
        // Its beginning comes, or the gate holds that, too.
        drop(timeout(LONG_ANSWER, stream.read(&mut room)).await);
    }
    if matches!(farewell.moment, Moment::InStream | Moment::OnIdleStream) {
        let read = timeout(DEADLINE, stream.read(&mut room)).await;
        let read = read.unwrap_or_else(|_| panic!("{caller}: {farewell:?} hears nothing")).expect("it is open");
        assert_ne!(read, 0, "{caller}: {farewell:?} is sent away");
    }
    // Whatever comes meanwhile may come; it is the time that counts.
    drop(timeout(farewell.pause, stream.read(&mut room)).await);
    part(stream, farewell);
}

fn part(stream: TcpStream, farewell: Farewell) {
    if farewell.resets {
        stream.set_zero_linger().expect("a socket that is open");
    }
    drop(stream);
}

/// Less than all of it.
fn part_of(length: usize, cut: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a part of a short length"
    )]
    let part = (length as f64 * cut) as usize;
    part.min(length - 1)
}

/// The server finds the caller's number where it can be carried.
fn request(caller: usize, moment: Moment) -> Vec<u8> {
    if moment != Moment::OnIdleStream {
        let arguments = json!({ "caller": caller, "text": "a".repeat(caller % 4096) });
        return post(ALICE, &tool_call("1", "search_records", &arguments.to_string()));
    }
    let number = caller.to_string();
    let rest = [("accept", "text/event-stream"), ("x-api-key", ALICE), ("last-event-id", &number)];
    let mut head = String::from("GET /mcp HTTP/1.1\r\n");
    let kept = LEGACY.into_iter().filter(|(name, _)| !["accept", "content-type"].contains(name));
    for (name, value) in kept.chain(rest) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    (head + "\r\n").into_bytes()
}

fn caller_of(request: &Recorded) -> Option<usize> {
    if let Some(number) = request.head.first("last-event-id") {
        return number.parse().ok();
    }
    let number = request.json()?["params"]["arguments"]["caller"].as_u64()?;
    usize::try_from(number).ok()
}

async fn call(gate: &Gate) -> u16 {
    let response = raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", "{}"))).await;
    assert!(response.text().contains("result"), "{}", response.text());
    response.status
}

async fn nothing_is_left(gate: &Gate, descriptors: Option<usize>) {
    for gauge in ["tollgate_exchanges_in_flight", "tollgate_streams"] {
        let none = until(DEADLINE, async || gate.metric(gauge).await == Some(0.0)).await;
        assert!(none, "{gauge} is {:?}", gate.metric(gauge).await);
    }
    // Connections to the server are kept for a few seconds.
    let closed = until(DEADLINE, async || gate.descriptors() <= descriptors.map(|before| before + OWN)).await;
    assert!(closed, "{descriptors:?} descriptors before, {:?} after", gate.descriptors());
}

/// Whatever reached the server has one line, whoever was there to hear of it.
async fn every_one_is_told_of_once(gate: &Gate, upstream: &Upstream) {
    let carried = upstream.since(0);
    let lines = async || gate.decisions.count() >= carried.len();
    assert!(until(DEADLINE, lines).await, "{} lines for {} requests", gate.decisions.count(), carried.len());
    let lines = gate.decisions.since(0);
    let line = |line: &String| serde_json::from_str::<Value>(line).expect("a line is JSON");
    let mut decided: Vec<String> = lines.iter().map(|l| line(l)["decision"].to_string()).collect();
    decided.sort_unstable();
    for request in &carried {
        let id = format!("\"{}\"", request.head.first("x-request-id").expect("the gate gives one"));
        let at = decided.partition_point(|other| *other < id);
        let same = decided[at..].iter().take_while(|other| **other == id).count();
        assert_eq!(same, 1, "lines for {id}");
    }
}
