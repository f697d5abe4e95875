//! What shows of a server behind the gate: connections to it, its circuit; and of sessions with it.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::super::attribute::{ENDPOINT, REASON, RESULT, SERVER, STATE};
use crate::breaker::Phase;
use crate::federation::{Callers, Catalogue};
use crate::mcp::ServerName;
use crate::state::{Sessions, Unresumed};
use crate::upstream::{Again, Connections, Endpoint, Retries};

/// What is looked at of one server when metrics are collected.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What it is called.
    pub server: ServerName,
    /// The connections to it.
    pub connections: Arc<Connections>,
    /// Where it is, whether it is left alone there, and how much it has to do.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// How often calls were sent again.
    pub retries: Arc<Retries>,
    /// What it has, for views.
    pub catalogue: Arc<Catalogue>,
}

impl Watched {
    pub(in crate::telemetry) fn register(self, meter: &Meter) {
        let Self { server, connections, endpoints, retries, catalogue } = self;
        let label = KeyValue::new(SERVER, server.as_str().to_owned());
        register_catalogue(meter, &label, catalogue);
        let place = {
            let own = label.clone();
            move |endpoint: &Endpoint| [own.clone(), KeyValue::new(ENDPOINT, endpoint.url().to_string())]
        };
        let (at, all) = (place.clone(), Arc::clone(&endpoints));
        meter
            .i64_observable_gauge("tollgate.upstream.circuit")
            .with_description("1 for the state of an endpoint's circuit breaker, 0 for the others")
            .with_callback(move |observer| {
                for endpoint in &*all {
                    let (now, [server, url]) = (*endpoint.phases().borrow(), at(endpoint));
                    for phase in [Phase::Closed, Phase::Open, Phase::HalfOpen] {
                        let state = KeyValue::new(STATE, phase.word());
                        observer.observe(i64::from(phase == now), &[server.clone(), url.clone(), state]);
                    }
                }
            })
            .build();
        meter
            .i64_observable_up_down_counter("tollgate.upstream.in_flight")
            .with_description("Calls that an endpoint has, but for streams without an end")
            .with_callback(move |observer| {
                for endpoint in &*endpoints {
                    observer.observe(i64::try_from(endpoint.in_flight()).unwrap_or(i64::MAX), &place(endpoint));
                }
            })
            .build();
        register_retries(meter, &label, &retries);
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

/// What shows of the sessions with a server.
pub(in crate::telemetry) fn register_sessions(meter: &Meter, server: &ServerName, sessions: &Arc<Sessions>) {
    let label = KeyValue::new(SERVER, server.as_str().to_owned());
    let (own, alive) = (label.clone(), Arc::clone(sessions));
    meter
        .i64_observable_up_down_counter("tollgate.sessions")
        .with_description("Sessions of clients")
        .with_callback(move |observer| {
            observer.observe(i64::try_from(alive.count()).unwrap_or(i64::MAX), std::slice::from_ref(&own));
        })
        .build();
    let sessions = Arc::clone(sessions);
    meter
        .u64_observable_counter("tollgate.sessions.resumptions")
        .with_description("Sessions that another gate has begun and that were to go on here, by what became of them")
        .with_callback(move |observer| {
            let observe = |count, result| observer.observe(count, &[label.clone(), KeyValue::new(RESULT, result)]);
            observe(sessions.resumed(), "ok");
            for why in Unresumed::ALL {
                observe(sessions.unresumed(why), why.word());
            }
        })
        .build();
}

/// What shows of what the server has, as it told last.
fn register_catalogue(meter: &Meter, label: &KeyValue, catalogue: Arc<Catalogue>) {
    if let Some(callers) = catalogue.callers() {
        return register_callers(meter, label, callers);
    }
    let label = label.clone();
    meter
        .f64_observable_gauge("tollgate.catalogue.age")
        .with_unit("s")
        .with_description("How long ago the server told what it has; nothing while it never did")
        .with_callback(move |observer| {
            if let Some(age) = catalogue.known().age() {
                observer.observe(age.as_secs_f64(), std::slice::from_ref(&label));
            }
        })
        .build();
}

/// The same of a server that has something else for each caller.
fn register_callers(meter: &Meter, label: &KeyValue, callers: &Arc<Callers>) {
    let (own, kept) = (label.clone(), Arc::clone(callers));
    meter
        .i64_observable_up_down_counter("tollgate.catalogue.callers")
        .with_description("Callers of whom it is kept what the server has for them, each session by itself")
        .with_callback(move |observer| {
            observer.observe(i64::try_from(kept.count()).unwrap_or(i64::MAX), std::slice::from_ref(&own));
        })
        .build();
    let (own, kept) = (label.clone(), Arc::clone(callers));
    meter
        .u64_observable_counter("tollgate.catalogue.evicted")
        .with_description("How often what the server has for a caller was given up for others'")
        .with_callback(move |observer| observer.observe(kept.evicted(), std::slice::from_ref(&own)))
        .build();
}

fn register_retries(meter: &Meter, label: &KeyValue, retries: &Arc<Retries>) {
    let (own, made) = (label.clone(), Arc::clone(retries));
    meter
        .u64_observable_counter("tollgate.upstream.retries")
        .with_description("Calls that were sent again, by why")
        .with_callback(move |observer| {
            for why in Again::ALL {
                observer.observe(made.made(why), &[own.clone(), KeyValue::new(REASON, why.word())]);
            }
        })
        .build();
    let (own, refused) = (label.clone(), Arc::clone(retries));
    meter
        .u64_observable_counter("tollgate.upstream.retries.exhausted")
        .with_description("Calls that were not sent again because too many were")
        .with_callback(move |observer| observer.observe(refused.exhausted(), std::slice::from_ref(&own)))
        .build();
}
