//! What of a server's messages passes, and what ends a reply.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Response};

use super::events::{Events, Ids, Most};
use super::judge::Judge;
use super::verdict::Verdict;
use super::{HELD, LARGEST_LIST, Watcher};
use crate::identity::Principal;
use crate::json::Bounds;
use crate::mcp::{self, Call, Method, Question, ServerName};
use crate::policy::{Context, PolicySet};
use crate::state::{Ended, Per, Place, Sealing, SessionBounds, Sessions, State, TaskNames, Tickets};
use crate::upstream::Unsound;

const POLICY: &str =
    "server: records\nroles:\n  reader: { tools: [a, c], prompts: [p], resources: ['demo://*'], methods: ['*'] }\n";
/// The server may ask all there is.
const ASKS: &str = "server_may: [elicitation, sampling, roots]\n";
const BOUNDS: SessionBounds =
    SessionBounds { most: 10, most_per_principal: 10, idle: Duration::from_mins(1), lifetime: Duration::from_hours(1) };

/// A server's replies to one principal, and what is remembered of them.
struct Gate {
    policy: Arc<PolicySet>,
    state: Arc<State>,
}

impl Gate {
    fn new() -> Self {
        Self::with(ASKS)
    }

    /// One whose policy says this, too.
    fn with(more: &str) -> Self {
        let policy = PolicySet::for_test(&format!("{POLICY}{more}"));
        Self {
            policy: Arc::new(policy),
            state: Arc::new(State::new(
                Sessions::new(BOUNDS, Tickets::of_views(Sealing::default()), Ended::default()),
                TaskNames::of_server(&[], &ServerName::new("records").unwrap()),
                Per::Server,
            )),
        }
    }

    fn judge(&self, principal: &str, call: Call, status: u16) -> Judge {
        self.judge_of(Principal::for_test(principal, &["reader"]), call, status)
    }

    fn judge_of(&self, principal: Principal, call: Call, status: u16) -> Judge {
        let principal = Arc::new(principal);
        let server = ServerName::new("records").unwrap();
        let permit = self.policy.permit(&principal, &Arc::new(call), &server, Context::for_test()).unwrap();
        let headers = HeaderMap::new();
        let entered = self.state.enter(&permit, &Place::Endpoint, &headers, &self.policy);
        let conversation = entered.now_or_never().expect("nobody is asked").unwrap();
        let (head, ()) = Response::builder().status(status).body(()).unwrap().into_parts();
        let by = Watcher {
            permit: &permit,
            policy: &self.policy,
            state: &self.state,
            base: "",
            place: &Place::Endpoint,
            max_reply_bytes: usize::MAX,
        };
        Judge::new(&by, conversation, (&head, &"http://127.0.0.1:8000/mcp".parse().unwrap()))
    }
}

fn legacy(method: &str, params: &str) -> Call {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    mcp::read(&Bytes::from(body), &Bounds::default()).unwrap()
}

fn modern(method: &str, params: &str, capabilities: &str) -> Call {
    let meta = format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{capabilities}}}"#
    );
    legacy(method, &format!("{{{params}{meta}}}"))
}

fn judged(call: Call, status: u16, message: &str) -> Result<Option<String>, Unsound> {
    judged_by(&Gate::new(), call, status, message)
}

fn judged_by(gate: &Gate, call: Call, status: u16, message: &str) -> Result<Option<String>, Unsound> {
    let verdict = gate.judge("alice", call, status).page(message.as_bytes())?.0;
    Ok(match verdict {
        Verdict::Pass => Some(message.to_owned()),
        Verdict::Edit(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Verdict::Drop => None,
    })
}

fn list(method: Method) -> Call {
    legacy(method.name(), "{}")
}

#[test]
fn a_list_loses_what_the_caller_may_not_use_and_keeps_every_other_byte() {
    for (method, result, shown) in [
        (
            Method::ToolsList,
            r#"{ "nextCursor":"", "tools":[ {"name":"a","n":1.10} , {"name":"b"}, {"x":"é","name":"\u0063"} ] }"#,
            r#"{ "nextCursor":"", "tools":[ {"name":"a","n":1.10},{"x":"é","name":"\u0063"} ] }"#,
        ),
        (
            Method::ToolsList,
            r#"{"tools":[{"name":"b"}],"nextCursor":"x","cacheScope":"public"}"#,
            r#"{"tools":[],"nextCursor":"x","cacheScope":"private"}"#,
        ),
        (Method::ToolsList, r#"{"tools":[]}"#, r#"{"tools":[]}"#),
        (Method::PromptsList, r#"{"prompts":[{"name":"p"},{"name":"q"}]}"#, r#"{"prompts":[{"name":"p"}]}"#),
        (
            Method::ResourcesList,
            r#"{"resources":[{"uri":"file:///x"},{"uri":"demo://x"}]}"#,
            r#"{"resources":[{"uri":"demo://x"}]}"#,
        ),
        (
            Method::ResourcesTemplatesList,
            r#"{"resourceTemplates":[{"uriTemplate":"demo://{id}"},{"uriTemplate":"other://{id}"}]}"#,
            r#"{"resourceTemplates":[{"uriTemplate":"demo://{id}"}]}"#,
        ),
    ] {
        let message = |result| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert_eq!(judged(list(method), 200, &message(result)), Ok(Some(message(shown))));
    }
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#;
    assert_eq!(judged(list(Method::ToolsList), 200, error), Ok(Some(error.to_owned())));
}

#[test]
fn a_list_shows_what_another_token_would_open_and_only_to_who_can_bring_one() {
    let gate = Gate::with("tools: { c: { scopes: [records:write] } }\n");
    let alice = || Principal::for_test("alice", &["reader"]);
    let message = |tools| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]}}}}"#);
    let (a, both) = (r#"{"name":"a"}"#, r#"{"name":"a"},{"name":"c"}"#);
    for (principal, shown) in [
        (alice().scoped(&[]), both),
        (alice().scoped(&["records:write"]), both),
        (Principal::for_test("bob", &[]).scoped(&[]), ""),
        (alice(), a),
    ] {
        let said = format!("{principal:?}");
        let mut judge = gate.judge_of(principal, list(Method::ToolsList), 200);
        let verdict = judge.page(message(both).as_bytes()).unwrap().0;
        let shown = if shown == both { None } else { Some(message(shown)) };
        let edited = match verdict {
            Verdict::Pass => None,
            Verdict::Edit(bytes) => Some(String::from_utf8(bytes).unwrap()),
            Verdict::Drop => Some("dropped".to_owned()),
        };
        assert_eq!(edited, shown, "{said}");
    }
}

#[test]
fn a_list_with_another_reading_does_not_pass_at_all() {
    for result in [
        r#"{"tools":[{"name":"a","name":"b"}]}"#,
        r#"{"tools":[],"tools":[{"name":"b"}]}"#,
        r#"{"tools":[{"title":"no name"}]}"#,
        r#"{"tools":["a"]}"#,
        r#"{"tools":{"0":{"name":"b"}}}"#,
        r#"{"tools":[{"name":7}]}"#,
    ] {
        let message = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert!(judged(list(Method::ToolsList), 200, &message).is_err(), "{result}");
    }
}

#[test]
fn a_reply_answers_its_own_call_and_no_other() {
    let call = || legacy("tools/call", r#"{"name":"a"}"#);
    let error = |id: &str| format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":-32600,"message":"no"}}}}"#);
    for (status, message, passes) in [
        (200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, true),
        (200, r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, false),
        (200, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#, false),
        (200, &error(""), false),
        (400, &error(""), true),
        (400, &error(r#""id":null,"#), true),
        (400, &error(r#""id":"server-error","#), true),
        (400, &error(r#""id":1,"#), true),
        (400, &error(r#""id":2,"#), false),
        (400, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#, false),
        (404, r#"{"detail":"Not Found"}"#, true),
        (404, r#"{"detail":"Not Found","detail":""}"#, false),
        (200, r#"{"detail":"Not Found"}"#, false),
    ] {
        assert_eq!(judged(call(), status, message).is_ok(), passes, "{status} {message}");
    }
}

#[test]
fn what_was_decided_for_one_caller_is_cached_for_nobody_else() {
    let message = |scope| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"contents":[],"cacheScope":{scope}}}}}"#);
    let read = modern("resources/read", r#""uri":"demo://a","#, "{}");
    assert_eq!(judged(read, 200, &message("\"public\"")), Ok(Some(message("\"private\""))));
    let discover = modern("server/discover", "", "{}");
    assert_eq!(judged(discover, 200, &message("\"public\"")), Ok(Some(message("\"public\""))));
}

#[test]
fn a_server_asks_only_what_its_client_can_answer() {
    let input = |method: &str, params: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"input_required","inputRequests":{{"a":{{"method":"{method}","params":{params}}}}}}}}}"#
        )
    };
    let call = |capabilities| modern("tools/call", r#""name":"a","#, capabilities);
    let url = |url: &str| format!(r#"{{"mode":"url","url":"{url}"}}"#);
    let elicitation = r#"{"elicitation":{}}"#;
    for (capabilities, method, params, passes) in [
        (elicitation, "elicitation/create", "{}".to_owned(), true),
        ("{}", "elicitation/create", "{}".to_owned(), false),
        (elicitation, "sampling/createMessage", "{}".to_owned(), false),
        (r#"{"roots":{}}"#, "roots/list", "{}".to_owned(), true),
        (elicitation, "elicitation/create", url("https://a.test/x"), true),
        (elicitation, "elicitation/create", url("http://localhost:1/x"), true),
        (elicitation, "elicitation/create", url("http://a.test/x"), false),
        (elicitation, "elicitation/create", url("javascript:alert(1)"), false),
    ] {
        let message = input(method, &params);
        assert_eq!(judged(call(capabilities), 200, &message).is_ok(), passes, "{capabilities} {message}");
    }
    let request = r#"{"jsonrpc":"2.0","id":"s","method":"roots/list"}"#;
    assert_eq!(judged(call("{}"), 200, request), Err(Unsound::Asks));
    assert_eq!(judged(legacy("tools/call", r#"{"name":"a"}"#), 200, request), Ok(Some(request.to_owned())));
}

#[test]
fn what_a_server_may_not_ask_is_declined_and_nothing_else_is() {
    let gate = Gate::with("server_may: [roots]\n");
    let call = || legacy("tools/call", r#"{"name":"a"}"#);
    let asks =
        |method: &str, params: &str| format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}","params":{params}}}"#);
    for (method, params, declined) in [
        ("elicitation/create", "{}", Some(Question::Elicitation)),
        ("elicitation/create", r#"{"url":"javascript:alert(1)"}"#, Some(Question::Elicitation)),
        ("sampling/createMessage", r#"{"task":{"ttl":1}}"#, Some(Question::Sampling)),
        ("roots/list", "{}", None),
        ("ping", "{}", None),
        ("tasks/get", "{}", None),
    ] {
        let mut judge = gate.judge("alice", call(), 200);
        let passed = judge.message(asks(method, params).as_bytes()).unwrap().0 == Verdict::Pass;
        let told: Vec<_> = judge.declined().iter().map(|it| (it.id.as_json().to_owned(), it.question)).collect();
        assert_eq!(passed, declined.is_none(), "{method}");
        assert_eq!(told, declined.map(|question| ("\"q\"".to_owned(), question)).into_iter().collect::<Vec<_>>());
    }
    let mut judge = gate.judge("alice", call(), 200);
    let floods = || (0..).map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create"}}"#));
    let most = floods().position(|question| judge.message(question.as_bytes()) == Err(Unsound::Asks));
    assert_eq!(most, Some(64), "nobody asks so much without waiting to be told");
    drop(judge.declined());
    assert!(judge.message(floods().next().unwrap().as_bytes()).is_ok(), "what was told makes room");
}

#[test]
fn an_answer_that_asks_what_the_server_may_not_is_refused() {
    let input = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}}}}"#;
    let url = |address: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32042,"message":"","data":{{"elicitations":[{{"mode":"url","url":"{address}"}}]}}}}}}"#
        )
    };
    let modern = || modern("tools/call", r#""name":"a","#, r#"{"roots":{},"elicitation":{}}"#);
    let legacy = || legacy("tools/call", r#"{"name":"a"}"#);
    let (sound, unsafe_) = (url("https://a.test/x"), url("http://a.test/x"));
    for (may, call, message, refused) in [
        ("server_may: [roots]", modern(), input, None),
        ("server_may: [elicitation]", modern(), input, Some(Unsound::Asks)),
        ("", modern(), input, Some(Unsound::Asks)),
        ("server_may: [roots]", legacy(), input, Some(Unsound::Asks)),
        ("server_may: [elicitation]", legacy(), &sound, None),
        ("server_may: [elicitation]", legacy(), &unsafe_, Some(Unsound::Address)),
        ("server_may: [roots]", legacy(), &sound, Some(Unsound::Asks)),
        ("server_may: [roots]", modern(), &sound, Some(Unsound::Asks)),
    ] {
        assert_eq!(judged_by(&Gate::with(may), call, 200, message).err(), refused, "{may}: {message}");
    }
}

#[test]
fn news_of_a_task_ask_like_its_result() {
    let listen = || modern("subscriptions/listen", r#""notifications":{},"#, "{}");
    let waits = r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t","status":"input_required","inputRequests":{"a":{"method":"roots/list"}}}}"#;
    for (may, told) in [("server_may: [roots]", true), ("server_may: [elicitation]", false)] {
        let passed = judged_by(&Gate::with(may), listen(), 200, waits).unwrap();
        assert_eq!(passed.is_some(), told, "{may}");
    }
}

#[test]
fn an_open_stream_is_judged_by_the_policy_in_force() {
    let (gate, narrower) = (Gate::new(), Gate::with(""));
    let mut judge = gate.judge("alice", Call::without_message(Method::OpenStream), 200);
    let asks = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#);
    assert_eq!(judge.message(asks(1).as_bytes()).unwrap().0, Verdict::Pass);
    let alice = Arc::new(Principal::for_test("alice", &["reader"]));
    let call = Arc::new(Call::without_message(Method::OpenStream));
    let server = ServerName::new("records").unwrap();
    let permit = narrower.policy.permit(&alice, &call, &server, Context::for_test()).unwrap();
    judge.judge_by(&permit, &narrower.policy);
    assert_eq!(judge.message(asks(2).as_bytes()).unwrap().0, Verdict::Drop);
}

#[test]
fn news_reach_those_who_may_see_the_thing() {
    let listen = || modern("subscriptions/listen", r#""notifications":{},"#, "{}");
    let updated =
        |uri| format!(r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#);
    assert_eq!(judged(listen(), 200, &updated("demo://a")), Ok(Some(updated("demo://a"))));
    assert_eq!(judged(listen(), 200, &updated("other://a")), Ok(None));
    let acknowledged = |uris| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"notifications":{{"resourceSubscriptions":[{uris}]}}}}}}"#
        )
    };
    let shown = judged(listen(), 200, &acknowledged(r#""other://a","demo://a""#));
    assert_eq!(shown, Ok(Some(acknowledged(r#""demo://a""#))));
}

#[test]
fn a_task_is_its_principals() {
    let gate = Gate::new();
    let begun = br#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t1","status":"working"}}"#;
    let call = || modern("tools/call", r#""name":"a","#, "{}");
    assert!(gate.judge("alice", call(), 200).message(begun).is_ok());
    assert_eq!(gate.judge("bob", call(), 200).message(begun), Err(Unsound::Task), "it has been given to Alice");
    let tasks = br#"{"jsonrpc":"2.0","id":1,"result":{"tasks":[{"taskId":"t1"},{"taskId":"t2"}]}}"#;
    let shown = |principal: &str| match gate.judge(principal, list(Method::TasksList), 200).message(tasks).unwrap().0 {
        Verdict::Edit(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(shown("alice").ends_with(r#""tasks":[{"taskId":"t1"}]}}"#));
    assert!(shown("bob").ends_with(r#""tasks":[]}}"#));
    let status = br#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t1"}}"#;
    let told = |principal| gate.judge(principal, call(), 200).message(status).unwrap().0;
    assert_eq!((told("alice"), told("bob")), (Verdict::Pass, Verdict::Drop));
}

/// What passes of a stream in pieces of this length.
fn streamed(call: Call, stream: &[u8], cut: usize, most: Most) -> (Vec<u8>, Option<Unsound>) {
    let mut judge = Gate::new().judge("alice", call, 200);
    let mut events = Events::new(most, None, Ids::Kept);
    let mut passed = Vec::new();
    for piece in stream.chunks(cut) {
        let fed = events.feed(&Bytes::copy_from_slice(piece), &mut judge);
        passed.extend_from_slice(&fed.passed);
        if fed.unsound.is_some() {
            return (passed, fed.unsound);
        }
    }
    (passed, None)
}

#[test]
fn a_stream_passes_as_it_came_but_for_what_is_taken_out_however_it_is_cut() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = [
            ": hello",
            "",
            "id: 0",
            "data:",
            "",
            "event: endpoint",
            "data: http://evil.test/",
            "",
            "event: message",
            "id: 1",
            r#"data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"}]}}"#,
            "",
            ": after",
            "",
            "",
        ]
        .join(end);
        let hidden = [r#",{"name":"b"}"#, &format!("event: endpoint{end}data: http://evil.test/{end}{end}")];
        let shown = hidden.iter().fold(stream.clone(), |shown, hidden| shown.replace(hidden, ""));
        for cut in 1..stream.len() {
            let (passed, unsound) = streamed(list(Method::ToolsList), stream.as_bytes(), cut, Most::Held(LARGEST_LIST));
            // A replaced line ends with a line feed, whatever it ended with before.
            let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(lines(std::str::from_utf8(&passed).unwrap()), lines(&shown), "in pieces of {cut}");
            assert_eq!(unsound, None);
        }
    }
}

#[test]
fn what_comes_before_a_wrong_message_passes_and_nothing_behind_it() {
    let word = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n";
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    for (wrong, why) in [
        ("data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n".to_owned(), Unsound::WrongId),
        (format!("{answer}{answer}"), Unsound::SecondAnswer),
    ] {
        let stream = format!("{word}{wrong}{word}");
        let expected = if why == Unsound::SecondAnswer { format!("{word}{answer}") } else { word.to_owned() };
        for cut in 1..stream.len() {
            let call = legacy("tools/call", r#"{"name":"a"}"#);
            let (passed, unsound) = streamed(call, stream.as_bytes(), cut, Most::Followed(HELD));
            assert_eq!(
                (String::from_utf8(passed).unwrap(), unsound),
                (expected.clone(), Some(why.clone())),
                "in pieces of {cut}"
            );
        }
    }
}

#[test]
fn a_long_event_passes_while_it_comes_and_ends_only_if_it_is_sound() {
    let text = "x".repeat(500);
    let event = |id, extra| {
        format!(
            "event: message\nid: 7\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"text\":\"{text}\"}}}}\n{extra}\n"
        )
    };
    for cut in [1, 7, 64, 100, 600] {
        let feed = |stream: &str| {
            let call = legacy("tools/call", r#"{"name":"a"}"#);
            let (passed, unsound) = streamed(call, stream.as_bytes(), cut, Most::Followed(100));
            (String::from_utf8(passed).unwrap(), unsound)
        };
        let sound = event(1, "retry: 5\n");
        assert_eq!(feed(&sound), (sound.clone(), None), "in pieces of {cut}");
        for wrong in [event(2, ""), event(1, "data: more\n")] {
            let (passed, unsound) = feed(&wrong);
            assert!(unsound.is_some() && !passed.ends_with("\n\n"), "in pieces of {cut}: {wrong}");
        }
    }
    let (passed, unsound) = streamed(list(Method::ToolsList), event(1, "").as_bytes(), 64, Most::Held(100));
    assert_eq!((passed.as_slice(), unsound), (&b""[..], Some(Unsound::TooLong(100))));
}
