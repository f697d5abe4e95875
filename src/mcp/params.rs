//! What is changed or read of a message of a client where several servers stand as one: the id of what it answers and the task
//! that is about, the revision and the cursor.

use std::ops::Range;

use bytes::Bytes;

use super::among::RELATED;
use super::read::read;
use super::{Call, CallError, ProtocolVersion};
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::jsonrpc::RequestId;

/// The same answer to what its server calls so, about the task that it calls as `meant` says, every other byte as it came.
/// What `meant` does not know is none of its tasks.
///
/// # Errors
/// It cannot be read with that id.
pub fn answering(call: &Call, id: &RequestId, meant: impl Fn(&str) -> Option<Box<str>>) -> Result<Call, CallError> {
    let Params { id: by_id, related, .. } = Params::of(call);
    let task = related.and_then(|span| Some((quoted(&meant(&string(call, &span)?)?), span)));
    let edits = [by_id.map(|span| (id.as_json().to_owned(), span)), task].into_iter().flatten();
    edited(call, edits.map(|(text, span)| (span, text.into_bytes())).collect())
}

/// The same `initialize` of another revision, every other byte as it came.
///
/// # Errors
/// It cannot be read so.
pub fn of_revision(call: &Call, version: ProtocolVersion) -> Result<Call, CallError> {
    changed(call, Params::of(call).version, &quoted(version.name()))
}

/// The revision that an `initialize` asks for.
pub fn revision(call: &Call) -> Option<ProtocolVersion> {
    ProtocolVersion::named(&string(call, &Params::of(call).version?)?)
}

/// The same subscription to this, which is JSON, every other byte as it came.
///
/// # Errors
/// It cannot be read so.
pub fn listening(call: &Call, notifications: &str) -> Result<Call, CallError> {
    changed(call, Params::of(call).notifications, notifications)
}

/// The same request for a list, of the page that begins there, every other byte as it came.
///
/// # Errors
/// It cannot be read so.
pub fn at_cursor(call: &Call, cursor: Option<&str>) -> Result<Call, CallError> {
    match (Params::of(call).cursor, cursor) {
        (Some((_, span)), None) => {
            let cuts = json::cuts(call.body(), [span]);
            read(&Bytes::from(json::without(call.body(), &cuts)), &Bounds::default())
        }
        (span, cursor) => changed(call, span.map(|(_, span)| span), &quoted(cursor.unwrap_or_default())),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    json::quote(text, &mut quoted);
    quoted
}

/// The text of the string that stands there.
fn string(call: &Call, span: &Range<usize>) -> Option<String> {
    let text = std::str::from_utf8(call.body().get(span.clone())?).ok()?;
    Some(json::decode(text.strip_prefix('"')?.strip_suffix('"')?).into_owned())
}

/// The same message with this where that stands. What is not there changes nothing.
fn changed(call: &Call, span: Option<Range<usize>>, text: &str) -> Result<Call, CallError> {
    edited(call, span.map(|span| (span, text.to_owned().into_bytes())).into_iter().collect())
}

fn edited(call: &Call, edits: Vec<(Range<usize>, Vec<u8>)>) -> Result<Call, CallError> {
    read(&Bytes::from(json::edited(call.body(), edits)), &Bounds::default())
}

/// Where a page of a list is to begin, as its caller says: nothing for the first. What is no text is a cursor of nobody's.
pub fn cursor(call: &Call) -> Option<String> {
    let (kind, span) = Params::of(call).cursor?;
    let text = std::str::from_utf8(call.body().get(span)?).ok()?;
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    Some(if kind == Kind::String { json::decode(inner).into_owned() } else { text.to_owned() })
}

/// Where these members of `params` stand.
#[derive(Debug, Default)]
struct Params {
    id: Option<Range<usize>>,
    version: Option<Range<usize>>,
    cursor: Option<(Kind, Range<usize>)>,
    notifications: Option<Range<usize>>,
    /// The task that an answer is about.
    related: Option<Range<usize>>,
}

impl Params {
    fn of(call: &Call) -> Self {
        let mut found = Self::default();
        // The call was read, so this reads it, too.
        let _read = json::scan(call.body(), Place::Message, &Bounds::default(), &mut found);
        found
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    Id,
    Params,
    Version,
    Cursor,
    Notifications,
    Result,
    Meta,
    Related,
    RelatedTask,
    Elsewhere,
}

impl Lens for Params {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(match (place, name) {
            (Place::Message, "id") => Place::Id,
            (Place::Message, "params") => Place::Params,
            (Place::Params, "protocolVersion") => Place::Version,
            (Place::Params, "cursor") => Place::Cursor,
            (Place::Params, "notifications") => Place::Notifications,
            (Place::Message, "result") => Place::Result,
            (Place::Result, "_meta") => Place::Meta,
            (Place::Meta, RELATED) => Place::Related,
            (Place::Related, "taskId") => Place::RelatedTask,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match place {
            Place::Id => self.id = Some(span),
            Place::Version if kind == Kind::String => self.version = Some(span),
            Place::Cursor => self.cursor = Some((kind, span)),
            Place::Notifications => self.notifications = Some(span),
            Place::RelatedTask => self.related = Some(span),
            Place::Message
            | Place::Params
            | Place::Version
            | Place::Result
            | Place::Meta
            | Place::Related
            | Place::Elsewhere => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Said;
    use super::super::problem::Problem;
    use super::*;

    /// As it is read by whoever gets it.
    fn renamed(call: &Call, name: &str) -> Call {
        let renamed = call.renamed(name).unwrap();
        let read = read(renamed.body(), &Bounds::default()).unwrap();
        assert_eq!(format!("{renamed:?}"), format!("{read:?}"));
        renamed
    }

    #[test]
    fn nothing_but_the_name_changes() {
        let body = r#"{"jsonrpc":"2.0", "id":1,"method":"tools/call","params":{"arguments":{"name":"x","n":1.0},"name" : "a_find"}}"#;
        let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
        let renamed = renamed(&call, "find");
        assert_eq!(renamed.body(), &Bytes::from(body.replace("\"a_find\"", "\"find\"")));
        assert_eq!((renamed.target().tool(), renamed.arguments()), (Some("find"), call.arguments()));
    }

    #[test]
    fn whatever_stands_around_the_name_is_found_behind_it_too() {
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","io.modelcontextprotocol/clientCapabilities":{"roots":{},"sampling":{"tools":{}}}}"#;
        let rest = r#""arguments":{"name":"a_find"},"inputResponses":{"a":{"action":"accept"}}"#;
        for params in [format!(r#"{meta},"name":"a_find",{rest}"#), format!(r#"{rest},"name":"a_\u0066ind",{meta}"#)] {
            let body = format!(r#"{{"params":{{{params}}},"jsonrpc":"2.0","id":1,"method":"tools/call"}}"#);
            let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
            for name in ["a_find", "f", "something longer \"by far\""] {
                let renamed = renamed(&call, name);
                assert_eq!(
                    (renamed.target().tool(), renamed.said(Said::Answers)),
                    (Some(name), call.said(Said::Answers))
                );
            }
            for no_name in ["", " x", "a\u{202e}b"] {
                assert_eq!(call.renamed(no_name).unwrap_err().problem, Problem::Name);
            }
        }
    }

    #[test]
    fn what_is_completed_is_named_where_it_stands() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"name":"a_find","ref":{"type":"ref/prompt","name":"a_find"},"argument":{"name":"a_find","value":"x"}}}"#;
        let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
        let expected = body.replace(r#""ref/prompt","name":"a_find""#, r#""ref/prompt","name":"find""#);
        assert_eq!(renamed(&call, "find").body(), &Bytes::from(expected));
    }

    #[test]
    fn a_task_is_named_as_its_server_has_it() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"x":"ours", "taskId" : "ours"}}"#;
        let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
        let theirs = renamed(&call, "a \"1\"");
        assert_eq!(theirs.body(), &Bytes::from(body.replace(r#"" : "ours""#, r#"" : "a \"1\"""#)));
        assert_eq!(theirs.target().name(), Some("a \"1\""));

        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"billing 1","result":{{"_meta":{{"{RELATED}":{{"taskId":"ours"}}}},"taskId":"ours"}}}}"#
        );
        let call = read(&Bytes::from(body.clone()), &Bounds::default()).unwrap();
        let id = RequestId::from_json("1").unwrap();
        let meant = |task: &str| (task == "ours").then(|| Box::from("theirs"));
        let expected = body.replace("\"billing 1\"", "1").replace(r#"{"taskId":"ours"}"#, r#"{"taskId":"theirs"}"#);
        assert_eq!(answering(&call, &id, meant).unwrap().body(), &Bytes::from(expected));
    }

    #[test]
    fn a_cursor_is_read_as_it_is_meant() {
        for (params, is) in [
            ("{}", None),
            (r#"{"cursor":""}"#, Some("")),
            (r#"{"cursor":"a\u0062"}"#, Some("ab")),
            (r#"{"cursor":1}"#, Some("1")),
            (r#"{"_meta":{"cursor":"x"}}"#, None),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{params}}}"#);
            let call = read(&Bytes::from(body), &Bounds::default()).unwrap();
            assert_eq!(cursor(&call).as_deref(), is, "{params}");
            assert_eq!(cursor(&at_cursor(&call, None).unwrap()), None, "{params}");
            let there = at_cursor(&call, Some("c\"")).unwrap();
            assert_eq!(cursor(&there).as_deref(), is.map(|_| "c\""), "{params}");
        }
    }
}
