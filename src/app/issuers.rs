//! Keeps the keys of issuers of tokens fresh, whoever calls or does not, and says how old they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminState, Latch};
use crate::clock;
use crate::identity::IssuerState;
use crate::proxy::Gateway;

/// How often it is looked whether keys are old.
const LOOK: Duration = Duration::from_secs(1);
/// The same while some are missing.
const SEEK: Duration = Duration::from_millis(100);

/// Looks until the gate goes away.
pub(super) async fn watch(gateway: Arc<Gateway>, state: Arc<AdminState>, stop: CancellationToken) {
    loop {
        let (authenticators, now) = (Arc::clone(&gateway.snapshot.load().authenticators), clock::now());
        authenticators.renew_keys(now);
        let issuers = authenticators.issuer_states(now);
        let all_known = !issuers.iter().any(IssuerState::lacks_keys);
        // One that is down keeps out nobody but its own callers: a gate that is taken out of service keeps out all.
        let all_asked = issuers.iter().all(|issuer| !issuer.lacks_keys() || issuer.failed > 0);
        if all_asked && authenticators.can_identify(now) {
            state.readiness.release(Latch::Issuers);
        } else {
            state.readiness.hold(Latch::Issuers);
        }
        gateway.telemetry.issuers(issuers);
        tokio::select! {
            () = sleep(if all_known { LOOK } else { SEEK }) => {}
            () = stop.cancelled() => return,
        }
    }
}
