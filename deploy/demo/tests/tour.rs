//! The tour itself, as a user starts it: every step as expected, and nothing left when it ends.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// The demo, with all its temporary files in `folder`.
fn demo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate-demo"));
    command.env("TMPDIR", folder).env_remove("DATABASE_URL").stdout(Stdio::piped());
    command
}

/// Open to the other user that root lends the cluster to.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

fn take(arguments: &[&str]) {
    let folder = folder();
    let output = demo(folder.path()).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("steps, each as expected"), "{text}");
    for decision in ["allowed", "refused", "limited", "timeout"] {
        assert!(text.contains(decision), "{decision}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
    assert!(is_empty(folder.path()), "files are left");
}

#[test]
fn the_tour_is_as_expected() {
    take(&["--once"]);
}

#[test]
fn so_it_is_without_postgres() {
    take(&["--once", "--memory"]);
}

#[test]
fn a_signal_ends_everything() {
    let folder = folder();
    let mut child: Child = demo(folder.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("Ctrl-C ends everything"));
    assert!(ready.is_some());
    assert!(!is_empty(folder.path()));

    let process = Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(is_empty(folder.path()), "files are left");
}
