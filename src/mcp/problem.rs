//! What is wrong with a message, in words for callers, logs and labels.

use std::fmt;

use crate::json::{Fault, Flaw};

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not one JSON text with one reading.
    Json(Fault),
    /// An array: batches are refused.
    Batch,
    /// A batch without a message, or with too many.
    BatchLength,
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
    /// A server's answer: `result` or `error` is not an object, or the error has no integer code.
    Answer,
    /// The name has control, invisible or direction-changing characters, or is empty, padded or too long.
    Name,
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
            Self::BatchLength => "batch_length",
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
            Self::Answer => "answer",
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
            | Self::BatchLength
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
            | Self::Answer
            | Self::Name => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Json(fault) => return write!(f, "{} at byte {}", flaw(fault.flaw), fault.at),
            Self::Batch => "a batch: send one message per request",
            Self::BatchLength => "a batch holds 1 to 64 messages",
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
            Self::Answer => "`result` and `error` are objects, an error has an integer `code`",
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
