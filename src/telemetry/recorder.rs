//! Recorder: an exchange that is recorded exactly once, whatever happens.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, Uri};
use opentelemetry::trace::TraceId;

use super::attribute::Facts;
use super::content::Content;
use super::metric::Counted;
use super::span::Spans;
use super::{RequestScope, Telemetry, line};
use crate::clock;
use crate::exchange::{Attempt, Exchange, Outcome, Unrecorded};
use crate::identity::AuthError;
use crate::mcp::{Question, TraceContext};
use crate::upstream::{Attempts, UpstreamError};

/// An exchange under way. Closing it records it; so does dropping it, as cancelled.
///
/// Steps write facts through it as if it were the [`Exchange`] itself.
#[derive(Debug)]
pub struct Recorder {
    telemetry: Arc<Telemetry>,
    /// In a box: futures that hand it on keep it twice.
    exchange: Box<Exchange>,
    spans: Spans,
    /// When the last attempt was begun.
    attempt: Option<Instant>,
    state: State,
    decision: Decision,
    scope: RequestScope,
    _in_flight: Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
}

/// Whether it is written down that the message may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Open,
    Allowed,
}

impl Recorder {
    pub(super) fn open(telemetry: Arc<Telemetry>, exchange: Exchange, headers: &HeaderMap) -> Self {
        let in_flight = telemetry.observed.in_flight.count();
        let spans = Spans::open(telemetry.tracer.as_ref(), headers);
        let scope = RequestScope::of(exchange.id);
        Self {
            telemetry,
            exchange: Box::new(exchange),
            spans,
            scope,
            attempt: None,
            state: State::Open,
            decision: Decision::Open,
            _in_flight: in_flight,
        }
    }

    /// What is logged within belongs to this request.
    pub fn scope(&self) -> RequestScope {
        self.scope.clone()
    }

    /// From now on it is known in which trace it is: all of it that says so was read.
    pub fn in_trace(&mut self) -> Option<TraceId> {
        let trace = self.spans.trace(&self.exchange);
        if let Some(trace) = trace {
            self.scope.traced(trace);
        }
        trace
    }

    /// Writes down that it may go on, where that is to be done before it does.
    ///
    /// # Errors
    /// It cannot be written down, so it may not.
    pub async fn allowed(&mut self) -> Result<(), Unrecorded> {
        if !self.telemetry.audit.is_on() {
            return Ok(());
        }
        let trace = self.in_trace().map(TraceId::to_bytes);
        self.telemetry.audit.allowed(&self.exchange, trace).await?;
        self.decision = Decision::Allowed;
        Ok(())
    }

    /// Notes the HTTP status that the upstream answered with.
    pub fn answered(&mut self, status: impl Into<u16>) {
        if let Some(attempt) = &mut self.exchange.attempt {
            attempt.status = Some(status.into());
        }
    }

    /// Whether what servers answer stands on spans.
    pub fn tells_answers(&self) -> bool {
        self.telemetry.content == Content::OnSpans
    }

    /// Counts a question of the server that did not reach its client.
    pub fn declined(&self, question: Question) {
        self.telemetry.metrics.declined(&self.exchange.server, question);
    }

    /// Counts a request of which nobody knows who sends it.
    pub fn unauthenticated(&self, error: &AuthError) {
        self.telemetry.metrics.unauthenticated(error);
    }

    /// Ends the trip and records it.
    pub fn close(mut self, outcome: Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: Outcome) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        let now = clock::monotonic();
        let took = now.saturating_duration_since(self.exchange.started);
        let attempt = self.attempt.map(|begun| now.saturating_duration_since(begun));
        let facts = Facts { exchange: &self.exchange, outcome, content: self.telemetry.content };
        let ended = self.exchange.started_at + took;
        let trace = self.spans.close(&facts, ended);
        self.telemetry.metrics.record(&facts, (took, attempt), self.spans.sampled(ended));
        self.telemetry.lines.push(|line| line::write(&facts, took, trace, line));
        let (audit, trace) = (&self.telemetry.audit, trace.map(TraceId::to_bytes));
        match self.decision {
            Decision::Allowed => audit.ended(&self.exchange, trace, outcome, took),
            Decision::Open => audit.refused(&self.exchange, trace, outcome, took),
        }
    }

    /// The calendar time of a moment of this trip; within a trip the calendar does not jump.
    fn calendar(&self, moment: Instant) -> SystemTime {
        self.exchange.started_at + moment.saturating_duration_since(self.exchange.started)
    }
}

impl Attempts for Recorder {
    fn begin(&mut self, url: &Uri) -> Option<TraceContext> {
        let now = clock::monotonic();
        let started_at = self.calendar(now);
        self.attempt = Some(now);
        self.exchange.attempt = Some(Attempt { started_at, server: url.authority().cloned(), status: None });
        self.spans.begin_attempt(&self.exchange, started_at)
    }

    fn fail(&mut self, error: &UpstreamError) {
        tracing::debug!(%error, "sent again");
        let now = clock::monotonic();
        let ended_at = self.calendar(now);
        let facts =
            Facts { exchange: &self.exchange, outcome: Outcome::UpstreamError, content: self.telemetry.content };
        if let Some(begun) = self.attempt.take() {
            self.telemetry.metrics.attempt_failed(&facts, now.saturating_duration_since(begun));
        }
        self.spans.fail_attempt(&facts, ended_at);
    }
}

impl Deref for Recorder {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl DerefMut for Recorder {
    fn deref_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.state == State::Open && thread::panicking() {
            self.exchange.refused = Some("gate.panicked");
        }
        self.record(Outcome::Cancelled);
    }
}
