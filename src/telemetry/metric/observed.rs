//! What is read when metrics are collected.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::super::attribute::{DIGEST, ISSUER, LOG, RESULT, SCOPE};
use super::super::credential::Ends;
use super::super::panics;
use super::{Gauge, process};
use crate::audit::Audit;
use crate::breaker::Phase;
use crate::cache::{Cache, Look};
use crate::clock;
use crate::identity::{Asked, IssuerState};
use crate::limits::{Crowd, Store};
use crate::policy::KillScope;

/// What observers read when metrics are collected.
#[derive(Clone, Debug, Default)]
pub(in crate::telemetry) struct Observed {
    pub(in crate::telemetry) in_flight: Gauge,
    pub(in crate::telemetry) streams: Gauge,
    /// Decision lines that were lost.
    pub(in crate::telemetry) dropped: Gauge,
    /// Lines of the process log that were lost.
    pub(in crate::telemetry) unlogged: Gauge,
    /// What the kill switch stops, by scope.
    pub(in crate::telemetry) kills: [Gauge; KillScope::ALL.len()],
    /// 1 while its file cannot be taken.
    pub(in crate::telemetry) kills_stale: Gauge,
    /// 1 while the configuration file is not what the gate runs on.
    pub(in crate::telemetry) config_stale: Gauge,
    /// The policy in force.
    pub(in crate::telemetry) policy: Arc<RwLock<Option<InForce>>>,
    /// When credentials end.
    pub(in crate::telemetry) ends: Ends,
    /// Issuers of tokens, and their keys.
    pub(in crate::telemetry) issuers: Arc<RwLock<Vec<IssuerState>>>,
    /// Answers that are given again.
    pub(in crate::telemetry) cache: Arc<RwLock<Option<Arc<Cache>>>>,
    /// How often limits have counted callers together.
    pub(in crate::telemetry) crowd: Arc<RwLock<Crowd>>,
    /// Where limits are shared, if they are.
    pub(in crate::telemetry) limits_store: Arc<RwLock<Option<Arc<Store>>>>,
}

/// A policy that is in force.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct InForce {
    /// The digest of its files.
    pub(in crate::telemetry) digest: Arc<str>,
    /// Since when.
    pub(in crate::telemetry) since: Instant,
}

impl Observed {
    pub(super) fn register(&self, meter: &Meter) {
        self.ends.register(meter);
        process::register(meter);
        panics::register(meter);
        let gauges = [
            ("tollgate.exchanges.in_flight", "Messages under way", &self.in_flight),
            ("tollgate.streams", "Open event streams", &self.streams),
            (
                "tollgate.kill_switch.stale",
                "1 while the file of the kill switch cannot be taken, so that an older one is in force",
                &self.kills_stale,
            ),
            ("tollgate.config.stale", "1 while tollgate.yaml is not what the gate runs on", &self.config_stale),
        ];
        for (name, what, gauge) in gauges {
            let gauge = gauge.clone();
            meter
                .i64_observable_up_down_counter(name)
                .with_description(what)
                .with_callback(move |observer| observer.observe(gauge.value(), &[]))
                .build();
        }
        let lost = [("decisions", self.dropped.clone()), ("process", self.unlogged.clone())];
        meter
            .u64_observable_counter("tollgate.log.dropped")
            .with_description("Lines lost because standard output (decisions) or standard error (process) was blocked")
            .with_callback(move |observer| {
                for (log, lost) in &lost {
                    observer.observe(lost.value().unsigned_abs(), &[KeyValue::new(LOG, *log)]);
                }
            })
            .build();
        let kills = self.kills.clone();
        meter
            .i64_observable_up_down_counter("tollgate.kill_switch.active")
            .with_description("What operators have stopped, by what it is about")
            .with_callback(move |observer| {
                for (scope, gauge) in KillScope::ALL.into_iter().zip(&kills) {
                    observer.observe(gauge.value(), &[KeyValue::new(SCOPE, scope.name())]);
                }
            })
            .build();
        self.register_issuers(meter);
        self.register_crowd(meter);
        self.register_limits_store(meter);
        self.register_cache(meter);
        self.register_shared_answers(meter);
        self.register_policy(meter);
    }

    fn register_policy(&self, meter: &Meter) {
        let policy = Arc::clone(&self.policy);
        meter
            .i64_observable_gauge("tollgate.policy.info")
            .with_description("1, with the digest of the policy in force")
            .with_callback(move |observer| {
                if let Some(policy) = &*policy.read().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(1, &[KeyValue::new(DIGEST, Arc::clone(&policy.digest))]);
                }
            })
            .build();
        let policy = Arc::clone(&self.policy);
        meter
            .f64_observable_gauge("tollgate.policy.age")
            .with_unit("s")
            .with_description("Since when the policy in force is")
            .with_callback(move |observer| {
                if let Some(policy) = &*policy.read().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(clock::monotonic().duration_since(policy.since).as_secs_f64(), &[]);
                }
            })
            .build();
    }

    fn register_crowd(&self, meter: &Meter) {
        let crowd = Arc::clone(&self.crowd);
        meter
            .u64_observable_counter("tollgate.limits.crowded")
            .with_description("How often a limit counted callers together, because more are known than are told apart")
            .with_callback(move |observer| {
                observer.observe(crowd.read().unwrap_or_else(PoisonError::into_inner).count(), &[]);
            })
            .build();
    }

    fn register_limits_store(&self, meter: &Meter) {
        let observe = |look: fn(&Store) -> i64| {
            let store = Arc::clone(&self.limits_store);
            move |observer: &dyn AsyncInstrument<i64>| {
                if let Some(store) = &*store.read().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(look(store), &[]);
                }
            }
        };
        meter
            .i64_observable_up_down_counter("tollgate.limits.store.circuit_open")
            .with_description("1 while the store of limits is not asked because it fails")
            .with_callback(observe(|store| i64::from(*store.link().phases().borrow() == Phase::Open)))
            .build();
        meter
            .i64_observable_up_down_counter("tollgate.limits.store.replicas")
            .with_description("Gates that share the limits, as last heard")
            .with_callback(observe(|store| store.replicas().get().into()))
            .build();
        let store = Arc::clone(&self.limits_store);
        meter
            .u64_observable_counter("tollgate.limits.store.calls")
            .with_description("Calls that limits are on, by whether the store has counted them")
            .with_callback(move |observer| {
                let Some(calls) = store.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|it| it.calls())
                else {
                    return;
                };
                for (count, result) in [(calls.ok, "ok"), (calls.failed, "failed"), (calls.unasked, "unasked")] {
                    observer.observe(count, &[KeyValue::new(RESULT, result)]);
                }
            })
            .build();
    }

    fn register_cache(&self, meter: &Meter) {
        let levels: [CacheLevel; 2] = [
            ("tollgate.cache.size", "By", "Memory that answers take which are given again, about", Cache::bytes),
            ("tollgate.cache.answers", "{answer}", "Answers that are given again", Cache::count),
        ];
        for (name, unit, what, level) in levels {
            let cache = Arc::clone(&self.cache);
            meter
                .u64_observable_gauge(name)
                .with_unit(unit)
                .with_description(what)
                .with_callback(move |observer| {
                    if let Some(cache) = &*cache.read().unwrap_or_else(PoisonError::into_inner) {
                        observer.observe(level(cache), &[]);
                    }
                })
                .build();
        }
    }

    fn register_shared_answers(&self, meter: &Meter) {
        let cache = Arc::clone(&self.cache);
        meter
            .u64_observable_counter("tollgate.cache.shared.looks")
            .with_description("How often it was looked for an answer among those that gates share, by how that went")
            .with_callback(move |observer| {
                let cache = cache.read().unwrap_or_else(PoisonError::into_inner);
                let Some(store) = cache.as_ref().and_then(|cache| cache.store()) else {
                    return;
                };
                for look in Look::ALL {
                    observer.observe(store.looks(look), &[KeyValue::new(RESULT, look.word())]);
                }
            })
            .build();
    }

    fn register_issuers(&self, meter: &Meter) {
        let known = Arc::clone(&self.issuers);
        meter
            .f64_observable_gauge("tollgate.issuer.keys.age")
            .with_unit("s")
            .with_description("Since when the keys of an issuer of tokens are known; nothing while there are none")
            .with_callback(move |observer| {
                for issuer in &*known.read().unwrap_or_else(PoisonError::into_inner) {
                    if let Asked::ForKeys(Some(age)) = issuer.asked {
                        observer.observe(age.as_secs_f64(), &[KeyValue::new(ISSUER, Arc::clone(&issuer.issuer))]);
                    }
                }
            })
            .build();
        let known = Arc::clone(&self.issuers);
        meter
            .u64_observable_counter("tollgate.issuer.fetches")
            .with_description(
                "How often an issuer of tokens was asked for its keys or about a token, by how that ended",
            )
            .with_callback(move |observer| {
                for issuer in &*known.read().unwrap_or_else(PoisonError::into_inner) {
                    for (count, result) in [(issuer.fetched, "ok"), (issuer.failed, "failed")] {
                        let labels = [KeyValue::new(ISSUER, Arc::clone(&issuer.issuer)), KeyValue::new(RESULT, result)];
                        observer.observe(count, &labels);
                    }
                }
            })
            .build();
    }
}

/// A level of the cache: its name, its unit, what it is of, and how it is read.
type CacheLevel = (&'static str, &'static str, &'static str, fn(&Cache) -> u64);

/// A count of the audit log: its name, what it is of, and how it is read.
type AuditCount = (&'static str, &'static str, fn(&Audit) -> u64);

/// What shows of the audit log, if there is one.
pub(super) fn register_audit(meter: &Meter, audit: &Audit) {
    if !audit.is_on() {
        return;
    }
    let counters: [AuditCount; 2] = [
        ("tollgate.audit.records", "Records written to the audit log", Audit::written),
        ("tollgate.audit.dropped", "Records that the audit log has lost", Audit::lost),
    ];
    for (name, what, count) in counters {
        let audit = audit.clone();
        meter
            .u64_observable_counter(name)
            .with_description(what)
            .with_callback(move |observer| observer.observe(count(&audit), &[]))
            .build();
    }
    let waiting = audit.clone();
    meter
        .u64_observable_gauge("tollgate.audit.queue")
        .with_description("Records that wait to be written")
        .with_callback(move |observer| observer.observe(waiting.waiting(), &[]))
        .build();
    let lagging = audit.clone();
    meter
        .f64_observable_gauge("tollgate.audit.lag")
        .with_unit("s")
        .with_description("How long the oldest record that is not on the disk has waited")
        .with_callback(move |observer| observer.observe(lagging.lag().as_secs_f64(), &[]))
        .build();
}
