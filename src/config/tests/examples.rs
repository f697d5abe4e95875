//! The example policies are what `check --deny warnings` lets pass, on the day that they were written for, and say what
//! their cases say.

use std::fs;
use std::path::{Path, PathBuf};

use super::{lines, now};
use crate::config::{Folder, Reach, read_cases};
use crate::trial::{Against, Trial};

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// What is told about an example, and how much of it no case shows.
fn told(folder: &Path) -> String {
    let read = Folder::read(folder);
    let servers = read.servers();
    let policies = match read.compile(&servers, Reach::Loopback, now()) {
        Ok(policies) => policies,
        Err(found) => return lines(&found),
    };
    let against = Against { policy: &policies.policy, authenticators: &policies.authenticators, servers: &servers };
    let files = read_cases(folder).unwrap();
    let cases = files.iter().flat_map(|file| file.compile(&against).unwrap()).collect();
    let trial = Trial::run(cases, &policies.policy);
    let failed: Vec<_> = trial.failed().map(|(ran, wrong)| format!("{} {wrong:?}", ran.case.name)).collect();
    format!("{}, {failed:?} fail, not shown: {:?}", lines(&policies.warnings), trial.coverage.untested)
}

#[test]
fn every_example_is_a_whole_policy_without_a_warning_and_does_what_it_says() {
    let folders = fs::read_dir(policies().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<_> = folders
        .filter(|path| path.is_dir())
        .map(|path| format!("{}: {}", path.file_name().unwrap().display(), told(&path)))
        .collect();
    examples.sort();
    insta::assert_snapshot!(examples.join("\n"), @r"
    identity-providers: fits, [] fail, not shown: []
    multi-tenant-retail: fits, [] fail, not shown: []
    operations: fits, [] fail, not shown: []
    short-allowlist: fits, [] fail, not shown: []
    ");
}

#[test]
fn a_policy_folder_is_read_without_the_folders_in_it() {
    let servers: Vec<_> = Folder::read(&policies()).servers().iter().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(servers, ["records"]);
}
