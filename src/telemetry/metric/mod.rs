//! Exchange to metrics: the instruments, bound once to each set of labels.
//!
//! Looking a set of labels up costs more than all the counting. Bound instruments spare that; the SDK still calls them
//! experimental, so they are named in this file only.

mod ended;
mod gauge;
mod observed;
mod process;
mod upstream;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use hashbrown::HashMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::attribute::{
    self, ACTION, DETECTOR, FLOW, Facts, METHOD, OUTCOME, REASON, RESULT, RULE, SERVER, Signal, TIMEOUT_KIND, TOOL,
};
use super::exemplar::{self, Exemplars, Sampled};
use crate::audit::Audit;
use crate::exchange::{Outcome, TimeoutKind};
use crate::identity::AuthError;
use crate::mcp::{Method, ProtocolVersion, Question, ServerName};
use crate::policy::RuleId;

pub use ended::{Handshake, Reload};
pub use gauge::{Counted, Gauge};
pub use process::MemoryUse;
pub use upstream::Watched;

pub(super) use observed::{InForce, Observed};
pub(super) use upstream::register_sessions;

/// Buckets of the conventions for `mcp.*.duration`, in seconds.
const SECONDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Buckets of `mcp.tool.duration`, in milliseconds.
const MILLISECONDS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0];
/// Buckets of `tollgate.reply.size`, in bytes.
const BYTES: [f64; 10] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];
/// The most sets of labels that are kept. They come from closed sets, so this is a belt beside braces.
pub(super) const MOST_SERIES: usize = 4096;

/// The instruments.
#[derive(Debug)]
pub(super) struct Metrics {
    received: Histogram<f64>,
    sent: Histogram<f64>,
    tool_calls: Counter<u64>,
    tool_errors: Counter<u64>,
    tool_duration: Histogram<f64>,
    decisions: Counter<u64>,
    by_rule: Counter<u64>,
    reply_size: Histogram<u64>,
    reply_tokens: Counter<u64>,
    cached: Counter<u64>,
    sessions: [Histogram<f64>; 2],
    reloads: Counter<u64>,
    tls_reloads: Counter<u64>,
    handshakes: Counter<u64>,
    not_accepted: Counter<u64>,
    timed_out: Counter<u64>,
    declined: Counter<u64>,
    redactions: Counter<u64>,
    unauthenticated: Counter<u64>,
    exemplars: Exemplars,
    series: RwLock<Series>,
    rules: RwLock<HashMap<Ruled, BoundCounter<u64>>>,
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
    would_deny: Option<&'static str>,
    timeout: Option<TimeoutKind>,
    version: Option<ProtocolVersion>,
    http: http::Version,
}

/// What the labels of `tollgate.rule.decisions` depend on.
type Ruled = (ServerName, RuleId, &'static str);

/// The outcome of what a rule that is tried out would have refused.
const WOULD_DENY: &str = "would_deny";

/// The instruments of one [`Key`]. What was never recorded must not show, so some are bound when first used.
#[derive(Debug)]
struct Bound {
    received: BoundHistogram<f64>,
    received_last: OnceLock<Arc<exemplar::Series>>,
    sent: OnceLock<BoundHistogram<f64>>,
    decisions: BoundCounter<u64>,
    reply: OnceLock<(BoundHistogram<u64>, BoundCounter<u64>)>,
    tool: Option<BoundTool>,
}

/// The same of a tool call.
#[derive(Debug)]
struct BoundTool {
    calls: BoundCounter<u64>,
    duration: BoundHistogram<f64>,
    duration_last: OnceLock<Arc<exemplar::Series>>,
    errors: Option<BoundCounter<u64>>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter, observed: &Observed, audit: &Audit) -> Self {
        observed.register(meter);
        observed::register_audit(meter, audit);
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
            by_rule: counter("tollgate.rule.decisions", "Messages by the rule or limit that decided"),
            reply_size: meter
                .u64_histogram("tollgate.reply.size")
                .with_unit("By")
                .with_description("What the caller got of a reply to a message: lists after they were filtered")
                .with_boundaries(BYTES.to_vec())
                .build(),
            reply_tokens: meter
                .u64_counter("tollgate.reply.tokens")
                .with_unit("{token}")
                .with_description("The same in tokens of a model, estimated: four bytes are one")
                .build(),
            cached: counter("tollgate.cache.calls", "Calls whose answers may be given again, by whether one was"),
            sessions: [
                seconds("mcp.server.session.duration", "From the beginning of a client's session to its end"),
                seconds("mcp.client.session.duration", "From the beginning of a session with a server to its end"),
            ],
            redactions: counter(
                "tollgate.redactions",
                "Messages in which something was found that is not for everyone's eyes",
            ),
            declined: counter("tollgate.questions.declined", "Questions of servers that did not reach their clients"),
            unauthenticated: counter("tollgate.authentication.failures", "Requests of nobody, by why"),
            reloads: counter("tollgate.policy.reloads", "Reloads of the policy by how they ended"),
            tls_reloads: counter("tollgate.tls.reloads", "Reloads of certificates by how they ended"),
            handshakes: counter("tollgate.tls.handshakes", "TLS handshakes of clients by how they ended"),
            not_accepted: counter("tollgate.accept.failures", "How often the system had no room for a connection"),
            timed_out: counter("tollgate.connections.timed_out", "Connections that a deadline has ended, by which one"),
            exemplars: Exemplars::default(),
            series: RwLock::default(),
            rules: RwLock::default(),
        };
        // A rate needs a first value: both series exist from the beginning.
        for result in [Reload::Ok, Reload::Refused] {
            metrics.reloads.add(0, &[KeyValue::new(RESULT, result.label())]);
        }
        metrics
    }

    /// Counts one message that has ended; `sampled` names its trace, if somebody can look it up.
    pub(super) fn record(
        &self,
        facts: &Facts<'_>,
        (took, attempt): (Duration, Option<Duration>),
        sampled: Option<Sampled>,
    ) {
        let bound = self.bound(facts);
        if let Some(sampled) = sampled {
            self.exemplify(&bound, facts, (took, sampled));
        }
        bound.decisions.add(1);
        bound.received.record(took.as_secs_f64());
        if let Some(attempt) = attempt {
            let labels = || attribute::of(Signal::ClientDuration, facts);
            let sent = bound.sent.get_or_init(|| self.sent.bind(&labels()));
            sent.record(attempt.as_secs_f64());
        }
        self.count_rules(facts);
        self.count_sightings(facts);
        if facts.exchange.cache.is_some() {
            self.cached.add(1, &attribute::of(Signal::Cached, facts));
        }
        let replied = facts.exchange.replied;
        if replied > 0 {
            let (size, tokens) = bound.reply.get_or_init(|| {
                let labels = attribute::of(Signal::Replies, facts);
                (self.reply_size.bind(&labels), self.reply_tokens.bind(&labels))
            });
            size.record(u64::try_from(replied).unwrap_or(u64::MAX));
            tokens.add(u64::try_from(attribute::tokens(replied)).unwrap_or(u64::MAX));
        }
        if let Some(tool) = &bound.tool {
            tool.calls.add(1);
            tool.duration.record(took.as_secs_f64() * 1000.0);
            if let Some(errors) = &tool.errors {
                errors.add(1);
            }
        }
    }

    /// Where a histogram counted a message of which there is a trace, that is named beside it.
    fn exemplify(&self, bound: &Bound, facts: &Facts<'_>, (took, sampled): (Duration, Sampled)) {
        let of = |name: &str, signal, bounds| self.exemplars.of(name, &attribute::of(signal, facts), bounds);
        let received = || of("mcp_server_operation_duration_seconds", Signal::ServerDuration, &SECONDS);
        bound.received_last.get_or_init(received).note(took.as_secs_f64(), sampled);
        if let Some(tool) = &bound.tool {
            let duration = || of("mcp_tool_duration_milliseconds", Signal::ToolCalls, &MILLISECONDS);
            tool.duration_last.get_or_init(duration).note(took.as_secs_f64() * 1000.0, sampled);
        }
    }

    /// The traces that are named beside what was counted.
    pub(super) fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// Counts an attempt at the upstream that has failed, where another one follows.
    pub(super) fn attempt_failed(&self, facts: &Facts<'_>, took: Duration) {
        self.sent.record(took.as_secs_f64(), &attribute::of(Signal::ClientDuration, facts));
    }

    /// Counts what was found that is not for everyone's eyes. Most messages have nothing.
    fn count_sightings(&self, facts: &Facts<'_>) {
        for found in &facts.exchange.sightings {
            let mut labels = vec![
                KeyValue::new(SERVER, facts.exchange.server.as_str().to_owned()),
                KeyValue::new(DETECTOR, found.name.to_string()),
                KeyValue::new(FLOW, found.flow.word()),
                KeyValue::new(ACTION, found.action.word()),
            ];
            labels.extend(facts.tool_label().map(|tool| KeyValue::new(TOOL, tool.to_owned())));
            self.redactions.add(1, &labels);
        }
    }

    /// Counts the rule that decided, and one that would have if it were enforced.
    fn count_rules(&self, facts: &Facts<'_>) {
        let exchange = facts.exchange;
        let decided = exchange.rule.as_ref().map(|rule| (rule, facts.outcome.label()));
        let tried = exchange.would_deny.as_ref().map(|no| (&no.rule, WOULD_DENY));
        for (rule, outcome) in decided.into_iter().chain(tried) {
            let key = (exchange.server.clone(), rule.clone(), outcome);
            let known = self.rules.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(counter) = known.get(&key) {
                counter.add(1);
                continue;
            }
            drop(known);
            let labels = [
                KeyValue::new(SERVER, exchange.server.as_str().to_owned()),
                // Without the line: an edit above it makes no other rule of it.
                KeyValue::new(RULE, rule.label()),
                KeyValue::new(OUTCOME, outcome),
            ];
            let counter = self.by_rule.bind(&labels);
            counter.add(1);
            let mut known = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < MOST_SERIES {
                known.insert(key, counter);
            }
        }
    }

    /// A session has ended that was there for so long.
    pub(super) fn session_ended(&self, server: &ServerName, lived: Duration) {
        let labels = attribute::of_session(server);
        self.sessions.iter().for_each(|session| session.record(lived.as_secs_f64(), &labels));
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

    /// Counts a connection for which there was no room.
    pub(super) fn not_accepted(&self) {
        self.not_accepted.add(1, &[]);
    }

    /// Counts a connection that this deadline has ended.
    pub(super) fn timed_out(&self, kind: TimeoutKind) {
        self.timed_out.add(1, &[KeyValue::new(TIMEOUT_KIND, kind.label())]);
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
            received_last: OnceLock::new(),
            sent: OnceLock::new(),
            reply: OnceLock::new(),
            decisions: self.decisions.bind(&attribute::of(Signal::Decisions, facts)),
            tool: facts.tool_label().map(|_| {
                let labels = attribute::of(Signal::ToolCalls, facts);
                let failed = !matches!(facts.outcome, Outcome::Ok | Outcome::Cancelled);
                BoundTool {
                    calls: self.tool_calls.bind(&labels),
                    duration: self.tool_duration.bind(&labels),
                    duration_last: OnceLock::new(),
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
            would_deny: facts.exchange.would_deny.as_ref().map(|no| no.reason),
            timeout: facts.exchange.timeout,
            version: facts.exchange.version,
            http: facts.exchange.http,
        }
    }
}
