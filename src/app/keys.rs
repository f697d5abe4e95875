//! Says which API keys end soon, again and again until somebody replaces them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::identity::{EXPIRES_SOON, KeysOf};
use crate::proxy::{Gateway, Snapshot};
use crate::telemetry::Credential;

/// How often it is said. At the start and with new policies it is said at once.
const DAY: Duration = Duration::from_hours(24);

/// Looks until the gate goes away.
pub(super) async fn watch(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut judged = gateway.judged.subscribe();
    loop {
        let policy = tell(&gateway, &gateway.snapshot.load());
        let other_policy = async {
            // The gateway has the other end.
            while judged.changed().await.is_ok() {
                if *gateway.snapshot.load().policy.digest() != policy {
                    return;
                }
            }
        };
        tokio::select! {
            () = other_policy => {}
            () = sleep(DAY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Says it once; returns of which policy.
fn tell(gateway: &Gateway, now: &Snapshot) -> Arc<str> {
    let (keys, wall) = (now.authenticators.keys(), clock::wall());
    for (id, end) in keys.iter().filter_map(|(id, keys)| Some((id, keys.end()?))) {
        match end.duration_since(wall) {
            Ok(left) if left <= EXPIRES_SOON => {
                let hours = left.as_secs() / 3600;
                tracing::warn!(key = %id, hours, "the key ends soon, and nothing replaces it (tollgate keys new --rotate)");
            }
            Ok(_) => {}
            Err(_) => tracing::warn!(key = %id, "the key has ended"),
        }
    }
    let first = keys.values().filter_map(KeysOf::end).min();
    gateway.telemetry.credential_ends(Credential::ApiKey, first);
    Arc::clone(now.policy.digest())
}
