//! Files that mean one thing to a reviewer and another to a parser, or that cost more than they should.

use std::time::{Duration, Instant};

use super::{lines, load, told, with_keys, with_policy};

/// Everything that is refused whatever the keys mean.
const MISREAD: &[(&str, &str)] = &[
    ("alias", "x: &t [delete_record]\nroles:\n  reader: { tools: *t }\n"),
    ("anchor alone", "roles: { reader: &r { tools: [a] } }\n"),
    ("alias to nothing", "roles: { reader: { tools: *t } }\n"),
    ("merge key", "roles:\n  reader: { tools: [a] }\n  b: { <<: { tools: [b] } }\n"),
    ("local tag", "roles: !include /etc/passwd\n"),
    ("python tag", "roles: !!python/object:os.system { reader: { tools: [a] } }\n"),
    ("core tag", "roles: { reader: { tools: [!!str a] } }\n"),
    ("binary", "allowed_tools: [!!binary ZGVsZXRlX3JlY29yZA==]\n"),
    ("verbatim tag", "roles: !<tag:yaml.org,2002:map> { reader: { tools: [a] } }\n"),
    ("directive", "%YAML 1.1\n---\nallowed_tools: [a]\n"),
    ("tag directive", "%TAG ! tag:a,2000:\n---\nallowed_tools: [a]\n"),
    ("two documents", "allowed_tools: [a]\n---\nallowed_tools: [delete_record]\n"),
    ("duplicate role", "roles:\n  reader: { tools: [a] }\n  reader: { tools: [delete_record] }\n"),
    ("duplicate key", "roles:\n  reader: { tools: [a], tools: [delete_record] }\n"),
    ("duplicate key, spelt otherwise", "roles:\n  reader: { tools: [a], \"t\\x6fols\": [delete_record] }\n"),
    ("duplicate top key", "roles: { reader: { tools: [a] } }\nroles: { reader: { tools: [b] } }\n"),
    ("key that is no text", "roles: { [reader]: { tools: [a] } }\n"),
    ("question mark key", "? {a: b}\n: c\n"),
    ("next line character", "allowed_tools:\n  - a\n# note\u{85}  - delete_record\n"),
    ("line separator", "allowed_tools:\n  - a\n# note\u{2028}  - delete_record\n"),
    ("carriage return", "allowed_tools:\n  - a\n# note\r  - delete_record\n"),
    ("right to left", "allowed_tools:\n  - a # \u{202e}x\n"),
    ("tag characters", "allowed_tools:\n  - a # \u{e0041}\n"),
    ("nul", "allowed_tools: [a]\0\n"),
    ("half a file", "roles:\n  reader: { tools: [search_records, del"),
    ("tabs", "roles:\n\treader: { tools: [a] }\n"),
    ("only a comment", "# nothing\n"),
    ("empty", ""),
    ("null", "null\n"),
];

#[test]
fn what_a_reviewer_could_misread_is_refused() {
    let told: Vec<_> = MISREAD
        .iter()
        .map(|(name, text)| format!("{name}\n    {}", told(with_policy(text)).replace('\n', "\n    ")))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// The attack cases on policy files, in our language. Those on redaction (PFL-022), on settings taken from the
/// environment (PFL-026) and on signed files (PFL-032) are about keys that there are not. What a running gate does with
/// each is to keep the policy that it has (`tests/it/reload.rs`).
const CORPUS: &[(&str, &str)] = &[
    ("PFL-002 anchors and aliases", "x: &t [delete_record]\nroles: { reader: { tools: *t } }\n"),
    (
        "PFL-005 unknown key",
        "roles:\n  reader:\n    tools: [search_records, delete_record]\n    denny: { tools: [delete_record] }\n",
    ),
    ("PFL-008 empty file", ""),
    ("PFL-009 empty list", "roles:\n  reader:\n    tools: []\n"),
    ("PFL-010 null", "roles:\n  reader:\n    tools:\n"),
    ("PFL-011 text for a list", "roles:\n  reader:\n    tools: search_records\n"),
    ("PFL-012 bare wildcard", "roles:\n  reader:\n    tools: ['*']\n"),
    (
        "PFL-014 a line break of another kind",
        "roles:\n  reader:\n    tools:\n    - search_records\n# note\u{85}    - delete_record\n",
    ),
    ("PFL-015 homoglyph", "roles:\n  reader:\n    tools: [s\u{435}arch_records]\n"),
    (
        "PFL-016 two documents",
        "roles: { reader: { tools: [search_records] } }\n---\nroles: { reader: { tools: [delete_record] } }\n",
    ),
    ("PFL-017 custom tag", "roles: !include /etc/passwd\n"),
    (
        "PFL-020 catastrophic pattern",
        "roles: { reader: { tools: [a] } }\ntools: { a: { arguments: { properties: { q: { pattern: '(a+)+\\1$' } } } } }\n",
    ),
    ("PFL-025 a reference to the environment", "roles: { reader: { tools: [\"env:TOOLS_UNSET\"] } }\n"),
    ("PFL-029 half-written", "roles:\n  reader:\n    tools: [search_records, del"),
];

/// The same, of files with keys.
const CORPUS_OF_KEYS: &[(&str, &str)] = &[
    ("PFL-006 unknown key deeper down", "keys: [{ id: bob, hash: \"HASH\", roles: [reader], expries: 2020-01-01 }]\n"),
    ("PFL-023 a key itself", "keys: [{ id: bob, key: s3cr3t-s3cr3t-s3cr3t, roles: [reader], expires: 2027-01-01 }]\n"),
    (
        "PFL-024 the hash of nothing",
        "keys: [{ id: bob, hash: \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\", roles: [reader], expires: 2027-01-01 }]\n",
    ),
];

#[test]
fn the_attack_cases_on_policy_files_are_told_with_the_way_out() {
    let policies = CORPUS.iter().map(|(name, text)| (name, told(with_policy(text))));
    let keys = CORPUS_OF_KEYS.iter().map(|(name, text)| (name, told(with_keys(text))));
    let told: Vec<_> =
        policies.chain(keys).map(|(name, told)| format!("{name}\n    {}", told.replace('\n', "\n    "))).collect();
    assert!(told.iter().all(|told| !told.contains("fits") && !told.contains("s3cr3t")), "{told:#?}");
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let utf16: Vec<u8> = "\u{feff}allowed_tools: [a]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [utf16.as_slice(), b"allowed_tools: [\xff]\n", b"allowed_tools: [\xc0\xaf]\n"] {
        let told = lines(&load(&[("a.yaml", bytes)]).unwrap_err());
        assert!(told.contains("not UTF-8"), "{told}");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    assert_eq!(told(with_policy("\u{feff}roles:\r\n  reader:\r\n    tools: [a]\r\n")), "fits");
}

/// Each is refused, and quickly.
#[test]
fn bombs() {
    let laughs = {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, before) in ('b'..='i').zip('a'..) {
            let line = format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(","));
            text.push_str(&line);
        }
        text
    };
    let bombs = [
        ("laughs", laughs),
        ("flow nesting", format!("roles: {}", "[".repeat(100_000))),
        ("mapping nesting", format!("roles: {}", "{a: ".repeat(100_000))),
        ("block nesting", lines_of(2_000, |n| format!("{}- \n", " ".repeat(n)))),
        ("dashes", format!("roles: \n{}", "- ".repeat(100_000))),
        ("values", format!("allowed_tools: [{}]", "a,".repeat(100_000))),
        ("anchors", format!("allowed_tools: [{}]", "&a a,".repeat(10_000))),
        ("keys", lines_of(60_000, |n| format!("k{n}: a\n"))),
        ("documents", "---\na: b\n".repeat(50_000)),
        ("long key", format!("{}: b\n", "k".repeat(900_000))),
        ("question marks", "? ".repeat(200_000)),
        ("quotes", "'".repeat(500_000)),
        ("ampersands", "&a ".repeat(200_000)),
        ("tags", "!".repeat(900_000)),
    ];
    for (name, text) in bombs {
        let begin = crate::clock::monotonic();
        let found = load(&[("a.yaml", text.as_bytes())]).unwrap_err();
        assert!(found.has_errors(), "{name}");
        assert!(found.iter().count() <= 25, "{name}");
        assert!(found.to_string().len() < 20_000, "{name}");
        let took: Duration = Instant::duration_since(&crate::clock::monotonic(), begin);
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
    }
}

fn lines_of(count: usize, line: fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

/// A file of nothing but mistakes costs no more than a file.
#[test]
fn many_problems_are_not_many_times_the_file() {
    let one_line = format!("allowed_tools: [{}]\n", "'',".repeat(10_000));
    let many_lines = format!("allowed_tools:\n{}", "- ' a'\n".repeat(10_000));
    let many_warnings = format!("allowed_tools: [{}]\n", "a?,".repeat(10_000));
    for text in [one_line, many_lines] {
        let found = load(&[("a.yaml", text.as_bytes())]).unwrap_err();
        assert!(found.summary().starts_with("500 errors or more"), "{}", found.summary());
        assert!(found.to_string().len() < 500_000);
    }
    let found = load(&[("a.yaml", many_warnings.as_bytes())]).unwrap_err();
    assert!(found.summary().contains("500 warnings or more"), "{}", found.summary());
    assert!(found.has_errors(), "and that there is no key is still told");
}
