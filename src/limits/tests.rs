//! What several limits together let through.

use bytes::Bytes;

use super::*;
use crate::identity::Principal;
use crate::json::Bounds;
use crate::mcp::{self, ServerName};
use crate::policy::Context;

/// Asks for room for calls of the tool `a`, one after the other.
fn asking<'a>(policy: &'a PolicySet, limits: &'a Limits) -> impl Fn() -> Result<Admission, LimitExceeded> + 'a {
    move || ask(policy, limits, "al", "a")
}

/// Asks for room for one call.
fn ask(policy: &PolicySet, limits: &Limits, who: &str, tool: &str) -> Result<Admission, LimitExceeded> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    let call = Arc::new(mcp::read(&Bytes::from(body), &Bounds::default()).unwrap());
    let (principal, server) = (Arc::new(Principal::for_test(who, &["reader"])), ServerName::new("records").unwrap());
    limits.admit_here(policy.permit(&principal, &call, &server, Context::for_test()).unwrap())
}

#[test]
fn in_one_moment_no_room_comes_back_however_long_it_takes_to_ask() {
    let policy = PolicySet::for_test(
        "roles: { reader: { tools: [a] } }\n\
         tools: { a: { limits: [{ calls: 2, every: 1ms, per: principal }] } }\n",
    );
    let limits = Limits::in_one_moment(&policy);
    let admit = asking(&policy, &limits);
    assert_eq!((0..10_000).filter(|_| admit().is_ok()).count(), 2);
}

#[test]
fn every_limit_counts_by_itself_also_where_several_stand_in_one_line() {
    let policy = PolicySet::for_test(
        "roles: { reader: { tools: [a] } }\n\
         tools: { a: { limits: [{ calls: 3, every: 1h, per: principal }, { in_flight: 2, per: tool }] } }\n",
    );
    let limits = Limits::of(&policy, None);
    let admit = asking(&policy, &limits);
    let refused = |admitted: Result<Admission, LimitExceeded>| admitted.err().map(|exceeded| exceeded.to_string());

    let under_way = (admit().unwrap(), admit().unwrap());
    assert_eq!(refused(admit()).as_deref(), Some("limit of in_flight: at most 2 per tool"));
    drop(under_way);
    assert_eq!(refused(admit()), None);
    assert_eq!(refused(admit()).as_deref(), Some("limit of calls: at most 3 in 1h per principal"));
}

/// How many of these calls, in this order, find room.
fn passed(limits: &str, calls: &[(&str, &str)]) -> String {
    let policy = PolicySet::for_test(&format!("roles: {{ reader: {{ tools: [a, b] }} }}\n{limits}"));
    let limits = Limits::in_one_moment(&policy);
    let held: Vec<_> = calls.iter().map(|(who, tool)| ask(&policy, &limits, who, tool)).collect();
    held.iter().map(|admitted| if admitted.is_ok() { '+' } else { '-' }).collect()
}

#[test]
fn each_scope_counts_together_what_it_names() {
    let calls = [("al", "a"), ("al", "a"), ("al", "b"), ("bo", "a"), ("bo", "b"), ("al", "a")];
    let cases = [
        ("tools: { a: { limits: [{ calls: 1, every: 1h, per: principal }] } }", "+-+++-"),
        ("tools: { a: { limits: [{ calls: 1, every: 1h, per: tool }] } }", "+-+-+-"),
        ("tools: { '*': { limits: [{ calls: 1, every: 1h, per: tool }] } }", "+-+---"),
        ("limits: [{ calls: 1, every: 1h, per: principal }]", "+--+--"),
        ("limits: [{ calls: 3, every: 1h, per: server }]", "+++---"),
        ("limits: [{ in_flight: 2, per: principal }]", "++-++-"),
        ("tools: { a: { limits: [{ in_flight: 1, per: principal }] } }", "+-+++-"),
        ("limits: [{ calls: 4, burst: 2, every: 1h, per: server }]", "++----"),
        ("limits: [{ cost: 5, every: 1h, per: server }]\ntools: { a: { cost: 2 } }", "+++---"),
        ("limits: [{ calls: 1, every: 1h, per: server }]\nmode: shadow", "++++++"),
        (
            "limits: [{ calls: 3, every: 1h, per: server }]\ntools: { a: { limits: [{ calls: 1, every: 1h, per: tool }] } }",
            "+-+-+-",
        ),
    ];
    for (limits, expected) in cases {
        assert_eq!(passed(limits, &calls), expected, "{limits}");
    }
}

#[test]
fn what_a_call_brings_is_charged_when_it_comes() {
    let policy =
        PolicySet::for_test("roles: { reader: { tools: [a] } }\nlimits: [{ bytes: 100, every: 1h, per: principal }]\n");
    let limits = Limits::of(&policy, None);
    let admission = ask(&policy, &limits, "al", "a").unwrap();
    assert_eq!(admission.quota().map(|quota| (quota.left, quota.of)), Some((100, 100)));
    admission.brings(99);
    let other = ask(&policy, &limits, "al", "a").unwrap();
    other.brings(1_000);
    let refused = ask(&policy, &limits, "al", "a").unwrap_err();
    assert_eq!(refused.to_string(), "limit of bytes: at most 100 in 1h per principal");
    assert!(refused.retry_after > Duration::from_mins(59), "{:?}", refused.retry_after);
    assert!(ask(&policy, &limits, "bo", "a").is_ok());
}

#[test]
fn a_call_that_one_limit_refuses_takes_nothing_of_the_others() {
    let policy = PolicySet::for_test(
        "roles: { reader: { tools: [a, b] } }\nlimits: [{ calls: 1, every: 1h, per: server }]\n\
         tools: { a: { limits: [{ calls: 9, every: 1h, per: tool }] } }\n",
    );
    let limits = Limits::of(&policy, None);
    assert_eq!(ask(&policy, &limits, "al", "a").unwrap().quota().map(|quota| quota.of), Some(1));
    let left = |limits: &Limits| {
        let rule = policy.limits().find(|rule| rule.limit.per == Per::Tool).unwrap();
        let Kind::OverTime(counter) = &limits.counters[rule].kind else { panic!("it is a rate") };
        counter.counts.take(limits.keys.key(&["records", "a"]), 0, limits.time.now(), ALONE).unwrap().amount
    };
    assert_eq!(left(&limits), 8);
    assert!(ask(&policy, &limits, "al", "a").is_err());
    assert_eq!(left(&limits), 8);
}
