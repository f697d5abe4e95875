//! Which request a line of the process log belongs to: whoever logs need not know.

use std::fmt;
use std::sync::{Arc, OnceLock};

use opentelemetry::trace::TraceId;

use crate::exchange::DecisionId;

tokio::task_local! {
    static CURRENT: RequestScope;
}

/// What is logged within belongs to this request.
#[derive(Clone, Debug)]
pub struct RequestScope(Arc<Ids>);

#[derive(Debug)]
struct Ids {
    decision: DecisionId,
    /// Known once the message is read.
    trace: OnceLock<TraceId>,
}

impl RequestScope {
    pub(in crate::telemetry) fn of(decision: DecisionId) -> Self {
        Self(Arc::new(Ids { decision, trace: OnceLock::new() }))
    }

    pub(in crate::telemetry) fn traced(&self, trace: TraceId) {
        // A message is in one trace, whoever says so again.
        let _known = self.0.trace.set(trace);
    }

    /// Does all this work within.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        // No `async fn`: that would keep the work twice, and the work is large.
        CURRENT.scope(self, work)
    }

    /// Does this step within.
    pub fn within<T>(&self, step: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), step)
    }

    /// The request that is being worked on, if one is.
    pub(super) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    pub(super) fn decision(&self) -> DecisionId {
        self.0.decision
    }

    pub(super) fn trace(&self) -> Option<TraceId> {
        self.0.trace.get().copied()
    }

    /// The ids that a line shows, by their names.
    pub(super) fn ids(&self) -> impl Iterator<Item = (&'static str, Id)> {
        let trace = self.trace().map(|trace| ("trace_id", Id::Trace(trace)));
        [("decision", Id::Decision(self.decision()))].into_iter().chain(trace)
    }
}

/// An id, as lines show it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    Decision(DecisionId),
    Trace(TraceId),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision(id) => id.fmt(f),
            Self::Trace(id) => write!(f, "{id:032x}"),
        }
    }
}
