//! Bytes to one [`Call`], or why not. The only door for what clients send.
//!
//! One pass: the same walk that proves the text unambiguous notes where method, id, name, arguments and `_meta` stand.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::call::{More, Subject as Named, TASKS};
use super::confusable::{is_confusable, is_format};
use super::problem::Problem;
use super::span::{Text, Value};
use super::trace_context::{Member, Spot};
use super::{Call, Declared, Era, Method, ProtocolVersion, Question, Subject};
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::jsonrpc::RequestId;

/// Why bytes are not one message of a client.
#[derive(Debug)]
pub struct CallError {
    /// What is wrong.
    pub problem: Problem,
    /// The id, where it was read unambiguously.
    pub id: Option<RequestId>,
}

/// Reads one message.
///
/// # Errors
/// The bytes are not exactly one JSON-RPC request, notification or response with one reading.
pub fn read(body: &Bytes, bounds: &Bounds) -> Result<Call, CallError> {
    let mut found = Found::default();
    let scanned = json::scan(body, Place::Message, bounds, &mut found);
    if let Err(fault) = scanned {
        return Err(CallError { problem: Problem::Json(fault), id: None });
    }
    let text = Text(body);
    let id =
        found.id.as_ref().map(|id| id.is(Kind::Number, Kind::String).then(|| RequestId::from_json(text.at(&id.span))));
    let id = match id {
        None => None,
        Some(Some(Some(id))) => Some(id),
        Some(_) => {
            return Err(CallError { problem: Problem::Id, id: None });
        }
    };
    let call = found.call(body, text, id.clone());
    call.map_err(|problem| CallError { problem, id: if problem == Problem::Batch { None } else { id } })
}

/// Reads the messages of a batch (JSON-RPC 2.0, 6; MCP 2025-03-26).
///
/// # Errors
/// The bytes are not an array of at least one and at most [`LONGEST_BATCH`] messages, each with one reading.
pub fn read_batch(body: &Bytes, bounds: &Bounds) -> Result<Vec<Call>, CallError> {
    let unreadable = |problem| CallError { problem, id: None };
    let mut elements = Elements::default();
    json::scan(body, Depth::Batch, bounds, &mut elements).map_err(|fault| unreadable(Problem::Json(fault)))?;
    if !(1..=LONGEST_BATCH).contains(&elements.0.len()) {
        return Err(unreadable(Problem::BatchLength));
    }
    let calls = elements.0.into_iter().map(|span| read(&body.slice(span), bounds));
    // No error says which message it is about: a batch with an unreadable message is unreadable as a whole.
    let calls: Vec<_> = calls.collect::<Result<_, _>>().map_err(|error| unreadable(error.problem))?;
    let alone = |call: &Call| call.era == Era::Modern || call.method == Method::Initialize;
    if calls.iter().any(alone) { Err(unreadable(Problem::Batch)) } else { Ok(calls) }
}

/// The most messages in one batch.
pub const LONGEST_BATCH: usize = 64;

/// Where the elements of the outermost array stand.
#[derive(Debug, Default)]
struct Elements(Vec<Range<usize>>);

impl Lens for Elements {
    type Place = Depth;

    fn member(&mut self, _: Depth, _: &str) -> Result<Depth, Flaw> {
        Ok(Depth::Below)
    }

    fn element(&mut self, place: Depth) -> Depth {
        if place == Depth::Batch { Depth::Element } else { Depth::Below }
    }

    fn value(&mut self, place: Depth, _: Kind, span: Range<usize>) {
        if place == Depth::Element {
            self.0.push(span);
        }
    }
}

/// How deep a value stands in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    Batch,
    Element,
    Below,
}

/// Where a value stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    JsonRpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Name,
    Uri,
    TaskId,
    Arguments,
    Answers,
    Meta,
    MetaVersion,
    Trace(Member),
    /// What the client can do: a legacy one says it in `params` of `initialize`, a modern one in `_meta`.
    Capabilities(Era),
    Extensions,
    TasksExtension,
    /// The client offers to be asked this.
    Offer(Era, Question),
    /// `tasks` (2025-11-25).
    Tasks(Era),
    TaskRequests(Era),
    /// The same offer, to be answered by a task.
    TaskOffer(Era, Question),
    RequestId,
    Ref,
    RefName,
    RefUri,
    Elsewhere,
}

/// What the pass found.
#[derive(Debug, Default)]
struct Found {
    message: Option<Kind>,
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    name: Option<Value>,
    uri: Option<Value>,
    task_id: Option<Value>,
    arguments: Option<Value>,
    answers: Option<Value>,
    meta: Option<Value>,
    version: Option<Value>,
    trace: Vec<(Member, Value)>,
    declared: Declared,
    more: More,
    offers: Vec<(Era, Question, Range<usize>)>,
    request_id: Option<Value>,
    ref_name: Option<Value>,
    ref_uri: Option<Value>,
}

/// The members of a message.
pub(super) const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
/// The members of `params` that name, open or steer something.
const PARAMS: &[&str] = &[
    "name",
    "arguments",
    "_meta",
    "uri",
    "cursor",
    "task",
    "taskId",
    "ref",
    "inputResponses",
    "requestState",
    "requestId",
];
/// `_meta` member with the revision that a modern request speaks (MCP 2026-07-28, Basic, `_meta`).
pub(super) const CLIENT_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` member with what the client of a modern request can do.
pub(super) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        let known = match place {
            Place::Message => ENVELOPE,
            Place::Params => PARAMS,
            _ => &[],
        };
        if !known.is_empty() && is_confusable(name, known) {
            return Err(Flaw::ConfusableMember);
        }
        if place == Place::Params && !matches!(name, "name" | "arguments" | "_meta") {
            self.more = More::Something;
        }
        Ok(match (place, name) {
            (Place::Message, "jsonrpc") => Place::JsonRpc,
            (Place::Message, "id") => Place::Id,
            (Place::Message, "method") => Place::Method,
            (Place::Message, "params") => Place::Params,
            (Place::Message, "result") => Place::Result,
            (Place::Message, "error") => Place::Error,
            (Place::Params, "name") => Place::Name,
            (Place::Params, "uri") => Place::Uri,
            (Place::Params, "taskId") => Place::TaskId,
            (Place::Params, "arguments") => Place::Arguments,
            (Place::Params, "inputResponses") => Place::Answers,
            (Place::Params, "_meta") => Place::Meta,
            (Place::Params, "ref") => Place::Ref,
            (Place::Params, "requestId") => Place::RequestId,
            (Place::Meta, CLIENT_PROTOCOL_VERSION) => Place::MetaVersion,
            (Place::Meta, CLIENT_CAPABILITIES) => Place::Capabilities(Era::Modern),
            (Place::Meta, name) => Member::named(name).map_or(Place::Elsewhere, Place::Trace),
            (Place::Params, "capabilities") => Place::Capabilities(Era::Legacy),
            (Place::Capabilities(Era::Modern), "extensions") => Place::Extensions,
            (Place::Extensions, TASKS) => Place::TasksExtension,
            (Place::Capabilities(era), "tasks") => Place::Tasks(era),
            (Place::Tasks(era), "requests") => Place::TaskRequests(era),
            (Place::Capabilities(era), name) => {
                Question::named(name).map_or(Place::Elsewhere, |question| Place::Offer(era, question))
            }
            (Place::TaskRequests(era), name) => {
                Question::named(name).map_or(Place::Elsewhere, |question| Place::TaskOffer(era, question))
            }
            (Place::Ref, "name") => Place::RefName,
            (Place::Ref, "uri") => Place::RefUri,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        if let Place::Offer(era, question) | Place::TaskOffer(era, question) = place {
            self.offers.push((era, question, span.clone()));
        }
        let value = Some(Value { kind, span });
        match place {
            Place::Message => self.message = Some(kind),
            Place::JsonRpc => self.jsonrpc = value,
            Place::Id => self.id = value,
            Place::Method => self.method = value,
            Place::Params => self.params = value,
            Place::Result => self.result = value,
            Place::Error => self.error = value,
            Place::Name => self.name = value,
            Place::Uri => self.uri = value,
            Place::TaskId => self.task_id = value,
            Place::Arguments => self.arguments = value,
            Place::Answers => self.answers = value,
            Place::Meta => self.meta = value,
            Place::MetaVersion => self.version = value,
            Place::Trace(member) => self.trace.extend(value.map(|value| (member, value))),
            Place::TasksExtension => self.declared.tasks = kind == Kind::Object,
            Place::Offer(Era::Modern, question) if kind == Kind::Object => {
                self.declared.asks = self.declared.asks | question.into();
            }
            Place::Capabilities(Era::Modern) => self.declared.given = kind == Kind::Object,
            Place::RequestId => self.request_id = value,
            Place::RefName => self.ref_name = value,
            Place::RefUri => self.ref_uri = value,
            Place::Ref
            | Place::Capabilities(Era::Legacy)
            | Place::Extensions
            | Place::Offer(..)
            | Place::Tasks(_)
            | Place::TaskRequests(_)
            | Place::TaskOffer(..)
            | Place::Elsewhere => {}
        }
    }
}

impl Found {
    /// The rules of JSON-RPC and MCP over what was found.
    fn call(self, body: &Bytes, text: Text<'_>, id: Option<RequestId>) -> Result<Call, Problem> {
        match self.message {
            Some(Kind::Object) => {}
            Some(Kind::Array) => return Err(Problem::Batch),
            _ => return Err(Problem::NotAnObject),
        }
        let string = |value: &Option<Value>| value.as_ref().map(|value| text.string(value));
        if string(&self.jsonrpc).flatten().as_deref() != Some("2.0") {
            return Err(Problem::JsonRpc);
        }
        let (method, method_name) = self.method(text, id.as_ref())?;
        let version = string(&self.version);
        if matches!(version, Some(None)) {
            return Err(Problem::Meta);
        }
        let revision = version.iter().flatten().find_map(|name| ProtocolVersion::named(name));
        // What a revision has done away with is to it a name like any other: nothing else about it is looked at.
        let method = if revision.is_some_and(|revision| !revision.has(method)) { Method::Other } else { method };
        Ok(Call {
            body: body.clone(),
            method,
            method_name,
            target: self.target(text, method)?,
            named: self.about(method).map(|value| value.span.clone()),
            era: if version.is_some() { Era::Modern } else { Era::Legacy },
            claimed: version.flatten().map(Cow::into_owned),
            traceparent: self.traced(text, Member::Traceparent),
            tracestate: self.traced(text, Member::Tracestate),
            spot: self.spot(method),
            cancels: self.cancelled(text, method)?,
            declared: self.declared,
            more: self.more,
            offers: self.offers(method),
            arguments: self.arguments.map(|value| value.span),
            answers: self.answers.or(self.result).or(self.error).map(|value| value.span),
            id,
        })
    }

    /// The method, with what it must and must not have beside it.
    fn method(&self, text: Text<'_>, id: Option<&RequestId>) -> Result<(Method, Cow<'static, str>), Problem> {
        let answer = self.result.is_some() || self.error.is_some();
        let Some(method) = &self.method else {
            let kind = |value: &Option<Value>| value.as_ref().map(|value| value.kind);
            return match (kind(&self.result), kind(&self.error), id) {
                (Some(_), Some(_), _) => Err(Problem::RequestAndResponse),
                (Some(_), None, Some(_)) | (None, Some(Kind::Object), Some(_)) => {
                    Ok((Method::Answer, Cow::Borrowed(Method::Answer.name())))
                }
                _ => Err(Problem::Method),
            };
        };
        if answer {
            return Err(Problem::RequestAndResponse);
        }
        let name = text.string(method).ok_or(Problem::Method)?;
        match (name.starts_with("notifications/"), id.is_some()) {
            (true, true) => return Err(Problem::NotificationWithId),
            (false, false) => return Err(Problem::RequestWithoutId),
            (true, false) | (false, true) => {}
        }
        let is_object = |value: &Option<Value>| value.as_ref().is_none_or(|value| value.kind == Kind::Object);
        if !is_object(&self.params) {
            return Err(Problem::Params);
        }
        if !is_object(&self.meta) {
            return Err(Problem::Meta);
        }
        if !is_object(&self.arguments) {
            return Err(Problem::Arguments);
        }
        Ok(match Method::named(&name) {
            Method::Other => (Method::Other, Cow::Owned(name.into_owned())),
            known => (known, Cow::Borrowed(known.name())),
        })
    }

    /// Where the client offers to be asked. `capabilities` among the params of anything but `initialize` are none.
    fn offers(&self, method: Method) -> Vec<(Question, Range<usize>)> {
        let counts = |era| era == Era::Modern || method == Method::Initialize;
        let offers = self.offers.iter().filter(|(era, ..)| counts(*era));
        offers.map(|(_, question, span)| (*question, span.clone())).collect()
    }

    fn traced(&self, text: Text<'_>, member: Member) -> Option<Box<str>> {
        let (_, value) = self.trace.iter().find(|(known, _)| *known == member)?;
        text.string(value).map(Box::from)
    }

    /// Where a context may stand. Answers carry none, and their `params`, if they have any, are nobody's.
    fn spot(&self, method: Method) -> Spot {
        if method == Method::Answer {
            return Spot::default();
        }
        let span = |value: &Option<Value>| value.as_ref().map(|value| value.span.clone());
        let members = self.trace.iter().map(|(member, value)| (*member, value.span.clone()));
        Spot { params: span(&self.params), meta: span(&self.meta), members: members.collect() }
    }

    /// The request that a `notifications/cancelled` is about.
    fn cancelled(&self, text: Text<'_>, method: Method) -> Result<Option<RequestId>, Problem> {
        match &self.request_id {
            _ if method != Method::Cancelled => Ok(None),
            Some(id) if id.is(Kind::Number, Kind::String) => {
                RequestId::from_json(text.at(&id.span)).map(Some).ok_or(Problem::Id)
            }
            _ => Err(Problem::Target),
        }
    }

    /// What the method is about.
    fn target(&self, text: Text<'_>, method: Method) -> Result<Named, Problem> {
        let name = || {
            let name = self.about(method).and_then(|value| text.string(value)).ok_or(Problem::Target)?;
            if is_sound(&name) { Ok(Box::from(name)) } else { Err(Problem::Name) }
        };
        match method.subject() {
            Subject::Tool => name().map(Named::Tool),
            Subject::Prompt => name().map(Named::Prompt),
            Subject::Reference if self.ref_name.is_some() => name().map(Named::Prompt),
            Subject::Resource | Subject::Reference => name().map(Named::Resource),
            Subject::Task => name().map(Named::Task),
            Subject::Method | Subject::Protocol | Subject::PromptList | Subject::ResourceList | Subject::Unknown => {
                Ok(Named::None)
            }
        }
    }

    /// What says what the method is about: exactly one thing.
    fn about(&self, method: Method) -> Option<&Value> {
        match (method.subject(), &self.ref_name, &self.ref_uri) {
            (Subject::Tool | Subject::Prompt, ..) => self.name.as_ref(),
            (Subject::Resource, ..) => self.uri.as_ref(),
            (Subject::Task, ..) => self.task_id.as_ref(),
            (Subject::Reference, Some(reference), None) | (Subject::Reference, None, Some(reference)) => {
                Some(reference)
            }
            _ => None,
        }
    }
}

/// The longest name or URI, in bytes.
pub const LONGEST_NAME: usize = 2048;

/// A name that looks the same to every reader, human or not.
pub(super) fn is_sound(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || is_format(c))
}
