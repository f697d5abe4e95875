//! The store that limits are shared in: kept up to date, and told of.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::AdminState;
use crate::breaker::Phase;
use crate::limits::{Store, WhenDown};
use crate::proxy::Gateway;
use crate::state::RevocationList;

/// How often it is told what it does not know yet, and is looked for while it is away.
const TICK: Duration = Duration::from_millis(250);

/// Looks after the store, if there is one, until no call is under way any more.
pub(super) async fn watch(
    gateway: &Arc<Gateway>,
    state: &Arc<AdminState>,
    tasks: &TaskTracker,
    ended: &CancellationToken,
) {
    let Some(store) = gateway.snapshot.load().limits.store().cloned() else {
        return;
    };
    state.telemetry.limits_store(Arc::clone(&store));
    // The first calls need not be the ones that find out whether it is there.
    gateway.snapshot.load_full().limits.settle().await;
    tasks.spawn(tell(Arc::clone(&store), ended.clone()));
    tasks.spawn(keep(store, Arc::clone(gateway), ended.clone()));
}

async fn keep(store: Arc<Store>, gateway: Arc<Gateway>, ended: CancellationToken) {
    let list = gateway.sessions.list();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                gateway.snapshot.load_full().limits.settle().await;
                tell_of(list).await;
            }
            // Somebody may wait for the room.
            () = store.ended() => store.release().await,
            // Nobody shall go on elsewhere with what has ended here.
            () = noted(list) => tell_of(list).await,
            () = ended.cancelled() => break,
        }
    }
    gateway.snapshot.load_full().limits.settle().await;
    tell_of(list).await;
    store.leave().await;
}

async fn noted(list: Option<&Arc<RevocationList>>) {
    match list {
        Some(list) => list.noted().await,
        None => pending().await,
    }
}

/// Tells other gates which sessions have ended.
async fn tell_of(list: Option<&Arc<RevocationList>>) {
    if let Some(list) = list {
        list.tell().await;
    }
}

/// Says when it is away, and when it is there again.
async fn tell(store: Arc<Store>, ended: CancellationToken) {
    let (mut phases, mut told) = (store.link().phases(), Phase::Closed);
    loop {
        let phase = *phases.borrow_and_update();
        let replicas = store.replicas();
        match (told, phase) {
            (Phase::Closed, Phase::Open) => {
                let becomes = match store.when_down() {
                    WhenDown::LocalShare => "each gate enforces its share of the limits",
                    WhenDown::Open => "no call is refused for a limit",
                    WhenDown::Closed => "calls that a limit is on are refused",
                };
                tracing::warn!(replicas, error = store.link().failure(), "the limits store is away: {becomes}");
                told = phase;
            }
            (Phase::Open, Phase::Closed) => {
                tracing::info!(replicas, "the limits store is there again");
                told = phase;
            }
            (_, Phase::Closed | Phase::Open | Phase::HalfOpen) => {}
        }
        tokio::select! {
            changed = phases.changed() => if changed.is_err() { return },
            () = ended.cancelled() => return,
        }
    }
}
