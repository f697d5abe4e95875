//! Exchange to metrics: the instruments, bound once to each set of labels.
//!
//! Looking a set of labels up costs more than all the counting. Bound instruments spare that; the SDK still calls them
//! experimental, so they are named in this file only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::attribute::{self, DIGEST, Facts, ISSUER, METHOD, REASON, RESULT, SCOPE, SERVER, Signal};
use super::credential::Ends;
use crate::audit::Audit;
use crate::breaker::Phase;
use crate::exchange::Outcome;
use crate::identity::{Asked, AuthError, IssuerState};
use crate::limits::Store;
use crate::mcp::{Method, Question, ServerName};
use crate::policy::KillScope;

/// Buckets of the conventions for `mcp.*.operation.duration`, in seconds.
const SECONDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Buckets of `mcp.tool.duration`, in milliseconds.
const MILLISECONDS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0];
/// The most sets of labels that are kept. They come from closed sets, so this is a belt beside braces.
const MOST_SERIES: usize = 4096;

/// The instruments.
#[derive(Debug)]
pub(super) struct Metrics {
    received: Histogram<f64>,
    sent: Histogram<f64>,
    tool_calls: Counter<u64>,
    tool_errors: Counter<u64>,
    tool_duration: Histogram<f64>,
    decisions: Counter<u64>,
    reloads: Counter<u64>,
    tls_reloads: Counter<u64>,
    handshakes: Counter<u64>,
    declined: Counter<u64>,
    unauthenticated: Counter<u64>,
    series: RwLock<Series>,
}

/// A number that goes up and down, read when metrics are collected.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// One of what a [`Gauge`] counts. Dropping it counts it out.
#[derive(Debug)]
#[must_use]
pub struct Counted(Gauge);

/// What observers read when metrics are collected.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) in_flight: Gauge,
    pub(super) streams: Gauge,
    pub(super) sessions: Gauge,
    /// Decision lines that were lost.
    pub(super) dropped: Gauge,
    /// What the kill switch stops, by scope.
    pub(super) kills: [Gauge; KillScope::ALL.len()],
    /// 1 while calls to the server are refused because it fails.
    pub(super) circuit_open: Gauge,
    /// 1 while its file cannot be taken.
    pub(super) kills_stale: Gauge,
    /// The digest of the policy in force.
    pub(super) policy: Arc<RwLock<Option<Arc<str>>>>,
    /// When credentials end.
    pub(super) ends: Ends,
    /// Issuers of tokens, and their keys.
    pub(super) issuers: Arc<RwLock<Vec<IssuerState>>>,
    /// Where limits are shared, if they are.
    pub(super) limits_store: Arc<RwLock<Option<Arc<Store>>>>,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// What is new is in force.
    Ok,
    /// It has problems; the old one stays.
    Refused,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// There is a connection.
    Ok,
    /// One side did not like the other.
    Refused,
    /// It took too long.
    Slow,
    /// It was none.
    Plain,
}

/// Bound instruments by the tool's label (empty for none), and then by the rest.
type Series = HashMap<Box<str>, HashMap<Key, Arc<Bound>>>;

/// What the labels of a message depend on, beside the tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    server: ServerName,
    method: Method,
    outcome: Outcome,
    code: Option<i64>,
}

/// The instruments of one [`Key`]. What was never recorded must not show, so some are bound when first used.
#[derive(Debug)]
struct Bound {
    received: BoundHistogram<f64>,
    sent: OnceLock<BoundHistogram<f64>>,
    decisions: BoundCounter<u64>,
    tool: Option<BoundTool>,
}

/// The same of a tool call.
#[derive(Debug)]
struct BoundTool {
    calls: BoundCounter<u64>,
    duration: BoundHistogram<f64>,
    errors: Option<BoundCounter<u64>>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter, observed: &Observed, audit: &Audit) -> Self {
        observed.register(meter);
        register_audit(meter, audit);
        let seconds = |name: &'static str, what: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(what).with_boundaries(SECONDS.to_vec()).build()
        };
        let counter = |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let metrics = Self {
            received: seconds(
                "mcp.server.operation.duration",
                "From the receipt of a message to the end of its answer",
            ),
            sent: seconds("mcp.client.operation.duration", "From the attempt at the upstream to the end of its answer"),
            tool_calls: counter("mcp.tool.calls", "Tool calls, refused ones included"),
            tool_errors: counter("mcp.tool.errors", "Tool calls that were refused or failed"),
            tool_duration: meter
                .f64_histogram("mcp.tool.duration")
                .with_unit("ms")
                .with_description("From the receipt of a tool call to the end of its answer")
                .with_boundaries(MILLISECONDS.to_vec())
                .build(),
            decisions: counter("tollgate.decisions", "Messages by how they ended"),
            declined: counter("tollgate.questions.declined", "Questions of servers that did not reach their clients"),
            unauthenticated: counter("tollgate.authentication.failures", "Requests of nobody, by why"),
            reloads: counter("tollgate.policy.reloads", "Reloads of the policy by how they ended"),
            tls_reloads: counter("tollgate.tls.reloads", "Reloads of certificates by how they ended"),
            handshakes: counter("tollgate.tls.handshakes", "TLS handshakes of clients by how they ended"),
            series: RwLock::default(),
        };
        // A rate needs a first value: both series exist from the beginning.
        for result in [Reload::Ok, Reload::Refused] {
            metrics.reloads.add(0, &[KeyValue::new(RESULT, result.label())]);
        }
        metrics
    }

    /// Counts one message that has ended.
    pub(super) fn record(&self, facts: &Facts<'_>, took: Duration, attempt: Option<Duration>) {
        let bound = self.bound(facts);
        bound.decisions.add(1);
        bound.received.record(took.as_secs_f64());
        if let Some(attempt) = attempt {
            let labels = || attribute::of(Signal::ClientDuration, facts);
            let sent = bound.sent.get_or_init(|| self.sent.bind(&labels()));
            sent.record(attempt.as_secs_f64());
        }
        if let Some(tool) = &bound.tool {
            tool.calls.add(1);
            tool.duration.record(took.as_secs_f64() * 1000.0);
            if let Some(errors) = &tool.errors {
                errors.add(1);
            }
        }
    }

    /// Counts a question that was declined in a client's stead.
    pub(super) fn declined(&self, server: &ServerName, question: Question) {
        let server = KeyValue::new(SERVER, server.as_str().to_owned());
        self.declined.add(1, &[server, KeyValue::new(METHOD, question.method())]);
    }

    /// Counts a request of which nobody knows who sends it.
    pub(super) fn unauthenticated(&self, error: &AuthError) {
        self.unauthenticated.add(1, &[KeyValue::new(REASON, error.reason())]);
    }

    /// Counts a reload.
    pub(super) fn reloaded(&self, result: Reload) {
        self.reloads.add(1, &[KeyValue::new(RESULT, result.label())]);
    }

    /// Counts a reload of certificates.
    pub(super) fn tls_reloaded(&self, result: Reload) {
        self.tls_reloads.add(1, &[KeyValue::new(RESULT, result.label())]);
    }

    /// Counts a handshake.
    pub(super) fn handshake(&self, result: Handshake) {
        self.handshakes.add(1, &[KeyValue::new(RESULT, result.label())]);
    }

    /// The instruments for the labels of a message; bound when first asked for.
    fn bound(&self, facts: &Facts<'_>) -> Arc<Bound> {
        let tool = facts.tool_label().unwrap_or_default();
        let key = Key::of(facts);
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bound) = known.get(tool).and_then(|others| others.get(&key)) {
            return Arc::clone(bound);
        }
        drop(known);
        let bound = Arc::new(self.bind(facts));
        let mut known = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if known.values().map(HashMap::len).sum::<usize>() < MOST_SERIES {
            let others = known.entry(tool.into()).or_default();
            return Arc::clone(others.entry(key).or_insert(bound));
        }
        bound
    }

    fn bind(&self, facts: &Facts<'_>) -> Bound {
        Bound {
            received: self.received.bind(&attribute::of(Signal::ServerDuration, facts)),
            sent: OnceLock::new(),
            decisions: self.decisions.bind(&attribute::of(Signal::Decisions, facts)),
            tool: facts.tool_label().map(|_| {
                let labels = attribute::of(Signal::ToolCalls, facts);
                let failed = !matches!(facts.outcome, Outcome::Ok | Outcome::Cancelled);
                BoundTool {
                    calls: self.tool_calls.bind(&labels),
                    duration: self.tool_duration.bind(&labels),
                    errors: failed.then(|| self.tool_errors.bind(&labels)),
                }
            }),
        }
    }
}

impl Key {
    fn of(facts: &Facts<'_>) -> Self {
        // What the server's own codes are called in labels stands in `code`.
        let outcome = match facts.outcome {
            Outcome::ServerError(_) => Outcome::ServerError(0),
            other => other,
        };
        Self {
            server: facts.exchange.server.clone(),
            method: facts.method(),
            outcome,
            code: facts.code().map(attribute::bounded_code),
        }
    }
}

impl Observed {
    fn register(&self, meter: &Meter) {
        self.ends.register(meter);
        let gauges = [
            ("tollgate.exchanges.in_flight", "Messages under way", &self.in_flight),
            ("tollgate.streams", "Open event streams", &self.streams),
            ("tollgate.sessions", "Sessions of clients", &self.sessions),
            ("tollgate.upstream.circuit_open", "1 while the server is left alone because it fails", &self.circuit_open),
            (
                "tollgate.kill_switch.stale",
                "1 while the file of the kill switch cannot be taken, so that an older one is in force",
                &self.kills_stale,
            ),
        ];
        for (name, what, gauge) in gauges {
            let gauge = gauge.clone();
            meter
                .i64_observable_up_down_counter(name)
                .with_description(what)
                .with_callback(move |observer| observer.observe(gauge.value(), &[]))
                .build();
        }
        let dropped = self.dropped.clone();
        meter
            .u64_observable_counter("tollgate.log.dropped")
            .with_description("Decision lines lost because standard output was blocked or closed")
            .with_callback(move |observer| observer.observe(dropped.value().unsigned_abs(), &[]))
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
        self.register_limits_store(meter);
        let policy = Arc::clone(&self.policy);
        meter
            .i64_observable_gauge("tollgate.policy.info")
            .with_description("1, with the digest of the policy in force")
            .with_callback(move |observer| {
                if let Some(digest) = &*policy.read().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(1, &[KeyValue::new(DIGEST, Arc::clone(digest))]);
                }
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
            .with_callback(observe(|store| i64::from(*store.phases().borrow() == Phase::Open)))
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

/// A count of the audit log: its name, what it is of, and how it is read.
type AuditCount = (&'static str, &'static str, fn(&Audit) -> u64);

/// What shows of the audit log, if there is one.
fn register_audit(meter: &Meter, audit: &Audit) {
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

impl Gauge {
    /// Counts one in, until what is returned is dropped.
    pub fn count(&self) -> Counted {
        self.add(1);
        Counted(self.clone())
    }

    /// Says how many there are.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, value: i64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Handshake {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Slow => "slow",
            Self::Plain => "plain",
        }
    }
}

impl Reload {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}
