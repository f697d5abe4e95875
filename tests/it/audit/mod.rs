//! The audit log of the real gate: what stands in it, what becomes of calls that cannot be recorded, what a killed
//! process leaves, and that both verifiers see whatever is done to it.

mod arguments;
mod broken_disk;
mod copies;
mod crash;
mod export;
pub(crate) mod failure;
mod records;
mod rotation;
mod tampering;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::gate::{Gate, program};
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{self, Response};
use crate::support::world::World;

/// A folder with a log and its key, which outlives the gates that write it.
pub(crate) struct Audited {
    pub(crate) home: TempDir,
    pub(crate) key: String,
}

impl Audited {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = new_key(&home.path().join("key"), "gate.test/audit");
        Self { home, key }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// The world with this log, of which more is said.
    pub(crate) fn world(&self, server: &str, said: &str) -> World {
        let (log, home) = (self.log(), self.home.path());
        World::new(server).top(&format!(
            "audit: {{ file: {}, key: \"file:{}/key\", {said} }}",
            log.display(),
            home.display()
        ))
    }

    /// Every record there is.
    pub(crate) fn records(&self) -> Vec<Value> {
        segments(&self.log())
            .iter()
            .flat_map(|path| lines(path))
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    }

    /// Those of a kind.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["kind"] == kind).collect()
    }

    pub(crate) fn verify(&self, more: &[&str]) -> i32 {
        verified(&self.log(), &self.key, more)
    }
}

/// Makes a signing key; returns the other half.
pub(crate) fn new_key(out: &Path, name: &str) -> String {
    let made = tollgate(&["audit", "keys", "new", "--name", name, "--out", out.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

pub(crate) fn tollgate(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().unwrap()
}

/// What both verifiers exit with; that they agree is part of every test here.
pub(crate) fn verified(log: &Path, key: &str, more: &[&str]) -> i32 {
    let log = log.to_str().unwrap();
    let ours = tollgate(&[&["audit", "verify", log, "--key", key], more].concat());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit/verify.py");
    let theirs = Command::new("python3").arg(script).args([log, key]).args(more).output().unwrap();
    assert_eq!(ours.status.code(), theirs.status.code(), "they disagree:\n{ours:?}\n{theirs:?}");
    ours.status.code().unwrap()
}

/// The segments of a folder, the oldest first.
pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    found.sort();
    found
}

/// The whole lines of a segment.
pub(crate) fn lines(segment: &Path) -> Vec<String> {
    let text = fs::read_to_string(segment).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

async fn search(gate: &Gate) -> Response {
    raw::call(gate.data, &post(ALICE, &tool_call("1", "search_records", r#"{"q":"a"}"#))).await
}
