//! Calls under way that an operator ends at once (kill switch).

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use super::Gateway;
use crate::clock;
use crate::policy::{Permit, Query};
use crate::upstream::UpstreamError;

/// Done when the call must end, which it need not be before its reply is over.
pub(super) type Stop = Pin<Box<dyn Future<Output = UpstreamError> + Send>>;

/// Waits for an operator to end this call, for as long as its reply flows.
pub(super) fn stop(gateway: &Arc<Gateway>, permit: &Permit) -> Stop {
    let (gateway, principal, call) = (Arc::clone(gateway), Arc::clone(permit.principal()), Arc::clone(permit.call()));
    let (server, context) = (permit.server().clone(), permit.context());
    Box::pin(async move {
        let (method, target) = (call.method(), call.target());
        stopped(&gateway, Query { principal: &principal, server: &server, method, target, context }).await
    })
}

/// The same, while somebody else holds what is asked.
pub(super) async fn stopped(gateway: &Gateway, query: Query<'_>) -> UpstreamError {
    let mut judged = gateway.judged.subscribe();
    loop {
        let query = Query { context: query.context.later(clock::wall()), ..query };
        if let Some(kill) = gateway.snapshot.load().policy.kills().aborting(&query) {
            return UpstreamError::Stopped(kill.rule().clone());
        }
        if judged.changed().await.is_err() {
            // The gate goes away, and nobody ends anything any more.
            pending::<()>().await;
        }
    }
}
