//! The running process: bind, serve, reload, drain.

mod certificates;
mod handshake;
mod issuers;
mod keys;
mod limits_store;
mod listener;
mod memory;
mod reload;
mod seldom;
mod servers;
mod settings;
mod sharing;
mod workers;

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminState, Behind, Latch, Readiness};
use crate::audit::{Event, Health};
use crate::cache::{AnswerStore, Cache, CacheSettings};
use crate::config::{Config, Loaded, Policies};
use crate::federation::News;
use crate::kill_switch::{self, KillSwitch};
use crate::limits::{Limits, Store};
use crate::mcp::ServerName;
use crate::proxy::{Capacity, Gateway, Routes, Snapshot, Terms};
use crate::state::{Ended, Sessions};
use crate::store::Link;
use crate::telemetry::Telemetry;

use handshake::Handshakes;
use listener::Port;
use settings::Settings;
use sharing::Sharing;
use workers::Workers;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that was accepted was answered.
    Drained,
    /// Time was over before that.
    CutShort,
}

/// The same number on Linux and macOS.
const SIGXFSZ: i32 = 25;
/// A second signal shortens the wait to this: what is left of a second is for the rest of the end.
const IMPATIENCE: Duration = Duration::from_millis(900);
/// The last records may take this long to reach the disk.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// Runs the gate until it is told to stop, and has.
///
/// # Errors
/// An address cannot be bound, or the system refuses something that the gate cannot do without.
pub async fn run(loaded: Loaded, telemetry: Arc<Telemetry>) -> io::Result<End> {
    let mut signals = Signals::new()?;
    // Before anybody hears that the gate serves: a hangup that nobody waits for ends the process.
    let hangups = signal(SignalKind::hangup())?;
    let process = Process::assemble(loaded, telemetry)?;
    let running = process.start(hangups).await;
    signals.stop().await;
    tracing::info!("stopping: no new connections; what was accepted is answered");
    running.end(&mut signals).await
}

/// Everything that a running gate is made of, put together; nothing of it runs yet.
struct Process {
    config: Arc<Config>,
    settings: Settings,
    gateway: Arc<Gateway>,
    kill_switch: Option<Arc<KillSwitch>>,
    state: Arc<AdminState>,
    listener: TcpListener,
    workers: Workers,
    admin: TcpListener,
    memory: Option<memory::Bound>,
    /// Cancelled when the gate goes away, and when it has.
    stop: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Process {
    fn assemble(loaded: Loaded, telemetry: Arc<Telemetry>) -> io::Result<Self> {
        let Loaded { config, policies, .. } = loaded;
        let (listener, workers) = (listener::bind(config.listen.address)?, Workers::start()?);
        let admin = listener::bind(config.admin)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let news = News::default();
        let link = config.limits_store.as_ref().map(|store| Link::open(store.link.clone())).transpose();
        let link = link.map_err(io::Error::other)?.map(Arc::new);
        let sharing = Sharing::open(&config, link.as_ref())?;
        let memory = memory::Bound::find(config.max_memory_bytes);
        let bodies = memory::bodies(memory.as_ref());
        let served = servers::serve((&config, &sharing, &bodies), &news, &telemetry, &tasks)?;
        let address = listener.local_addr()?;
        let terms = Arc::new(settings::terms(&config, address));
        let gateway = Arc::new(Gateway {
            snapshot: ArcSwap::from_pointee(snapshot(policies, &config, &telemetry, link.as_ref(), terms)),
            judging: Mutex::default(),
            judged: watch::Sender::default(),
            routes: Routes::new(served, config.listen.public_url.as_ref()),
            cache: Arc::new(cache(&config.cache, link, &tasks)?),
            telemetry: Arc::clone(&telemetry),
            news,
            sessions: Arc::new(Sessions::new(config.sessions, sharing.tickets_of_views(), Ended::default())),
            cursors: sharing.cursors(),
            capacity: Capacity::new(config.listen.max_in_flight, bodies),
            draining: stop.clone(),
            waiting: tasks.clone(),
        });
        telemetry.cache(Arc::clone(&gateway.cache));
        telemetry.sessions(&ServerName::none(), &gateway.sessions);
        let kill_switch = kill_switch(&config, &gateway)?;
        let state = Arc::new(admin_state(&gateway, telemetry, kill_switch.clone()));
        let config = Arc::new(config);
        let settings = Settings::new(Arc::clone(&config), Arc::clone(&gateway), Arc::clone(&state), address);
        let ended = CancellationToken::new();
        Ok(Self { config, settings, gateway, kill_switch, state, listener, workers, admin, memory, stop, ended, tasks })
    }

    /// Serves from now on.
    async fn start(self, hangups: Signal) -> Running {
        let Self {
            config,
            settings,
            gateway,
            kill_switch,
            state,
            listener,
            workers,
            admin,
            memory,
            stop,
            ended,
            tasks,
        } = self;
        let [address, admin_address] = [&listener, &admin]
            .map(|bound| bound.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string()));
        tasks.spawn(admin::serve(admin, Arc::clone(&state), ended.clone().cancelled_owned()));
        tasks.spawn(recorded(Arc::clone(&state), stop.clone()));
        limits_store::watch(&gateway, &state, &tasks, &ended).await;
        servers::look_after(&gateway, &state, &tasks, &stop);
        tasks.spawn(kill_switch::watch(kill_switch, stop.clone()));
        tasks.spawn(memory::watch(memory, Arc::clone(&gateway), stop.clone()));
        look_after_credentials(&tasks, &gateway, &state, &stop);
        let reloads = reload::watch(Arc::clone(&config), settings, Arc::clone(&gateway), hangups, stop.clone());
        tasks.spawn(reloads);
        tracing::info!("admin on http://{admin_address}");
        for path in gateway.routes.paths(&gateway.snapshot.load().views) {
            tracing::info!("listening on {}://{address}{path}", config.listen.scheme());
        }
        let tls = config.listen.tls.clone();
        let handshakes = tls.map(|tls| Handshakes::new(tls, Arc::clone(&gateway.telemetry)));
        let connections = TaskTracker::new();
        let closing = CancellationToken::new();
        let port = Port { gateway: Arc::clone(&gateway), handshakes, closing: closing.clone() };
        let serving = tasks.spawn(listener::serve(listener, port, workers, stop.clone(), connections.clone()));
        Running { gateway, state, stop, closing, ended, tasks, connections, serving }
    }
}

/// A gate that serves.
struct Running {
    gateway: Arc<Gateway>,
    state: Arc<AdminState>,
    stop: CancellationToken,
    /// Cancelled when connections are to end.
    closing: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
    connections: TaskTracker,
    serving: JoinHandle<Workers>,
}

impl Running {
    /// Takes nothing more, and ends when what was accepted is answered.
    async fn end(self, signals: &mut Signals) -> io::Result<End> {
        self.state.readiness.hold(Latch::Draining);
        self.stop.cancel();
        self.connections.close();
        let workers = self.serving.await.map_err(io::Error::other)?;
        let drain_timeout = self.gateway.snapshot.load().terms.drain_timeout;
        let end = drained(&self.closing, &self.connections, drain_timeout, signals).await;
        self.ended.cancel();
        finish(&self.tasks).await;
        workers.end();
        end_records(&self.state.telemetry).await;
        Ok(end)
    }
}

/// What the admin port tells of a gate whose policies are in force.
fn admin_state(gateway: &Gateway, telemetry: Arc<Telemetry>, kill_switch: Option<Arc<KillSwitch>>) -> AdminState {
    let readiness = Readiness::new();
    readiness.release(Latch::Policies);
    let limits_store = gateway.snapshot.load().limits.store().map(|store| store.link().phases());
    let servers = gateway.routes.served().iter().map(|served| Behind {
        name: served.name.clone(),
        answers: AtomicBool::new(false),
        endpoints: served.upstream.endpoints().cloned().collect(),
        assertions: served.upstream.assertions().cloned(),
    });
    AdminState {
        readiness,
        telemetry,
        kill_switch,
        servers: servers.collect(),
        limits_store,
        config: watch::Sender::default(),
    }
}

/// Looks after what callers prove themselves by.
fn look_after_credentials(
    tasks: &TaskTracker,
    gateway: &Arc<Gateway>,
    state: &Arc<AdminState>,
    stop: &CancellationToken,
) {
    tasks.spawn(issuers::watch(Arc::clone(gateway), Arc::clone(state), stop.clone()));
    tasks.spawn(keys::watch(Arc::clone(gateway), stop.clone()));
}

/// Lets what was accepted be answered, for as long as there is time.
async fn drained(
    closing: &CancellationToken,
    connections: &TaskTracker,
    drain_timeout: Duration,
    signals: &mut Signals,
) -> End {
    let answered = async {
        // A client may be about to send a call on a connection that it has kept: it gets its answer, and hears then that
        // the connection ends. Only those that send nothing are closed without a word.
        drop(timeout(listener::LINGER, connections.wait()).await);
        closing.cancel();
        connections.wait().await;
    };
    tokio::select! {
        () = answered => End::Drained,
        () = patience(drain_timeout, signals) => End::CutShort,
    }
}

/// What operators have stopped is stopped before anybody is served.
fn kill_switch(config: &Config, gateway: &Arc<Gateway>) -> io::Result<Option<Arc<KillSwitch>>> {
    let opened = config.kill_switch.as_ref().map(|from| KillSwitch::open(from, gateway)).transpose();
    Ok(opened.map_err(|problems| io::Error::other(problems.to_string()))?.map(Arc::new))
}

/// Lets the last records reach the disk, and signs them.
async fn end_records(telemetry: &Telemetry) {
    if timeout(LAST_RECORDS, telemetry.audit().close()).await.is_err() {
        tracing::error!("the audit log could not be ended in time; its last records may be missing");
    }
}

/// Lets background work end.
async fn finish(tasks: &TaskTracker) {
    tasks.close();
    if timeout(IMPATIENCE, tasks.wait()).await.is_err() {
        tracing::warn!("some background work did not end in time");
    }
}

/// How long to wait for calls in flight: so long, or a moment more once somebody asks again.
async fn patience(drain_timeout: Duration, signals: &mut Signals) {
    tokio::select! {
        () = sleep(drain_timeout) => {}
        () = async { signals.stop().await; sleep(IMPATIENCE).await } => {}
    }
}

/// Answers that are given again, and the way to those of other gates, if they are shared.
fn cache(settings: &CacheSettings, link: Option<Arc<Link>>, tasks: &TaskTracker) -> io::Result<Cache> {
    let shared = link.zip(settings.shared.as_ref());
    let store = shared.map(|(link, settings)| AnswerStore::open(link, settings, tasks.clone())).transpose();
    Ok(Cache::new(settings, store.map_err(io::Error::other)?))
}

/// The judgement that begins.
fn snapshot(
    policies: Policies,
    config: &Config,
    telemetry: &Telemetry,
    link: Option<&Arc<Link>>,
    terms: Arc<Terms>,
) -> Snapshot {
    let limits = match config.limits_store.as_ref().zip(link) {
        None => Limits::of(&policies.policy, None),
        Some((settings, link)) => {
            let store = Store::new(Arc::clone(link), settings, &config.server_names());
            Limits::shared(&policies.policy, Arc::new(store))
        }
    };
    telemetry.crowd(limits.crowd().clone());
    telemetry.policy(Arc::clone(policies.policy.digest()));
    telemetry.audit().event(&Event::Start(Arc::clone(policies.policy.digest())));
    reload::warn_of_shadow(&policies.policy);
    Snapshot::new(policies.authenticators, policies.policy, policies.views, limits, terms)
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A file that may grow no further is an error of who writes it, as on a full disk, and not the end of the process.
    _file_size: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Keeps the audit latch in step with whether calls can be recorded.
async fn recorded(state: Arc<AdminState>, stop: CancellationToken) {
    let Some(mut health) = state.telemetry.audit().health() else {
        return;
    };
    let follow = async {
        // First as it is: it may have failed before anybody looked.
        loop {
            match *health.borrow_and_update() {
                Health::Writing => state.readiness.release(Latch::Audit),
                Health::Failing => state.readiness.hold(Latch::Audit),
            }
            if health.changed().await.is_err() {
                return;
            }
        }
    };
    stop.run_until_cancelled(follow).await;
}
