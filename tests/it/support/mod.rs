//! What the tests stand on: the gate as a process, a recording server, raw clients.

pub(crate) mod canary;
pub(crate) mod collector;
pub(crate) mod control_group;
pub(crate) mod demand;
pub(crate) mod front;
pub(crate) mod gate;
pub(crate) mod h2;
pub(crate) mod http1;
pub(crate) mod wall_clock;
pub(crate) mod issuer;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod network;
pub(crate) mod pki;
pub(crate) mod postgres;
pub(crate) mod raw;
pub(crate) mod shim;
pub(crate) mod sse;
pub(crate) mod store;
pub(crate) mod tunnel;
pub(crate) mod upstream;
pub(crate) mod world;

mod tests;

use std::time::Duration;

/// How long anything may take before a test calls it missing. Generous: it is only ever spent on a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How much of a test: a part of it in the test command, all of it with `TOLLGATE_FULL=1`.
pub(crate) fn size(short: usize, full: usize) -> usize {
    if std::env::var_os("TOLLGATE_FULL").is_some() { full } else { short }
}

/// Whether the gate is built to be small and fast: only then are fixed sizes and times judged as they are demanded.
pub(crate) fn is_optimised() -> bool {
    !cfg!(debug_assertions) || std::env::var_os(gate::PROGRAM).is_some()
}

/// What half of them took at most.
pub(crate) fn half(took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    took[(took.len() - 1) / 2]
}

/// Asks again and again until it holds; `false` if it does not in time. For what tells no one when it changes.
pub(crate) async fn until<F>(deadline: Duration, mut holds: impl FnMut() -> F) -> bool
where
    F: Future<Output = bool>,
{
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(deadline, asking).await.is_ok()
}
