//! What is left of what is said: masked once and for all, whatever stands in it and whoever looks.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::json;
use crate::mcp::ServerName;
use crate::policy::{Flow, PolicySet, Redacted, Redaction};
use crate::redact::Part;

/// What two files and a tool look for: detectors, patterns that end and begin with words, and those that find in each
/// other's masks and in their own.
const POLICY: &str = r#"server: records
redact:
  - { find: [secrets, email, card], then: mask }
  - { pattern: "EMP-[0-9]{6}", name: employee, then: mask }
  - { pattern: "\\b[0-9]{4}", name: four, then: mask }
  - { pattern: "[a-z]{2}\\b", name: ended, in: arguments, then: mask }
  - { pattern: "^x.{1,3}", name: first, in: arguments, then: mask }
  - { pattern: "y.{1,3}$", name: last, then: mask }
roles: { reader: { tools: [a] } }
tools:
  a:
    redact:
      - { find: [ids, iban], then: mask }
      - { pattern: "red|act|[0-9]", name: red, then: mask }
      - { pattern: "[\\[\\]: ]{1,9}", name: marks, in: arguments, then: mask }
"#;

/// What stands beside the other without anything between them.
const PIECES: &[&str] = &[
    "EMP-123456",
    "AKIAIOSFODNN7EXAMPLE",
    "4111111111111111",
    "4111 1111 1111 1111",
    "jane@example.com",
    "111222333",
    "DE89370400440532013000",
    "postgres://u:p@",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "eyJa.eyJb.c",
    "12345678Z",
    "ab",
    "xy",
    "y",
    "7",
    "1234",
    "-",
    " ",
    "@",
    ".",
    ":",
    "\\",
    "\"",
    "\n",
    "\u{fc}",
    "\u{1f600}",
    "[redacted: email]",
    "[redacted: red 1]",
    "[redacted: ",
    "]",
    "red",
];

static DENSE: LazyLock<Redaction> = LazyLock::new(|| redaction(POLICY));

fn redaction(policy: &str) -> Redaction {
    PolicySet::for_test(policy).redaction(&ServerName::new("records").unwrap(), Some("a"))
}

fn left(redacted: Redacted, text: &[u8]) -> Vec<u8> {
    redacted.masked.unwrap_or_else(|| text.to_vec())
}

proptest! {
    /// R22. A second gate with the same policy finds nothing more, and what it hands on has one reading.
    #[test]
    fn what_is_masked_is_masked_once_and_for_all(
        texts in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(PIECES), 0..16), 1..5),
        flow in proptest::sample::select(&Flow::ALL[..]),
    ) {
        let texts: Vec<String> = texts.into_iter().map(|pieces| pieces.concat()).collect();
        let members = texts.iter().enumerate().map(|(n, text)| (format!("{n} {text}"), text.clone().into()));
        let members: serde_json::Map<String, serde_json::Value> = members.collect();
        let json = serde_json::json!({ "texts": members, "numbers": [4_111_111_111_111_111_u64, 1234, 0.5] }).to_string();
        let once = left(DENSE.redact(json.as_bytes(), flow, Part::Whole), json.as_bytes());
        prop_assert!(json::value(&once, &json::Bounds::default()).is_ok(), "{json}");
        let twice = left(DENSE.redact(&once, flow, Part::Whole), &once);
        prop_assert_eq!(String::from_utf8(twice), String::from_utf8(once), "{}", json);
    }
}

fn masked(policy: &str, text: &str) -> String {
    redaction(policy).masked(text)
}

/// Whoever writes what is only recorded must not hide with it what is masked.
#[test]
fn what_is_only_told_hides_nothing_of_what_is_masked() {
    let policy = r"server: records
redact:
  - { find: [private_key], then: alert }
  - { find: [email], then: mask }
";
    let text = "-----BEGIN PRIVATE KEY-----\njane@example.com";
    assert_eq!(masked(policy, text), "-----BEGIN PRIVATE KEY-----\n[redacted: email]");
}

/// What the server's list masks, the tool's may refuse.
#[test]
fn of_two_lists_the_stricter_counts() {
    let policy = r"server: records
redact: [{ find: [email], then: mask }]
tools: { a: { redact: [{ find: [email], then: block }] } }
";
    let redacted = redaction(policy).redact(br#""jane@example.com""#, Flow::Arguments, Part::Whole);
    assert_eq!(redacted.blocked().map(|sighting| &*sighting.name), Some("email"));
}

#[test]
fn a_pattern_sees_where_a_text_begins_and_ends_whatever_else_was_masked() {
    let policy = r#"server: records
redact:
  - { pattern: "^.{1,3}", name: first, then: mask }
  - { pattern: "[0-9]{2}$", name: last, then: mask }
"#;
    assert_eq!(masked(policy, "abcdefgh1234"), "[redacted: first]defgh12[redacted: last]");
}

/// Where one find makes room for the next without end, nothing of that part is left.
#[test]
fn what_never_comes_to_an_end_is_masked_as_one() {
    let policy = r#"server: records
redact: [{ pattern: "a\\b", name: end, then: mask }]
"#;
    assert_eq!(masked(policy, "it is aaa."), "it is [redacted: end][redacted: end][redacted: end].");
    let many = format!("it is {}.", "a".repeat(100));
    let left = masked(policy, &many);
    assert!(!left.contains("it is a"), "{left}");
    assert_eq!(masked(policy, &left), left);
}
