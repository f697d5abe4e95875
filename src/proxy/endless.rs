//! What a stream without an end of its own lives by, between the messages that pass on it.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Gateway, Room, Served};
use crate::clock;
use crate::inspect::Watch;
use crate::telemetry::Counted;

/// A stream without an end of its own: it is counted, is judged again when the policy changes, hears when other tools are
/// there, and ends when the gate goes away.
pub(super) struct Endless {
    gateway: Arc<Gateway>,
    turn: Pin<Box<dyn Future<Output = Turn> + Send>>,
    /// When its caller's proof is over.
    ends: Option<SystemTime>,
    draining: bool,
    _counted: Counted,
}

/// What changes for such a stream.
enum Turn {
    /// The gate goes away.
    Draining,
    /// Something else decides now, or the caller's proof is over.
    Judged(Ears),
    /// Other tools are there than before.
    Listed(Ears),
}

/// Where such a stream hears of changes.
struct Ears {
    judged: watch::Receiver<()>,
    listed: watch::Receiver<()>,
}

async fn turn(draining: CancellationToken, mut ears: Ears, ends: Option<SystemTime>) -> Turn {
    tokio::select! {
        () = draining.cancelled() => Turn::Draining,
        // The gateway has the other ends, and is held by whoever waits here.
        _ = ears.judged.changed() => Turn::Judged(ears),
        _ = ears.listed.changed() => Turn::Listed(ears),
        () = over(ends) => Turn::Judged(ears),
    }
}

/// Waits until a proof no longer counts.
pub(super) async fn over(ends: Option<SystemTime>) {
    match ends {
        Some(ends) => sleep(ends.duration_since(clock::wall()).unwrap_or_default()).await,
        None => pending().await,
    }
}

impl Endless {
    /// Until then its caller's proof counts, if that is known.
    pub(super) fn new(gateway: &Arc<Gateway>, served: &Served, ends: Option<SystemTime>) -> Self {
        let ears = Ears { judged: gateway.judged.subscribe(), listed: served.state.hear() };
        Self {
            gateway: Arc::clone(gateway),
            turn: Box::pin(turn(gateway.draining.clone(), ears, ends)),
            ends,
            draining: false,
            _counted: gateway.telemetry.streams().count(),
        }
    }

    /// Whether the stream may go on. When something else decides now, it is judged by that.
    pub(super) fn goes_on(&mut self, watch: &mut Watch, room: Option<&Room>, cx: &mut Context<'_>) -> bool {
        while !self.draining {
            match self.turn.as_mut().poll(cx) {
                Poll::Pending => return true,
                Poll::Ready(Turn::Draining) => self.draining = true,
                Poll::Ready(Turn::Listed(ears)) => {
                    self.turn = Box::pin(turn(self.gateway.draining.clone(), ears, self.ends));
                    watch.tools_changed();
                }
                Poll::Ready(Turn::Judged(ears)) => {
                    let now = self.gateway.snapshot.load_full();
                    let permit = room.map(|room| room.admission.permit());
                    let still = permit.and_then(|permit| {
                        let principal = now.authenticators.still(permit.principal())?;
                        now.policy
                            .permit(&principal, permit.call(), permit.server(), permit.context().later(clock::wall()))
                            .ok()
                    });
                    // The server goes on telling what it began to tell: to somebody whom it was told of otherwise.
                    let still = still
                        .filter(|now| permit.is_some_and(|before| before.upstream_headers() == now.upstream_headers()));
                    let Some(permit) = still else {
                        return false;
                    };
                    self.ends = permit.principal().expires();
                    self.turn = Box::pin(turn(self.gateway.draining.clone(), ears, self.ends));
                    watch.judge_by(&permit, &now.policy);
                }
            }
        }
        // A stream of 2024-11-05 is ended when all that it must answer has been.
        watch.stream().is_some_and(|session| session.owes())
    }
}

impl fmt::Debug for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endless").field("draining", &self.draining).finish_non_exhaustive()
    }
}
