//! Problems in policy files.

use super::{load, shown, table, told, with_policy};

#[test]
fn a_problem_is_shown_with_its_line() {
    insta::assert_snapshot!(shown(with_policy("roles:\n  reader: { tolls: [x] }\n")), @r"
    error: unknown key `tolls`
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
        "roles:\n  reader: { tools: [x], deny: [y] }\n",
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
    insta::assert_snapshot!(table(&cases, with_policy), @r"
    roles: ⏎   reader: { tools: [x], deny: [y] }
        policies/records.yaml:2:25 unknown key `deny` | the keys known here are `inherits`, `tools`, `prompts`, `resources`, `methods`
    version: 1 ⏎ allow: [x]
        policies/records.yaml:1:1 this is neither a policy file nor a principals file | a policy file has `roles`, `tools` or `allowed_tools`; a principals file has `keys` or `anonymous`
    rolse: { reader: { tools: [x] } }
        policies/records.yaml:1:1 this is neither a policy file nor a principals file | did you mean `roles`?
    roles: { reader: { tools: [a] } } ⏎ keys: []
        policies/records.yaml:2:1 `roles` and `keys` stand in the same file | put `keys` and `anonymous` into a file of their own, such as principals.yaml
    roles: ⏎   reader: { tools: search_records }
        policies/records.yaml:2:20 expected a list, such as `[a, b]`
    roles: [reader]
        policies/records.yaml:1:8 expected keys and values, such as `{ key: value }`
    [reader]
        policies/records.yaml:1:1 expected keys and values, such as `roles:`, not a list
    reader
        policies/records.yaml:1:1 expected keys and values, such as `roles:`
    roles: ⏎   reader: { tools: [12] }
        policies/records.yaml:2:21 this could be read as a number or a truth value | if it is meant as text, put it in quotes
    roles: ⏎   reader: { tools: [on, true] }
        policies/records.yaml:2:25 this could be read as a number or a truth value | if it is meant as text, put it in quotes
    roles: ⏎   reader: ⏎     tools:
        policies/records.yaml:3:5 `tools` has no value | give it a value, or leave the key out
    roles: ⏎   reader: { tools: [a, ~] }
        policies/records.yaml:2:24 this entry is empty | a name that is spelt `null` must be put in quotes
    tools: ⏎   a: { limits: [{ calls: -1, every: 1m, per: principal }] }
        policies/records.yaml:2:26 expected a whole number
    tools: ⏎   a: { limits: [{ calls: sixty, every: 1m, per: principal }] }
        policies/records.yaml:2:26 expected a whole number
    roles: { reader: { tools: [a, b }
        policies/records.yaml:1:27 this is not YAML: mismatched bracket '[' closed by '}'
    roles: ⏎   reader: {tools: [a]} ⏎  reader2: {tools: [a]}
        policies/records.yaml:3:2 this is not YAML: while parsing a block mapping, did not find expected key
    ");
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
        policies/records.yaml:2:20 `roles.reader.tools` is empty | an empty list grants nothing; delete it, or name what it should grant
    roles: ⏎   reader: { inherits: [], tools: [a] }
        policies/records.yaml:2:23 `inherits` is empty | delete it, or name a role
    allowed_tools: [] ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:16 `allowed_tools` is empty | an empty list grants nothing; delete it, or name what it should grant
    server: records
        policies/principals.yaml:1:110 unknown role `reader` | no policy file defines any role
        policies/records.yaml the file grants nothing | name roles under `roles:`, or tools for every caller under `allowed_tools:`
    roles: {}
        policies/principals.yaml:1:110 unknown role `reader` | no policy file defines any role
        policies/records.yaml the file grants nothing | name roles under `roles:`, or tools for every caller under `allowed_tools:`
    roles: { reader: { tools: [a] } } ⏎ tools: { a: {} }
        policies/records.yaml:2:10 `a` has no settings | give it `limits:` or `timeout:`, or delete it
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
    insta::assert_snapshot!(table(&cases, with_policy), @r#"
    roles: { reader: { tools: ['get_*_*'] } }
        policies/records.yaml:1:28 `get_*_*` has more than one `*` | one `*` stands for any run of characters; write several patterns
    roles: { reader: { resources: ['demo://**'] } }
        policies/records.yaml:1:32 `demo://**` has more than one `*` | one `*` stands for any run of characters; write several patterns
    roles: { reader: { tools: [''] } }
        policies/records.yaml:1:28 an empty name
    roles: { reader: { tools: [' a'] } }
        policies/records.yaml:1:28 ` a` begins or ends with a space
    roles: { reader: { tools: ["a\u202eb", "a\u200bb", "a\tb", "a\xa0b"] } }
        policies/records.yaml:1:28 `a\u{202e}b` holds the invisible character U+202E
        policies/records.yaml:1:40 `a\u{200b}b` holds the invisible character U+200B
        policies/records.yaml:1:52 `a\u{9}b` holds the invisible character U+0009
        policies/records.yaml:1:60 `a\u{a0}b` holds the invisible character U+00A0
    roles: { reader: { tools: [sеarch_records] } }
        policies/records.yaml:1:28 `sеarch_records` mixes scripts: е is U+0435 | it looks like a name that it is not; type it anew
    roles: { reader: { tools: ['get?', 'a b', поиск] } }
        warning: policies/records.yaml:1:28 `get?` is an unusual name for a tool and is taken literally | tools are named by A-Z, a-z, 0-9, `_`, `.` and `-`; the only wildcard is `*`
        warning: policies/records.yaml:1:36 `a b` is an unusual name for a tool and is taken literally | tools are named by A-Z, a-z, 0-9, `_`, `.` and `-`; the only wildcard is `*`
        warning: policies/records.yaml:1:43 `поиск` is an unusual name for a tool and is taken literally | tools are named by A-Z, a-z, 0-9, `_`, `.` and `-`; the only wildcard is `*`
    roles: { reader: { tools: ['get *'] } }
        policies/records.yaml:1:28 `get *` can never match | a pattern grants only names of A-Z, a-z, 0-9, `_`, `.` and `-`; spell other names out
    roles: { reader: { tools: ['*'] } }
        warning: policies/records.yaml:1:28 this grants every tool, also those that the server adds later | name the tools, or use a pattern such as `get_*`
    roles: { reader: { tools: [a, b, a] } }
        warning: policies/records.yaml:1:34 `a` stands here twice | it stands in line 1 already
    roles: { 'the reader': { tools: [a] }, reader: { tools: [a] } }
        policies/records.yaml:1:10 `the reader` cannot be the name of a role | use up to 128 of A-Z, a-z, 0-9, `_`, `.` and `-`
        warning: policies/records.yaml:1:10 nobody holds the role `the reader` | give it to a key under `keys:`, or delete it
    roles: { reader: { methods: [tools/call, ping, tasks/gett, prompts/list, nonsense, tasks/get, '*'] } }
        policies/records.yaml:1:30 `tools/call` is not granted under `methods` | name the tools under `tools`
        policies/records.yaml:1:42 `ping` is not granted under `methods` | it is open to every caller; leave it out
        policies/records.yaml:1:48 `tasks/gett` is not granted under `methods` | did you mean `tasks/get`?
        policies/records.yaml:1:60 `prompts/list` is not granted under `methods` | name the prompts under `prompts`
        policies/records.yaml:1:74 `nonsense` is not granted under `methods` | those that are: logging/setLevel, subscriptions/listen, tasks/get, tasks/list, tasks/result, tasks/cancel, tasks/update, or "*"
    "#);
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
    let deep: String = (0..40)
        .map(|n| format!("  r{n:02}: {{ inherits: [r{:02}] }}\n", n + 1))
        .collect();
    let deep = format!("roles:\n  reader: {{ inherits: [r00] }}\n{deep}  r40: {{ tools: [a] }}\n");
    insta::assert_snapshot!(told(with_policy(&deep)), @"policies/records.yaml:34:21 roles inherit each other more than 32 deep");
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
        .map(|entry| {
            format!("tools: {{ a: {{ {entry} }} }}\nroles: {{ reader: {{ tools: [a] }} }}\n")
        })
        .collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(&cases, with_policy), @r"
    tools: { a: { limits: [] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:23 `tools.a.limits` is empty | delete it, or add a limit
    tools: { a: { limits: [{}] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 the limit counts nothing | write `{ calls: 60, every: 1m, per: principal }` or `{ in_flight: 8, per: tool }`
    tools: { a: { limits: [{ calls: 0, every: 1m, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:33 expected a number from 1 to 4294967295 | to forbid a tool, grant it to no role
    tools: { a: { limits: [{ calls: 5000000000, every: 1m, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:33 expected a number from 1 to 4294967295 | to forbid a tool, grant it to no role
    tools: { a: { limits: [{ calls: 5, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 the limit does not say in how long: `every` is missing | write `{ calls: 60, every: 1m, per: principal }` or `{ in_flight: 8, per: tool }`
    tools: { a: { limits: [{ every: 1m, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 the limit does not say how many: `calls` is missing | write `{ calls: 60, every: 1m, per: principal }` or `{ in_flight: 8, per: tool }`
    tools: { a: { limits: [{ calls: 5, every: 1m }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 the limit does not say per what it is counted | add `per: principal`
    tools: { a: { limits: [{ calls: 5, every: 1m, per: tool }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:52 a limit of this kind cannot be counted per `tool` | write `per: principal`
    tools: { a: { limits: [{ calls: 5, every: 2d, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:43 `2d` is not a span of time that fits here | expected 1ms to 1d
    tools: { a: { limits: [{ calls: 5, every: minute, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:43 `minute` is not a span of time that fits here | expected a whole number and a unit (ms, s, m, h, d), such as `500ms`, `5s` or `1m`
    tools: { a: { limits: [{ in_flight: 8, per: principal }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:45 a limit of this kind cannot be counted per `principal` | write `per: tool`
    tools: { a: { limits: [{ in_flight: 0, per: tool }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:37 expected a number from 1 to 4294967295 | to forbid a tool, grant it to no role
    tools: { a: { limits: [{ in_flight: 8, calls: 5, every: 1m, per: tool }] } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 the limit counts two things; write two limits | write `{ calls: 60, every: 1m, per: principal }` or `{ in_flight: 8, per: tool }`
    tools: { a: { timeout: 5 } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 this could be read as a number or a truth value | if it is meant as text, put it in quotes
    tools: { a: { timeout: 0s } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 `0s` is not a span of time that fits here | expected 1ms to 1h
    tools: { a: { timeout: 2h } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 `2h` is not a span of time that fits here | expected 1ms to 1h
    tools: { a: { timeout: '5 s' } } ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:24 `5 s` is not a span of time that fits here | expected a whole number and a unit (ms, s, m, h, d), such as `500ms`, `5s` or `1m`
    ");
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

#[test]
fn servers() {
    let cases = [
        "server: recrods\nroles: { reader: { tools: [a] } }\n",
        "server: other\nroles: { reader: { tools: [a] } }\n",
    ];
    insta::assert_snapshot!(table(&cases, with_policy), @r"
    server: recrods ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:9 unknown server `recrods` | did you mean `records`?
    server: other ⏎ roles: { reader: { tools: [a] } }
        policies/records.yaml:1:9 unknown server `other` | the configuration has `records`
    ");
}

#[test]
fn the_same_thing_in_two_files() {
    let keys = format!(
        "keys: [{{ id: alice, hash: \"{}\", roles: [reader], expires: 2027-06-01 }}]\n",
        super::HASH
    );
    let files: [(&str, &[u8]); 3] = [
        (
            "a.yaml",
            b"roles: { reader: { tools: [a] } }\ntools: { a: { timeout: 1s } }\n",
        ),
        (
            "b.yaml",
            b"roles:\n  reader: { tools: [b] }\ntools: { a: { timeout: 2s } }\n",
        ),
        ("c.yaml", keys.as_bytes()),
    ];
    insta::assert_snapshot!(told(load(&files)), @r"
    policies/b.yaml:2:3 the role `reader` is defined twice | it is defined at policies/a.yaml:1 already; put both into one, or rename one
    policies/b.yaml:3:10 the tool `a` has two entries | the other is at policies/a.yaml:2; put both into one
    ");
}

#[test]
fn a_broken_file_does_not_hide_the_problems_of_the_others_nor_invent_some() {
    let files: [(&str, &[u8]); 3] = [
        ("a.yaml", b"roles: { reader: { tools: [a }\n"),
        (
            "b.yaml",
            b"roles: { writer: { inherits: [reader], tools: ['**'] } }\n",
        ),
        (
            "c.yaml",
            b"keys: [{ id: alice, hash: 'sha256:00', roles: [reader], expires: 2027-06-01 }]\n",
        ),
    ];
    insta::assert_snapshot!(told(load(&files)), @r"
    policies/a.yaml:1:27 this is not YAML: mismatched bracket '[' closed by '}'
    policies/b.yaml:1:48 `**` has more than one `*` | one `*` stands for any run of characters; write several patterns
    policies/c.yaml:1:27 expected `sha256:` and 64 hexadecimal digits in lower case | `tollgate keys new --id NAME --role ROLE` makes one and prints the entry for this file
    ");
}
