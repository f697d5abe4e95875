//! Decisions, case by case: who asks what, and which rule answers.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use futures_util::FutureExt;
use http::HeaderMap;

use super::{
    Context, Decision, Effect, Most, PolicyFile, PolicySet, Query, RolesElsewhere, Shown, ToolLock, compile, pins,
};
use crate::diagnostic::SourceFile;
use crate::identity::{self, Known, Presented, Principal, PrincipalsFile, WithoutRole};
use crate::mcp::{Definition, Method, Question, Questions, ServerName, Target};

const POLICY: &str = r#"server: records
roles:
  reader:
    tools: [search_records, "get_*"]
  operator:
    inherits: [reader]
    tools: [get_pool_status, "*_pool"]
    prompts: ["*"]
    resources: ["demo://*", "file:///motd"]
    methods: [logging/setLevel]
  auditor: { inherits: [operator], methods: ["*"] }
  odd: { tools: ["delete everything"] }
  anonymous: { tools: [get_time] }
tools:
  search_records: { timeout: 1s, limits: [{ calls: 60, every: 1m, per: principal }, { in_flight: 8, per: tool }] }
  "*": { timeout: 2s }
"#;

fn policies(texts: &[&str]) -> PolicySet {
    let read = |(n, text): (usize, &&str)| {
        PolicyFile::new(SourceFile::new(&format!("p/{n}.yaml"), text), serde_yaml::from_str(text).unwrap())
    };
    let files: Vec<_> = texts.iter().enumerate().map(read).collect();
    compile(&files, &[server("records")], RolesElsewhere::None, Arc::from("0123456789ab")).unwrap().policy
}

fn server(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

fn anonymous() -> Arc<Principal> {
    let file = SourceFile::new("p/principals.yaml", "");
    let file = PrincipalsFile::new(file, serde_yaml::from_str("anonymous: true\n").unwrap());
    let known = Known { roles: None, without_role: WithoutRole::Nothing, now: UNIX_EPOCH };
    let gate = identity::compile("p", &[file], &known).unwrap().authenticators;
    gate.identify(Presented { headers: &HeaderMap::new(), certificate: None }).now_or_never().unwrap().unwrap()
}

fn ask(policy: &PolicySet, principal: &Principal, method: Method, target: Target<'_>) -> Decision {
    policy.decide(&Query { principal, server: &server("records"), method, target, context: Context::for_test() })
}

/// `yes` or why not, and the rule.
fn said(decision: &Decision) -> String {
    match decision.effect {
        Effect::Allow => format!("yes {}", decision.rule),
        Effect::Deny(reason) => format!("{reason:?} {}", decision.rule),
    }
}

fn tools(policy: &PolicySet, principal: &Principal, names: &[&str]) -> String {
    let answer =
        |name: &&str| format!("{name:?}: {}", said(&ask(policy, principal, Method::ToolsCall, Target::Tool(name))));
    names.iter().map(answer).collect::<Vec<_>>().join("\n")
}

#[test]
fn tools_are_refused_unless_a_role_grants_them() {
    let policy = policies(&[POLICY]);
    let names = [
        "search_records",
        "Search_records",
        "search_records ",
        "search_record",
        "get_",
        "get_x",
        "xget_x",
        "delete_record",
        "",
        "get_\u{200b}",
        "get_x y",
        "get_ä",
        "delete everything",
        "drain_pool",
        "_pool",
        "pool",
    ];
    insta::assert_snapshot!(tools(&policy, &Principal::for_test("a", &["reader"]), &names));
    insta::assert_snapshot!(tools(&policy, &Principal::for_test("a", &["operator"]), &names));
    insta::assert_snapshot!(tools(&policy, &Principal::for_test("a", &["odd"]), &names));
    for nobody in [Principal::for_test("a", &[]), Principal::for_test("a", &["writer", "Reader", "*"])] {
        for name in names {
            let decision = ask(&policy, &nobody, Method::ToolsCall, Target::Tool(name));
            assert!(decision.effect != Effect::Allow && decision.rule.path() == "default", "{name}");
        }
    }
}

#[test]
fn a_name_that_is_spelt_out_counts_before_a_pattern_of_the_same_role() {
    let policy = policies(&["roles: { reader: { tools: ['get_*', get_x] } }\n"]);
    let decision = ask(&policy, &Principal::for_test("a", &["reader"]), Method::ToolsCall, Target::Tool("get_x"));
    assert_eq!(said(&decision), "yes p/0.yaml:1 roles.reader.tools");
}

#[test]
fn what_stands_before_a_star_and_after_it_are_two_parts_of_a_name() {
    let policy = policies(&["deny: { tools: ['x_*_x'] }\nroles: { reader: { tools: ['get_*_get', 'x*'] } }\n"]);
    let reader = Principal::for_test("a", &["reader"]);
    for (name, allowed) in [("get__get", true), ("get_get", false), ("x_x", true), ("x__x", false)] {
        let decision = ask(&policy, &reader, Method::ToolsCall, Target::Tool(name));
        assert_eq!(decision.effect == Effect::Allow, allowed, "{name}");
    }
}

#[test]
fn methods() {
    let policy = policies(&[POLICY]);
    let every = [
        (Method::Initialize, Target::None),
        (Method::Ping, Target::None),
        (Method::ServerDiscover, Target::None),
        (Method::ToolsList, Target::None),
        (Method::Cancelled, Target::None),
        (Method::Answer, Target::None),
        (Method::OpenStream, Target::None),
        (Method::EndSession, Target::None),
        (Method::ToolsCall, Target::None),
        (Method::PromptsList, Target::None),
        (Method::PromptsGet, Target::Prompt("any")),
        (Method::ResourcesList, Target::None),
        (Method::ResourcesTemplatesList, Target::None),
        (Method::ResourcesRead, Target::Resource("demo://a")),
        (Method::ResourcesRead, Target::Resource("DEMO://a")),
        (Method::ResourcesRead, Target::Resource("file:///motd")),
        (Method::ResourcesRead, Target::Resource("file:///motd/../etc/passwd")),
        (Method::ResourcesSubscribe, Target::Resource("demo://a")),
        (Method::CompletionComplete, Target::Prompt("any")),
        (Method::CompletionComplete, Target::Resource("demo://{id}")),
        (Method::CompletionComplete, Target::None),
        (Method::LoggingSetLevel, Target::None),
        (Method::SubscriptionsListen, Target::None),
        (Method::TasksGet, Target::Task("t")),
        (Method::Other, Target::None),
    ];
    let table = |principal: &Principal| {
        let answer = |(method, target): &(Method, Target<'_>)| {
            let name = target.name().map(|name| format!(" {name}")).unwrap_or_default();
            format!("{}{name}: {}", method.name(), said(&ask(&policy, principal, *method, *target)))
        };
        every.iter().map(answer).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(table(&Principal::for_test("a", &["reader"])));
    insta::assert_snapshot!(table(&Principal::for_test("a", &["operator"])));
    insta::assert_snapshot!(table(&Principal::for_test("a", &["auditor"])));
}

#[test]
fn a_list_of_which_everything_is_denied_is_open_to_nobody() {
    let reader = Principal::for_test("a", &["reader"]);
    let lists = |denials: [&str; 2]| {
        let [role, all] = denials;
        let policy = format!("{all}roles: {{ reader: {{ resources: ['r://*', 's://1']{role} }} }}\n");
        ask(&policies(&[&policy]), &reader, Method::ResourcesList, Target::None).effect == Effect::Allow
    };
    assert!(lists(["", ""]));
    assert!(lists(["", "deny: { resources: ['r://*'] }\n"]));
    assert!(lists([", mode: shadow, deny: { resources: ['*'] }", ""]));
    assert!(!lists(["", "deny: { resources: ['*'] }\n"]));
    assert!(!lists([", deny: { resources: ['*'] }", ""]));
    assert!(!lists([", deny: { resources: ['r://*'] }", "deny: { resources: ['s://1'] }\n"]));
}

#[test]
fn allowed_tools_are_for_whoever_showed_a_key() {
    let policy = policies(&["allowed_tools: [a]\n", "roles: { anonymous: { tools: [b] } }\n"]);
    let alice = Principal::for_test("alice", &[]);
    assert_eq!(tools(&policy, &alice, &["a", "b"]), "\"a\": yes p/0.yaml:1 allowed_tools\n\"b\": NotGranted default");
    assert_eq!(
        tools(&policy, &anonymous(), &["a", "b"]),
        "\"a\": NotGranted default\n\"b\": yes p/1.yaml:1 roles.anonymous.tools"
    );
}

#[test]
fn another_server_is_another_policy() {
    let policy = policies(&[POLICY]);
    let principal = Principal::for_test("a", &["reader"]);
    for method in [Method::Initialize, Method::ToolsCall] {
        let query = Query {
            principal: &principal,
            server: &server("other"),
            method,
            target: Target::Tool("search_records"),
            context: Context::for_test(),
        };
        assert!(policy.decide(&query).effect != Effect::Allow);
    }
}

#[test]
fn settings_are_the_tools_own_or_those_of_all_others() {
    let policy = policies(&[POLICY]);
    let search = policy.tool_rules(&server("records"), "search_records");
    assert_eq!(search.timeout.as_secs(), 1);
    assert!(
        matches!(search.limits[0].limit.most, Most::Rate(rate) if rate.amount.get() == 60 && rate.every.as_secs() == 60)
    );
    assert!(matches!(search.limits[1].limit.most, Most::InFlight(n) if n.get() == 8));
    assert_eq!(search.limits[1].rule.to_string(), "p/0.yaml:15 tools.search_records.limits");
    assert_eq!(policy.tool_rules(&server("records"), "get_x").timeout.as_secs(), 2);
    assert_eq!(policies(&["allowed_tools: [a]\n"]).tool_rules(&server("records"), "a").timeout.as_secs(), 5);
}

#[test]
fn only_names_that_are_spelt_out_may_be_labels() {
    let policy = policies(&[POLICY]);
    for (tool, named) in
        [("search_records", true), ("get_pool_status", true), ("get_x", false), ("delete_record", false)]
    {
        assert_eq!(policy.names_tool(&server("records"), tool), named, "{tool}");
    }
}

#[test]
fn a_server_may_ask_what_its_files_say_together_and_nothing_by_default() {
    let may = |texts: &[&str]| policies(texts).server_may(&server("records"));
    assert_eq!(may(&[POLICY]), Questions::default());
    let files = [POLICY, "server_may: [elicitation]\n", "server_may: [roots, elicitation]\n"];
    assert_eq!(may(&files), [Question::Elicitation, Question::Roots].into_iter().collect());
    assert_eq!(policies(&files).server_may(&server("another")), Questions::default());
}

#[test]
fn in_shadow_a_server_may_ask_anything_and_what_it_may_not_is_known() {
    let asks = |texts: &[&str]| {
        let policy = policies(texts);
        (policy.server_may(&server("records")), policy.server_may_in_shadow(&server("records")))
    };
    let all: Questions = Question::ALL.into_iter().collect();
    let others: Questions = [Question::Sampling, Question::Roots].into_iter().collect();
    let shadow = "mode: shadow\nserver_may: [elicitation]\n";
    assert_eq!(asks(&[shadow]), (all, others));
    assert_eq!(asks(&[shadow, POLICY]), (Question::Elicitation.into(), Questions::default()), "one file enforces");
}

const DENIED: &str = r#"deny: { tools: ["purge_*"], prompts: [secret] }
roles:
  reader: { tools: ["*"], prompts: ["*"] }
  careful: { inherits: [reader], deny: { tools: [delete_record, "drop *"], resources: ["*"] } }
  anonymous: { resources: ["*"] }
"#;

#[test]
fn what_is_denied_is_refused_whatever_grants_it() {
    let policy = policies(&[DENIED]);
    let names = ["get_x", "delete_record", "purge_all", "drop it"];
    insta::assert_snapshot!(tools(&policy, &Principal::for_test("a", &["reader"]), &names));
    for roles in [["careful", "reader"], ["reader", "careful"]] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(tools(&policy, &Principal::for_test("a", &roles), &names), @r#"
            "get_x": yes p/0.yaml:3 roles.reader.tools
            "delete_record": Denied p/0.yaml:4 roles.careful.deny.tools
            "purge_all": Denied p/0.yaml:1 deny.tools
            "drop it": Denied p/0.yaml:4 roles.careful.deny.tools
            "#);
        }
    }
    let careful = Principal::for_test("a", &["careful", "anonymous"]);
    let secret = ask(&policy, &careful, Method::PromptsGet, Target::Prompt("secret"));
    assert_eq!(said(&secret), "Denied p/0.yaml:1 deny.prompts");
    let resource = ask(&policy, &careful, Method::ResourcesRead, Target::Resource("a://b"));
    assert_eq!(said(&resource), "Denied p/0.yaml:4 roles.careful.deny.resources");
}

#[test]
fn a_role_is_restricted_like_every_role_that_brings_it() {
    let hours = "when: [{ until: 1970-01-02 }]";
    let nets = "networks: [10.0.0.0/8]";
    let policy = policies(&[&format!(
        "roles:\n  base: {{ tools: [a] }}\n  now: {{ inherits: [base], {hours} }}\n  here: {{ inherits: [now], {nets} }}\n  \
         elsewhere: {{ inherits: [base], {nets} }}\n"
    )]);
    for (roles, expected) in [
        (&["base"][..], "yes p/0.yaml:2 roles.base.tools"),
        (&["now"], "yes p/0.yaml:2 roles.base.tools"),
        (&["here"], "OutsideNetworks p/0.yaml:4 roles.here.networks"),
        (&["elsewhere"], "OutsideNetworks p/0.yaml:5 roles.elsewhere.networks"),
        (&["elsewhere", "now"], "yes p/0.yaml:2 roles.base.tools"),
    ] {
        let decision = ask(&policy, &Principal::for_test("a", roles), Method::ToolsCall, Target::Tool("a"));
        assert_eq!(said(&decision), expected, "{roles:?}");
    }
}

/// The answer, and what would have been said without the shadow.
fn tried(policy: &PolicySet, roles: &[&str], tool: &str) -> String {
    let decision = ask(policy, &Principal::for_test("a", roles), Method::ToolsCall, Target::Tool(tool));
    let would = decision.would_deny.as_ref().map(|no| format!(", would be {:?} {}", no.reason, no.rule));
    format!("{}{}", said(&decision), would.unwrap_or_default())
}

#[test]
fn what_is_tried_out_is_recorded_and_refuses_nothing() {
    let whole = policies(&["mode: shadow\nroles: { reader: { tools: [a], deny: { tools: [c] } } }\n"]);
    assert_eq!(tried(&whole, &["reader"], "a"), "yes p/0.yaml:2 roles.reader.tools");
    assert_eq!(tried(&whole, &["reader"], "b"), "yes p/0.yaml:1 mode, would be NotGranted p/0.yaml:1 mode");
    assert_eq!(
        tried(&whole, &["reader"], "c"),
        "yes p/0.yaml:1 mode, would be Denied p/0.yaml:2 roles.reader.deny.tools"
    );
    assert_eq!(tried(&whole, &[], "b c"), "yes p/0.yaml:1 mode, would be IllFormedName p/0.yaml:1 mode");
    // One file that enforces is enough for what no rule grants.
    let mixed = policies(&["mode: shadow\ndeny: { tools: [a] }\n", "roles: { reader: { tools: [a] } }\n"]);
    assert_eq!(
        tried(&mixed, &["reader"], "a"),
        "yes p/1.yaml:1 roles.reader.tools, would be Denied p/0.yaml:2 deny.tools"
    );
    assert_eq!(tried(&mixed, &["reader"], "b"), "NotGranted default");
    let role = policies(&[
        "roles: { reader: { mode: shadow, tools: [a, b], deny: { tools: [b] }, networks: [10.0.0.0/8] } }\n",
    ]);
    assert_eq!(
        tried(&role, &["reader"], "a"),
        "yes p/0.yaml:1 roles.reader.tools, would be OutsideNetworks p/0.yaml:1 roles.reader.networks"
    );
    assert_eq!(
        tried(&role, &["reader"], "b"),
        "yes p/0.yaml:1 roles.reader.tools, would be Denied p/0.yaml:1 roles.reader.deny.tools"
    );
    assert_eq!(tried(&role, &["reader"], "c"), "NotGranted default");
    let tool = policies(&[
        "roles: { reader: { tools: [a] } }\ntools: { a: { mode: shadow, arguments: { required: [b], properties: { b: { claim: c } } } } }\n",
    ]);
    assert_eq!(
        tried(&tool, &["reader"], "a"),
        "yes p/0.yaml:1 roles.reader.tools, would be NotGranted p/0.yaml:2 tools.a.arguments"
    );
}

#[test]
fn a_decision_is_explained_by_all_that_it_looked_at() {
    let policy = policies(&[DENIED]);
    let explained = |roles: &[&str], tool: &str| {
        let principal = Principal::for_test("a", roles);
        let (method, target, context) = (Method::ToolsCall, Target::Tool(tool), Context::for_test());
        let query = Query { principal: &principal, server: &server("records"), method, target, context };
        let (decision, findings) = policy.explain(&query);
        assert_eq!(decision, policy.decide(&query));
        let findings: Vec<_> = findings.iter().map(|it| format!("{:?} {}", it.look, it.rule)).collect();
        findings.join("\n")
    };
    insta::assert_snapshot!(explained(&["anonymous", "reader"], "get_x"));
    insta::assert_snapshot!(explained(&["careful"], "purge_all"));
    insta::assert_snapshot!(explained(&[], "get_x"));
}

#[test]
fn what_is_granted_is_what_was_pinned_or_it_is_not_there() {
    let definition = |text: &str| Definition::read(text.as_bytes()).unwrap();
    let pinned = definition(r#"{"name":"get_x","description":"Gets x."}"#);
    let changed = definition(r#"{"name":"get_x","description":"Gets x and y."}"#);
    let mut lock = ToolLock::default();
    lock.pin("records", [pinned.clone(), definition(r#"{"name":"delete_record"}"#)]);
    let lock = ToolLock::read("p/tools.lock", lock.to_text().as_bytes()).unwrap();
    for (pinning, refused) in [("", true), ("pinning: enforce\n", true), ("pinning: warn\n", false)] {
        let text = format!("{POLICY}{pinning}");
        let file = PolicyFile::new(SourceFile::new("p/0.yaml", &text), serde_yaml::from_str(&text).unwrap());
        let mut policy = policies(&[&text]);
        policy.pin(pins(&[file], &[server("records")], Some(&lock)).unwrap());
        let reader = Principal::for_test("a", &["reader"]);
        let told = |tool: &str, shown: Shown| {
            let server = server("records");
            let query = Query {
                principal: &reader,
                server: &server,
                method: Method::ToolsCall,
                target: Target::Tool(tool),
                context: Context::for_test().showing(shown),
            };
            said(&policy.decide(&query))
        };
        let yes = "yes p/0.yaml:4 roles.reader.tools".to_owned();
        let no = |told: &str| if refused { told.to_owned() } else { yes.clone() };
        assert_eq!(told("get_x", Shown::NotYet), yes);
        assert_eq!(told("get_x", Shown::As(pinned.fingerprint())), yes);
        let rule = "p/tools.lock:10 servers.records.get_x";
        assert_eq!(told("get_x", Shown::As(changed.fingerprint())), no(&format!("PinChanged {rule}")));
        assert_eq!(told("get_y", Shown::NotYet), no("PinMissing p/tools.lock:3 servers.records"));
        assert_eq!(told("get_x", Shown::Hiding('\u{202e}')), "HiddenCharacter default", "pinned or not");
        assert_eq!(told("delete_record", Shown::NotYet), "NotGranted default", "a pin grants nothing");
    }
}
