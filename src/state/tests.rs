//! What is remembered is its principal's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Uri};

use super::{
    Conversation, Ended, Known, Per, Place, SESSION_ID, Sealing, SessionBounds, Sessions, State, StateError, TaskNames,
    Tickets,
};
use crate::identity::Principal;
use crate::json::Bounds;
use crate::mcp::{self, Call, Form, ServerName, Target};
use crate::policy::{Context, PolicySet, Shown};

const BOUNDS: SessionBounds =
    SessionBounds { most: 3, most_per_principal: 2, idle: Duration::from_mins(1), lifetime: Duration::from_hours(1) };
const OK: Form = Form::Result { failed: false };

fn home() -> Uri {
    Uri::from_static("http://127.0.0.1:8000/mcp")
}

fn sessions(bounds: SessionBounds) -> Sessions {
    Sessions::new(bounds, Tickets::of_views(Sealing::default()), Ended::default())
}

fn names() -> TaskNames {
    TaskNames::of_server(&[], &ServerName::new("records").unwrap())
}

fn principal(id: &str) -> Principal {
    Principal::for_test(id, &["reader"])
}

fn call(message: &str) -> Call {
    mcp::read(&Bytes::copy_from_slice(message.as_bytes()), &Bounds::default()).unwrap()
}

fn request(id: u32) -> Call {
    call(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"a"}}}}"#))
}

/// What a caller hears who sends this in that session.
fn sent(state: &State, who: &str, session: Option<&HeaderValue>, call: Call) -> Result<Conversation, StateError> {
    let policy = PolicySet::for_test("server: records\nroles: { reader: { tools: [a] } }\n");
    let permit = policy
        .permit(&Arc::new(principal(who)), &Arc::new(call), &ServerName::new("records").unwrap(), Context::for_test())
        .unwrap();
    let headers: HeaderMap = session.map(|ours| (SESSION_ID, ours.clone())).into_iter().collect();
    state.enter(&permit, &Place::Endpoint, &headers, &policy).now_or_never().expect("nobody is asked")
}

fn begun(sessions: &Arc<Sessions>, who: &str) -> HeaderValue {
    let seat = sessions.reserve(&principal(who)).unwrap();
    seat.begin(Known::Header(HeaderValue::from_static("theirs")), Some(&home())).unwrap().0
}

#[test]
fn a_session_is_only_found_by_the_principal_who_began_it() {
    let state = State::new(sessions(BOUNDS), names(), Per::Server);
    let ours = begun(state.sessions(), "alice");
    assert_ne!(ours, "theirs");
    let found = sent(&state, "alice", Some(&ours), request(1)).unwrap();
    assert_eq!(found.header().unwrap(), "theirs");
    assert_eq!(sent(&state, "bob", Some(&ours), request(1)).unwrap_err(), StateError::NoSession);
    state.sessions().end(&ours);
    assert_eq!(sent(&state, "alice", Some(&ours), request(1)).unwrap_err(), StateError::NoSession);
}

#[test]
fn a_principal_who_has_all_its_sessions_gets_no_more_and_others_do() {
    let sessions = Arc::new(sessions(BOUNDS));
    let first = begun(&sessions, "alice");
    let seat = sessions.reserve(&principal("alice")).unwrap();
    assert_eq!(sessions.reserve(&principal("alice")).unwrap_err(), StateError::TooManySessions);
    begun(&sessions, "bob");
    assert_eq!(sessions.reserve(&principal("carol")).unwrap_err(), StateError::TooManySessions, "three in all");
    drop(seat);
    begun(&sessions, "carol");
    sessions.end(&first);
    begun(&sessions, "alice");
    assert_eq!(sessions.count(), 3);
}

#[test]
fn a_session_that_nobody_uses_is_over_and_makes_room() {
    let bounds = SessionBounds { idle: Duration::ZERO, ..BOUNDS };
    let sessions = Arc::new(sessions(bounds));
    let (first, _second) = (begun(&sessions, "alice"), begun(&sessions, "alice"));
    begun(&sessions, "alice");
    assert!(sessions.count() <= 2);
    assert_eq!(sessions.find(&first, &principal("alice")).unwrap_err(), StateError::NoSession);
}

#[test]
fn only_what_is_under_way_in_the_same_session_can_be_cancelled() {
    let cancel = |id: u32| {
        call(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#))
    };
    let state = State::new(sessions(SessionBounds { most_per_principal: 3, ..BOUNDS }), names(), Per::Server);
    let (ours, other) = (begun(state.sessions(), "alice"), begun(state.sessions(), "alice"));
    for session in [Some(&ours), None] {
        let asked = sent(&state, "alice", session, request(7)).unwrap();
        let under_way = asked.begin(&request(7)).unwrap();
        assert!(sent(&state, "alice", session, cancel(7)).is_ok());
        assert_eq!(sent(&state, "alice", session, cancel(8)).unwrap_err(), StateError::NothingToCancel);
        assert_eq!(sent(&state, "alice", Some(&other), cancel(7)).unwrap_err(), StateError::NothingToCancel);
        assert_eq!(sent(&state, "bob", None, cancel(7)).unwrap_err(), StateError::NothingToCancel);
        drop(under_way);
        assert_eq!(sent(&state, "alice", session, cancel(7)).unwrap_err(), StateError::NothingToCancel);
    }
}

#[test]
fn only_what_the_server_asked_can_be_answered_and_once() {
    let answer = || call(r#"{"jsonrpc":"2.0","id":"q","result":{}}"#);
    let state = State::new(sessions(BOUNDS), names(), Per::Server);
    let ours = begun(state.sessions(), "alice");
    let asked = sent(&state, "alice", Some(&ours), request(1)).unwrap();
    asked.session().unwrap().asks(call(r#"{"jsonrpc":"2.0","id":"q","result":{}}"#).id().unwrap().clone());
    assert_eq!(sent(&state, "alice", None, answer()).unwrap_err(), StateError::NothingAsked);
    assert!(sent(&state, "alice", Some(&ours), answer()).is_ok());
    assert_eq!(sent(&state, "alice", Some(&ours), answer()).unwrap_err(), StateError::NothingAsked);
}

#[test]
fn a_request_left_to_another_stream_is_told_of_its_answer() {
    let state = State::new(sessions(BOUNDS), names(), Per::Server);
    let ours = begun(state.sessions(), "alice");
    let asked = sent(&state, "alice", Some(&ours), request(1)).unwrap();
    let mut told = asked.begin(&request(1)).unwrap().leave().unwrap();
    let session = asked.session().unwrap();
    assert_eq!(session.answered(request(1).id().unwrap(), OK).unwrap().tool.as_deref(), Some("a"));
    assert_eq!(told.try_recv(), Ok(OK));
    assert_eq!(session.answered(request(1).id().unwrap(), OK), None, "once");
}

#[test]
fn a_task_is_found_by_whoever_began_it_and_may_still_call_its_tool() {
    let get = || call(r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t"}}"#);
    let state = State::new(sessions(BOUNDS), names(), Per::Server);
    assert_eq!(sent(&state, "alice", None, get()).unwrap_err(), StateError::NoTask);
    assert!(state.tasks().begin("t", &principal("alice"), ("a", &home())));
    assert!(sent(&state, "alice", None, get()).is_ok());
    assert_eq!(sent(&state, "bob", None, get()).unwrap_err(), StateError::NoTask);
    assert!(!state.tasks().begin("t", &principal("bob"), ("a", &home())));
    assert!(state.tasks().begin("u", &principal("alice"), ("not_granted_any_more", &home())));
    let other = call(r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"u"}}"#);
    assert_eq!(sent(&state, "alice", None, other).unwrap_err(), StateError::NoTask);
}

#[test]
fn how_tools_are_shown_is_remembered_and_only_what_is_new_is_told() {
    let state = State::new(sessions(BOUNDS), names(), Per::Server);
    let nobody = Arc::from("");
    let learnt = state.learnt(&nobody);
    let learn = |list: &[(&str, Shown)]| {
        let changed = learnt.shown().learn(list.iter().copied(), |tool| tool == "pinned");
        changed.iter().map(|changed| changed.tool.to_string()).collect::<Vec<_>>()
    };
    let hiding = Shown::Hiding('\u{202e}');
    assert!(learn(&[("a", Shown::NotYet)]).is_empty());
    assert_eq!(learn(&[("a", hiding), ("b", Shown::NotYet)]), ["a"]);
    assert!(learn(&[("a", hiding)]).is_empty(), "once");
    assert_eq!(learnt.shown().of(Target::Tool("a")), hiding);
    assert_eq!(learnt.shown().of(Target::Prompt("a")), Shown::NotYet);
    assert_eq!(learn(&[("a", Shown::NotYet)]), ["a"]);
    assert_eq!(learnt.shown().of(Target::Tool("a")), Shown::NotYet);
    let many: Vec<String> = (0..10_001).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), hiding)).collect();
    assert_eq!(learn(&many).len(), 10_000, "a server that lists without end is not remembered without end");
    assert_eq!(learn(&[("more", hiding), ("pinned", hiding)]), ["pinned"], "what is pinned always is");
}

#[test]
fn where_each_caller_is_shown_something_else_each_has_its_own() {
    let (alice, bob) = (Arc::from("alice"), Arc::from("bob"));
    let hiding = Shown::Hiding('\u{202e}');
    for (per, of_bob) in [(Per::Server, hiding), (Per::Caller, Shown::NotYet)] {
        let state = State::new(sessions(BOUNDS), names(), per);
        state.learnt(&alice).shown().learn([("a", hiding)], |_| false);
        assert_eq!(state.learnt(&alice).shown().of(Target::Tool("a")), hiding, "{per:?}");
        assert_eq!(state.learnt(&bob).shown().of(Target::Tool("a")), of_bob, "{per:?}");
    }
}
