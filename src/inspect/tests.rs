//! Lists are cut down to what the caller may use; every other byte passes.

use std::sync::Arc;

use super::HeldEvents;
use super::catalog::CatalogFilter;
use crate::identity::Principal;
use crate::mcp::{Method, ServerName};
use crate::policy::PolicySet;

fn filter(method: Method) -> CatalogFilter {
    let policy = "server: records\nroles:\n  reader: { tools: [a, c], prompts: [p], resources: ['demo://*'] }\n";
    let policy = Arc::new(PolicySet::for_test(policy));
    let principal = Arc::new(Principal::for_test("alice", &["reader"]));
    CatalogFilter::of(method, &policy, &principal, &ServerName::new("records").unwrap()).unwrap()
}

fn filtered(method: Method, message: &str) -> Option<String> {
    let filtered = filter(method).apply(message.as_bytes());
    filtered.ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_list_loses_what_the_caller_may_not_use_and_keeps_every_other_byte() {
    for (method, list, shown) in [
        (
            Method::ToolsList,
            r#"{"id":1,"result":{ "nextCursor":"", "tools":[ {"name":"a","n":1.10} , {"name":"b"}, {"x":"é","name":"\u0063"} ] }}"#,
            r#"{"id":1,"result":{ "nextCursor":"", "tools":[ {"name":"a","n":1.10},{"x":"é","name":"\u0063"} ] }}"#,
        ),
        (
            Method::ToolsList,
            r#"{"result":{"tools":[{"name":"b"}],"nextCursor":"x","cacheScope":"public"}}"#,
            r#"{"result":{"tools":[],"nextCursor":"x","cacheScope":"private"}}"#,
        ),
        (Method::ToolsList, r#"{"result":{"tools":[]}}"#, r#"{"result":{"tools":[]}}"#),
        (Method::ToolsList, r#"{"error":{"code":-1,"message":"no"}}"#, r#"{"error":{"code":-1,"message":"no"}}"#),
        (
            Method::PromptsList,
            r#"{"result":{"prompts":[{"name":"p"},{"name":"q"}]}}"#,
            r#"{"result":{"prompts":[{"name":"p"}]}}"#,
        ),
        (
            Method::ResourcesList,
            r#"{"result":{"resources":[{"uri":"file:///x"},{"uri":"demo://x"}]}}"#,
            r#"{"result":{"resources":[{"uri":"demo://x"}]}}"#,
        ),
        (
            Method::ResourcesTemplatesList,
            r#"{"result":{"resourceTemplates":[{"uriTemplate":"demo://{id}"},{"uriTemplate":"other://{id}"}]}}"#,
            r#"{"result":{"resourceTemplates":[{"uriTemplate":"demo://{id}"}]}}"#,
        ),
    ] {
        assert_eq!(filtered(method, list).as_deref(), Some(shown));
    }
}

#[test]
fn a_list_with_another_reading_does_not_pass_at_all() {
    for list in [
        "",
        "not json",
        r#"{"result":{"tools":[{"name":"a","name":"b"}]}}"#,
        r#"{"result":{"tools":[{"title":"no name"}]}}"#,
        r#"{"result":{"tools":["a"]}}"#,
        r#"{"result":{"tools":{"0":{"name":"b"}}}}"#,
        r#"{"result":{"tools":[{"name":7}]}}"#,
    ] {
        assert_eq!(filtered(Method::ToolsList, list), None, "{list}");
    }
}

#[test]
fn a_list_in_a_stream_is_filtered_event_by_event_however_it_is_cut() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = [
            ": hello",
            "",
            "id: 0",
            "data:",
            "",
            "event: message",
            "id: 1",
            r#"data: {"result":{"tools":[{"name":"a"},{"name":"b"}]}}"#,
            "",
            "",
        ]
        .join(end);
        let shown = stream.replace(r#",{"name":"b"}"#, "");
        for cut in 1..stream.len() {
            let (filter, mut events) = (filter(Method::ToolsList), HeldEvents::default());
            let pieces = stream.as_bytes().chunks(cut);
            let passed: Vec<u8> = pieces.flat_map(|piece| events.feed(piece, &filter).unwrap()).collect();
            let passed = String::from_utf8(passed).unwrap();
            // A replaced line ends with a line feed, whatever it ended with before.
            assert_eq!(
                passed.replace("\r\n", "\n").replace('\r', "\n"),
                shown.replace(end, "\n"),
                "in pieces of {cut}"
            );
        }
    }
}
