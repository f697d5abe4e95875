//! What a server says to a client that knows it as one of several. Servers choose ids without regard to each other, so each is
//! told apart by its server, and each task has another name; and whoever asks a client's user, or writes a log, is named.

use std::borrow::Cow;
use std::ops::Range;

use super::ServerName;
use super::server_message::BOUNDS;
use crate::json::{self, Flaw, Kind, Lens};
use crate::jsonrpc::RequestId;

/// What a client is told as the id of what this server calls so; `None` if that is too long to be one.
pub fn told_apart(server: &ServerName, theirs: &RequestId) -> Option<RequestId> {
    let mut ours = String::new();
    json::quote(&format!("{server} {}", theirs.as_json()), &mut ours);
    RequestId::from_json(&ours)
}

/// Which server that was, and what it calls it.
pub fn whose(ours: &RequestId) -> Option<(ServerName, RequestId)> {
    let text = json::decode(ours.as_json().strip_prefix('"')?.strip_suffix('"')?);
    let (server, theirs) = text.split_once(' ')?;
    // What a client writes as a string may be none within.
    let theirs = RequestId::from_json(theirs).filter(|theirs| is_one_value(theirs.as_json()))?;
    Some((ServerName::new(server).ok()?, theirs))
}

/// The same message as its client hears it, who calls tasks as `called` says, every other byte as it came; `None` if it cannot
/// be told so. What `called` does not know is none of the server's tasks.
pub fn among(message: &[u8], server: &ServerName, called: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let mut found = Found::default();
    json::scan(message, Place::Message, &BOUNDS, &mut found).ok()?;
    let text = |span: &Range<usize>| std::str::from_utf8(message.get(span.clone())?).ok();
    let method = found.method.as_ref().and_then(text).map(|method| json::decode(method.trim_matches('"')));
    let asks = found.id.clone().filter(|_| method.is_some());
    // A server that asks for a task means one of its client's.
    let tasks = found.task.filter(|_| asks.is_none()).into_iter().chain(found.tasks);
    let named = tasks.filter_map(|span| Some((span.clone(), quoted(&called(&decoded(text(&span)?)?)?))));
    let mut edits: Vec<_> = named.collect();
    let ids = asks.into_iter().chain(found.cancels.filter(|_| method.as_deref() == Some("notifications/cancelled")));
    for span in ids {
        let ours = told_apart(server, &RequestId::from_json(text(&span)?)?)?;
        edits.push((span, ours.as_json().as_bytes().to_vec()));
    }
    let label = match method.as_deref() {
        Some("elicitation/create") => found.says.map(|says| (says, ": ")),
        Some("notifications/message") => found.logger.map(|logger| (logger, "/")),
        _ => None,
    };
    if let Some((span, mark)) = label {
        // Behind the quotation mark that opens it.
        edits.push((span.start + 1..span.start + 1, format!("{server}{mark}").into_bytes()));
    }
    Some(json::edited(message, edits))
}

fn quoted(text: &str) -> Vec<u8> {
    let mut quoted = String::new();
    json::quote(text, &mut quoted);
    quoted.into_bytes()
}

/// The text that this string of JSON is.
fn decoded(string: &str) -> Option<Cow<'_, str>> {
    Some(json::decode(string.strip_prefix('"')?.strip_suffix('"')?))
}

/// Whether the text is one value, to its end.
fn is_one_value(text: &str) -> bool {
    json::value(text.as_bytes(), &BOUNDS).is_ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    Id,
    Method,
    Params,
    Cancels,
    Says,
    Logger,
    Result,
    /// What says which task a message is about.
    Meta,
    Related,
    /// `tasks` of a result, and each of them.
    Tasks,
    Task,
    /// What a subscription is for, and its tasks.
    Notifications,
    TaskIds,
    /// The id of the task that a notification or request is about.
    ParamsTask,
    /// The id of a task of the server.
    TaskId,
    Elsewhere,
}

/// In `_meta` of whatever is about a task (MCP 2025-11-25, Tasks).
pub(super) const RELATED: &str = "io.modelcontextprotocol/related-task";

/// Where these stand.
#[derive(Debug, Default)]
struct Found {
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    cancels: Option<Range<usize>>,
    says: Option<Range<usize>>,
    logger: Option<Range<usize>>,
    task: Option<Range<usize>>,
    tasks: Vec<Range<usize>>,
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(match (place, name) {
            (Place::Message, "id") => Place::Id,
            (Place::Message, "method") => Place::Method,
            (Place::Message, "params") => Place::Params,
            (Place::Params, "requestId") => Place::Cancels,
            (Place::Params, "message") => Place::Says,
            (Place::Params, "logger") => Place::Logger,
            (Place::Params, "taskId") => Place::ParamsTask,
            (Place::Params, "notifications") => Place::Notifications,
            (Place::Notifications, "taskIds") => Place::TaskIds,
            (Place::Message, "result") => Place::Result,
            (Place::Params | Place::Result, "_meta") => Place::Meta,
            (Place::Meta, RELATED) => Place::Related,
            (Place::Result, "task") => Place::Task,
            (Place::Result, "tasks") => Place::Tasks,
            (Place::Result | Place::Task | Place::Related, "taskId") => Place::TaskId,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, place: Place) -> Place {
        match place {
            Place::Tasks => Place::Task,
            Place::TaskIds => Place::TaskId,
            _ => Place::Elsewhere,
        }
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match (place, kind) {
            (Place::ParamsTask, Kind::String) => self.task = Some(span),
            (Place::TaskId, Kind::String) => self.tasks.push(span),
            (Place::Id, _) => self.id = Some(span),
            (Place::Method, Kind::String) => self.method = Some(span),
            (Place::Cancels, _) => self.cancels = Some(span),
            (Place::Says, Kind::String) => self.says = Some(span),
            (Place::Logger, Kind::String) => self.logger = Some(span),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerName {
        ServerName::new("billing").unwrap()
    }

    #[test]
    fn what_is_told_apart_leads_back_to_whom_it_came_from() {
        for theirs in ["1", "-7", "\"1\"", "\"a b\"", "\"\\u00e9\\\"\"", "\"\""] {
            let theirs = RequestId::from_json(theirs).unwrap();
            let ours = told_apart(&server(), &theirs).unwrap();
            assert_eq!(whose(&ours), Some((server(), theirs)), "{}", ours.as_json());
        }
        let long = RequestId::from_json(&format!("\"{}\"", "a".repeat(256))).unwrap();
        assert_eq!(told_apart(&server(), &long), None);
    }

    #[test]
    fn what_no_client_was_told_leads_nowhere() {
        for ours in
            ["1", "\"billing\"", "\"billing \"", "\"Billing 1\"", "\" 1\"", "\"billing \\\"1\"", "\"billing 1 2\""]
        {
            assert_eq!(whose(&RequestId::from_json(ours).unwrap()), None, "{ours}");
        }
    }

    #[test]
    fn a_client_hears_who_asks_and_every_other_byte_as_it_came() {
        for (theirs, ours) in [
            (
                r#"{"id" : 1,"jsonrpc":"2.0","method":"elicitation/create","params":{"message":"Who?","x":[1.0]}}"#,
                r#"{"id" : "billing 1","jsonrpc":"2.0","method":"elicitation/create","params":{"message":"billing: Who?","x":[1.0]}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":"1","method":"ping","params":{"requestId":1,"message":"x"}}"#,
                r#"{"jsonrpc":"2.0","id":"billing \"1\"","method":"ping","params":{"requestId":1,"message":"x"}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"billing 1"}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"logger":"db","data":{"logger":"x"}}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"logger":"billing/db","data":{"logger":"x"}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#,
            ),
        ] {
            let told = among(theirs.as_bytes(), &server(), |_| None).unwrap();
            assert_eq!(std::str::from_utf8(&told).unwrap(), ours);
        }
    }

    #[test]
    fn a_task_has_its_name_here_wherever_the_server_speaks_of_it() {
        let related = |id: &str| format!(r#""_meta":{{"{RELATED}":{{"taskId":"{id}","x":1.0}}}}"#);
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"status":"working", "taskId" : "t1"},"x":[1.0]}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t\u0031"}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"result":{"tasks":[{"taskId":"t1"},{"taskId":"t1","ttl":null}]}}"#.to_owned(),
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"taskId":"t2"}}],{}}}}}"#, related("t1")),
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"taskIds":["t1"]}}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"t1","status":"working"}}"#
                .to_owned(),
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":1,{}}}}}"#,
                related("t1")
            ),
        ] {
            let told =
                among(message.as_bytes(), &server(), |task| (task == "t1").then(|| "ours \"".to_owned())).unwrap();
            let expected = message.replace("\"t1\"", r#""ours \"""#).replace("\"t\\u0031\"", r#""ours \"""#);
            assert_eq!(std::str::from_utf8(&told).unwrap(), expected);
            // What is none of its tasks is whatever it is.
            assert_eq!(among(message.as_bytes(), &server(), |_| None).unwrap(), message.as_bytes());
        }
        // It asks for a task of its client, about one of its own.
        let asks =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{{"taskId":"t1",{}}}}}"#, related("t1"));
        let told = among(asks.as_bytes(), &server(), |task| Some(format!("our {task}"))).unwrap();
        let expected =
            asks.replace(":1,\"method", ":\"billing 1\",\"method").replace(&related("t1"), &related("our t1"));
        assert_eq!(std::str::from_utf8(&told).unwrap(), expected);
    }
}
