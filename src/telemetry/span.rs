//! Exchange to spans: one of kind SERVER for the message, one of kind CLIENT for each attempt at the upstream.
//!
//! Spans are begun late, with the time at which their work began: the parent stands in the message, and that is read
//! after the trip has started. A trace that is not sampled costs one decision and no attribute.

use std::borrow::Cow;
use std::time::SystemTime;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::attribute::{self, Facts, Signal};
use super::context::{self, Propagation};
use crate::exchange::{Exchange, Outcome};
use crate::mcp::{Method, Target};

/// The spans of one message.
#[derive(Debug)]
pub(super) struct Spans {
    /// None if tracing is off.
    tracer: Option<SdkTracer>,
    /// The caller's context as the HTTP request has it.
    ambient: Option<SpanContext>,
    server: Option<Span>,
    client: Option<Span>,
}

impl Spans {
    pub(super) fn open(tracer: Option<&SdkTracer>, headers: &HeaderMap) -> Self {
        Self {
            tracer: tracer.cloned(),
            ambient: context::from_headers(headers),
            server: None,
            client: None,
        }
    }

    /// Begins an attempt. What it returns tells the upstream who its parent is.
    pub(super) fn begin_attempt(&mut self, exchange: &Exchange, now: SystemTime) -> Propagation {
        self.begin(exchange);
        let (Some(tracer), Some(server)) = (&self.tracer, &self.server) else {
            return Propagation::untouched();
        };
        let parent = server.span_context().clone();
        if !server.is_recording() {
            return Propagation::of(parent);
        }
        let mut builder = SpanBuilder::from_name(name(exchange)).with_kind(SpanKind::Client);
        builder.start_time = Some(now);
        let client =
            tracer.build_with_context(builder, &Context::new().with_remote_span_context(parent));
        let propagation = Propagation::of(client.span_context().clone());
        // An attempt before this one has failed without an answer: it ends here.
        if let Some(mut failed) = self.client.replace(client) {
            failed.set_status(Status::error(""));
            failed.end_with_timestamp(now);
        }
        propagation
    }

    /// Ends all spans. Returns the trace's id: ours, or if tracing is off the caller's.
    pub(super) fn close(&mut self, facts: &Facts<'_>, now: SystemTime) -> Option<TraceId> {
        self.begin(facts.exchange);
        if let Some(mut client) = self.client.take() {
            client.set_attributes(attribute::of(Signal::ClientSpan, facts));
            if facts.sent_error().is_some() && facts.outcome != Outcome::Cancelled {
                client.set_status(Status::error(""));
            }
            client.end_with_timestamp(now);
        }
        let Some(mut server) = self.server.take() else {
            return self.parent(facts.exchange).map(|parent| parent.trace_id());
        };
        let trace = server.span_context().trace_id();
        if server.is_recording() {
            server.update_name(name(facts.exchange));
            server.set_attributes(attribute::of(Signal::ServerSpan, facts));
            if facts.received_error().is_some() {
                server.set_status(Status::error(""));
            }
            server.end_with_timestamp(now);
        }
        Some(trace)
    }

    /// Begins the SERVER span, if it is not begun yet: here it is decided whether the trace is sampled.
    fn begin(&mut self, exchange: &Exchange) {
        let (Some(tracer), None) = (&self.tracer, &self.server) else {
            return;
        };
        let parent = self.parent(exchange);
        let mut builder =
            SpanBuilder::from_name(method(exchange).name()).with_kind(SpanKind::Server);
        builder.start_time = Some(exchange.started_at);
        // The message's own context is the parent; the HTTP request that happened to carry it is only linked.
        if let Some(ambient) = &self.ambient
            && parent
                .as_ref()
                .is_some_and(|parent| parent.span_id() != ambient.span_id())
        {
            builder = builder.with_links(vec![Link::with_context(ambient.clone())]);
        }
        let parent = parent.map_or_else(Context::new, |it| {
            Context::new().with_remote_span_context(it)
        });
        self.server = Some(tracer.build_with_context(builder, &parent));
    }

    /// `params._meta.traceparent`, else the HTTP header.
    fn parent(&self, exchange: &Exchange) -> Option<SpanContext> {
        let meta = exchange.call.as_ref().and_then(|call| call.traceparent());
        let Some(own) = meta.and_then(|text| context::parse(text, TraceState::default())) else {
            return self.ambient.clone();
        };
        match &self.ambient {
            // One trace has one state, wherever it is written.
            Some(ambient) if ambient.trace_id() == own.trace_id() => Some(SpanContext::new(
                own.trace_id(),
                own.span_id(),
                own.trace_flags(),
                true,
                ambient.trace_state().clone(),
            )),
            _ => Some(own),
        }
    }
}

fn method(exchange: &Exchange) -> Method {
    exchange
        .call
        .as_ref()
        .map_or(Method::Other, |call| call.method())
}

/// `{method} {tool or prompt}`. Resources are left out: their URIs are too many to group spans by.
fn name(exchange: &Exchange) -> Cow<'static, str> {
    let method = method(exchange).name();
    match exchange.call.as_ref().map(|call| call.target()) {
        Some(Target::Tool(target) | Target::Prompt(target)) => format!("{method} {target}").into(),
        Some(Target::None | Target::Resource(_) | Target::Task(_)) | None => method.into(),
    }
}
