//! Mistakes that people make, one file each in `tests/fixtures/broken_policies`, and all that is said about them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{HASH, cases, now};
use crate::config::{Folder, Reach};
use crate::diagnostic::{Code, Denied, Diagnostics, Format, Report, Style};
use crate::mcp::ServerName;
use crate::policy::LOCK_FILE;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/broken_policies")
}

/// The broken files by name, and some that are too large to lie in a repository.
pub(super) fn broken() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect();
    let names = |count: usize| (0..count).map(|n| format!("  - tool_{n}\n")).collect::<Vec<_>>().concat();
    files.push(("huge-file".to_owned(), format!("allowed_tools:\n{}", names(100_000)).into_bytes()));
    files.push(("very-many-values".to_owned(), format!("allowed_tools:\n{}", names(60_000)).into_bytes()));
    files.sort();
    files
}

/// What is said about the file, beside others that are right: keys beside a policy, a policy beside keys
/// and, if it is about pinned tools, beside `tests/fixtures/tools.lock`; views beside two servers and `tests/fixtures/views.lock`.
pub(super) fn found(name: &str, bytes: &[u8]) -> Diagnostics {
    if name.starts_with("cases-") {
        return cases::read(&format!("policies/{name}.yaml"), bytes).err().unwrap_or_default();
    }
    let beside = if name.starts_with("principals-") {
        let anonymous = if name == "principals-anonymous-on-network" { "anonymous" } else { "reader" };
        ("records.yaml", format!("roles: {{ {anonymous}: {{ tools: [search_records] }} }}\n"))
    } else {
        let text = String::from_utf8_lossy(bytes);
        let held: Vec<_> = ["reader", "operator", "the reader"]
            .into_iter()
            .filter(|role| text.contains(&format!("  {role}:")))
            .collect();
        let roles = if held.is_empty() { String::new() } else { format!(", roles: [{}]", held.join(", ")) };
        ("principals.yaml", format!("keys: [{{ id: alice, hash: \"{HASH}\"{roles}, expires: 2027-06-01 }}]\n"))
    };
    let mut files = vec![(beside.0.to_owned(), beside.1.into_bytes())];
    if name.starts_with("lock-") {
        let keys = format!("keys: [{{ id: alice, hash: \"{HASH}\", roles: [reader], expires: 2027-06-01 }}]\n");
        let policy = "roles: { reader: { tools: [search_records] } }\n";
        files = vec![("principals.yaml".to_owned(), keys.into()), ("records.yaml".to_owned(), policy.into())];
        files.push((LOCK_FILE.to_owned(), bytes.to_vec()));
    } else {
        files.push((format!("{name}.yaml"), bytes.to_vec()));
    }
    if name.starts_with("locked-") {
        files.push((LOCK_FILE.to_owned(), fs::read(folder().with_file_name(LOCK_FILE)).unwrap()));
    }
    let mut servers = vec![ServerName::new("records").unwrap()];
    if name.starts_with("views-") {
        servers.push(ServerName::new("billing").unwrap());
        for (of, tool) in [("records", "get_record"), ("billing", "refund")] {
            let policy = format!("server: {of}\nroles: {{ {of}: {{ tools: [{tool}] }} }}\n");
            files.push((format!("{of}.yaml"), policy.into_bytes()));
        }
        let keys =
            format!("keys: [{{ id: alice, hash: \"{HASH}\", roles: [records, billing], expires: 2027-06-01 }}]\n");
        files.retain(|(file, _)| file != "principals.yaml");
        files.push(("principals.yaml".to_owned(), keys.into_bytes()));
        files.push((LOCK_FILE.to_owned(), fs::read(folder().with_file_name("views.lock")).unwrap()));
    }
    let reach = if name.ends_with("on-network") { Reach::Network } else { Reach::Loopback };
    let policies = Folder::of("policies".to_owned(), files).compile(&servers, reach, now());
    policies.map_or_else(|found| found, |policies| policies.warnings)
}

#[test]
fn each_mistake_is_told_with_its_line_and_the_way_out() {
    let broken = broken();
    let count = broken.len();
    for (name, bytes) in broken {
        let found = found(&name, &bytes);
        let report = Report { found: &found, denied: Denied::Nothing, here: Path::new("") };
        let said = report.render(Format::Human(Style::Plain));
        for problem in found.iter() {
            let of_no_line = matches!(problem.code, Code::EmptyFile | Code::TooLarge | Code::NobodyAdmitted);
            assert!(problem.at.is_some() || of_no_line, "no line:\n{said}");
            assert!(problem.help.is_some(), "no way out:\n{said}");
        }
        insta::with_settings!({
            snapshot_path => "snapshots/broken_files",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(name, said);
        });
    }
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/snapshots/broken_files");
    assert_eq!(count, fs::read_dir(snapshots).unwrap().count(), "a snapshot for each file and none besides");
}
