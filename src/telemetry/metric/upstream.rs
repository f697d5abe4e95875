//! What shows of a server behind the gate: connections to it, its circuit, sessions with it.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tokio::sync::watch;

use super::super::attribute::{RESULT, SERVER, STATE};
use crate::breaker::Phase;
use crate::mcp::ServerName;
use crate::state::Sessions;
use crate::upstream::Connections;

/// What is looked at of one server when metrics are collected.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What it is called.
    pub server: ServerName,
    /// The connections to it.
    pub connections: Arc<Connections>,
    /// Whether it is left alone because it fails.
    pub circuit: watch::Receiver<Phase>,
    /// The sessions with it.
    pub sessions: Arc<Sessions>,
}

impl Watched {
    pub(in crate::telemetry) fn register(self, meter: &Meter) {
        let Self { server, connections, circuit, sessions } = self;
        let label = KeyValue::new(SERVER, server.as_str().to_owned());
        let own = label.clone();
        meter
            .i64_observable_up_down_counter("tollgate.sessions")
            .with_description("Sessions of clients")
            .with_callback(move |observer| {
                observer.observe(i64::try_from(sessions.count()).unwrap_or(i64::MAX), std::slice::from_ref(&own));
            })
            .build();
        let own = label.clone();
        meter
            .i64_observable_gauge("tollgate.upstream.circuit")
            .with_description("1 for the state of the circuit breaker, 0 for the others")
            .with_callback(move |observer| {
                let now = *circuit.borrow();
                for phase in [Phase::Closed, Phase::Open, Phase::HalfOpen] {
                    observer.observe(i64::from(phase == now), &[own.clone(), KeyValue::new(STATE, phase.word())]);
                }
            })
            .build();
        let (own, open) = (label.clone(), Arc::clone(&connections));
        meter
            .i64_observable_up_down_counter("tollgate.upstream.connections")
            .with_description("Open connections to the server, in use or kept for the next call")
            .with_callback(move |observer| observer.observe(open.open(), std::slice::from_ref(&own)))
            .build();
        meter
            .u64_observable_counter("tollgate.upstream.connects")
            .with_description("Connections that were begun to the server, by how that ended")
            .with_callback(move |observer| {
                for (count, result) in [(connections.made(), "ok"), (connections.failed(), "failed")] {
                    observer.observe(count, &[label.clone(), KeyValue::new(RESULT, result)]);
                }
            })
            .build();
    }
}
