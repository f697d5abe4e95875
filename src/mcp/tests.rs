//! What a client's bytes mean, or why they mean nothing.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{Call, CallError, Era, Method, Mismatch, Problem, Question, Questions, Target, agree, read};
use crate::json::Bounds;
use crate::jsonrpc::RequestId;

fn call(text: &str) -> Result<Call, CallError> {
    read(&Bytes::copy_from_slice(text.as_bytes()), &Bounds::default())
}

#[test]
fn one_pass_finds_method_id_target_arguments_and_meta() {
    let text = r#"{"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","traceparent":"00-a"},
        "arguments":{"name":"other","n":1.10},"name":"\u0073earch"},"id":"a-1","method":"tools\/call","jsonrpc":"2.0"}"#;
    let call = call(text).unwrap();
    assert_eq!(call.method(), Method::ToolsCall);
    assert_eq!(call.id().unwrap().as_json(), "\"a-1\"");
    assert_eq!(call.target(), Target::Tool("search"));
    assert_eq!(call.arguments().unwrap(), r#"{"name":"other","n":1.10}"#);
    assert_eq!(call.era(), Era::Modern);
    assert_eq!(call.traceparent(), Some("00-a"));
    assert_eq!(call.body(), text.as_bytes(), "what was checked is what is carried");
}

#[test]
fn each_method_is_about_its_own_thing() {
    for (method, params, target) in [
        ("tools/call", r#"{"name":"t"}"#, Target::Tool("t")),
        ("prompts/get", r#"{"name":"p"}"#, Target::Prompt("p")),
        ("resources/read", r#"{"uri":"demo://r"}"#, Target::Resource("demo://r")),
        ("resources/subscribe", r#"{"uri":"demo://r"}"#, Target::Resource("demo://r")),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, Target::Prompt("p")),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"demo://{id}"}}"#,
            Target::Resource("demo://{id}"),
        ),
        ("tasks/get", r#"{"taskId":"7"}"#, Target::Task("7")),
        ("tools/list", r#"{"name":"t"}"#, Target::None),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        assert_eq!(call(&text).unwrap().target(), target, "{method}");
    }
}

#[test]
fn what_is_no_message_is_refused_and_its_id_is_told_only_if_it_has_one_reading() {
    for (text, problem, id) in [
        ("[]", Problem::Batch, None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Problem::Batch, None),
        ("7", Problem::NotAnObject, None),
        (r#"{"id":1,"method":"ping"}"#, Problem::JsonRpc, Some("1")),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Problem::JsonRpc, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1}"#, Problem::Method, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Problem::Method, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, Problem::Id, None),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Problem::Id, None),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}"#, Problem::RequestWithoutId, None),
        (r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#, Problem::NotificationWithId, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, Problem::RequestAndResponse, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, Problem::RequestAndResponse, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, Problem::Params, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":[]}}"#, Problem::Meta, Some("1")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":null}}"#,
            Problem::Arguments,
            Some("1"),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, Problem::Target, Some("1")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":{"$ne":null}}}"#,
            Problem::Target,
            Some("1"),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":" t"}}"#, Problem::Name, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t\u202e"}}"#, Problem::Name, Some("1")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"name":"a","uri":"b"}}}"#,
            Problem::Target,
            Some("1"),
        ),
    ] {
        let error = call(text).unwrap_err();
        assert_eq!((error.problem, error.id.as_ref().map(RequestId::as_json)), (problem, id), "{text}");
    }
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
    ] {
        let error = call(text).unwrap_err();
        assert!(matches!(error.problem, Problem::Json(_)) && error.id.is_none(), "{text}");
    }
}

#[test]
fn answers_of_the_client_are_calls_too() {
    for text in
        [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":"s","error":{"code":-1,"message":"no"}}"#]
    {
        assert_eq!(call(text).unwrap().method(), Method::Answer);
    }
}

/// What is carried of it if the server may ask this.
fn offering(text: &str, may: &[Question]) -> Option<String> {
    let less = call(text).unwrap().offering(may.iter().copied().collect())?;
    Some(String::from_utf8(less.body().to_vec()).unwrap())
}

#[test]
fn what_a_server_may_not_ask_is_not_offered_to_it_and_every_other_byte_stays() {
    use Question::{Elicitation, Roots, Sampling};
    let initialize = |capabilities: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"capabilities":{capabilities},"x":1.10}}}}"#
        )
    };
    let call = |capabilities: &str| {
        format!(
            r#"{{"method":"tools/call","id":1,"params":{{"_meta":{{"io.modelcontextprotocol/clientCapabilities":{capabilities},"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},"name":"t","arguments":{{"capabilities":{{"roots":{{}}}}}}}},"jsonrpc":"2.0"}}"#
        )
    };
    for (may, declared, left) in [
        (&[][..], r#"{"roots":{"listChanged":true},"sampling":{},"elicitation":{}}"#, "{}"),
        (&[Roots], r#"{"roots":{} , "sampling":{}, "elicitation":{"form":{}}}"#, r#"{"roots":{} }"#),
        (&[Sampling], r#"{"roots":{},"sampling":{},"elicitation":{}}"#, r#"{"sampling":{}}"#),
        (&[Roots, Sampling], r#"{"x":0,"elicit\u0061tion":{},"roots":{}}"#, r#"{"x":0,"roots":{}}"#),
        (&[Roots], r#"{"elicitation":true,"sampling":null}"#, "{}"),
        (
            &[Sampling],
            r#"{"tasks":{"list":{},"requests":{"elicitation":{"create":{}},"sampling":{"createMessage":{}}}}}"#,
            r#"{"tasks":{"list":{},"requests":{"sampling":{"createMessage":{}}}}}"#,
        ),
        (&[], r#"{"experimental":{"roots":{}},"Roots":{}}"#, r#"{"experimental":{"roots":{}},"Roots":{}}"#),
        (&[Elicitation, Sampling, Roots], r#"{ "elicitation":{} }"#, r#"{ "elicitation":{} }"#),
        (&[], "[{\"roots\":{}}]", "[{\"roots\":{}}]"),
    ] {
        for (text, left) in [(initialize(declared), initialize(left)), (call(declared), call(left))] {
            assert_eq!(offering(&text, may), (text != left).then_some(left), "{text}");
        }
    }
    let elsewhere = call("{}").replace("tools/call", "tools/list").replace("arguments", "capabilities");
    assert_eq!(offering(&elsewhere, &[]), None, "only initialize says so in its params");
}

#[test]
fn what_is_left_of_a_call_reads_as_the_same_call() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":
        {"roots":{},"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}},"io.modelcontextprotocol/protocolVersion":"2026-07-28"},
        "name":"t","arguments":{"n":1.10}}}"#;
    let less = call(text).unwrap().offering(Question::Roots.into()).unwrap();
    let again = read(less.body(), &Bounds::default()).unwrap();
    for call in [&less, &again] {
        assert_eq!(call.arguments().unwrap(), r#"{"n":1.10}"#);
        assert_eq!((call.target(), call.era()), (Target::Tool("t"), Era::Modern));
        assert_eq!((call.declared().asks(), call.declared().has_tasks()), (Question::Roots.into(), true));
    }
    let none = less.offering(Questions::default()).unwrap();
    assert_eq!(none.arguments().unwrap(), r#"{"n":1.10}"#);
    assert_eq!(none.declared().asks(), Questions::default());
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"VERSION"}"#;

#[test]
fn what_a_revision_has_done_away_with_is_no_method_of_it() {
    for (method, era) in [
        ("initialize", Era::Legacy),
        ("ping", Era::Legacy),
        ("logging/setLevel", Era::Legacy),
        ("resources/subscribe", Era::Legacy),
        ("resources/unsubscribe", Era::Legacy),
        ("tasks/list", Era::Legacy),
        ("tasks/result", Era::Legacy),
        ("tasks/get", Era::Modern),
        ("server/discover", Era::Modern),
    ] {
        let params =
            |version: &str| format!(r#"{{"uri":"demo://r","taskId":"t",{}}}"#, META.replace("VERSION", version));
        let text = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let modern = call(&text(&params("2026-07-28"))).unwrap();
        let expected = if era == Era::Modern { Method::named(method) } else { Method::Other };
        assert_eq!((modern.method(), modern.method_name()), (expected, method));
        assert_eq!(call(&text(&params("2025-11-25"))).unwrap().method(), Method::named(method));
    }
    let bare = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{{{}}}}}"#,
        META.replace("VERSION", "2026-07-28")
    );
    assert_eq!(call(&bare).unwrap().target(), Target::None, "its params are not looked at");
}

#[test]
fn headers_must_say_what_the_body_says() {
    let modern = META.replace("VERSION", "2026-07-28");
    let future = META.replace("VERSION", "2099-01-01");
    let all = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "t")];
    let without = |name: &str| all.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| [without(name), vec![(name, value)]].concat();
    let version = "MCP-Protocol-Version";
    for (meta, headers, expected) in [
        (modern.as_str(), all.to_vec(), Ok(())),
        (&modern, with("mcp-name", "=?base64?dA==?="), Ok(())),
        (&modern, with("mcp-name", "u"), Err(Mismatch::Header("Mcp-Name"))),
        (&modern, with("mcp-name", "T"), Err(Mismatch::Header("Mcp-Name"))),
        (&modern, with("mcp-name", "=?base64?dA?="), Err(Mismatch::Header("Mcp-Name"))),
        (&modern, without("mcp-name"), Err(Mismatch::Header("Mcp-Name"))),
        (&modern, with("mcp-method", "TOOLS/CALL"), Err(Mismatch::Header("Mcp-Method"))),
        (&modern, without("mcp-method"), Err(Mismatch::Header("Mcp-Method"))),
        (&modern, without("mcp-protocol-version"), Err(Mismatch::Header(version))),
        (&modern, with("mcp-protocol-version", "2025-11-25"), Err(Mismatch::Header(version))),
        (r#""x":1"#, all.to_vec(), Err(Mismatch::NoEnvelope)),
        (&future, with("mcp-protocol-version", "2099-01-01"), Err(Mismatch::UnknownVersion("2099-01-01".to_owned()))),
        (r#""x":1"#, vec![], Ok(())),
        (r#""x":1"#, vec![("mcp-protocol-version", "2025-11-25")], Ok(())),
        (r#""x":1"#, vec![("mcp-protocol-version", "1999-01-01")], Err(Mismatch::BadVersion)),
        (r#""x":1"#, vec![("mcp-name", "other")], Err(Mismatch::Header("Mcp-Name"))),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t",{meta}}}}}"#);
        let headers: HeaderMap = headers
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(agree(&headers, &call(&text).unwrap()), expected, "{headers:?}");
    }
}

#[test]
fn a_notification_needs_no_mirrors_but_they_must_not_lie() {
    let meta = META.replace("VERSION", "2026-07-28");
    let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":1,{meta}}}}}"#);
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
    assert_eq!(agree(&headers, &call(&text).unwrap()), Ok(()));
    headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
    assert_eq!(agree(&headers, &call(&text).unwrap()), Err(Mismatch::Header("Mcp-Method")));
}

proptest! {
    #[test]
    fn whoever_reads_an_accepted_call_reads_the_same_method_and_name(
        members in proptest::collection::vec(("(jsonrpc|id|method|params|x|Method)", "(\"2.0\"|1|\"tools/call\"|\"ping\"|\\{\"name\":\"a\"\\}|\\{\"name\":\"b\",\"name\":\"a\"\\}|\\{\"n\\\\u0061me\":\"c\"\\})"), 2..6)
    ) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text = format!("{{{}}}", members.join(","));
        if let Ok(call) = call(&text) {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            if call.method() != Method::Answer {
                prop_assert_eq!(call.method_name(), value["method"].as_str().unwrap());
            }
            if let Target::Tool(name) = call.target() {
                prop_assert_eq!(Some(name), value["params"]["name"].as_str());
            }
        }
    }
}
