//! `tollgate test`: what people and programs are told of cases that pass, fail, or cannot be run.

use std::path::Path;

use super::commands::{home, said, tollgate};

const POLICY: &str = r"server: records
roles:
  reader:
    tools: [search, get_one]
tools:
  search:
    arguments:
      properties:
        limit: { type: integer, maximum: 100 }
    limits: [{ calls: 5, every: 1m, per: principal }]
";

/// One case that passes and three that do not.
const CASES: &str = r#"cases:
  - { name: a reader gets one,        as: { roles: [reader] }, call: get_one, expect: allow, because: roles.reader.tools }
  - name: a reader searches all "at once"
    as: { roles: [reader] }
    call: search
    arguments: { limit: 101 }
    expect: allow
  - { name: a sixth search, as: { roles: [reader] }, call: search, after: 5 calls, expect: allow }
  - { name: nobody deletes, as: { roles: [reader] }, call: delete, expect: deny, because: roles.reader.deny.tools }
"#;

#[tokio::test]
async fn whoever_reads_it_is_told_what_failed_and_what_no_case_shows() {
    let home = home(&[("policies/records.yaml", POLICY), ("policies/records.test.yaml", CASES)]);
    for format in ["human", "json", "junit"] {
        let args = ["test", "--require-coverage", "90", "--format", format];
        insta::assert_snapshot!(format!("test_{format}"), said(&tollgate(home.path(), &args).await));
    }
}

#[tokio::test]
async fn cases_that_pass_say_so_and_too_little_coverage_fails() {
    let passing = CASES.lines().take(2).collect::<Vec<_>>().join("\n");
    let home = home(&[("policies/records.yaml", POLICY), ("policies/records.test.yaml", &passing)]);
    let passed = "exit 0\nNo case shows:\n";
    for args in [&["test"][..], &["test", "policies/"], &["test", "policies/records.test.yaml"]] {
        let said = said(&tollgate(home.path(), args).await);
        assert!(said.starts_with(passed) && said.ends_with("1 passed, 0 failed; coverage 20 % (1 of 5)\n"), "{said}");
    }
    let args = |percent| ["test", "--require-coverage", percent];
    assert!(said(&tollgate(home.path(), &args("20")).await).starts_with("exit 0\n"));
    let lacking = said(&tollgate(home.path(), &args("21")).await);
    assert!(lacking.starts_with("exit 1\n") && lacking.contains("less than the 21 % required"), "{lacking}");
}

#[tokio::test]
async fn what_cannot_be_run_is_told_as_check_tells_it() {
    let broken =
        home(&[("policies/records.yaml", "roles: { reader: { tool: [a] } }\n"), ("policies/a.test.yaml", CASES)]);
    let answer = said(&tollgate(broken.path(), &["test"]).await);
    assert!(answer.starts_with("exit 2\nerror[unknown-key]: unknown key `tool`\n"), "{answer}");
    let without = home(&[("policies/records.yaml", POLICY)]);
    let answer = said(&tollgate(without.path(), &["test"]).await);
    assert!(answer.starts_with("exit 2\nerror[no-cases]: there is no file of cases in this folder\n"), "{answer}");
    assert!(said(&tollgate(&without.path().join("policies"), &["test"]).await).starts_with("exit 2\n"));
}

#[tokio::test]
async fn the_shipped_cases_show_all_of_the_shipped_policies() {
    let args = ["test", "policies/", "--require-coverage", "100"];
    let answer = said(&tollgate(Path::new(env!("CARGO_MANIFEST_DIR")), &args).await);
    assert!(answer.starts_with("exit 0\n") && answer.contains("0 failed; coverage 100 %"), "{answer}");
}
