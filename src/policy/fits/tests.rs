//! Policies beside a lock: what is told, and that nothing is told of those that fit.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::fits;
use crate::diagnostic::{Diagnostics, Severity, SourceFile};
use crate::mcp::{Definition, ServerName};
use crate::policy::{PolicyFile, RolesElsewhere, ToolLock, compile};

fn lock(tools: impl IntoIterator<Item = Value>) -> ToolLock {
    let mut lock = ToolLock::default();
    lock.pin("records", tools.into_iter().map(|tool| Definition::new(tool).unwrap()));
    ToolLock::read("p/tools.lock", lock.to_text().as_bytes()).unwrap()
}

fn now() -> SystemTime {
    "2026-11-21T00:00:00Z".parse::<jiff::Timestamp>().unwrap().into()
}

fn found(policy: &str, lock: Option<&ToolLock>) -> Diagnostics {
    let servers = [ServerName::new("records").unwrap()];
    let read = || PolicyFile::new(SourceFile::new("p/a.yaml", policy), serde_yaml::from_str(policy).unwrap());
    let compiled = compile(&[read()], &servers, RolesElsewhere::None, "".into());
    assert!(compiled.is_ok(), "{policy}\n{}", compiled.unwrap_err());
    fits(&[read()], &servers, lock, now())
}

/// Severity, id and message of each problem.
fn told(policy: &str, lock: Option<&ToolLock>) -> Vec<String> {
    let found = found(policy, lock);
    let line = |severity: Severity, id: &str, message: &str| format!("{} {id}: {message}", severity.word());
    found.iter().map(|problem| line(problem.severity, problem.code.id(), &problem.message)).collect()
}

/// The tool whose arguments the conditions below are about.
fn search() -> Value {
    json!({ "name": "search", "annotations": { "readOnlyHint": true }, "inputSchema": {
        "type": "object",
        "required": ["store_id"],
        "properties": {
            "store_id": { "type": ["string", "integer"] },
            "query": { "type": "string", "minLength": 2, "maxLength": 200 },
            "limit": { "type": "integer", "minimum": 1, "maximum": 500 },
            "state": { "type": "string", "enum": ["open", "closed"] },
            "ids": { "type": "array", "items": { "type": "integer" }, "maxItems": 10 },
            "page": { "type": "object", "properties": { "size": { "type": "integer" } }, "additionalProperties": false },
            "extra": { "type": "object", "properties": { "a": {} }, "additionalProperties": true },
            "any": {},
            "maybe": { "type": "string", "nullable": true },
            "": { "type": "string" },
            "either": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
            "shared": { "$ref": "#/$defs/shared", "type": "string" },
            "where": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } },
        },
        "$defs": { "shared": { "type": "integer" } },
    } })
}

fn condition(arguments: &str) -> Vec<String> {
    let policy = format!("roles: {{ r: {{ tools: [search] }} }}\ntools: {{ search: {{ arguments: {arguments} }} }}\n");
    told(&policy, Some(&lock([search()])))
}

#[test]
fn of_a_condition_that_fits_nothing_is_told() {
    for arguments in [
        "{ required: [query], properties: { query: { maxLength: 50, pattern: '^a' } } }",
        "{ properties: { limit: { maximum: 100 } } }",
        "{ properties: { limit: { type: number, minimum: 500 } } }",
        "{ properties: { limit: { enum: [1, 2.0] } } }",
        "{ properties: { limit: { const: 500 }, store_id: {} }, additionalProperties: false, required: [store_id] }",
        "{ properties: { state: { const: open } } }",
        "{ properties: { state: { not: { const: open } } } }",
        // Forbidden, and it may be left out.
        "{ properties: { limit: false, page: false } }",
        "{ properties: { store_id: { claim: store } }, required: [store_id] }",
        "{ properties: { query: { sql: { tables: [orders] } } } }",
        "{ properties: { ids: { maxItems: 3, items: { minimum: 1 } } } }",
        "{ properties: { ids: { items: false } } }",
        "{ properties: { page: { properties: { size: { maximum: 10 } }, required: [size] } } }",
        "{ propertyNames: { enum: [store_id, limit, query] } }",
        "{ properties: { maybe: { type: 'null' }, '': { type: string } } }",
        // Where the tool leaves open what there is, everything may be.
        "{ properties: { extra: { properties: { b: { type: string } }, required: [c] } } }",
        "{ properties: { any: { type: object, properties: { z: { type: string } } } } }",
        // What an alternative or a reference says nobody weighs.
        "{ properties: { either: { type: string }, shared: { type: boolean } } }",
        "{ properties: { query: { anyOf: [{ const: ab }, { minLength: 3 }] } } }",
        "{ properties: { limit: { $ref: '#/$defs/small' } }, $defs: { small: { maximum: 5 } } }",
        "{ if: { properties: { state: { const: open } } }, then: { properties: { limit: { maximum: 5 } } } }",
    ] {
        assert_eq!(condition(arguments), [""; 0], "{arguments}");
    }
}

#[test]
fn of_a_condition_that_does_not_fit_the_tool_is_told_what_contradicts() {
    let told = |arguments: &&str| format!("{arguments}\n    {}", condition(arguments).join("\n    "));
    let cases = [
        "{ properties: { limits: { maximum: 5 } } }",
        "{ properties: { stor_id: { claim: store } }, required: [stor_id] }",
        "{ not: { required: [quary] } }",
        "{ anyOf: [{ required: [limit] }, { required: [ids, offset] }] }",
        "{ propertyNames: { enum: [store_id, quary] } }",
        "{ properties: { page: { properties: { sise: { maximum: 5 } } } } }",
        "{ properties: { limit: { type: string } } }",
        "{ properties: { limit: { type: string } }, required: [limit] }",
        "{ properties: { store_id: { type: boolean } } }",
        "{ properties: { limit: { minimum: 501 } }, required: [limit] }",
        "{ properties: { limit: { exclusiveMinimum: 499, exclusiveMaximum: 500 } }, required: [limit] }",
        "{ properties: { limit: { maxLength: 3 } } }",
        "{ properties: { query: { maximum: 3 } } }",
        "{ properties: { query: { minLength: 201 } }, required: [query] }",
        "{ properties: { limit: { sql: { tables: [orders] } } }, required: [limit] }",
        "{ properties: { page: { claim: page } }, required: [page] }",
        "{ properties: { state: { enum: [opne] } }, required: [state] }",
        "{ properties: { state: { enum: [open, clsed] } } }",
        "{ properties: { state: { minLength: 10 } }, required: [state] }",
        "{ properties: { limit: { const: '5' } }, required: [limit] }",
        "{ properties: { store_id: false } }",
        "{ additionalProperties: false, properties: { query: { type: string } } }",
        "{ propertyNames: { enum: [query] } }",
        "{ required: [page], properties: { page: { required: [siez] } } }",
        "{ properties: { page: { required: [siez] } } }",
        "{ required: [where], properties: { where: { properties: { id: { type: integer } } } } }",
        "{ properties: { ids: { minItems: 11 } } }",
        "{ required: [ids], properties: { ids: { minItems: 1, items: { type: string } } } }",
        "{ properties: { ids: { items: { type: string } } } }",
    ];
    insta::assert_snapshot!(cases.iter().map(told).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_condition_that_contradicts_itself_is_told_without_a_lock() {
    let cases = [
        "{ properties: { a: { type: integer, minimum: 10, maximum: 5 } }, required: [a] }",
        "{ properties: { a: { type: integer, minimum: 10, maximum: 5 } } }",
        "{ properties: { a: { minimum: 10, maximum: 5 } }, required: [a] }",
        "{ properties: { a: { type: string, minLength: 3, maxLength: 2 } }, required: [a] }",
        "{ properties: { a: { type: integer, enum: ['1', '2'] } }, required: [a] }",
        "{ properties: { a: { type: integer, sql: { tables: [t] } } }, required: [a] }",
        "{ properties: { a: { type: integer, maxLength: 3 } } }",
        "{ properties: { a: false }, required: [a] }",
        "{ properties: { a: {} }, additionalProperties: false, required: [b] }",
        "{ minProperties: 3, maxProperties: 2 }",
        // Beyond 2^53 two numbers may look alike.
        "{ properties: { a: { type: integer, exclusiveMinimum: 9007199254740992, maximum: 9007199254740993 } }, required: [a] }",
    ];
    let told = |arguments: &&str| {
        let policy = format!("roles: {{ r: {{ tools: [t] }} }}\ntools: {{ t: {{ arguments: {arguments} }} }}\n");
        format!("{arguments}\n    {}", told(&policy, None).join("\n    "))
    };
    insta::assert_snapshot!(cases.iter().map(told).collect::<Vec<_>>().join("\n"));
}

fn tool(name: &str) -> Value {
    json!({ "name": name })
}

#[test]
fn names_and_patterns_are_held_against_the_lock() {
    let hinted = |name: &str, hint: &str, says: bool| json!({ "name": name, "annotations": { hint: says } });
    let lock = lock([
        tool("get_record"),
        tool("delete_record"),
        tool("records.purge"),
        tool("resetRecord"),
        tool("undelete_record"),
        tool("list_deleted"),
        tool("drop everything"),
        hinted("get_dropped", "readOnlyHint", true),
        hinted("remove_from_view", "readOnlyHint", true),
        hinted("revoke_nothing", "destructiveHint", false),
        hinted("archive_record", "destructiveHint", true),
    ]);
    for (policy, expected) in [
        ("roles: { r: { tools: [get_record, 'get_*'] } }", &[][..]),
        ("roles: { r: { tools: [delete_record, archive_record, drop everything] } }", &[]),
        ("roles: { r: { tools: [get_recrod] } }", &["unknown-tool"]),
        ("roles: { r: { tools: [get_record], deny: { tools: [delete_recrod] } } }", &["unknown-tool"]),
        ("roles: { r: { tools: [get_record] } }\ndeny: { tools: [kill] }", &["unknown-tool"]),
        ("allowed_tools: [got_record]", &["unknown-tool"]),
        ("roles: { r: { tools: ['get_*'] } }\ntools: { get_recrod: { timeout: 1s } }", &["unknown-tool"]),
        // That no role grants it has been told.
        ("roles: { r: { tools: [get_record] } }\ntools: { get_recrod: { timeout: 1s } }", &[]),
        ("roles: { r: { tools: [get_record] } }\ntools: { '*': { timeout: 1s } }", &[]),
        ("roles: { r: { tools: ['fetch_*'] } }", &["unmatched-pattern"]),
        // What denies is for what comes later, too.
        ("roles: { r: { tools: [get_record], deny: { tools: ['fetch_*'] } } }", &[]),
        // A pattern that grants does not mean tools of unusual names.
        ("roles: { r: { tools: ['drop*'] } }", &["unmatched-pattern"]),
        ("roles: { r: { tools: ['*_record'] } }", &["destructive-by-pattern"]),
        ("roles: { r: { tools: ['*purge'] } }", &["destructive-by-pattern"]),
        ("roles: { r: { tools: ['reset*'] } }", &["destructive-by-pattern"]),
        ("allowed_tools: ['arch*']", &["destructive-by-pattern"]),
        ("roles: { r: { tools: ['un*', 'list_*', 'remove_*', 'revoke_*'] } }", &[]),
        ("roles: { r: { tools: ['delete_*', delete_record] } }", &[]),
        ("roles: { r: { tools: ['delete_*'], deny: { tools: [delete_record] } } }", &[]),
        (
            "roles: { r: { tools: ['delete_*'], mode: shadow, deny: { tools: [delete_record] } } }",
            &["destructive-by-pattern"],
        ),
        ("roles: { r: { tools: ['*_record'] } }\ndeny: { tools: ['delete_*', 'arch*'] }", &[]),
        (
            "mode: shadow\nroles: { r: { tools: ['delete_*'] } }\ndeny: { tools: ['delete_*'] }",
            &["destructive-by-pattern"],
        ),
        ("roles: { q: { deny: { tools: ['delete_*'] } }, r: { inherits: [q], tools: ['delete_*'] } }", &[]),
        (
            "roles: { r: { tools: ['delete_*'] }, q: { inherits: [r], deny: { tools: ['delete_*'] } } }",
            &["destructive-by-pattern"],
        ),
    ] {
        let found = found(policy, Some(&lock));
        assert_eq!(found.iter().map(|problem| problem.code.id()).collect::<Vec<_>>(), expected, "{policy}\n{found}");
        assert!(!found.has_errors(), "{policy}\n{found}");
        assert_eq!(told(policy, None), [""; 0], "{policy}");
    }
}

#[test]
fn what_can_never_be_used_again_is_told() {
    for (when, over) in [
        ("[{ until: 2026-11-20 }]", true),
        ("[{ until: 2026-11-20T23:59:59Z }, { after: 2026-10-01, until: 2026-10-02 }]", true),
        ("[{ until: 2026-11-20 }, { until: 2026-11-23 }]", false),
        ("[{ until: 2026-11-20 }, { days: [mon] }]", false),
        ("[{ after: 2026-11-20 }]", false),
    ] {
        let expected: &[&str] = if over { &["window-over"] } else { &[] };
        for policy in [
            format!("roles: {{ r: {{ tools: [a], when: {when} }} }}"),
            format!("roles: {{ r: {{ tools: [a] }} }}\ntools: {{ a: {{ when: {when} }} }}"),
        ] {
            let found = found(&policy, None);
            assert_eq!(found.iter().map(|problem| problem.code.id()).collect::<Vec<_>>(), expected, "{policy}");
        }
    }
}
