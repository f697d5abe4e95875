//! Bytes to one [`Call`], or why not. The only door for what clients send.
//!
//! One pass: the same walk that proves the text unambiguous notes where method, id, name, arguments and `_meta` stand.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::call::Subject as Named;
use super::confusable::{is_confusable, is_format};
use super::{Call, Era, Method, ProtocolVersion, Subject};
use crate::json::{self, Bounds, Fault, Flaw, Kind, Lens};
use crate::jsonrpc::RequestId;

/// Why bytes are not one message of a client.
#[derive(Debug)]
pub struct CallError {
    /// What is wrong.
    pub problem: Problem,
    /// The id, where it was read unambiguously.
    pub id: Option<RequestId>,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not one JSON text with one reading.
    Json(Fault),
    /// An array: batches are refused.
    Batch,
    /// Not an object.
    NotAnObject,
    /// `jsonrpc` is not the string `2.0`.
    JsonRpc,
    /// `method` is not a string, or there is neither a method nor a result nor an error.
    Method,
    /// A request and a response at once, or both a result and an error.
    RequestAndResponse,
    /// The id is not a string of at most 256 bytes or an exact integer.
    Id,
    /// A request without an id.
    RequestWithoutId,
    /// A notification with an id.
    NotificationWithId,
    /// `params` is not an object.
    Params,
    /// `params._meta` is not an object.
    Meta,
    /// `params.arguments` is not an object.
    Arguments,
    /// `params` does not name what the method is about, as a string.
    Target,
    /// The name has control, invisible or direction-changing characters, or is empty, padded or too long.
    Name,
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
    Meta,
    MetaVersion,
    Traceparent,
    Ref,
    RefName,
    RefUri,
    Elsewhere,
}

/// A value that was found.
#[derive(Debug)]
struct Value {
    kind: Kind,
    span: Range<usize>,
}

/// What the pass found.
#[derive(Debug, Default)]
struct Found {
    message: Option<Kind>,
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Kind>,
    result: Option<Kind>,
    error: Option<Kind>,
    name: Option<Value>,
    uri: Option<Value>,
    task_id: Option<Value>,
    arguments: Option<Value>,
    meta: Option<Kind>,
    version: Option<Value>,
    traceparent: Option<Value>,
    ref_name: Option<Value>,
    ref_uri: Option<Value>,
}

/// The members of a message.
const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
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
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

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
            (Place::Params, "_meta") => Place::Meta,
            (Place::Params, "ref") => Place::Ref,
            (Place::Meta, VERSION) => Place::MetaVersion,
            (Place::Meta, "traceparent") => Place::Traceparent,
            (Place::Ref, "name") => Place::RefName,
            (Place::Ref, "uri") => Place::RefUri,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        let value = Some(Value { kind, span });
        match place {
            Place::Message => self.message = Some(kind),
            Place::JsonRpc => self.jsonrpc = value,
            Place::Id => self.id = value,
            Place::Method => self.method = value,
            Place::Params => self.params = Some(kind),
            Place::Result => self.result = Some(kind),
            Place::Error => self.error = Some(kind),
            Place::Name => self.name = value,
            Place::Uri => self.uri = value,
            Place::TaskId => self.task_id = value,
            Place::Arguments => self.arguments = value,
            Place::Meta => self.meta = Some(kind),
            Place::MetaVersion => self.version = value,
            Place::Traceparent => self.traceparent = value,
            Place::RefName => self.ref_name = value,
            Place::RefUri => self.ref_uri = value,
            Place::Ref | Place::Elsewhere => {}
        }
    }
}

impl Value {
    fn is(&self, one: Kind, other: Kind) -> bool {
        self.kind == one || self.kind == other
    }
}

/// A body that was proved to be UTF-8.
#[derive(Clone, Copy)]
struct Text<'a>(&'a Bytes);

impl<'a> Text<'a> {
    fn at(self, span: &Range<usize>) -> &'a str {
        self.0.get(span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The text of a string value; `None` if it is of another kind.
    fn string(self, value: &Value) -> Option<Cow<'a, str>> {
        let inner = value.span.start + 1..value.span.end.saturating_sub(1);
        (value.kind == Kind::String).then(|| json::decode(self.at(&inner)))
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
            era: if version.is_some() { Era::Modern } else { Era::Legacy },
            claimed: version.flatten().map(Cow::into_owned),
            traceparent: string(&self.traceparent).flatten().map(Box::from),
            arguments: self.arguments.map(|value| value.span),
            id,
        })
    }

    /// The method, with what it must and must not have beside it.
    fn method(&self, text: Text<'_>, id: Option<&RequestId>) -> Result<(Method, Cow<'static, str>), Problem> {
        let answer = self.result.is_some() || self.error.is_some();
        let Some(method) = &self.method else {
            return match (self.result, self.error, id) {
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
        let is_object = |kind: Option<Kind>| kind.is_none_or(|kind| kind == Kind::Object);
        if !is_object(self.params) {
            return Err(Problem::Params);
        }
        if !is_object(self.meta) {
            return Err(Problem::Meta);
        }
        if !is_object(self.arguments.as_ref().map(|value| value.kind)) {
            return Err(Problem::Arguments);
        }
        Ok(match Method::named(&name) {
            Method::Other => (Method::Other, Cow::Owned(name.into_owned())),
            known => (known, Cow::Borrowed(known.name())),
        })
    }

    /// What the method is about.
    fn target(&self, text: Text<'_>, method: Method) -> Result<Named, Problem> {
        let named = |value: &Option<Value>| {
            let name = value.as_ref().and_then(|value| text.string(value)).ok_or(Problem::Target)?;
            if is_sound(&name) { Ok(Box::from(name)) } else { Err(Problem::Name) }
        };
        match method.subject() {
            Subject::Tool => named(&self.name).map(Named::Tool),
            Subject::Prompt => named(&self.name).map(Named::Prompt),
            Subject::Resource => named(&self.uri).map(Named::Resource),
            Subject::Reference => match (&self.ref_name, &self.ref_uri) {
                (Some(_), None) => named(&self.ref_name).map(Named::Prompt),
                (None, Some(_)) => named(&self.ref_uri).map(Named::Resource),
                _ => Err(Problem::Target),
            },
            Subject::Method if self.task_id.is_some() => named(&self.task_id).map(Named::Task),
            Subject::Method | Subject::Protocol | Subject::PromptList | Subject::ResourceList | Subject::Unknown => {
                Ok(Named::None)
            }
        }
    }
}

/// The longest name or URI, in bytes.
const LONGEST_NAME: usize = 2048;

/// A name that looks the same to every reader, human or not.
fn is_sound(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.trim() == name
        && !name.chars().any(|c| c.is_control() || is_format(c))
}

impl Problem {
    /// A word for logs, labels and `error.data.reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Json(fault) => match fault.flaw {
                Flaw::ByteOrderMark => "byte_order_mark",
                Flaw::NotUtf8 => "not_utf8",
                Flaw::Syntax => "syntax",
                Flaw::LoneSurrogate => "lone_surrogate",
                Flaw::NumberOverflow => "number_overflow",
                Flaw::NumberTooLong => "number_too_long",
                Flaw::TooDeep => "too_deep",
                Flaw::TooManyMembers => "too_many_members",
                Flaw::TooManyValues => "too_many_values",
                Flaw::DuplicateMember => "duplicate_key",
                Flaw::PrivateMember | Flaw::ConfusableMember => "confusable_key",
            },
            Self::Batch => "batch_not_allowed",
            Self::NotAnObject => "not_an_object",
            Self::JsonRpc => "jsonrpc_version",
            Self::Method => "method",
            Self::RequestAndResponse => "request_and_response",
            Self::Id => "id",
            Self::RequestWithoutId => "request_without_id",
            Self::NotificationWithId => "notification_with_id",
            Self::Params => "params",
            Self::Meta => "meta",
            Self::Arguments => "arguments",
            Self::Target => "target",
            Self::Name => "name",
        }
    }

    /// Whether this is no JSON at all, rather than JSON that is no message.
    pub fn is_parse_error(self) -> bool {
        match self {
            Self::Json(fault) => matches!(
                fault.flaw,
                Flaw::ByteOrderMark | Flaw::NotUtf8 | Flaw::Syntax | Flaw::LoneSurrogate | Flaw::NumberOverflow
            ),
            Self::Batch
            | Self::NotAnObject
            | Self::JsonRpc
            | Self::Method
            | Self::RequestAndResponse
            | Self::Id
            | Self::RequestWithoutId
            | Self::NotificationWithId
            | Self::Params
            | Self::Meta
            | Self::Arguments
            | Self::Target
            | Self::Name => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Json(fault) => return write!(f, "{} at byte {}", flaw(fault.flaw), fault.at),
            Self::Batch => "a batch: send one message per request",
            Self::NotAnObject => "a JSON-RPC message is an object",
            Self::JsonRpc => "`jsonrpc` must be the string \"2.0\"",
            Self::Method => "`method` must be a string",
            Self::RequestAndResponse => "a message is either a request or a response",
            Self::Id => "`id` must be a string of at most 256 bytes or an integer within 2^53-1",
            Self::RequestWithoutId => "a request needs an `id`",
            Self::NotificationWithId => "a notification must not have an `id`",
            Self::Params => "`params` must be an object",
            Self::Meta => "`params._meta` must be an object, its protocolVersion a string",
            Self::Arguments => "`params.arguments` must be an object",
            Self::Target => "`params` must name what the method is about, as a string",
            Self::Name => "the name has control, invisible or surrounding characters, is empty or too long",
        };
        f.write_str(text)
    }
}

fn flaw(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::ByteOrderMark => "a byte order mark",
        Flaw::NotUtf8 => "not UTF-8",
        Flaw::Syntax => "not exactly one JSON value",
        Flaw::LoneSurrogate => "half of a surrogate pair",
        Flaw::NumberOverflow => "a number that no double can hold",
        Flaw::NumberTooLong => "a number with too many characters",
        Flaw::TooDeep => "nested too deeply",
        Flaw::TooManyMembers => "too many members in one object",
        Flaw::TooManyValues => "too many values",
        Flaw::DuplicateMember => "duplicate member",
        Flaw::PrivateMember | Flaw::ConfusableMember => "a member name that may be read as another one",
    }
}
