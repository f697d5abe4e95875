//! Call: what one message asks for.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::problem::Problem;
use super::read::is_sound;
use super::trace_context::Spot;
use super::{CallError, Method, ProtocolVersion, Question, Questions, Target};
use crate::json;
use crate::jsonrpc::RequestId;

/// One message of a client, read once. The bytes that were checked are the bytes that are carried, or what
/// [`Call::offering`] leaves of them; in a view, with the name that [`Call::renamed`] gives; within `params._meta`, what [`Call::carrying`] makes of them.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) body: Bytes,
    pub(super) method: Method,
    pub(super) method_name: Cow<'static, str>,
    pub(super) id: Option<RequestId>,
    pub(super) target: Subject,
    /// Where the name of that stands.
    pub(super) named: Option<Range<usize>>,
    pub(super) arguments: Option<Range<usize>>,
    pub(super) answers: Option<Range<usize>>,
    pub(super) claimed: Option<String>,
    pub(super) traceparent: Option<Box<str>>,
    pub(super) tracestate: Option<Box<str>>,
    pub(super) spot: Spot,
    pub(super) cancels: Option<RequestId>,
    pub(super) declared: Declared,
    /// Its params say something beside a name, arguments and `_meta`.
    pub(super) more: More,
    /// Where its client offers to be asked, in the order of the body.
    pub(super) offers: Vec<(Question, Range<usize>)>,
    pub(super) era: Era,
}

/// What the message names, owned. [`Target`] is its borrowed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    None,
    Tool(Box<str>),
    Prompt(Box<str>),
    Resource(Box<str>),
    Task(Box<str>),
}

impl Subject {
    /// The same under another name.
    fn called(&self, name: &str) -> Self {
        match self {
            Self::None => Self::None,
            Self::Tool(_) => Self::Tool(name.into()),
            Self::Prompt(_) => Self::Prompt(name.into()),
            Self::Resource(_) => Self::Resource(name.into()),
            Self::Task(_) => Self::Task(name.into()),
        }
    }
}

/// A part of a message in which its client says something of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// `params.arguments`.
    Arguments,
    /// What it was asked: `params.inputResponses`, or the `result` or `error` of an answer.
    Answers,
}

impl Said {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Arguments, Self::Answers];
}

/// Whether the params of a message say something beside a name, arguments and `_meta`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum More {
    /// They do not.
    #[default]
    Nothing,
    /// They do: to what the server has asked meanwhile (`inputResponses`, `requestState`), or that a task be begun.
    Something,
}

/// The tasks extension of 2026-07-28.
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

/// What the client of a modern request can do (`_meta`, `clientCapabilities`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    pub(super) asks: Questions,
    pub(super) tasks: bool,
    pub(super) given: bool,
}

impl Declared {
    /// Whether the client knows the tasks extension.
    pub fn has_tasks(self) -> bool {
        self.tasks
    }

    /// Whether the client says at all what it can do.
    pub fn is_given(self) -> bool {
        self.given
    }

    /// What the client can be asked.
    pub fn asks(self) -> Questions {
        self.asks
    }
}

/// Which of the two ways of speaking MCP a message uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `initialize`, sessions, streams by GET: up to 2025-11-25.
    Legacy,
    /// Everything in each request: 2026-07-28 and later.
    Modern,
}

impl Call {
    /// What a client does without a message: opens a stream or ends its session.
    pub fn without_message(method: Method) -> Self {
        Self {
            body: Bytes::new(),
            method,
            method_name: Cow::Borrowed(method.name()),
            id: None,
            target: Subject::None,
            named: None,
            arguments: None,
            answers: None,
            claimed: None,
            traceparent: None,
            tracestate: None,
            spot: Spot::default(),
            cancels: None,
            declared: Declared::default(),
            more: More::Nothing,
            offers: Vec::new(),
            era: Era::Legacy,
        }
    }

    /// Whether its client offers to be asked anything.
    pub fn offers(&self) -> bool {
        !self.offers.is_empty()
    }

    /// The same message without its client's offers to be asked anything but this, every other byte as it came; `None`
    /// if it makes none.
    pub fn offering(&self, may: Questions) -> Option<Self> {
        let (left, withheld): (Vec<_>, Vec<_>) = self.offers.iter().cloned().partition(|(offer, _)| may.has(*offer));
        if withheld.is_empty() {
            return None;
        }
        let cuts = json::cuts(&self.body, withheld.into_iter().map(|(_, span)| span));
        let shift = |at: usize| at - cuts.iter().take_while(|cut| cut.end <= at).map(Range::len).sum::<usize>();
        let moved = |span: Range<usize>| shift(span.start)..shift(span.end);
        Some(Self {
            body: Bytes::from(json::without(&self.body, &cuts)),
            named: self.named.clone().map(moved),
            arguments: self.arguments.clone().map(moved),
            answers: self.answers.clone().map(moved),
            spot: self.spot.moved(moved),
            declared: Declared { asks: self.declared.asks & may, ..self.declared },
            offers: left.into_iter().map(|(offer, span)| (offer, moved(span))).collect(),
            ..self.clone()
        })
    }

    /// The same message with something else in this part, every other byte as it came.
    #[must_use]
    pub fn saying(&self, said: Said, text: &[u8]) -> Self {
        self.span(said).map_or_else(|| self.clone(), |span| self.with(&span, text))
    }

    /// The same call of a tool or prompt under another name, or about a task that is called otherwise; every other byte as it
    /// came. What is about nothing of a name stays as it is.
    ///
    /// # Errors
    /// That is no name.
    pub fn renamed(&self, name: &str) -> Result<Self, CallError> {
        if !is_sound(name) {
            return Err(CallError { problem: Problem::Name, id: self.id.clone() });
        }
        let Some(named) = &self.named else {
            return Ok(self.clone());
        };
        let mut quoted = String::new();
        json::quote(name, &mut quoted);
        Ok(Self { target: self.target.called(name), ..self.with(named, quoted.as_bytes()) })
    }

    /// The same message with this where that stands, every other byte as it came.
    fn with(&self, span: &Range<usize>, text: &[u8]) -> Self {
        let [before, behind] = [0..span.start, span.end..self.body.len()];
        let part = |span: Range<usize>| self.body.get(span).unwrap_or_default();
        let end = span.start + text.len();
        let shift = |at: usize| if at >= span.end { at - span.end + end } else { at };
        let moved = |span: Range<usize>| shift(span.start)..shift(span.end);
        Self {
            body: Bytes::from([part(before), text, part(behind)].concat()),
            offers: self.offers.iter().map(|(offer, span)| (*offer, moved(span.clone()))).collect(),
            named: self.named.clone().map(moved),
            arguments: self.arguments.clone().map(moved),
            answers: self.answers.clone().map(moved),
            spot: self.spot.moved(moved),
            ..self.clone()
        }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method's name, as it came. Not for labels: use [`Method::name`] there.
    pub fn method_name(&self) -> &str {
        &self.method_name
    }

    /// The request's id; notifications, answers and streams have none.
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// What it is about.
    pub fn target(&self) -> Target<'_> {
        match &self.target {
            Subject::None => Target::None,
            Subject::Tool(name) => Target::Tool(name),
            Subject::Prompt(name) => Target::Prompt(name),
            Subject::Resource(uri) => Target::Resource(uri),
            Subject::Task(id) => Target::Task(id),
        }
    }

    /// The body, as it is carried.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// `params.arguments`, as it came.
    pub fn arguments(&self) -> Option<Bytes> {
        self.said(Said::Arguments)
    }

    /// What its client says of its own in this part, as it came.
    pub fn said(&self, said: Said) -> Option<Bytes> {
        self.span(said).map(|span| self.body.slice(span))
    }

    fn span(&self, said: Said) -> Option<Range<usize>> {
        match said {
            Said::Arguments => self.arguments.clone(),
            Said::Answers => self.answers.clone(),
        }
    }

    /// Whether its name and arguments are all that it asks.
    pub fn is_self_contained(&self) -> bool {
        self.more == More::Nothing
    }

    /// The protocol revision that the body claims (`params._meta`), as it came.
    pub fn claimed(&self) -> Option<&str> {
        self.claimed.as_deref()
    }

    /// The protocol revision that the body claims, if it is one that we know.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.claimed().and_then(ProtocolVersion::named)
    }

    /// `params._meta.traceparent`: the caller's span (SEP-414). Not checked; whoever parses it does.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// `params._meta.tracestate`, which goes with it. Not checked, either.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// The request that this message asks to be cancelled.
    pub fn cancels(&self) -> Option<&RequestId> {
        self.cancels.as_ref()
    }

    /// What its client can be asked. Only modern requests say that.
    pub fn declared(&self) -> Declared {
        self.declared
    }

    /// Which era it belongs to; the body decides.
    pub fn era(&self) -> Era {
        self.era
    }
}
