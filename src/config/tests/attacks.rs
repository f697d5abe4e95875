//! Files that mean one thing to a reviewer and another to a parser, or that cost more than they should.

use std::time::{Duration, Instant};

use super::{lines, load, told, with_policy};

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
