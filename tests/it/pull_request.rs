//! The review of a change in CI (`deploy/ci`): what it reports, where it writes it, and when it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::support::gate::program;

const POLICY: &str = "server: records\nroles:\n  reader: { tools: [search_records] }\n";

/// The real one, and what it was asked.
const TOLLGATE: &str = r#"#!/bin/sh
echo "$@" >> "$TEST_HOME/commands"
exec "$TEST_TOLLGATE" "$@"
"#;

/// A change that is longer to tell than a comment may be.
const LONG: &str = r#"#!/bin/sh
[ "$1" != diff ] || printf 'é%.0s' $(seq 50000)
"#;

/// Knows the comments in the file `known`, and keeps what it is to write.
const GH: &str = r#"#!/bin/sh
echo "$@" >> "$TEST_HOME/asked"
case "$*" in
    *--jq*) cat "$TEST_HOME/known" ;;
    *) for last; do :; done; cp "${last#body=@}" "$TEST_HOME/comment"; exit "$(cat "$TEST_HOME/gh")" ;;
esac
"#;

/// A pull request that changes something in a repository with policies.
struct Change {
    home: TempDir,
}

impl Change {
    /// The repository, with the policies committed.
    fn new() -> Self {
        let change = Self { home: tempfile::tempdir().expect("a folder") };
        for folder in ["bin", "policies"] {
            fs::create_dir(change.path(folder)).expect("it is new");
        }
        for (program, text) in [("bin/tollgate", TOLLGATE), ("bin/gh", GH)] {
            change.write(program, text);
            fs::set_permissions(change.path(program), fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        for (file, text) in [("known", ""), ("gh", "0"), ("policies/records.yaml", POLICY)] {
            change.write(file, text);
        }
        let made = change.ran(&program().to_string_lossy(), &["keys", "new", "--id", "alice", "--role", "reader"]);
        let (_, entry) = made.split_once("\nkeys:").expect("the entry after the key");
        change.write("policies/principals.yaml", &format!("keys:{entry}"));
        for arguments in [&["init", "--quiet"][..], &["add", "policies"], &["commit", "--quiet", "-m", "Policies"]] {
            change.ran("git", &[&["-c", "user.name=a", "-c", "user.email=a@example.com"], arguments].concat());
        }
        change
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it can be written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn ran(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.home.path()).output().expect("it starts");
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// The review as GitHub runs it, and its exit code.
    fn review(&self, settings: &[(&str, &str)]) -> (i32, String) {
        let usual = [
            ("FOLDER", "policies"),
            ("BASE", "HEAD"),
            ("PULL_REQUEST", "7"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "owner/name"),
        ];
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ci/github.sh");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("a path"));
        let output: Output = Command::new(script)
            .env("PATH", path)
            .env("TEST_HOME", self.home.path())
            .env("TEST_TOLLGATE", program())
            .env("GITHUB_STEP_SUMMARY", self.path("summary"))
            .envs(usual)
            .envs(settings.iter().copied())
            .current_dir(self.home.path())
            .output()
            .expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().expect("it ends by itself"), String::from_utf8(said).expect("text"))
    }
}

#[test]
fn a_change_is_reported_in_the_summary_and_in_one_comment() {
    let change = Change::new();
    let (code, said) = change.review(&[]);
    assert_eq!(code, 0, "{said}");
    let summary = change.read("summary");
    assert_eq!(
        summary,
        "## Policies in policies\n\n- **check**: there are no problems\n- **test**: there are no test cases\n\
         - **diff**: nobody may do more than before\n\n### Policy: nobody may do anything else than before\n"
    );
    assert_eq!(change.read("comment"), format!("<!-- tollgate review: policies -->\n{summary}"));
    let head = change.ran("git", &["rev-parse", "HEAD"]);
    assert!(change.read("commands").ends_with(&format!("diff {head} policies --format markdown\n")));
    assert!(
        change.read("asked").contains("--method POST repos/owner/name/issues/7/comments "),
        "{}",
        change.read("asked")
    );
    // The next time there is that comment.
    change.write("known", "42\n43\n");
    assert_eq!(change.review(&[]).0, 0);
    assert!(change.read("asked").contains("--method PATCH repos/owner/name/issues/comments/42 "));
}

#[test]
fn more_access_is_shown_and_fails_only_where_that_is_asked_for() {
    let change = Change::new();
    change.write("policies/records.yaml", &POLICY.replace("search_records", "search_records, delete_record"));
    for (widening, expected) in [("false", 0), ("", 0), ("true", 1)] {
        change.write("summary", "");
        assert_eq!(change.review(&[("WIDENING", widening)]).0, expected, "{widening}");
        let summary = change.read("summary");
        assert!(summary.contains("somebody may do more than before") && summary.contains("delete_record"), "{summary}");
    }
}

#[test]
fn what_is_wrong_fails_and_is_told() {
    let change = Change::new();
    change.write("policies/records.yaml", &POLICY.replace("tools", "tolls"));
    let (code, said) = change.review(&[]);
    assert!(code == 1 && said.contains("::error file=policies/records.yaml,line=3"), "{code}: {said}");
    let summary = change.read("summary");
    assert!(summary.contains("**diff**: it can be told once") && !summary.contains("not a policy"), "{summary}");
    assert!(summary.contains("**check fails**") && summary.contains("    error[unknown-key]"), "{summary}");

    let change = Change::new();
    let case = "cases: [{ name: of a reader, as: { key: alice }, call: search_records, expect: allow }]\n";
    change.write("policies/records.test.yaml", case);
    assert_eq!(change.review(&[]).0, 0);
    assert!(change.read("comment").contains("**test**: every case"), "{}", change.read("comment"));
    change.write("policies/records.test.yaml", &case.replace("allow", "deny"));
    assert_eq!(change.review(&[]).0, 1);
    assert!(change.read("comment").contains("of a reader"), "{}", change.read("comment"));
}

#[test]
fn what_cannot_be_said_fails() {
    let change = Change::new();
    for (settings, told) in [
        (&[("TOLLGATE", "no-such-program")][..], "**check fails**: it could not be said"),
        (&[("BASE", "0123456789012345678901234567890123456789")], "cannot be had"),
        (&[("BASE", "--upload-pack=true")], "cannot be had"),
    ] {
        change.write("summary", "");
        assert_eq!(change.review(settings).0, 2, "{settings:?}");
        assert!(change.read("summary").contains(told), "{told}: {}", change.read("summary"));
    }
}

#[test]
fn a_folder_that_is_new_is_compared_with_nothing_and_without_a_base_nothing_is_compared() {
    let change = Change::new();
    assert_eq!(change.review(&[("BASE", ""), ("PULL_REQUEST", "")]).0, 0);
    assert!(!change.read("commands").contains("diff"));
    change.ran("git", &["mv", "policies", "rules"]);
    assert_eq!(change.review(&[("FOLDER", "./rules/")]).0, 0);
    assert!(change.read("summary").contains("**diff**: somebody may do more"), "{}", change.read("summary"));
}

/// What pre-commit would run here, by the id of the hook, and its exit code.
fn hooks(change: &Change) -> Vec<(String, Option<i32>)> {
    let hooks: Vec<Value> = serde_yaml::from_str(include_str!("../../.pre-commit-hooks.yaml")).expect("a list");
    let run = |hook: &Value| {
        let args = hook["args"].as_array().expect("a list").iter().filter_map(Value::as_str);
        let words: Vec<_> = hook["entry"].as_str().expect("a text").split(' ').chain(args).collect();
        assert_eq!(words[0], "tollgate");
        let mut command = Command::new(program());
        let output = command.args(&words[1..]).current_dir(change.home.path()).output().expect("it starts");
        (hook["id"].as_str().expect("a text").to_owned(), output.status.code())
    };
    hooks.iter().map(run).collect()
}

#[test]
fn each_hook_passes_what_is_well_and_stops_what_is_not() {
    let change = Change::new();
    let case = "cases: [{ name: none, as: { key: alice }, call: delete_record, expect: deny }]\n";
    change.write("policies/records.test.yaml", case);
    let expected = |codes: [i32; 3]| {
        let ids = ["tollgate-check", "tollgate-test", "tollgate-diff"].map(str::to_owned);
        ids.into_iter().zip(codes.map(Some)).collect::<Vec<_>>()
    };
    assert_eq!(hooks(&change), expected([0, 0, 0]));
    // A grant that a case forbids; then a role that nobody holds.
    change.write("policies/records.yaml", &POLICY.replace("search_records", "search_records, delete_record"));
    assert_eq!(hooks(&change), expected([0, 1, 3]));
    change.write("policies/records.yaml", &format!("{POLICY}  nobody: {{ tools: [x] }}\n"));
    assert_eq!(hooks(&change), expected([1, 0, 3]));
}

#[test]
fn where_the_token_may_not_write_the_summary_has_to_do() {
    let change = Change::new();
    change.write("gh", "1");
    let (code, said) = change.review(&[]);
    assert!(code == 0 && said.contains("::notice title=No comment::"), "{code}: {said}");
    assert!(change.read("summary").contains("**check**"));
}

#[test]
fn a_report_longer_than_a_comment_is_cut_between_characters() {
    let change = Change::new();
    change.write("bin/tollgate", LONG);
    assert_eq!(change.review(&[]).0, 0);
    let comment = change.read("comment");
    assert!(
        comment.ends_with("é\n\nIt is cut here; the whole stands in the summary of the job.\n"),
        "{}",
        comment.len()
    );
    assert!(comment.len() < 65_000 && change.read("summary").len() > 100_000);
}
