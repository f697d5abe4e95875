//! What a reviewer sees of a pull request: `tollgate diff`, between folders and between git revisions.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::commands::{said, stdout, tollgate};

const OLD: &str = "server: records
roles:
  reader: { tools: [search_records] }
  operator: { inherits: [reader], tools: [get_pool_status], networks: [10.0.0.0/8] }
tools:
  search_records:
    arguments:
      required: [store_id]
      properties: { limit: { maximum: 100 }, store_id: { claim: store_id } }
    limits: [{ calls: 60, every: 1m, per: principal }]
";

fn keys(hash: char, roles: &str) -> String {
    let hash = hash.to_string().repeat(63);
    format!("keys:\n  - {{ id: ci-bot, hash: \"sha256:8{hash}\", roles: [{roles}], expires: 2027-01-01 }}\n")
}

/// Two folders, `old` and `new`.
fn folders(new: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for (folder, policy, keys) in [("old", OLD, keys('a', "reader")), ("new", new, keys('a', "reader, operator"))] {
        write(home.path(), folder, policy, &keys);
    }
    home
}

fn write(home: &Path, folder: &str, policy: &str, keys: &str) {
    fs::create_dir_all(home.join(folder)).expect("it can be made");
    fs::write(home.join(folder).join("records.yaml"), policy).expect("it can be written");
    fs::write(home.join(folder).join("principals.yaml"), keys).expect("it can be written");
}

fn wider() -> String {
    OLD.replace("[search_records]", "[search_records, \"export_*\"]").replace("maximum: 100", "maximum: 1000")
}

#[tokio::test]
async fn who_gains_what_is_told_in_every_form() {
    let home = folders(&wider());
    for form in ["text", "markdown", "json"] {
        let told = tollgate(home.path(), &["diff", "old", "new", "--format", form]).await;
        insta::assert_snapshot!(form, said(&told));
    }
}

#[tokio::test]
async fn only_what_widens_exits_with_3() {
    let home = folders(OLD);
    write(home.path(), "new", OLD, &keys('a', "reader"));
    let same = tollgate(home.path(), &["diff", "old", "new"]).await;
    assert_eq!(said(&same), "exit 0\nNobody may do anything else than before.\n");
    write(home.path(), "new", &OLD.replace("calls: 60", "calls: 30"), &keys('b', "reader"));
    let tighter = tollgate(home.path(), &["diff", "old", "new"]).await;
    insta::assert_snapshot!(said(&tighter));
    write(home.path(), "new", "roles: { reader: { tools: [ } }\n", &keys('a', "reader"));
    let broken = tollgate(home.path(), &["diff", "old", "new"]).await;
    assert_eq!(broken.status.code(), Some(2), "{}", said(&broken));
    assert!(said(&broken).contains("new/records.yaml:1:"), "{}", said(&broken));
}

#[tokio::test]
async fn what_a_role_opens_to_a_key_and_shuts_is_told_with_it() {
    let home = tempfile::tempdir().expect("a folder");
    let policy = "allowed_tools: [ping]\ndeny: { tools: [\"drop_*\"] }\nroles:\n  \
        reader: { tools: [search, drop_all], prompts: [\"*\"] }\n  operator: { inherits: [reader], tools: [get_pool] }\n";
    write(home.path(), "old", policy, &keys('a', "operator"));
    let more = keys('b', "reader").replace("ci-bot", "more").replace("keys:\n", "");
    write(home.path(), "new", policy, &(keys('a', "reader") + &more));
    let told = stdout(&tollgate(home.path(), &["diff", "old", "new"]).await);
    // Whoever is let in has what all callers have; and who was an operator has been able to read all along.
    for expected in [
        "until 2027-01-01T00:00:00Z\n          which opens of default: tools ping, search; prompts *\n",
        "gained    key ci-bot\n          role reader\n          at new/principals.yaml:2 keys.ci-bot (line 2 before)\n",
        "gained    key more\n",
        "lost      key ci-bot\n          role operator\n          which shuts of default: tools get_pool\n",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[tokio::test]
async fn whom_tokens_prove_is_compared_by_their_issuer() {
    let issuer = |name: &str, map: &str, more: &str| {
        format!(
            "  - issuer: https://{name}.example.com/\n    audience: https://mcp.example.com\n    \
             roles: {{ claim: groups{map} }}\n{more}"
        )
    };
    let reader = || issuer("login", ", map: { staff: reader }", "");
    let gone = || issuer("gone", ", map: { all: reader }", "");
    let mut page = String::new();
    for (old, new) in [
        (reader(), reader()),
        (reader(), issuer("login", ", map: { staff: operator }", "")),
        (reader(), issuer("login", "", "")),
        (reader(), issuer("login", ", map: { staff: reader }", "    scopes: permissions\n")),
        (
            issuer("login", ", map: { staff: reader }", "    scopes_include: { admin: [read], write: [read] }\n"),
            issuer("login", ", map: { staff: reader }", "    scopes_include: { admin: [read, write] }\n"),
        ),
        (reader() + &gone(), reader()),
        (reader(), reader() + &gone()),
    ] {
        let home = tempfile::tempdir().expect("a folder");
        for (folder, tokens) in [("old", old), ("new", new)] {
            write(home.path(), folder, OLD, &format!("tokens:\n{tokens}"));
        }
        page += &said(&tollgate(home.path(), &["diff", "old", "new"]).await);
        page.push('\n');
    }
    insta::assert_snapshot!(page);
}

#[tokio::test]
async fn whom_certificates_prove_is_compared_by_their_names() {
    let principals = |entries: &str| format!("certificates:\n{entries}");
    let billing =
        "  - { id: billing, uri: \"spiffe://example.org/billing\", roles: [reader], claims: { store_id: s1 } }\n";
    let all = "  - { uri: \"spiffe://example.org/web/*\", roles: [reader] }\n";
    let host = "  - { id: build, dns: build.example.com, roles: [reader] }\n";
    let mut page = String::new();
    for (old, new) in [
        (billing.to_owned(), billing.to_owned() + all),
        (billing.to_owned() + host, billing.to_owned()),
        (billing.to_owned(), billing.replace("[reader]", "[operator]")),
        (billing.to_owned(), billing.replace("s1", "s2")),
        (billing.to_owned(), billing.replace("id: billing", "id: accounts")),
        (host.to_owned(), host.replace("dns: build.example.com", "email: build@example.com")),
        (all.to_owned(), all.replace("web/*", "web-*")),
    ] {
        let home = tempfile::tempdir().expect("a folder");
        for (folder, entries) in [("old", old), ("new", new)] {
            write(home.path(), folder, OLD, &principals(&entries));
        }
        page += &said(&tollgate(home.path(), &["diff", "old", "new"]).await);
        page.push('\n');
    }
    insta::assert_snapshot!(page);
}

#[tokio::test]
async fn a_name_of_a_strangers_choosing_stays_in_its_cell() {
    let home = folders(OLD);
    write(
        home.path(),
        "new",
        &OLD.replace("[search_records]", "[search_records, 'a|b `c` <img>']"),
        &keys('a', "reader"),
    );
    let told = tollgate(home.path(), &["diff", "old", "new", "--format", "markdown"]).await;
    assert!(stdout(&told).contains("| tool ``a\\|b `c` <img>`` of `records` |"), "{}", stdout(&told));
}

fn git(home: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").arg("-C").arg(home).args(identity).args(args).output().expect("git is there");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn a_revision_is_compared_with_the_folder_as_it_is_now() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(path.join("README"), "nothing yet").unwrap();
    git(path, &["add", "-A"]);
    git(path, &["commit", "--quiet", "-m", "begin"]);
    write(path, "deploy/policies", OLD, &keys('a', "reader"));
    fs::write(path.join("deploy/policies/records.test.yaml"), "[]\n").unwrap();
    git(path, &["add", "-A"]);
    git(path, &["commit", "--quiet", "-m", "policies"]);
    write(path, "deploy/policies", &wider(), &keys('a', "reader"));

    let absolute = path.join("deploy/policies").display().to_string();
    for (home, args) in [
        ("", ["HEAD", "deploy/policies"]),
        ("", ["HEAD:deploy/policies", "deploy/policies/"]),
        ("deploy", ["main", "policies"]),
        ("deploy", ["main:deploy/policies", "policies"]),
        ("", ["HEAD", absolute.as_str()]),
    ] {
        let told = tollgate(&path.join(home), &["diff", args[0], args[1]]).await;
        assert_eq!(told.status.code(), Some(3), "{args:?}: {}", said(&told));
        assert!(stdout(&told).contains("1 gained, 1 widened. Access widens."), "{args:?}: {}", said(&told));
    }
    // Before there was a folder, nobody could do anything.
    let first = tollgate(path, &["diff", "HEAD~1", "deploy/policies"]).await;
    assert!(stdout(&first).contains("gained    key ci-bot"), "{}", said(&first));
    for (args, problem) in [
        (["nowhere", "deploy/policies"], "git knows no revision \"nowhere\" here"),
        (["--output=x:y", "deploy/policies"], "unexpected argument"),
        (["nothing", "nothing"], "neither a folder nor a git revision"),
    ] {
        let told = tollgate(path, &["diff", args[0], args[1]]).await;
        assert!(told.status.code() == Some(2) && said(&told).contains(problem), "{args:?}: {}", said(&told));
    }
}
