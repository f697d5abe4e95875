//! The servers behind the gate: made, and looked after while they are served.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::sharing::Sharing;
use crate::admin::AdminState;
use crate::breaker::Phase;
use crate::config::{Config, Server};
use crate::federation::{Asked, Catalogue, News};
use crate::mcp::ServerName;
use crate::proxy::{Bodies, Capacity, Gateway, Served, Transports};
use crate::state::{Ended, Sessions, State};
use crate::telemetry::{Telemetry, Watched};
use crate::upstream::{Endpoint, Upstream};

/// How often a server is looked for while it fails somewhere, and while it does not: every so many times as rarely.
const SEEK: Duration = Duration::from_millis(250);
const IN_A_PROBE: u32 = 20;
/// How often the name of a place of a server is looked up. For how long an answer holds, the system keeps to itself, or who
/// answers it: asked so often, what is new is known that much later at most.
const LOOK: Duration = Duration::from_secs(1);
/// How often secrets that are kept in files are read again.
const RENEW: Duration = Duration::from_secs(1);

/// The servers of a configuration. Nothing is connected yet.
///
/// # Errors
/// What lets the gate into one cannot be read.
pub(super) fn serve(
    (config, sharing, bodies): (&Config, &Sharing, &Bodies),
    news: &News,
    telemetry: &Arc<Telemetry>,
    tasks: &TaskTracker,
) -> io::Result<Vec<Arc<Served>>> {
    let served = config.servers.iter().map(|server| {
        let catalogue = Arc::new(Catalogue::new(server.catalogue, news));
        served((server, catalogue), (config, sharing, bodies), telemetry, tasks).map(Arc::new)
    });
    let served = served.collect::<io::Result<Vec<_>>>()?;
    for served in &served {
        telemetry.sessions(&served.name, served.state.sessions());
        telemetry.watch(Watched {
            server: served.name.clone(),
            connections: Arc::clone(served.upstream.connections()),
            endpoints: served.upstream.endpoints().cloned().collect(),
            retries: Arc::clone(served.upstream.retries()),
            catalogue: Arc::clone(&served.catalogue),
        });
    }
    Ok(served)
}

fn served(
    (server, catalogue): (&Server, Arc<Catalogue>),
    (config, sharing, bodies): (&Config, &Sharing, &Bodies),
    telemetry: &Arc<Telemetry>,
    tasks: &TaskTracker,
) -> io::Result<Served> {
    let upstream = Upstream::new(&server.endpoints, &server.shown, tasks.clone())?;
    let (name, told) = (server.name.clone(), Arc::clone(telemetry));
    let ended = Ended::telling(move |lived| told.session_ended(&name, lived));
    let tickets = sharing.tickets_of(&server.name, server.endpoints.streamable().iter().cloned());
    let sessions = Sessions::new(config.sessions, tickets, ended);
    Ok(Served {
        name: server.name.clone(),
        hosts: server.hosts.clone(),
        transports: Transports {
            streamable: !server.endpoints.streamable().is_empty(),
            sse: !server.endpoints.sse().is_empty(),
        },
        upstream: Arc::new(upstream),
        state: Arc::new(State::new(sessions, sharing.tasks_of(&server.name), server.catalogue.per)),
        max_reply_bytes: server.max_reply_bytes,
        capacity: Capacity::new(config.listen.max_in_flight, bodies.clone()),
        catalogue,
    })
}

/// Looks after every server by itself: one that hangs holds up none of the others.
pub(super) fn look_after(
    gateway: &Arc<Gateway>,
    state: &Arc<AdminState>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    for served in gateway.routes.served() {
        let (name, upstream) = (&served.name, &served.upstream);
        tasks.spawn(renew(Arc::clone(upstream), stop.clone()));
        tasks.spawn(keep(Arc::clone(gateway), Arc::clone(served), stop.clone()));
        for endpoint in upstream.endpoints() {
            tasks.spawn(tell(name.clone(), Arc::clone(endpoint), stop.clone()));
            tasks.spawn(look_up(Arc::clone(upstream), Arc::clone(endpoint), stop.clone()));
        }
        tasks.spawn(probe(Arc::clone(upstream), Arc::clone(state), name.clone(), stop.clone()));
    }
}

/// Says when a server is left alone because it fails, and when not any more.
async fn tell(server: ServerName, endpoint: Arc<Endpoint>, stop: CancellationToken) {
    let (url, mut phases, mut told) = (endpoint.url(), endpoint.phases(), Phase::Closed);
    loop {
        tokio::select! {
            changed = phases.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        let phase = *phases.borrow_and_update();
        // While it fails, one call after the other tries: that is said once.
        match (told, phase) {
            (Phase::Closed, Phase::Open) => {
                tracing::warn!(%server, %url, "the server fails, and is left alone (circuit open)");
            }
            (Phase::Open, Phase::Closed) => tracing::info!(%server, %url, "the server answers again (circuit closed)"),
            (_, Phase::Closed | Phase::Open | Phase::HalfOpen) => continue,
        }
        told = phase;
    }
}

/// Keeps it told whether a server answers. The gate is ready as soon as one does: one that is down keeps out nobody but its
/// own callers, who are told so.
async fn probe(upstream: Arc<Upstream>, state: Arc<AdminState>, server: ServerName, stop: CancellationToken) {
    let behind = || state.servers.iter().filter(|behind| behind.name == server);
    loop {
        let answers = upstream.answers().await;
        behind().for_each(|behind| behind.answers.store(answers, Ordering::SeqCst));
        state.looked();
        let next = async {
            for _ in 0..IN_A_PROBE {
                sleep(SEEK).await;
                if !answers || upstream.fails() {
                    return;
                }
            }
        };
        if stop.run_until_cancelled(next).await.is_none() {
            return;
        }
    }
}

/// Looks again and again where the name of a place leads: one that hangs holds up none of the others.
async fn look_up(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>, stop: CancellationToken) {
    let look = async {
        loop {
            sleep(LOOK).await;
            upstream.look_up(&endpoint).await;
        }
    };
    stop.run_until_cancelled(look).await;
}

/// Keeps what a server has, while some view shows it.
async fn keep(gateway: Arc<Gateway>, served: Arc<Served>, stop: CancellationToken) {
    let asked = Asked {
        name: served.name.clone(),
        upstream: Arc::clone(&served.upstream),
        state: Arc::clone(&served.state),
        shown_by: Box::new({
            let name = served.name.clone();
            move || {
                let now = gateway.snapshot.load();
                now.views.show(&name).then(|| Arc::clone(&now.policy))
            }
        }),
    };
    served.catalogue.keep(asked, stop).await;
}

/// Looks again and again whether secrets that are kept in files have changed. It is cheap, and works on every file system.
async fn renew(upstream: Arc<Upstream>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(RENEW) => {}
            () = stop.cancelled() => return,
        }
        let upstream = Arc::clone(&upstream);
        if let Err(error) = tokio::task::spawn_blocking(move || upstream.renew()).await {
            tracing::error!(%error, "changed secrets could not be looked for");
        }
    }
}
