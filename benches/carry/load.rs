//! The load: keep-alive connections, each of which asks again as soon as it was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tollgate::clock;

use crate::Failure;
use crate::machine;
use crate::options::{Cell, Options};
use crate::process::Process;
use crate::report::Sample;
use crate::wire::{Ask, Tool};

/// No answer is longer.
const LONGEST: usize = 4 << 20;
/// Whoever is silent for so long is broken.
const SILENCE: Duration = Duration::from_secs(10);

/// So many calls may be due and not yet made. Who is further behind is asked for no more until it is not.
const QUEUE: usize = 10_000;

/// What the connections do, told by one and read by all.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

/// At first, 0, the connections warm up.
const MEASURE: u8 = 1;
const STOP: u8 = 2;

impl Phase {
    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }

    fn enter(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }
}

/// Sees that every target gives the same answer, byte for byte: else they would not be compared in the same work.
pub(crate) fn agree(targets: &[&Process], tool: Tool) -> Result<(), Failure> {
    let runtime = runtime()?;
    let mut first: Option<Bytes> = None;
    for target in targets {
        let answer = runtime.block_on(answer_of(target, tool))?;
        let expected = first.get_or_insert_with(|| answer.clone());
        if *expected != answer {
            return Err(format!("{} changes the answer of {}", target.name, tool.name()).into());
        }
    }
    Ok(())
}

/// Loads one target for a while.
pub(crate) fn measure(target: &Process, cell: &Cell, options: &Options) -> Result<Sample, Failure> {
    runtime()?.block_on(async {
        let expected = answer_of(target, cell.tool).await?.len();
        let phase = Arc::new(Phase::default());
        let mut connections = JoinSet::new();
        for _ in 0..cell.connections {
            let connection = Connection::open(target, cell.tool, expected).await?;
            connections.spawn(connection.load(Arc::clone(&phase)));
        }
        sleep(options.warm_up).await;
        let (cpu, busy, begun) = (target.cpu()?, machine::proxy_core_busy(), clock::monotonic());
        phase.enter(MEASURE);
        sleep(options.duration).await;
        phase.enter(STOP);
        let took = clock::monotonic().duration_since(begun);
        let (cpu, now_busy) = (target.cpu()?.saturating_sub(cpu), machine::proxy_core_busy());
        let busy = now_busy.zip(busy).map(|(now, then)| now.saturating_sub(then));
        let mut latencies = Vec::new();
        while let Some(done) = timeout(SILENCE, connections.join_next()).await? {
            latencies.extend(done?.map_err(|error| format!("{}: {error}", target.name))?);
        }
        Ok(Sample::new(latencies, took, cpu, busy))
    })
}

/// Makes calls at a constant rate for a while. Returns how long each took from when it was due: what waits behind a slow one counts.
pub(crate) fn at_rate(
    target: &Process,
    cell: &Cell,
    options: &Options,
    per_second: f64,
) -> Result<Vec<Duration>, Failure> {
    runtime()?.block_on(async {
        let expected = answer_of(target, cell.tool).await?.len();
        let (due, calls) = mpsc::channel(QUEUE);
        let calls = Arc::new(Mutex::new(calls));
        let mut connections = JoinSet::new();
        for _ in 0..cell.connections {
            let connection = Connection::open(target, cell.tool, expected).await?;
            connections.spawn(connection.keep_to(Arc::clone(&calls)));
        }
        let (warm_up, duration) = (options.warm_up, options.duration);
        let begun = clock::monotonic();
        // A thread of its own: it sleeps by the microsecond, a runtime by the millisecond.
        let clock = thread::spawn(move || {
            for call in 1.. {
                let after = Duration::from_secs_f64(f64::from(call) / per_second);
                thread::sleep((begun + after).saturating_duration_since(clock::monotonic()));
                if after > warm_up + duration || due.blocking_send(begun + after).is_err() {
                    return;
                }
            }
        });
        let mut latencies = Vec::new();
        while let Some(done) = timeout(warm_up + duration + SILENCE, connections.join_next()).await? {
            latencies.extend(done?.map_err(|error| format!("{}: {error}", target.name))?);
        }
        clock.join().map_err(|_panicked| "the clock of the load stopped")?;
        let measured = latencies.into_iter().filter(|(due, _)| *due > begun + warm_up);
        Ok(measured.map(|(_, took)| took).collect())
    })
}

/// Makes so many calls over each connection, and has an answer to each when it returns.
pub(crate) fn call(target: &Process, cell: &Cell, each: usize) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let expected = answer_of(target, cell.tool).await?.len();
        let mut connections = JoinSet::new();
        for _ in 0..cell.connections {
            let mut connection = Connection::open(target, cell.tool, expected).await?;
            connections.spawn(async move {
                for _ in 0..each {
                    connection.ask_once().await?;
                }
                Ok::<_, String>(())
            });
        }
        while let Some(done) = connections.join_next().await {
            done?.map_err(|error| format!("{}: {error}", target.name))?;
        }
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

#[expect(clippy::disallowed_methods, reason = "bounded by `Limited`")]
async fn answer_of(target: &Process, tool: Tool) -> Result<Bytes, Failure> {
    let mut connection = Connection::open(target, tool, 0).await?;
    let response = connection.sender.send_request(connection.ask.request()).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body);
        return Err(format!("{} answers {} with {status}: {text}", target.name, tool.name()).into());
    }
    Ok(body)
}

/// One keep-alive connection.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    ask: Ask,
    expected: usize,
    /// Ends the connection's task with this.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(target: &Process, tool: Tool, expected: usize) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Ok(Self { sender, ask: Ask::new(target, tool.name())?, expected, _driver: driver })
    }

    /// Asks until told to stop; returns how long each answer took that began and ended while it was measured.
    async fn load(mut self, phase: Arc<Phase>) -> Result<Vec<Duration>, String> {
        let mut latencies = Vec::new();
        while !phase.is(STOP) {
            let measured = phase.is(MEASURE);
            let begun = clock::monotonic();
            self.ask_once().await?;
            if measured && phase.is(MEASURE) {
                latencies.push(clock::monotonic().duration_since(begun));
            }
        }
        Ok(latencies)
    }

    /// Makes each call that is due and that no other connection has taken; returns when it was due, and how long it took from then.
    async fn keep_to(mut self, calls: Arc<Mutex<Receiver<Instant>>>) -> Result<Vec<(Instant, Duration)>, String> {
        let mut latencies = Vec::new();
        loop {
            let Some(due) = calls.lock().await.recv().await else {
                return Ok(latencies);
            };
            self.ask_once().await?;
            latencies.push((due, clock::monotonic().duration_since(due)));
        }
    }

    async fn ask_once(&mut self) -> Result<(), String> {
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let response = self.sender.send_request(self.ask.request()).await;
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            length += frame.data_ref().map_or(0, Bytes::len);
        }
        if status != StatusCode::OK || length != self.expected {
            return Err(format!("an answer with {status} and {length} bytes"));
        }
        Ok(())
    }
}
