//! Cases beside the policies: what they can say, what comes of it, and what they show.

use super::{HASH, load};
use crate::config::Policies;
use crate::config::cases::case_file;
use crate::diagnostic::Diagnostics;
use crate::mcp::ServerName;
use crate::trial::{Against, Case, Trial};

/// A policy with one of each.
const POLICY: &str = r#"
server: records
deny: { tools: [drop_all] }
roles:
  reader:
    tools: [search, get_one, "get_*"]
    prompts: [summary]
    resources: ["records://*"]
    methods: [logging/setLevel]
    deny: { tools: [get_secret] }
  office:
    tools: [report]
    when: [{ days: [fri], from: "08:00", to: "18:00" }]
  inside: { tools: [reindex], networks: [10.0.0.0/8] }
  cleaner: { tools: [clean] }
  trying: { tools: [try_out], when: [{ until: 2026-01-01 }], mode: shadow }
tools:
  search:
    arguments: { required: [store], properties: { store: { claim: store } } }
    limits: [{ calls: 3, every: 1s, per: principal }, { in_flight: 2, per: tool }]
  clean: { scopes: [records:write, records:admin] }
  "*": { limits: [{ calls: 9, every: 1h, per: principal }] }
"#;

fn policies() -> Policies {
    let keys = format!(
        "keys:\n  - {{ id: ci-bot, hash: \"{HASH}\", roles: [reader, office, inside, cleaner, trying], claims: {{ store: s1 }} }}\n\
         tokens:\n  - {{ issuer: 'https://idp.test/', audience: us, scopes_include: {{ all: [records:write, records:admin] }} }}\n"
    );
    load(&[("principals.yaml", keys.as_bytes()), ("records.yaml", POLICY.as_bytes())]).unwrap()
}

/// The cases of a file beside that policy.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Case>, Diagnostics> {
    let Policies { policy, authenticators, .. } = &policies();
    let servers = [ServerName::new("records").unwrap()];
    case_file(name, bytes)?.compile(&Against { policy, authenticators, servers: &servers })
}

/// What comes of these cases, each without its name.
fn tried(cases: &[&str]) -> Trial {
    let numbered = (0..).zip(cases).map(|(n, case)| format!("  - {{ name: case {n}, {case} }}\n"));
    let text = format!("cases:\n{}", numbered.collect::<String>());
    let cases = read("records.test.yaml", text.as_bytes()).unwrap_or_else(|found| panic!("{found}"));
    Trial::run(cases, &policies().policy)
}

/// What comes of one case: the answer, what decided, and what would have.
fn came_of(case: &str) -> String {
    let trial = tried(&[&format!("{case}, expect: allow")]);
    let answer = &trial.ran[0].answer;
    let would = answer.would_deny().map(|(reason, rule)| format!(", {reason} by {} in shadow", rule.path()));
    format!("{} {}{}", answer.verdict().word(), answer.because(), would.unwrap_or_default())
}

#[test]
fn a_case_is_decided_by_the_steps_that_decide_for_real() {
    let reader = "as: { roles: [reader] }";
    let owner = "as: { roles: [reader], claims: { store: s1 } }, call: search, arguments: { store: s1 }";
    for (case, came) in [
        (&*format!("{reader}, call: get_one"), "allow roles.reader.tools"),
        (&format!("{reader}, call: get_secret"), "deny roles.reader.deny.tools"),
        (&format!("{reader}, call: drop_all"), "deny deny.tools"),
        (&format!("{reader}, call: report"), "deny default"),
        (&format!("{reader}, call: search"), "deny tools.search.arguments"),
        (owner, "allow roles.reader.tools"),
        (&owner.replace("{ store: s1 } }, call", "{ store: s2 } }, call"), "deny tools.search.arguments"),
        ("as: { key: ci-bot }, call: search, arguments: { store: s1 }", "allow roles.reader.tools"),
        ("as: authenticated, call: get_one", "deny default"),
        ("as: anonymous, call: get_one", "deny no_credential"),
        (&format!("{reader}, prompt: summary"), "allow roles.reader.prompts"),
        (&format!("{reader}, prompt: other"), "deny default"),
        (&format!("{reader}, resource: records://1"), "allow roles.reader.resources"),
        (&format!("{reader}, method: logging/setLevel"), "allow roles.reader.methods"),
        (&format!("{reader}, method: tasks/list"), "deny default"),
        (&format!("{reader}, method: notifications/initialized"), "allow protocol"),
        (&format!("{reader}, method: no/such"), "deny default"),
        (&format!("{reader}, call: \"get_one \""), "invalid name"),
        ("as: { roles: [office] }, call: report, at: 2026-11-20T08:00:00Z", "allow roles.office.tools"),
        ("as: { roles: [office] }, call: report, at: 2026-11-20T18:00:00Z", "deny roles.office.when"),
        ("as: { roles: [inside] }, call: reindex, from: 10.1.2.3", "allow roles.inside.tools"),
        ("as: { roles: [inside] }, call: reindex, from: \"fd00::1\"", "deny roles.inside.networks"),
        ("as: { roles: [cleaner] }, call: clean", "deny tools.clean.scopes"),
        ("as: { roles: [cleaner], scopes: [] }, call: clean", "deny tools.clean.scopes"),
        ("as: { roles: [cleaner], scopes: [records:write, records] }, call: clean", "deny tools.clean.scopes"),
        (
            "as: { roles: [cleaner], scopes: [a, records:admin, records:write] }, call: clean",
            "allow roles.cleaner.tools",
        ),
        // A case says what a caller has once its token is read.
        ("as: { roles: [cleaner], scopes: [all] }, call: clean", "deny tools.clean.scopes"),
        ("as: { scopes: [records:admin, records:write] }, call: clean", "deny default"),
        (
            "as: { roles: [trying] }, call: try_out, at: 2026-11-20",
            "allow roles.trying.tools, outside_hours by roles.trying.when in shadow",
        ),
    ] {
        assert_eq!(came_of(case), came, "{case}");
    }
}

#[test]
fn calls_before_a_case_and_beside_it_take_room_and_time_stands_still() {
    let search = "as: { key: ci-bot }, call: search, arguments: { store: s1 }";
    for (calls, came) in [
        ("after: 2 calls", "allow roles.reader.tools"),
        ("after: 3 calls", "limited tools.search.limits"),
        ("after: 100000 calls", "limited tools.search.limits"),
        ("during: 1 call", "allow roles.reader.tools"),
        ("during: 2 calls", "limited tools.search.limits"),
        ("after: 1 call, during: 1 call", "allow roles.reader.tools"),
    ] {
        assert_eq!(came_of(&format!("{search}, {calls}")), came, "{calls}");
    }
    // A call that is refused takes none.
    assert_eq!(came_of("as: { key: ci-bot }, call: search, after: 9 calls"), "deny tools.search.arguments");
}

#[test]
fn headers_are_compared_with_the_message_as_they_would_be() {
    let call = "as: { roles: [reader] }, call: get_one";
    for (headers, came) in [
        ("mcp-name: get_one", "allow roles.reader.tools"),
        ("Mcp-Name: get_two", "invalid header_mismatch"),
        ("mcp-method: tools/list", "invalid header_mismatch"),
        ("mcp-protocol-version: 2025-11-25", "allow roles.reader.tools"),
        ("mcp-protocol-version: 2026-07-28", "invalid header_mismatch"),
        ("mcp-protocol-version: 2099-01-01", "invalid version"),
        ("mcp-protocol-version: 2026-07-28, mcp-method: tools/call, mcp-name: get_one", "allow roles.reader.tools"),
    ] {
        assert_eq!(came_of(&format!("{call}, headers: {{ {headers} }}")), came, "{headers}");
    }
}

#[test]
fn a_case_passes_only_if_all_that_it_expects_comes() {
    let passes = |case: &str| tried(&[case]).failed().next().is_none();
    let (search, shadow) =
        ("as: { roles: [reader] }, call: search", "as: { roles: [trying] }, call: try_out, at: 2026-11-20");
    for (case, expected) in [
        (format!("{search}, expect: deny"), true),
        (format!("{search}, expect: allow"), false),
        (format!("{search}, expect: limited"), false),
        (format!("{search}, expect: deny, because: tools.search.arguments"), true),
        (format!("{search}, expect: deny, because: default"), false),
        (format!("{search}, expect: deny, would_deny: tools.search.arguments"), false),
        (format!("{shadow}, expect: allow, would_deny: roles.trying.when"), true),
        (format!("{shadow}, expect: allow, would_deny: roles.trying.networks"), false),
    ] {
        assert_eq!(passes(&case), expected, "{case}");
    }
}

/// What no case shows, without the places.
fn untested(cases: &[&str]) -> Vec<String> {
    let untested = tried(cases).coverage.untested;
    untested.iter().map(|it| format!("{} {}", it.rule.path(), it.says)).collect()
}

#[test]
fn each_clause_is_shown_by_the_case_that_turns_on_it_and_by_no_other() {
    let nothing = untested(&["as: authenticated, call: get_one, expect: deny"]);
    insta::assert_snapshot!(nothing.join("\n"));
    for (case, shows) in [
        ("as: { roles: [reader] }, call: get_one, expect: allow", &["grant of `get_one`"][..]),
        ("as: { roles: [reader] }, call: get_two, expect: allow", &["grant of `get_*`"]),
        ("as: { roles: [reader] }, call: get_secret, expect: deny", &["denial of `get_secret`"]),
        ("as: { roles: [reader] }, call: drop_all, expect: deny", &["denial of `drop_all`"]),
        ("as: { roles: [reader] }, prompt: summary, expect: allow", &["grant of `summary`"]),
        ("as: { roles: [reader] }, method: prompts/list, expect: allow", &[]),
        ("as: { roles: [reader] }, resource: records://1, expect: allow", &["grant of `records://*`"]),
        ("as: { roles: [reader] }, method: logging/setLevel, expect: allow", &["grant of `logging/setLevel`"]),
        ("as: { roles: [reader] }, call: search, expect: deny", &["no arguments are refused"]),
        (
            "as: { key: ci-bot }, call: search, arguments: { store: s1 }, expect: allow",
            &["grant of `search`", "no arguments meet"],
        ),
        (
            "as: { key: ci-bot }, call: search, arguments: { store: s1 }, after: 3 calls, expect: limited",
            &["limit of calls: 3 in 1s"],
        ),
        (
            "as: { key: ci-bot }, call: search, arguments: { store: s1 }, during: 2 calls, expect: limited",
            &["limit of in_flight: 2"],
        ),
        ("as: { roles: [reader] }, call: get_two, after: 9 calls, expect: limited", &["limit of calls: 9"]),
        ("as: { roles: [office] }, call: report, at: 2026-11-21, expect: deny", &["roles.office.when"]),
        ("as: { roles: [cleaner], scopes: [records:write] }, call: clean, expect: deny", &["tools.clean.scopes"]),
        (
            "as: { roles: [cleaner], scopes: [records:write, records:admin] }, call: clean, expect: allow",
            &["grant of `clean`"],
        ),
        ("as: { roles: [office] }, call: report, at: 2026-11-20T09:00:00Z, expect: allow", &["grant of `report`"]),
        (
            "as: { roles: [trying] }, call: try_out, at: 2026-11-20, expect: allow",
            &["grant of `try_out`", "roles.trying.when"],
        ),
    ] {
        let left = untested(&[case]);
        let shown: Vec<_> = nothing.iter().filter(|clause| !left.contains(clause)).collect();
        assert_eq!(shown.len(), shows.len(), "{case} shows {shown:?}");
        assert!(shows.iter().all(|part| shown.iter().any(|clause| clause.contains(part))), "{case} shows {shown:?}");
    }
}
