//! Exchange to spans: one of kind SERVER for the message, one of kind CLIENT for each attempt at the upstream.
//!
//! Spans are begun late, with the time at which their work began: the parent stands in the message, and that is read
//! after the trip has started. A trace that is not sampled costs one decision and no attribute.

use std::borrow::Cow;
use std::time::SystemTime;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _,
};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::attribute::{self, Facts, Signal};
use super::context;
use super::exemplar::Sampled;
use crate::exchange::{Exchange, Outcome};
use crate::mcp::{Method, Target, TraceContext};

/// The spans of one message.
#[derive(Debug)]
pub(super) enum Spans {
    /// Tracing is off: what the caller's HTTP request says of a trace is all there is.
    Off(Option<TraceId>),
    /// It is on.
    On(Box<Traced>),
}

/// The spans of one message while tracing is on.
#[derive(Debug)]
pub(super) struct Traced {
    tracer: SdkTracer,
    /// The caller's context as the HTTP request has it.
    ambient: Option<SpanContext>,
    server: Option<Span>,
    client: Option<Span>,
}

impl Spans {
    pub(super) fn open(tracer: Option<&SdkTracer>, headers: &HeaderMap) -> Self {
        let ambient = context::from_headers(headers);
        match tracer {
            None => Self::Off(ambient.map(|context| context.trace_id())),
            Some(tracer) => Self::On(Box::new(Traced { tracer: tracer.clone(), ambient, server: None, client: None })),
        }
    }

    /// The trace's id: ours, or if tracing is off the caller's.
    pub(super) fn trace(&mut self, exchange: &Exchange) -> Option<TraceId> {
        match self {
            Self::Off(ambient) => own_context(exchange).map(|own| own.trace_id()).or(*ambient),
            Self::On(traced) => Some(traced.server(exchange).span_context().trace_id()),
        }
    }

    /// Begins an attempt. What it returns tells the upstream who its parent is; while tracing is off, what the caller
    /// says of that goes on as it came.
    pub(super) fn begin_attempt(&mut self, exchange: &Exchange, now: SystemTime) -> Option<TraceContext> {
        match self {
            Self::Off(_) => None,
            Self::On(traced) => Some(traced.begin_attempt(exchange, now)),
        }
    }

    /// An attempt has failed, and another follows.
    pub(super) fn fail_attempt(&mut self, facts: &Facts<'_>, now: SystemTime) {
        if let Self::On(traced) = self {
            traced.end_attempt(facts, now);
        }
    }

    /// What leads to the span of the message, if that goes anywhere.
    pub(super) fn sampled(&self, at: SystemTime) -> Option<Sampled> {
        let Self::On(traced) = self else {
            return None;
        };
        let context = traced.server.as_ref()?.span_context();
        context.is_sampled().then(|| Sampled { trace: context.trace_id(), span: context.span_id(), at })
    }

    /// Ends all spans. Returns the trace's id.
    pub(super) fn close(&mut self, facts: &Facts<'_>, now: SystemTime) -> Option<TraceId> {
        match self {
            Self::Off(_) => self.trace(facts.exchange),
            Self::On(traced) => Some(traced.close(facts, now)),
        }
    }
}

impl Traced {
    fn begin_attempt(&mut self, exchange: &Exchange, now: SystemTime) -> TraceContext {
        let server = self.server(exchange);
        let (parent, recording) = (server.span_context().clone(), server.is_recording());
        if !recording {
            return context::write(&parent);
        }
        let mut builder = SpanBuilder::from_name(name(exchange)).with_kind(SpanKind::Client);
        builder.start_time = Some(now);
        let parent = Context::new().with_remote_span_context(parent);
        let client = self.tracer.build_with_context(builder, &parent);
        let context = context::write(client.span_context());
        self.client = Some(client);
        context
    }

    fn end_attempt(&mut self, facts: &Facts<'_>, now: SystemTime) {
        if let Some(mut client) = self.client.take() {
            client.set_attributes(attribute::of(Signal::ClientSpan, facts));
            if facts.sent_error().is_some() && facts.outcome != Outcome::Cancelled {
                client.set_status(Status::error(""));
            }
            client.end_with_timestamp(now);
        }
    }

    fn close(&mut self, facts: &Facts<'_>, now: SystemTime) -> TraceId {
        self.end_attempt(facts, now);
        let server = self.server(facts.exchange);
        if server.is_recording() {
            server.update_name(name(facts.exchange));
            server.set_attributes(attribute::of(Signal::ServerSpan, facts));
            if facts.received_error().is_some() {
                server.set_status(Status::error(""));
            }
            server.end_with_timestamp(now);
        }
        server.span_context().trace_id()
    }

    /// The SERVER span. Where it is first asked for it begins, and it is decided whether the trace is sampled.
    fn server(&mut self, exchange: &Exchange) -> &mut Span {
        let (tracer, ambient) = (&self.tracer, self.ambient.as_ref());
        self.server.get_or_insert_with(|| begin(tracer, ambient, exchange))
    }
}

fn begin(tracer: &SdkTracer, ambient: Option<&SpanContext>, exchange: &Exchange) -> Span {
    let parent = parent(ambient, exchange);
    let mut builder = SpanBuilder::from_name(method(exchange).name()).with_kind(SpanKind::Server);
    builder.start_time = Some(exchange.started_at);
    // The message's own context is the parent; the HTTP request that happened to carry it is only linked.
    if let (Some(ambient), Some(parent)) = (ambient, &parent)
        && parent.span_id() != ambient.span_id()
    {
        builder = builder.with_links(vec![Link::with_context(ambient.clone())]);
    }
    let context = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    tracer.build_with_context(builder, &context)
}

/// `params._meta.traceparent`, else the HTTP header.
fn parent(ambient: Option<&SpanContext>, exchange: &Exchange) -> Option<SpanContext> {
    let Some(own) = own_context(exchange) else {
        return ambient.cloned();
    };
    match ambient {
        // One trace has one state, wherever it is written.
        Some(ambient) if ambient.trace_id() == own.trace_id() && own.trace_state().header().is_empty() => Some(
            SpanContext::new(own.trace_id(), own.span_id(), own.trace_flags(), true, ambient.trace_state().clone()),
        ),
        _ => Some(own),
    }
}

/// The context that the message itself carries.
fn own_context(exchange: &Exchange) -> Option<SpanContext> {
    context::from_call(exchange.call.as_ref()?)
}

fn method(exchange: &Exchange) -> Method {
    exchange.call.as_ref().map_or(Method::Other, |call| call.method())
}

/// `{method} {tool or prompt}`. Resources are left out: their URIs are too many to group spans by.
fn name(exchange: &Exchange) -> Cow<'static, str> {
    let method = method(exchange).name();
    match exchange.call.as_ref().map(|call| call.target()) {
        Some(Target::Tool(target) | Target::Prompt(target)) => format!("{method} {target}").into(),
        Some(Target::None | Target::Resource(_) | Target::Task(_)) | None => method.into(),
    }
}
