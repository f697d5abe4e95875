//! Bytes to one [`ServerMessage`], or why not: what servers say is read by the same rules as what clients send.

use std::ops::Range;

use super::Method;
use super::among::RELATED;
use super::confusable::is_confusable;
use super::problem::Problem;
use super::question::Question;
use super::read::ENVELOPE;
use super::span::{Text, Value};
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::jsonrpc::{RequestId, code};

/// One message of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// It asks the client something (legacy).
    Request {
        /// The server's own id for it.
        id: RequestId,
        /// What it asks.
        asked: Asked,
    },
    /// It tells the client something.
    Notification(Notice),
    /// It answers a request.
    Answer(Box<Answer>),
}

/// What a server tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A resource changed: its URI.
    Resource(Box<str>),
    /// A task changed.
    Task {
        /// Its id.
        id: Box<str>,
        /// What it waits for (2026-07-28, tasks extension).
        asks: Vec<Asked>,
    },
    /// Another list answers this method from now on.
    List(Method),
    /// A subscription stands: with what, the message says.
    Acknowledged,
    /// Something that names nothing.
    Other,
}

/// How a server answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which request; `None` where an error does not say, because the request could not be read.
    pub id: Option<RequestId>,
    /// With what.
    pub form: Form,
    /// The value of `cacheScope`.
    pub cache_scope: Option<Range<usize>>,
    /// The task that was begun instead of an answer.
    pub task: Option<Box<str>>,
    /// It names tasks, that one or others.
    pub names_tasks: bool,
    /// What it wants to know before it answers (2026-07-28, `input_required`; 2025-11-25, URL elicitation required).
    pub asks: Vec<Asked>,
}

/// A result or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A result; of a tool that failed, where `isError` says so.
    Result {
        /// `isError` is true.
        failed: bool,
    },
    /// A JSON-RPC error.
    Error {
        /// Its code.
        code: i64,
    },
}

/// What a server asks of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `elicitation/create`, `sampling/createMessage`, `roots/list`, `ping` or what else it calls it.
    pub method: Box<str>,
    /// The address that it wants the client's user to open.
    pub url: Option<Box<str>>,
}

/// What an answer may have: more than a request, since results hold data.
pub(super) const BOUNDS: Bounds = Bounds { depth: 128, members: 1_000_000, values: 2_000_000, number: 4096 };

/// Reads one message of a server.
///
/// # Errors
/// The bytes are not exactly one JSON-RPC request, notification or response with one reading.
pub fn read_server(message: &[u8]) -> Result<ServerMessage, Problem> {
    let mut found = Found::default();
    json::scan(message, Place::Message, &BOUNDS, &mut found).map_err(Problem::Json)?;
    found.message(Text(message))
}

/// Where a value stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    JsonRpc,
    Id,
    Method,
    Params,
    ParamsUri,
    ParamsTask,
    /// `params` of a request, or of one of `inputRequests`.
    Url,
    Result,
    IsError,
    Scope,
    TaskId,
    Task,
    /// Where others are named.
    Tasks,
    Meta,
    InputRequests,
    InputRequest,
    InputMethod,
    InputParams,
    Error,
    Code,
    ErrorData,
    Elicitations,
    Elicitation,
    Elsewhere,
}

/// What the pass found.
#[derive(Debug, Default)]
struct Found {
    message: Option<Kind>,
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Kind>,
    uri: Option<Value>,
    task: Option<Value>,
    url: Option<Value>,
    result: Option<Kind>,
    is_error: Option<Value>,
    scope: Option<Value>,
    task_id: Option<Value>,
    names_tasks: bool,
    input_method: Option<Value>,
    inputs: Vec<(Option<Value>, Option<Value>)>,
    elicitations: Vec<Option<Value>>,
    error: Option<Kind>,
    code: Option<Value>,
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        if place == Place::Message && is_confusable(name, ENVELOPE) {
            return Err(Flaw::ConfusableMember);
        }
        Ok(match (place, name) {
            (Place::Message, "jsonrpc") => Place::JsonRpc,
            (Place::Message, "id") => Place::Id,
            (Place::Message, "method") => Place::Method,
            (Place::Message, "params") => Place::Params,
            (Place::Message, "result") => Place::Result,
            (Place::Message, "error") => Place::Error,
            (Place::Params, "uri") => Place::ParamsUri,
            (Place::Params, "taskId") => Place::ParamsTask,
            (Place::Params | Place::InputParams | Place::Elicitation, "url") => Place::Url,
            (Place::Result, "isError") => Place::IsError,
            (Place::Result, "cacheScope") => Place::Scope,
            (Place::Result | Place::Task, "taskId") => Place::TaskId,
            (Place::Result, "task") => Place::Task,
            (Place::Result, "tasks") | (Place::Meta, RELATED) => Place::Tasks,
            (Place::Result, "_meta") => Place::Meta,
            (Place::Result | Place::Params, "inputRequests") => Place::InputRequests,
            (Place::InputRequests, _) => Place::InputRequest,
            (Place::InputRequest, "method") => Place::InputMethod,
            (Place::InputRequest, "params") => Place::InputParams,
            (Place::Error, "code") => Place::Code,
            (Place::Error, "data") => Place::ErrorData,
            (Place::ErrorData, "elicitations") => Place::Elicitations,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, place: Place) -> Place {
        match place {
            Place::InputRequests => Place::InputRequest,
            Place::Elicitations => Place::Elicitation,
            _ => Place::Elsewhere,
        }
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        let value = Some(Value { kind, span });
        match place {
            Place::Message => self.message = Some(kind),
            Place::JsonRpc => self.jsonrpc = value,
            Place::Id => self.id = value,
            Place::Method => self.method = value,
            Place::Params => self.params = Some(kind),
            Place::ParamsUri => self.uri = value,
            Place::ParamsTask => self.task = value,
            Place::Url => self.url = value,
            Place::Result => self.result = Some(kind),
            Place::IsError => self.is_error = value,
            Place::Scope => self.scope = value,
            Place::TaskId => self.task_id = value,
            Place::InputMethod => self.input_method = value,
            Place::InputRequest => self.inputs.push((self.input_method.take(), self.url.take())),
            Place::Elicitation => self.elicitations.push(self.url.take()),
            Place::Error => self.error = Some(kind),
            Place::Code => self.code = value,
            Place::Tasks => self.names_tasks = true,
            Place::ErrorData
            | Place::Elicitations
            | Place::Task
            | Place::Meta
            | Place::InputRequests
            | Place::InputParams
            | Place::Elsewhere => {}
        }
    }
}

impl Found {
    fn message(self, text: Text<'_>) -> Result<ServerMessage, Problem> {
        match self.message {
            Some(Kind::Object) => {}
            Some(Kind::Array) => return Err(Problem::Batch),
            _ => return Err(Problem::NotAnObject),
        }
        if self.jsonrpc.as_ref().and_then(|value| text.string(value)).as_deref() != Some("2.0") {
            return Err(Problem::JsonRpc);
        }
        match (&self.method, self.result, self.error) {
            (Some(_), None, None) => self.said(text),
            (None, Some(Kind::Object), None) | (None, None, Some(Kind::Object)) => self.answer(text),
            (Some(_), _, _) | (None, Some(_), Some(_)) => Err(Problem::RequestAndResponse),
            (None, None, None) => Err(Problem::Method),
            (None, _, _) => Err(Problem::Answer),
        }
    }

    /// A request or a notification.
    fn said(&self, text: Text<'_>) -> Result<ServerMessage, Problem> {
        if !self.params.is_none_or(|kind| kind == Kind::Object) {
            return Err(Problem::Params);
        }
        let string = |value: &Option<Value>| value.as_ref().and_then(|value| text.string(value)).map(Box::<str>::from);
        let method = string(&self.method).ok_or(Problem::Method)?;
        match (self.id(text)?, method.starts_with("notifications/")) {
            (Some(id), false) => Ok(ServerMessage::Request { id, asked: Asked { method, url: string(&self.url) } }),
            (Some(_), true) => Err(Problem::NotificationWithId),
            (None, false) => Err(Problem::RequestWithoutId),
            (None, true) => Ok(ServerMessage::Notification(match &*method {
                "notifications/resources/updated" => Notice::Resource(string(&self.uri).ok_or(Problem::Target)?),
                "notifications/tasks" | "notifications/tasks/status" => {
                    Notice::Task { id: string(&self.task).ok_or(Problem::Target)?, asks: self.asks(text) }
                }
                "notifications/tools/list_changed" => Notice::List(Method::ToolsList),
                "notifications/prompts/list_changed" => Notice::List(Method::PromptsList),
                "notifications/resources/list_changed" => Notice::List(Method::ResourcesList),
                "notifications/subscriptions/acknowledged" => Notice::Acknowledged,
                _ => Notice::Other,
            })),
        }
    }

    fn answer(&self, text: Text<'_>) -> Result<ServerMessage, Problem> {
        let string = |value: &Option<Value>| value.as_ref().and_then(|value| text.string(value)).map(Box::<str>::from);
        let form = match (&self.code, self.error.is_some()) {
            (_, false) => {
                Form::Result { failed: self.is_error.as_ref().is_some_and(|value| text.at(&value.span) == "true") }
            }
            (Some(code), true) if code.kind == Kind::Number => {
                Form::Error { code: text.at(&code.span).parse().map_err(|_not_an_integer| Problem::Answer)? }
            }
            (_, true) => return Err(Problem::Answer),
        };
        let id = self.id(text)?;
        if id.is_none() && matches!(form, Form::Result { .. }) {
            return Err(Problem::Id);
        }
        let elicitation = |url| Asked { method: Question::Elicitation.method().into(), url };
        let asks = match form {
            Form::Error { code: code::URL_ELICITATION_REQUIRED } if self.elicitations.is_empty() => {
                vec![elicitation(None)]
            }
            Form::Error { code: code::URL_ELICITATION_REQUIRED } => {
                self.elicitations.iter().map(|url| elicitation(string(url))).collect()
            }
            Form::Error { .. } => Vec::new(),
            Form::Result { .. } => self.asks(text),
        };
        Ok(ServerMessage::Answer(Box::new(Answer {
            id,
            form,
            cache_scope: self.scope.as_ref().map(|value| value.span.clone()),
            task: string(&self.task_id),
            names_tasks: self.names_tasks || self.task_id.is_some(),
            asks,
        })))
    }

    /// What `inputRequests` ask.
    fn asks(&self, text: Text<'_>) -> Vec<Asked> {
        let string = |value: &Option<Value>| value.as_ref().and_then(|value| text.string(value)).map(Box::<str>::from);
        let asked = |(method, url): &(Option<Value>, Option<Value>)| Asked {
            method: string(method).unwrap_or_default(),
            url: string(url),
        };
        self.inputs.iter().map(asked).collect()
    }

    /// The id, if there is one that is not `null`: that stands in errors about what could not be read.
    fn id(&self, text: Text<'_>) -> Result<Option<RequestId>, Problem> {
        match &self.id {
            None => Ok(None),
            Some(id) if id.is(Kind::Number, Kind::String) => {
                RequestId::from_json(text.at(&id.span)).map(Some).ok_or(Problem::Id)
            }
            Some(id) if text.at(&id.span) == "null" && self.error.is_some() => Ok(None),
            Some(_) => Err(Problem::Id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(message: &str) -> Answer {
        match read_server(message.as_bytes()) {
            Ok(ServerMessage::Answer(answer)) => *answer,
            other => panic!("{message}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_is_one_result_or_one_error() {
        for (message, form) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Form::Result { failed: false }),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[{"isError":false}]}}"#,
                Form::Result { failed: true },
            ),
            (
                r#"{"result":{"content":[{"text":"a \"isError\":true"}]},"id":1,"jsonrpc":"2.0"}"#,
                Form::Result { failed: false },
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"message":"x","code":-32602,"data":{"code":7}}}"#,
                Form::Error { code: -32602 },
            ),
        ] {
            let read = answer(message);
            assert_eq!((read.form, read.id.unwrap().as_json()), (form, "1"), "{message}");
        }
        assert_eq!(answer(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#).id, None);
        assert_eq!(answer(r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":""}}"#).id, None);
    }

    #[test]
    fn what_has_no_one_reading_is_no_message() {
        for (message, problem) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#, Problem::RequestAndResponse),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, Problem::RequestAndResponse),
            (r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#, Problem::Id),
            (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, Problem::Id),
            (r#"{"jsonrpc":"2.0","result":{}}"#, Problem::Id),
            (r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, Problem::Answer),
            (r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#, Problem::Answer),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1"}}"#, Problem::Answer),
            (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, Problem::JsonRpc),
            (r#"{"jsonrpc":"2.0","id":1}"#, Problem::Method),
            (r#"{"jsonrpc":"2.0","method":"sampling/createMessage"}"#, Problem::RequestWithoutId),
            (r#"{"jsonrpc":"2.0","id":1,"method":"notifications/progress"}"#, Problem::NotificationWithId),
            (r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{}}"#, Problem::Target),
            (r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#, Problem::Batch),
            (r#""text""#, Problem::NotAnObject),
        ] {
            assert_eq!(read_server(message.as_bytes()), Err(problem), "{message}");
        }
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"Result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}} {}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"#,
            "",
        ] {
            assert!(matches!(read_server(message.as_bytes()), Err(Problem::Json(_))), "{message}");
        }
    }

    #[test]
    fn what_is_asked_told_and_begun_is_named() {
        let request =
            r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"mode":"url","url":"https://a"}}"#;
        let asked = Asked { method: "elicitation/create".into(), url: Some("https://a".into()) };
        let id = RequestId::from_json("\"q\"").unwrap();
        assert_eq!(read_server(request.as_bytes()), Ok(ServerMessage::Request { id, asked: asked.clone() }));
        let input = answer(
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{
            "a":{"method":"elicitation/create","params":{"url":"https://a"}},"b":{"method":"roots/list"}}}}"#,
        );
        assert_eq!(input.asks, [asked, Asked { method: "roots/list".into(), url: None }]);
        let required = answer(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"","data":{"elicitations":[{"mode":"url","url":"https://a"}]}}}"#,
        );
        assert_eq!(required.asks, input.asks[..1]);
        let bare = answer(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":""}}"#);
        assert_eq!(bare.asks, [Asked { method: "elicitation/create".into(), url: None }]);
        for task in [r#""resultType":"task","taskId":"t""#, r#""task":{"taskId":"t"}"#] {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{{task}}}}}"#);
            assert_eq!(answer(&message).task.as_deref(), Some("t"));
        }
        let updated = br#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"demo://a"}}"#;
        assert_eq!(read_server(updated), Ok(ServerMessage::Notification(Notice::Resource("demo://a".into()))));
    }
}
