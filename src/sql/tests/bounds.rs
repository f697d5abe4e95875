//! Long, deep and senseless texts: they are refused soon, and stop nothing.

use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::MAX_BYTES;
use super::super::scan::scan;
use super::{Allowed, Dialect, Refused, reader, said, writer};

/// On a stack of the size that a worker has.
fn said_by_a_worker(text: String) -> &'static str {
    thread::Builder::new().stack_size(2 << 20).spawn(move || said(&writer(), &text)).unwrap().join().unwrap()
}

/// The walk refuses most of these too, but it can only judge what the parser cut right.
#[test]
fn the_scan_alone_refuses_what_is_cut_differently() {
    for text in ["E'x'", "U&'x'", "x'ff'", "U&\"x\"", "'a'b", "$$x$$"] {
        assert_eq!(scan(text, Dialect::PostgreSql), Err(Refused::Literal), "{text}");
    }
    for text in ["1'x'", "1\"x\"", "1$1", "1a"] {
        assert_eq!(scan(text, Dialect::PostgreSql), Err(Refused::Number), "{text}");
    }
}

#[test]
fn the_length_is_bounded() {
    let text = |length: usize| format!("SELECT '{}'", "x".repeat(length - 9));
    assert_eq!(said(&reader(), &text(MAX_BYTES)), "allowed");
    assert_eq!(said(&reader(), &text(MAX_BYTES + 1)), "too_long");
    assert_eq!(said(&reader(), &format!("SELECT {}1", "1,".repeat(1000))), "allowed");
    assert_eq!(said(&reader(), &format!("SELECT {}1", "1,".repeat(4000))), "too_long");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(said(&reader(), &nested(12)), "allowed");
    assert_eq!(said(&reader(), &nested(25)), "too_deep");
    let queries = |depth: usize| format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth));
    assert_eq!(said(&reader(), &queries(6)), "allowed");
    assert_eq!(said(&reader(), &queries(24)), "too_deep");
    let lists = |depth: usize| format!("SELECT {}1{}", "1 IN (".repeat(depth), ")".repeat(depth));
    assert_eq!(said(&reader(), &lists(5)), "allowed");
    assert_eq!(said(&reader(), &lists(6)), "too_deep");
    let joins = |count: usize| format!("SELECT 1 FROM orders{}", " NATURAL JOIN orders".repeat(count));
    assert_eq!(said(&reader(), &joins(48)), "allowed");
    assert_eq!(said(&reader(), &joins(49)), "too_long");
}

#[test]
fn long_chains_are_read() {
    let chain = |link: &str| format!("SELECT 1 FROM orders WHERE id = 1{}", link.repeat(400));
    assert_eq!(said_by_a_worker(chain(" OR id = 1")), "allowed");
    assert_eq!(said_by_a_worker(format!("SELECT 1{}", " + 1".repeat(2000))), "allowed");
    assert_eq!(said_by_a_worker(format!("SELECT 1{}", " + (SELECT 1)".repeat(500))), "allowed");
}

/// Prefixes, links and suffixes that make the parser or the tree deep without parentheses.
#[test]
fn no_chain_overflows_the_stack() {
    let repeated = [
        ("SELECT ", "NOT ", "true"),
        ("SELECT ", "- ", "1"),
        ("SELECT ", "+ ", "1"),
        ("SELECT ", "CASE WHEN ", "1"),
        ("SELECT ", "CASE ", "1"),
        ("SELECT ", "EXISTS ", "1"),
        ("SELECT ", "INTERVAL ", "'1'"),
        ("SELECT ", "1 IN ", "1"),
        ("SELECT ", "a BETWEEN ", "1"),
        ("SELECT ", "1 ^ ", "1"),
        ("SELECT ", "a . ", "a"),
        ("SELECT 1", "::int", ""),
        ("SELECT a", "[1]", ""),
        ("SELECT 1", " IS NULL", ""),
        ("SELECT 1", " IS NOT DISTINCT FROM 1", ""),
        ("SELECT 1", " AT TIME ZONE 'x'", ""),
        ("SELECT 1", " COLLATE x", ""),
        ("SELECT 1", " BETWEEN 1 AND 1", ""),
        ("SELECT 1", " IN (1)", ""),
        ("SELECT 1", " LIKE 'x'", ""),
        ("SELECT 1", " NOTNULL", ""),
        ("SELECT 1", "::int[]", ""),
        ("SELECT '1'::int", "[]", ""),
        ("SELECT 1", " UNION SELECT 1", ""),
        ("SELECT 1", " INTERSECT SELECT 1", ""),
        ("SELECT 1", " EXCEPT ALL VALUES (1)", ""),
        ("SELECT 1 FROM orders", " JOIN orders", ""),
        ("SELECT 1 FROM orders", " JOIN orders ON true", ""),
        ("SELECT 1 FROM orders", " NATURAL JOIN orders", ""),
        ("SELECT 1 FROM orders", " JOIN LATERAL", " orders"),
        ("", "WITH a AS ", "SELECT 1"),
        ("", "EXPLAIN ", "SELECT 1"),
        ("", "EXPLAIN ANALYZE ", "SELECT 1"),
        ("", "BEGIN ", "END"),
        ("", "IF 1 THEN ", "END"),
        ("", "CREATE SCHEMA a ", ""),
        ("", "PREPARE a AS ", "SELECT 1"),
        ("", "INSERT INTO orders ", "SELECT 1"),
        ("", "DECLARE a CURSOR FOR ", "SELECT 1"),
        ("", "SELECT 1 FROM ", "orders"),
        ("SELECT CAST(1 AS ", "ARRAY<", "int"),
        ("SELECT CAST(1 AS ", "MAP ", "int"),
        ("", "CREATE TRIGGER ", "a"),
        ("", "COPY ", "a"),
        ("", "SET a = ", "a"),
    ];
    for (first, link, last) in repeated {
        for count in [10, 100, 1000, 4000] {
            let text = format!("{first}{}{last}", link.repeat(count));
            let text = if text.len() > MAX_BYTES { text.chars().take(MAX_BYTES).collect() } else { text };
            said_by_a_worker(text);
        }
    }
}

const LINKS: &[&str] = &[
    "(",
    "((",
    "(SELECT ",
    "(SELECT (",
    "lower(",
    "(1,",
    "(a.",
    "CASE WHEN (",
    "IN (",
    "1 IN (",
    "EXISTS (",
    "NOT (",
    "ARRAY[",
    "ARRAY(",
    "a[",
    "CAST(",
    "cast((",
    "(VALUES (",
    "date (",
    "interval (",
    "x (",
    "(x) (",
    "trim((",
    "substring(",
    "position(",
    "extract(year FROM ",
    "convert(",
    "1 = ANY (",
    "(a, (",
    "struct(",
    "map(",
    "(((a)",
    "count(DISTINCT ",
    "count(*) FILTER (WHERE ",
    "sum(1) OVER (ORDER BY ",
    "overlay(",
    "1 IN ((SELECT ",
    "position((SELECT ",
    "1 = ANY ((SELECT ",
    "x.position(",
    "position (1 IN (",
    "json_object(",
    "- (",
];

/// Open parentheses with something before each, up to the bound: the parser goes back and tries again, which must not
/// take a time that doubles with each.
#[test]
fn going_back_is_bounded() {
    for link in LINKS {
        for first in [
            "SELECT ",
            "SELECT 1 FROM orders WHERE ",
            "SELECT 1 FROM ",
            "SELECT 1 FROM orders JOIN ",
            "",
            "VALUES ",
            "INSERT INTO orders ",
            "WITH a AS ",
            "SELECT CAST(1 AS ",
        ] {
            for count in [4, 12, 24] {
                said_by_a_worker(format!("{first}{}", link.repeat(count)));
                said_by_a_worker(format!("{first}{}1{}", link.repeat(count), ")".repeat(count)));
            }
        }
    }
}

fn never_panics(allowed: &Allowed, text: &str) {
    // What is said is short and plain, whatever was asked.
    if let Err(refused) = allowed.check(text) {
        let said = refused.to_string();
        assert!(said.len() < 400 && !said.contains(char::is_control), "{said}");
    }
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "WITH",
    "AS",
    "(",
    ")",
    ",",
    "orders",
    "secrets",
    "JOIN",
    "ON",
    "LATERAL",
    "UNION",
    "1",
    "'x'",
    "\"q\"",
    "*",
    ".",
    "=",
    "-",
    "::",
    "int",
    "AND",
    "NOT",
    "IN",
    "EXISTS",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "VALUES",
    "INSERT",
    "INTO",
    "UPDATE",
    "SET",
    "DELETE",
    "RETURNING",
    "GROUP",
    "BY",
    "ORDER",
    "LIMIT",
    "OVER",
    "[",
    "]",
    "->>",
    "lower",
    "$1",
    "NULL",
    "INTERVAL",
    "ARRAY",
    "ROWS",
    "RECURSIVE",
    "ONLY",
    "TABLE",
    "USING",
    "FOR",
    "ANY",
    ";",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        never_panics(&writer(), &text);
    }

    #[test]
    fn no_ascii_text_panics(text in "[ -~\\n]{0,200}") {
        never_panics(&writer(), &text);
    }

    #[test]
    fn no_order_of_words_panics(words in vec(select(WORDS), 0..40)) {
        never_panics(&writer(), &words.join(" "));
    }

    /// However the words are put, what reads from the forbidden table by a plain FROM does not pass.
    #[test]
    fn no_order_of_words_reads_the_forbidden_table(
        before in vec(select(WORDS), 0..6),
        after in vec(select(WORDS), 0..6),
    ) {
        let text = format!("SELECT {} FROM secrets {}", before.join(" "), after.join(" "));
        let said = said(&writer(), &text);
        prop_assert!(said != "allowed" || text.contains("WITH"), "{text}");
    }
}
