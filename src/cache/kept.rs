//! An answer that may be given again: its result, with room for how old it is.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::key::Terms;
use crate::json::{self, Bounds, Flaw, Kind, Lens};
use crate::jsonrpc::RequestId;
use crate::upstream::{InFlight, Reply, ReplyBody};

/// How many seconds old an answer is, in its `_meta`: what `Age` is to HTTP.
const AGE: &str = "io.tollgate/age";
/// What an answer takes beside its text, about.
const OVERHEAD: usize = 256;
/// The message has been read within tighter bounds.
const BOUNDS: Bounds = Bounds { depth: usize::MAX, members: usize::MAX, values: usize::MAX, number: usize::MAX };

/// A result of a tool, or a list.
#[derive(Debug)]
pub(super) struct Kept {
    parts: Vec<Part>,
    /// Where it came from.
    from: InFlight,
    at: Instant,
    /// How old it was then.
    age: Duration,
    lasts: Duration,
    scope: Scope,
}

/// A piece of the result, in its order.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// As it came.
    Text(Box<str>),
    /// In seconds.
    Age,
    /// What is left of `ttlMs`.
    TimeLeft(Duration),
}

/// For whom the server says that it is (`cacheScope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// For nobody else.
    Private,
    /// It does not say, or for everyone.
    Open,
}

impl Kept {
    /// Reads an answer that has passed; `None` if it must not be given again: it is an error, or of a tool that failed, or
    /// asks something, or began a task, or the server says that it is good for no time at all.
    pub(super) fn read(message: &[u8], from: InFlight, terms: Terms, now: Instant) -> Option<Self> {
        let mut found = Found::default();
        json::scan(message, Place::Message, &BOUNDS, &mut found).ok()?;
        let text = |span: &Range<usize>| message.get(span.clone()).and_then(|text| std::str::from_utf8(text).ok());
        let says =
            |span: &Option<Range<usize>>, other: &str| span.as_ref().is_none_or(|span| text(span) == Some(other));
        let complete = says(&found.kind, "\"complete\"") && says(&found.failed, "false") && !found.asks;
        let (result, ttl) = (found.result.clone().filter(|_| complete)?, found.ttl(text)?);
        let scope = match (&found.scope, terms) {
            (None, Terms::Server(_)) => Scope::Private,
            (scope, _) if says(scope, "\"public\"") => Scope::Open,
            _ => Scope::Private,
        };
        let mut edits = vec![found.age(&result)?];
        edits.extend(found.ttl.zip(ttl).map(|(span, ttl)| Edit {
            span,
            before: "",
            put: Part::TimeLeft(ttl),
            behind: "",
        }));
        edits.sort_unstable_by_key(|edit| edit.span.start);
        let (mut parts, mut at) = (Vec::new(), result.start);
        let mut before = String::new();
        for Edit { span, before: opening, put, behind } in edits {
            before.push_str(text(&(at..span.start))?);
            before.push_str(opening);
            parts.extend([Part::Text(std::mem::take(&mut before).into()), put]);
            before.push_str(behind);
            at = span.end;
        }
        before.push_str(text(&(at..result.end))?);
        parts.push(Part::Text(before.into()));
        let lasts = match (terms, ttl) {
            (Terms::Policy(most) | Terms::Server(most), Some(ttl)) => ttl.min(most),
            (Terms::Policy(lasts), None) => lasts,
            (Terms::Server(_), None) => Duration::ZERO,
        };
        (!lasts.is_zero()).then_some(Self { parts, from, at: now, age: Duration::ZERO, lasts, scope })
    }

    /// The same, older: it has no more than so much time left. `None` if that is none.
    pub(super) fn with_left(self, left: Duration) -> Option<Self> {
        let age = self.lasts.saturating_sub(left);
        (age < self.lasts).then_some(Self { age, ..self })
    }

    /// The answer to the call of this id.
    pub(super) fn reply(&self, id: &RequestId, now: Instant) -> Reply {
        let age = self.age(now);
        let mut text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, id.as_json());
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Age => text.push_str(&age.as_secs().to_string()),
                Part::TimeLeft(ttl) => text.push_str(&ttl.saturating_sub(age).as_millis().to_string()),
            }
        }
        text.push('}');
        let (mut head, ()) = Response::new(()).into_parts();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Reply { head, body: ReplyBody::Whole(Bytes::from(text)), from: self.from.ended() }
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.lasts
    }

    fn age(&self, now: Instant) -> Duration {
        self.age + now.saturating_duration_since(self.at)
    }

    pub(super) fn is_private(&self) -> bool {
        self.scope == Scope::Private
    }

    /// How much of its time was left when it came.
    pub(super) fn left(&self) -> Duration {
        self.lasts.saturating_sub(self.age)
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let text = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
        self.parts.iter().map(text).sum::<usize>() + OVERHEAD
    }
}

/// What stands in the place of a span.
struct Edit {
    span: Range<usize>,
    before: &'static str,
    put: Part,
    behind: &'static str,
}

/// Where a value stands in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Message,
    Result,
    Kind,
    Failed,
    Ttl,
    Scope,
    Meta,
    Age,
    /// It asks something, or began a task.
    Asks,
    Elsewhere,
}

#[derive(Debug, Default)]
struct Found {
    result: Option<Range<usize>>,
    kind: Option<Range<usize>>,
    failed: Option<Range<usize>>,
    ttl: Option<Range<usize>>,
    scope: Option<Range<usize>>,
    meta: Option<(Kind, Range<usize>)>,
    age: Option<Range<usize>>,
    asks: bool,
    /// Members of the result, and of its `_meta`.
    members: [usize; 2],
}

impl Lens for Found {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        let [of_result, of_meta] = &mut self.members;
        match place {
            Place::Result => *of_result += 1,
            Place::Meta => *of_meta += 1,
            _ => {}
        }
        Ok(match (place, name) {
            (Place::Message, "result") => Place::Result,
            (Place::Result, "resultType") => Place::Kind,
            (Place::Result, "isError") => Place::Failed,
            (Place::Result, "ttlMs") => Place::Ttl,
            (Place::Result, "cacheScope") => Place::Scope,
            (Place::Result, "_meta") => Place::Meta,
            (Place::Result, "inputRequests" | "requestState" | "task" | "taskId") => Place::Asks,
            (Place::Meta, AGE) => Place::Age,
            _ => Place::Elsewhere,
        })
    }

    fn element(&mut self, _: Place) -> Place {
        Place::Elsewhere
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match place {
            Place::Result => self.result = Some(span).filter(|_| kind == Kind::Object),
            Place::Kind => self.kind = Some(span),
            Place::Failed => self.failed = Some(span),
            Place::Ttl => self.ttl = Some(span),
            Place::Scope => self.scope = Some(span),
            Place::Meta => self.meta = Some((kind, span)),
            Place::Age => self.age = Some(span),
            Place::Asks => self.asks = true,
            Place::Message | Place::Elsewhere => {}
        }
    }
}

impl Found {
    /// For how long the server says that it is good; `None` outside if it says that in no way that means something.
    #[expect(clippy::option_option, reason = "the outer one is whether it can be read, for `?`")]
    fn ttl<'a>(&self, text: impl Fn(&Range<usize>) -> Option<&'a str>) -> Option<Option<Duration>> {
        match &self.ttl {
            None => Some(None),
            Some(span) => text(span)?.parse().ok().map(|millis| Some(Duration::from_millis(millis))),
        }
    }

    /// Where the age goes: in the place of another gate's, or first in `_meta`, or into one of its own. `None` if `_meta` is
    /// something that nothing can be added to.
    fn age(&self, result: &Range<usize>) -> Option<Edit> {
        let first_in = |object: &Range<usize>| object.start + 1..object.start + 1;
        let [of_result, of_meta] = self.members;
        Some(match (&self.age, &self.meta) {
            (Some(age), _) => Edit { span: age.clone(), before: "", put: Part::Age, behind: "" },
            (None, Some((Kind::Object, meta))) => {
                let behind = if of_meta == 0 { "" } else { "," };
                Edit { span: first_in(meta), before: r#""io.tollgate/age":"#, put: Part::Age, behind }
            }
            (None, Some(_)) => return None,
            (None, None) => {
                let behind = if of_result == 0 { "}" } else { "}," };
                Edit { span: first_in(result), before: r#""_meta":{"io.tollgate/age":"#, put: Part::Age, behind }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const FOR: Duration = Duration::from_mins(5);

    fn kept(result: &str) -> Option<Kept> {
        let message = format!(r#"{{"id":1,"result":{result},"jsonrpc":"2.0"}}"#);
        Kept::read(message.as_bytes(), InFlight::for_test(), Terms::Policy(FOR), clock::monotonic())
    }

    fn given(kept: &Kept, after: Duration) -> String {
        let reply = kept.reply(&RequestId::from_json("\"x\"").unwrap(), kept.at + after);
        let ReplyBody::Whole(body) = reply.body else { panic!("it is whole") };
        let text = String::from_utf8(body.to_vec()).unwrap();
        let text = text.strip_prefix(r#"{"jsonrpc":"2.0","id":"x","result":"#).unwrap();
        text.strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn a_result_is_given_as_it_came_with_its_age_and_what_is_left_of_its_time() {
        let after = Duration::from_millis(61_500);
        for (result, expected) in [
            (r#"{ "content":[] }"#, r#"{"_meta":{"io.tollgate/age":61}, "content":[] }"#),
            ("{}", r#"{"_meta":{"io.tollgate/age":61}}"#),
            (r#"{"_meta":{},"content":[1.10]}"#, r#"{"_meta":{"io.tollgate/age":61},"content":[1.10]}"#),
            (r#"{"_meta":{"a":1}}"#, r#"{"_meta":{"io.tollgate/age":61,"a":1}}"#),
            (r#"{"_meta":{"io.tollgate/age":7 ,"a":1}}"#, r#"{"_meta":{"io.tollgate/age":61 ,"a":1}}"#),
            (
                r#"{"ttlMs":100000,"a":"\u00e9","_meta":{}}"#,
                r#"{"ttlMs":38500,"a":"\u00e9","_meta":{"io.tollgate/age":61}}"#,
            ),
            (
                r#"{"_meta":{},"ttlMs":100000,"resultType":"complete","isError":false}"#,
                r#"{"_meta":{"io.tollgate/age":61},"ttlMs":38500,"resultType":"complete","isError":false}"#,
            ),
        ] {
            assert_eq!(given(&kept(result).unwrap(), after), expected);
        }
    }

    #[test]
    fn what_must_not_be_given_again_is_not_kept() {
        for result in [
            r#"{"isError":true}"#,
            r#"{"isError":1}"#,
            r#"{"resultType":"input_required","inputRequests":{}}"#,
            r#"{"resultType":"input_required"}"#,
            r#"{"inputRequests":{}}"#,
            r#"{"requestState":"s"}"#,
            r#"{"resultType":"task","taskId":"t","ttlMs":5000}"#,
            r#"{"task":{"taskId":"t"}}"#,
            r#"{"ttlMs":0}"#,
            r#"{"ttlMs":-1}"#,
            r#"{"ttlMs":1.5}"#,
            r#"{"ttlMs":null}"#,
            r#"{"_meta":[]}"#,
        ] {
            assert!(kept(result).is_none(), "{result}");
        }
        let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#;
        assert!(Kept::read(error, InFlight::for_test(), Terms::Policy(FOR), clock::monotonic()).is_none());
    }

    #[test]
    fn it_lasts_as_long_as_both_the_policy_and_the_server_say() {
        for (result, lasts, private) in [
            ("{}", 300_000, false),
            (r#"{"ttlMs":1000}"#, 1_000, false),
            (r#"{"ttlMs":900000,"cacheScope":"public"}"#, 300_000, false),
            (r#"{"cacheScope":"private"}"#, 300_000, true),
            (r#"{"cacheScope":"whatever"}"#, 300_000, true),
        ] {
            let kept = kept(result).unwrap();
            assert_eq!((kept.left().as_millis(), kept.is_private()), (lasts, private), "{result}");
            let last = kept.left().saturating_sub(Duration::from_millis(1));
            assert!(kept.is_fresh(kept.at + last) && !kept.is_fresh(kept.at + kept.left()));
        }
    }

    #[test]
    fn one_that_comes_late_has_its_age_and_what_was_left_of_its_time() {
        let old = |left| kept("{}").unwrap().with_left(Duration::from_secs(left));
        let kept = old(100).unwrap();
        assert_eq!(given(&kept, Duration::from_secs(1)), r#"{"_meta":{"io.tollgate/age":201}}"#);
        assert!(kept.is_fresh(kept.at + Duration::from_secs(99)) && !kept.is_fresh(kept.at + Duration::from_secs(100)));
        assert!(old(0).is_none());
        assert_eq!(old(301).unwrap().left(), FOR, "it has no more than it was given");
    }
    #[test]
    fn a_list_lasts_as_long_as_its_server_says_and_is_for_everyone_only_if_it_says_so() {
        for (result, lasts) in [
            (r#"{"tools":[],"ttlMs":1000,"cacheScope":"public"}"#, Some((1_000, false))),
            (r#"{"tools":[],"ttlMs":900000,"cacheScope":"public"}"#, Some((300_000, false))),
            (r#"{"tools":[],"ttlMs":1000,"cacheScope":"private"}"#, Some((1_000, true))),
            (r#"{"tools":[],"ttlMs":1000}"#, Some((1_000, true))),
            (r#"{"tools":[],"cacheScope":"public"}"#, None),
            (r#"{"tools":[],"ttlMs":0,"cacheScope":"public"}"#, None),
        ] {
            let message = format!(r#"{{"id":1,"result":{result},"jsonrpc":"2.0"}}"#);
            let kept = Kept::read(message.as_bytes(), InFlight::for_test(), Terms::Server(FOR), clock::monotonic());
            assert_eq!(kept.map(|kept| (kept.left().as_millis(), kept.is_private())), lasts, "{result}");
        }
    }
}
