//! What is shown, and what never is.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{At, Code, Denied, Diagnostic, Diagnostics, Format, Report, Severity, SourceFile, Style, nearest, quoted};

#[test]
fn a_problem_is_shown_with_its_line_and_the_way_out() {
    let file = SourceFile::new("policies/a.yaml", "roles:\n  reader: { tolls: [x] }\n");
    let problem = file
        .error(Code::UnknownKey, At { line: 2, column: 13, width: 5 }, "unknown key `tolls`")
        .help("did you mean `tools`?");
    insta::assert_snapshot!(problem.render(Style::Plain), @r"
    error[unknown-key]: unknown key `tolls`
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
        let shown = file.error(Code::UnknownKey, At { line, column, width }, "x").render(Style::Ansi).to_string();
        assert!(shown.contains("a.yaml"));
    }
}

#[test]
fn what_cannot_be_seen_is_shown() {
    assert_eq!(quoted("a\u{202e}b\u{1b}[2J"), "`a\\u{202e}b\\u{1b}[2J`");
    let file = SourceFile::new("a.yaml", "\u{1b}]0;title\u{7} x");
    let shown =
        file.error(Code::UnknownKey, At { line: 1, column: 11, width: 1 }, "x").render(Style::Plain).to_string();
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
    all.push(file.error(Code::UnknownKey, At { line: 2, column: 1, width: 1 }, "second"));
    all.push(file.warning(Code::UnknownKey, At { line: 1, column: 1, width: 1 }, "first"));
    all.push(file.error(Code::UnknownKey, At { line: 2, column: 1, width: 1 }, "second"));
    all.push(Diagnostic::error(Code::UnknownKey, "a.yaml", "other file"));
    let told: Vec<_> = all.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told, ["other file", "first", "second"]);
    assert_eq!(all.summary(), "2 errors, 1 warning");
}

/// An error with a place in a file of an awkward name, and a warning about a folder.
fn awkward() -> Diagnostics {
    let file = SourceFile::new("/srv/tree/a b,c:d%é.yaml", "roles:\n  reader: { tolls: [x] }\n");
    let mut found = Diagnostics::new();
    let at = At { line: 2, column: 13, width: 5 };
    found.push(file.error(Code::UnknownKey, at, "100% of `a,b:c`").help("one\ntwo"));
    found.push(Diagnostic::warning(Code::NoPolicy, "/elsewhere/policies", "nothing\r\nhere"));
    found
}

fn rendered(format: Format) -> String {
    Report { found: &awkward(), denied: Denied::Warnings, here: Path::new("/srv/tree") }.render(format)
}

#[test]
fn ids_are_words_and_no_two_are_alike() {
    let ids: BTreeSet<&str> = Code::ALL.iter().map(|code| code.id()).collect();
    assert_eq!(ids.len(), Code::ALL.len());
    for code in Code::ALL {
        let id = code.id();
        assert!(id.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric())), "{id}");
        assert_eq!(id, id.to_lowercase());
        assert!(code.about().ends_with('.') && !code.about().contains('\n'), "{id}");
    }
}

#[test]
fn a_workflow_command_ends_where_it_should() {
    insta::assert_snapshot!(rendered(Format::Github), @r"
    ::warning file=/elsewhere/policies,title=no-policy::nothing%0D%0Ahere
    ::error file=a b%2Cc%3Ad%25é.yaml,line=2,col=13,endColumn=18,title=unknown-key::100%25 of `a,b:c`%0Aone%0Atwo
    1 error, 1 warning; warnings are denied
    ");
}

#[test]
fn json_has_every_key_for_every_problem() {
    insta::assert_snapshot!(rendered(Format::Json), @r#"
    {
      "diagnostics": [
        {
          "severity": "warning",
          "code": "no-policy",
          "file": "/elsewhere/policies",
          "line": null,
          "column": null,
          "end_column": null,
          "message": "nothing\r\nhere",
          "help": null
        },
        {
          "severity": "error",
          "code": "unknown-key",
          "file": "/srv/tree/a b,c:d%é.yaml",
          "line": 2,
          "column": 13,
          "end_column": 18,
          "message": "100% of `a,b:c`",
          "help": "one\ntwo"
        }
      ],
      "summary": {
        "errors": 1,
        "warnings": 1,
        "outcome": "problems"
      }
    }
    "#);
}

#[test]
fn sarif_names_files_by_uri_and_rules_by_place() {
    let log: Value = rendered(Format::Sarif).parse().unwrap();
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let places: Vec<_> = results.iter().map(|result| &result["locations"][0]["physicalLocation"]).collect();
    assert_eq!(places[0].to_string(), r#"{"artifactLocation":{"uri":"file:///elsewhere/policies"}}"#);
    assert_eq!(places[1]["artifactLocation"]["uri"], "a%20b%2Cc%3Ad%25%C3%A9.yaml");
    assert_eq!(places[1]["region"].to_string(), r#"{"endColumn":18,"startColumn":13,"startLine":2}"#);
    assert_eq!(results[1]["message"]["text"], "100% of `a,b:c`\nHelp: one\ntwo");
}

#[test]
fn what_spans_several_lines_is_marked_in_the_first() {
    let file = SourceFile::new("a.yaml", "a: [x,\n  y]\n");
    let problem = file.error(Code::UnknownKey, At { line: 1, column: 4, width: 9 }, "x");
    let width = |problem: &Diagnostic| problem.marked().unwrap().width;
    assert_eq!((width(&problem), width(&problem.without_source_line())), (3, 3));
}

#[test]
fn warnings_fail_where_they_are_denied() {
    let mut found = Diagnostics::new();
    let mut fails = |problem: Option<Diagnostic>| {
        if let Some(problem) = problem {
            found.push(problem);
        }
        [Denied::Nothing, Denied::Warnings].map(|denied| {
            let report = Report { found: &found, denied, here: Path::new("") };
            (report.fails(), report.render(Format::Github).lines().last().unwrap().to_owned())
        })
    };
    let none = "0 errors, 0 warnings".to_owned();
    assert_eq!(fails(None), [(false, none.clone()), (false, none)]);
    let [plain, denied] = fails(Some(Diagnostic::warning(Code::NoPolicy, "a", "x")));
    assert_eq!(plain, (false, "0 errors, 1 warning".to_owned()));
    assert_eq!(denied, (true, "0 errors, 1 warning; warnings are denied".to_owned()));
    assert_eq!(Severity::Warning.word(), "warning");
}
