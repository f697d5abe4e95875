//! The example policies are what `check --deny warnings` lets pass, on the day that they were written for.

use std::fs;
use std::path::Path;

use super::{lines, now};
use crate::config::{Folder, Reach};

#[test]
fn every_example_is_a_whole_policy_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/examples");
    let folders = fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut told: Vec<_> = folders
        .map(|path| {
            let folder = Folder::read(&path);
            let servers = folder.servers();
            let found = folder.compile(&servers, Reach::Loopback, now()).map_or_else(|found| found, |it| it.warnings);
            format!("{}: {}", path.file_name().unwrap().display(), lines(&found))
        })
        .collect();
    told.sort();
    assert_eq!(told, ["multi-tenant-retail: fits", "operations: fits", "short-allowlist: fits"]);
}

#[test]
fn a_policy_folder_is_read_without_the_folders_in_it() {
    let shipped = Folder::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"));
    let servers: Vec<_> = shipped.servers().iter().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(servers, ["records"]);
}
