//! What is shown, and what never is.

use super::{At, Diagnostic, Diagnostics, SourceFile, Style, nearest, quoted};

#[test]
fn a_problem_is_shown_with_its_line_and_the_way_out() {
    let file = SourceFile::new("policies/a.yaml", "roles:\n  reader: { tolls: [x] }\n");
    let problem = file.error(At { line: 2, column: 13, width: 5 }, "unknown key `tolls`").help("did you mean `tools`?");
    insta::assert_snapshot!(problem.render(Style::Plain), @r"
    error: unknown key `tolls`
     --> policies/a.yaml:2:13
      |
    2 |   reader: { tolls: [x] }
      |             ^^^^^
      = help: did you mean `tools`?
    ");
}

#[test]
fn a_place_that_is_not_there_is_no_panic() {
    let file = SourceFile::new("a.yaml", "a\n");
    for (line, column, width) in [(0, 0, 0), (1, 900, 9), (7, 1, 1), (u32::MAX, u32::MAX, u32::MAX)] {
        let shown = file.error(At { line, column, width }, "x").render(Style::Ansi).to_string();
        assert!(shown.contains("a.yaml"));
    }
}

#[test]
fn what_cannot_be_seen_is_shown() {
    assert_eq!(quoted("a\u{202e}b\u{1b}[2J"), "`a\\u{202e}b\\u{1b}[2J`");
    let file = SourceFile::new("a.yaml", "\u{1b}]0;title\u{7} x");
    let shown = file.error(At { line: 1, column: 11, width: 1 }, "x").render(Style::Plain).to_string();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}

#[test]
fn the_nearest_name_is_near() {
    let known = ["search_records", "get_record_detail", "tools", "roles"];
    for (typed, meant) in [
        ("serach_records", Some("search_records")),
        ("tolls", Some("tools")),
        ("Tools", Some("tools")),
        ("rolse", Some("roles")),
        ("delete_record", None),
        ("", None),
    ] {
        assert_eq!(nearest(typed, known), meant, "{typed}");
    }
}

#[test]
fn all_are_sorted_and_none_is_told_twice() {
    let file = SourceFile::new("b.yaml", "x\ny\n");
    let mut all = Diagnostics::new();
    all.push(file.error(At { line: 2, column: 1, width: 1 }, "second"));
    all.push(file.warning(At { line: 1, column: 1, width: 1 }, "first"));
    all.push(file.error(At { line: 2, column: 1, width: 1 }, "second"));
    all.push(Diagnostic::error("a.yaml", "other file"));
    let told: Vec<_> = all.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told, ["other file", "first", "second"]);
    assert_eq!(all.summary(), "2 errors, 1 warning");
}
