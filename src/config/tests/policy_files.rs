//! Problems in policy files.

use super::{load, shown, table, told, with_policy};

#[test]
fn a_problem_is_shown_with_its_line() {
    insta::assert_snapshot!(shown(with_policy("roles:\n  reader: { tolls: [x] }\n")), @r"
    error[unknown-key]: unknown key `tolls`
     --> policies/records.yaml:2:13
      |
    2 |   reader: { tolls: [x] }
      |             ^^^^^
      = help: did you mean `tools`?

    1 error, 0 warnings
    ");
}

#[test]
fn the_example_fits() {
    let example = "server: records\nroles: { reader: { tools: [search_records] } }\ntools:\n  search_records:\n    limits:\n      - { calls: 60, every: 1m, per: principal }\n      - { in_flight: 8, per: tool }\n    timeout: 5s\n";
    insta::assert_snapshot!(told(with_policy(example)), @"fits");
}

#[test]
fn wrong_shapes() {
    let cases = [
        "roles:\n  reader: { tools: [x], forbid: [y] }\n",
        "version: 1\nallow: [x]\n",
        "rolse: { reader: { tools: [x] } }\n",
        "roles: { reader: { tools: [a] } }\nkeys: []\n",
        "roles:\n  reader: { tools: search_records }\n",
        "roles: [reader]\n",
        "[reader]\n",
        "reader\n",
        "roles:\n  reader: { tools: [12] }\n",
        "roles:\n  reader: { tools: [on, true] }\n",
        "roles:\n  reader:\n    tools:\n",
        "roles:\n  reader: { tools: [a, ~] }\n",
        "tools:\n  a: { limits: [{ calls: -1, every: 1m, per: principal }] }\n",
        "tools:\n  a: { limits: [{ calls: sixty, every: 1m, per: principal }] }\n",
        "roles: { reader: { tools: [a, b }\n",
        "roles:\n  reader: {tools: [a]}\n reader2: {tools: [a]}\n",
    ];
    insta::assert_snapshot!(table(&cases, with_policy));
}

#[test]
fn grants_of_nothing() {
    let cases = [
        "roles:\n  reader: {}\n",
        "roles:\n  reader: { tools: [] }\n",
        "roles:\n  reader: { inherits: [], tools: [a] }\n",
        "allowed_tools: []\nroles: { reader: { tools: [a] } }\n",
        "server: records\n",
        "roles: {}\n",
        "roles: { reader: { tools: [a] } }\ntools: { a: {} }\n",
    ];
    insta::assert_snapshot!(table(&cases, with_policy), @r"
    roles: ⏎   reader: {}
        policies/records.yaml:2:3 the role `reader` grants nothing | give it `tools:`, `prompts:`, `resources:`, `methods:` or `inherits:`, or delete it
    roles: ⏎   reader: { tools: [] }
        policies/records.yaml:2:20 `roles.reader.tools` is empty | an empty list names nothing; delete it, or name what it should hold
    roles: ⏎   reader: { inherits: [], tools: [a] }
        policies/records.yaml:2:23 `inherits` is empty | delete it, or name a role
    allowed_tools: [] ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:16 `allowed_tools` is empty | an empty list names nothing; delete it, or name what it should hold
    server: records
        policies/principals.yaml:1:110 unknown role `reader` | no policy file defines any role
        policies/records.yaml the file grants nothing | name roles under `roles:`, or tools for every caller under `allowed_tools:`
    roles: {}
        policies/principals.yaml:1:110 unknown role `reader` | no policy file defines any role
        policies/records.yaml the file grants nothing | name roles under `roles:`, or tools for every caller under `allowed_tools:`
    roles: { reader: { tools: [a] } } ⏎ tools: { a: {} }
        policies/records.yaml:2:10 `a` has no settings | give it `arguments:`, `scopes:`, `limits:`, `redact:`, `when:`, `networks:`, `timeout:`, `idempotent:`, `idempotency_key:`, `cache:` or `cost:`, or delete it
    ");
}

#[test]
fn names_that_are_not_what_they_seem() {
    let cases = [
        "roles: { reader: { tools: ['get_*_*'] } }\n",
        "roles: { reader: { resources: ['demo://**'] } }\n",
        "roles: { reader: { tools: [''] } }\n",
        "roles: { reader: { tools: [' a'] } }\n",
        "roles: { reader: { tools: [\"a\\u202eb\", \"a\\u200bb\", \"a\\tb\", \"a\\xa0b\"] } }\n",
        "roles: { reader: { tools: [s\u{435}arch_records] } }\n",
        "roles: { reader: { tools: ['get?', 'a b', поиск] } }\n",
        "roles: { reader: { tools: ['get *'] } }\n",
        "roles: { reader: { tools: ['*'] } }\n",
        "roles: { reader: { tools: [a, b, a] } }\n",
        "roles: { 'the reader': { tools: [a] }, reader: { tools: [a] } }\n",
        "roles: { reader: { methods: [tools/call, ping, tasks/gett, prompts/list, nonsense, tasks/get, '*'] } }\n",
    ];
    insta::assert_snapshot!(table(&cases, with_policy));
}

#[test]
fn conditions_on_arguments() {
    let condition = |arguments: &str| {
        format!("roles: {{ reader: {{ tools: [a] }} }}\ntools: {{ a: {{ arguments: {arguments} }} }}\n")
    };
    let cases = [
        "{ properties: { limit: { maxmum: 100 } } }",
        "{ properties: { limit: { type: intger } } }",
        "{ properties: [limit] }",
        "{ allOf: { properties: {} } }",
        "[store_id]",
        "{ $ref: 'http://127.0.0.1/schema.json' }",
        "{ $ref: '#/$defs/nowhere' }",
        "{ properties: { of: { pattern: '(' } } }",
        "{ properties: { of: { pattern: '(?=a)' } } }",
        "{ properties: { store: { claim: store } } }",
        "{ required: [store], properties: { store: { claim: 7 } } }",
        "{ claim: store }",
        "{ anyOf: [{ properties: { store: { claim: store } } }] }",
        "{ properties: { query: { sql: { table: [orders] } } } }",
        "{ properties: { query: { sql: { tables: [], statements: [drop], dialect: mysql } } } }",
        "{ properties: { query: { sql: { tables: ['a b', 7] } } } }",
        "{ properties: { query: { sql: select } } }",
        "{ items: { sql: { tables: [orders] } } }",
    ]
    .map(condition);
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(&cases, with_policy));
}

#[test]
fn inheritance() {
    let cases = [
        "roles: { reader: { inherits: [raeder2], tools: [a] }, reader2: { inherits: [reader], tools: [a] } }\n",
        "roles:\n  reader: { inherits: [b] }\n  b: { inherits: [c] }\n  c: { inherits: [reader, b] }\n",
        "roles: { reader: { inherits: [reader], tools: [a] } }\n",
    ];
    insta::assert_snapshot!(table(&cases, with_policy), @r"
    roles: { reader: { inherits: [raeder2], tools: [a] }, reader2: { inherits: [reader], tools: [a] } }
        policies/records.yaml:1:31 unknown role `raeder2` | did you mean `reader2`?
        warning: policies/records.yaml:1:55 nobody holds the role `reader2` | give it to a key under `keys:`, or delete it
    roles: ⏎   reader: { inherits: [b] } ⏎   b: { inherits: [c] } ⏎   c: { inherits: [reader, b] }
        policies/records.yaml:2:24 roles inherit each other in a circle: b -> c -> reader -> b | take one of these out of `inherits`
    roles: { reader: { inherits: [reader], tools: [a] } }
        policies/records.yaml:1:31 roles inherit each other in a circle: reader -> reader | take one of these out of `inherits`
    ");
    let deep: Vec<_> = (0..40).map(|n| format!("  r{n:02}: {{ inherits: [r{:02}] }}\n", n + 1)).collect();
    let deep = deep.concat();
    let deep = format!("roles:\n  reader: {{ inherits: [r00] }}\n{deep}  r40: {{ tools: [a] }}\n");
    insta::assert_snapshot!(told(with_policy(&deep)), @"policies/records.yaml:34:21 roles inherit each other more than 32 deep | let a role inherit directly what it needs, or put roles together that nobody holds alone");
}

#[test]
fn limits_and_timeouts() {
    let entries = [
        "limits: []",
        "limits: [{}]",
        "limits: [{ calls: 0, every: 1m, per: principal }]",
        "limits: [{ calls: 5000000000, every: 1m, per: principal }]",
        "limits: [{ calls: 5, per: principal }]",
        "limits: [{ every: 1m, per: principal }]",
        "limits: [{ calls: 5, every: 1m }]",
        "limits: [{ calls: 5, every: 1m, per: tool }]",
        "limits: [{ calls: 5, every: 2d, per: principal }]",
        "limits: [{ calls: 5, every: minute, per: principal }]",
        "limits: [{ in_flight: 8, per: principal }]",
        "limits: [{ in_flight: 0, per: tool }]",
        "limits: [{ in_flight: 8, calls: 5, every: 1m, per: tool }]",
        "timeout: 5",
        "timeout: 0s",
        "timeout: 2h",
        "timeout: '5 s'",
    ];
    let cases: Vec<_> = entries
        .iter()
        .map(|entry| format!("tools: {{ a: {{ {entry} }} }}\nroles: {{ reader: {{ tools: [a] }} }}\n"))
        .collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(&cases, with_policy));
}

#[test]
fn settings_of_tools_that_nobody_may_call() {
    let cases = [
        "roles: { reader: { tools: [search_records] } }\ntools: { serach_records: { timeout: 1s }, '*': { timeout: 2s } }\n",
        "roles: { reader: { tools: ['get_*'] } }\ntools: { get_x: { timeout: 1s }, 'get_*': { timeout: 2s } }\n",
    ];
    insta::assert_snapshot!(table(&cases, with_policy), @r#"
    roles: { reader: { tools: [search_records] } } ⏎ tools: { serach_records: { timeout: 1s }, '*': { timeout: 2s } }
        warning: policies/records.yaml:2:10 no role grants the tool `serach_records` | did you mean `search_records`?
    roles: { reader: { tools: ['get_*'] } } ⏎ tools: { get_x: { timeout: 1s }, 'get_*': { timeout: 2s } }
        policies/records.yaml:2:34 `get_*` is a pattern | settings are for one tool each, or for all others: `"*"`
    "#);
}

/// That they are told stands in `broken_files`; here is what looks alike but changes something.
#[test]
fn rules_that_do_change_something_are_not_called_redundant() {
    let role = |text: &str| format!("roles: {{ reader: {text} }}\n");
    let tool =
        |limits: &str| format!("roles: {{ reader: {{ tools: [a] }} }}\ntools: {{ a: {{ limits: [{limits}] }} }}\n");
    let calls = |calls: u32, every: &str| format!("{{ calls: {calls}, every: {every}, per: principal }}");
    for text in [
        role("{ tools: ['get_*', set_x] }"),
        role("{ tools: ['get_*', 'get*'] }").replace("'get*'", "'*_x'"),
        role("{ tools: ['get_*'], prompts: [get_x] }"),
        role("{ tools: ['get_x*x', get_x] }").replace("x*x", "x_*_x"),
        format!(
            "{}  b: {{ tools: ['get_*'] }}\n",
            role("{ inherits: [b], tools: [set_x] }").replace("roles: { ", "roles:\n  ").replace(" }\n", "\n")
        ),
        tool(&format!("{}, {}", calls(5, "1s"), calls(60, "1m"))),
        tool(&format!("{}, {}", calls(60, "1m"), calls(100, "10m"))),
        tool(&format!("{}, {{ in_flight: 1, per: tool }}", calls(60, "1m"))),
    ] {
        assert_eq!(told(with_policy(&text)), "fits", "{text}");
    }
    let unusual = told(with_policy("roles: { reader: { prompts: ['*'], tools: ['get_*', 'get_x y'] } }\n"));
    assert!(unusual.contains("unusual name") && !unusual.contains("as well"), "{unusual}");
    let wider = "roles: { base: { tools: [get_x] }, reader: { inherits: [base], tools: ['get_*'] } }\n";
    assert_eq!(told(with_policy(wider)), "fits");
    let twice = tool(&format!("{0}, {0}", calls(60, "1m")));
    assert_eq!(told(with_policy(&twice)).lines().count(), 1, "only the second of two that are alike");
}

#[test]
fn servers() {
    let cases =
        ["server: recrods\nroles: { reader: { tools: [a] } }\n", "server: other\nroles: { reader: { tools: [a] } }\n"];
    insta::assert_snapshot!(table(&cases, with_policy), @r"
    server: recrods ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:9 unknown server `recrods` | did you mean `records`?
    server: other ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:9 unknown server `other` | the configuration has `records`
    ");
}

#[test]
fn the_same_thing_in_two_files() {
    let keys = format!("keys: [{{ id: alice, hash: \"{}\", roles: [reader], expires: 2027-06-01 }}]\n", super::HASH);
    let files: [(&str, &[u8]); 3] = [
        ("a.yaml", b"roles: { reader: { tools: [a] } }\ntools: { a: { timeout: 1s } }\n"),
        ("b.yaml", b"roles:\n  reader: { tools: [b] }\ntools: { a: { timeout: 2s } }\n"),
        ("c.yaml", keys.as_bytes()),
    ];
    insta::assert_snapshot!(told(load(&files)), @r"
    policies/b.yaml:2:3 the role `reader` is defined twice | it is defined at policies/a.yaml:1 already; put both into one, or rename one
    policies/b.yaml:3:10 the tool `a` has two entries | the other is at policies/a.yaml:2; put both into one
    ");
    let files: [(&str, &[u8]); 3] = [
        ("a.yaml", b"pinning: warn\nroles: { reader: { tools: [a] } }\n"),
        ("b.yaml", b"pinning: enforce\nroles: { other: { inherits: [reader] } }\n"),
        ("c.yaml", keys.as_bytes()),
    ];
    insta::assert_snapshot!(told(load(&files)), @r"
    policies/b.yaml:1:10 how the pins of `records` count is said twice | policies/a.yaml says it already; keep one of them
    policies/b.yaml:1:10 no tool of `records` is pinned | `tollgate lock` asks the server and writes tools.lock beside this file; or leave `pinning` out
    warning: policies/b.yaml:2:10 nobody holds the role `other` | give it to a key under `keys:`, or delete it
    ");
}

#[test]
fn a_broken_file_does_not_hide_the_problems_of_the_others_nor_invent_some() {
    let files: [(&str, &[u8]); 3] = [
        ("a.yaml", b"roles: { reader: { tools: [a }\n"),
        ("b.yaml", b"roles: { writer: { inherits: [reader], tools: ['**'] } }\n"),
        ("c.yaml", b"keys: [{ id: alice, hash: 'sha256:00', roles: [reader], expires: 2027-06-01 }]\n"),
    ];
    insta::assert_snapshot!(told(load(&files)), @r"
    policies/a.yaml:1:27 this is not YAML: mismatched bracket '[' closed by '}' | is a bracket or brace not closed, here or above, or is there a comma too many?
    policies/b.yaml:1:48 `**` has more than one `*` | one `*` stands for any run of characters; write several patterns
    policies/c.yaml:1:27 expected `sha256:` and 64 hexadecimal digits in lower case | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    ");
}
