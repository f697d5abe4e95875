//! How long an event waits in a proxy: a stream whose events come one by one, each with the time at which it was sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tollgate::clock;

use crate::Failure;
use crate::options::Options;
use crate::process::Process;
use crate::report::{DIRECT, GATE, rank};
use crate::wire::{Ask, PACED};

/// Events of one stream, the answer not counted.
pub(crate) const EVENTS: u32 = 100;
/// Between one and the next. Long, beside what any event takes: so each finds everybody idle, as tools' events do.
pub(crate) const INTERVAL: Duration = Duration::from_millis(5);
/// What the gate may add to each.
const TARGET: Duration = Duration::from_millis(1);
/// No server is silent for so long.
const SILENCE: Duration = Duration::from_secs(10);

/// An event that says when it is sent. Wall time: the server is another process.
pub(crate) fn stamped() -> String {
    let sent = since_epoch(clock::wall()).as_nanos();
    format!(
        "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"info\",\
         \"data\":\"{SENT}{sent}\"}}}}\n\n"
    )
}

const SENT: &str = "sent at ";

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How long each event of each stream took to come through one target.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    target: &'static str,
    sorted: Vec<Duration>,
    /// The least of what the slowest event of a stream took: whoever else uses the machine only ever adds to it.
    calmest: Option<Duration>,
    streams: usize,
    /// Events with another behind them.
    pairs: usize,
    /// Those of them that were out before the next one was in.
    prompt: usize,
}

/// Hears some streams of every target, in turn.
pub(crate) fn measure(targets: &[&Process], options: &Options) -> Result<Vec<Delays>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let none = |target: &&Process| Delays { target: target.name, ..Delays::default() };
    let mut all: Vec<_> = targets.iter().map(none).collect();
    for round in 0..options.streams {
        for at in 0..targets.len() {
            let at = (at + round) % targets.len();
            let (Some(target), Some(heard)) = (targets.get(at), all.get_mut(at)) else {
                continue;
            };
            let times = runtime.block_on(hear(target)).map_err(|error| format!("{}: {error}", target.name))?;
            heard.add(&times);
        }
    }
    Ok(all)
}

/// When an event was sent, and when it was heard.
#[derive(Clone, Copy, Debug)]
struct Times {
    sent: Duration,
    heard: Duration,
}

async fn hear(target: &Process) -> Result<Vec<Times>, Failure> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async { drop(connection.await) });
    let response = sender.send_request(Ask::new(target, PACED)?.request()).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("a stream with {}", response.status()).into());
    }
    let (mut body, mut text, mut times) = (response.into_body(), String::new(), Vec::new());
    while let Some(frame) = timeout(SILENCE, body.frame()).await? {
        let heard = since_epoch(clock::wall());
        text.push_str(std::str::from_utf8(frame?.data_ref().map_or(&[], Bytes::as_ref))?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some((_, sent)) = event.split_once(SENT) {
                let digits: String = sent.chars().take_while(char::is_ascii_digit).collect();
                times.push(Times { sent: Duration::from_nanos(digits.parse()?), heard });
            }
            text = rest.to_owned();
        }
    }
    if times.len() != EVENTS as usize {
        return Err(format!("{} events, not {EVENTS}", times.len()).into());
    }
    Ok(times)
}

impl Delays {
    fn add(&mut self, times: &[Times]) {
        let delays: Vec<_> = times.iter().map(|event| event.heard.saturating_sub(event.sent)).collect();
        let slowest = delays.iter().max().copied().unwrap_or_default();
        self.calmest = Some(self.calmest.map_or(slowest, |calmest| calmest.min(slowest)));
        self.sorted.extend(delays);
        self.sorted.sort_unstable();
        self.streams += 1;
        let pairs = times.iter().zip(times.iter().skip(1));
        self.pairs += times.len().saturating_sub(1);
        self.prompt += pairs.filter(|(event, next)| event.heard < next.sent).count();
    }

    fn at(&self, percent: usize) -> Duration {
        rank(&self.sorted, percent).unwrap_or_default()
    }

    fn calmest(&self) -> Duration {
        self.calmest.unwrap_or_default()
    }

    /// What is left of a figure without what lies between the server and the client anyway.
    fn added(&self, direct: &Self, figure: fn(&Self) -> Duration) -> Duration {
        figure(self).saturating_sub(figure(direct))
    }
}

/// Prints a table, and says whether the target is met.
///
/// # Errors
/// Events are held back: most are only out when the next one is in.
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
pub(crate) fn report(all: &[Delays]) -> Result<(), Failure> {
    let named = |name: &str| all.iter().find(|delays| delays.target == name);
    let (Some(direct), Some(gate)) = (named(DIRECT), named(GATE)) else {
        return Err("nothing was heard".into());
    };
    println!("\n{EVENTS} events of a stream, one every {INTERVAL:?}; {} streams through each\n", gate.streams);
    println!(
        "| target | p50 µs | p99 µs | slowest of the calmest stream µs | adds, p50 µs | adds to each, calmest µs | prompt |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for delays in all {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} of {} |",
            delays.target,
            delays.at(50).as_micros(),
            delays.at(99).as_micros(),
            delays.calmest().as_micros(),
            delays.added(direct, |it| it.at(50)).as_micros(),
            delays.added(direct, Delays::calmest).as_micros(),
            delays.prompt,
            delays.pairs,
        );
    }
    println!();
    let at_median = |delays: &Delays| delays.added(direct, |it| it.at(50)).as_secs_f64();
    for other in all.iter().filter(|other| ![DIRECT, GATE].contains(&other.target)) {
        println!("p50: the gate adds {:.2} × what {} adds", at_median(gate) / at_median(other).max(1e-6), other.target);
    }
    let met = if gate.added(direct, Delays::calmest) <= TARGET { "met" } else { "not met" };
    println!("at most {TARGET:?} added to each event of the calmest stream: {met}");
    if gate.prompt * 2 < gate.pairs {
        return Err("the gate holds events back until the next one is in".into());
    }
    Ok(())
}
