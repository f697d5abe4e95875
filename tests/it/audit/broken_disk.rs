//! A disk that fails in more ways than being full (R26): read-only, out of space, an error of the device, in writing and in
//! syncing. Nothing goes to the server that is not in the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::failure::{dropped, is_ready};
use super::{Audited, search};
use crate::support::upstream::Upstream;
use crate::support::{DEADLINE, half, is_optimised, until};

/// So many calls are carried before the disk fails, and refused once it has.
const CALLS: usize = 20;
/// R26. Half of those that are refused keep it as it stands. But an unoptimised gate that shares two cores with all else that is
/// tested there may answer nobody so soon: there, to be refused takes no longer than to be carried, which is more work.
const AT_ONCE: Duration = Duration::from_millis(10);
/// Nobody at all waits so long: a disk that is waited for would be asked again and again.
const NEVER: Duration = Duration::from_millis(500);

/// The disk of one process.
struct Disk {
    home: TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { home: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/audit/broken_disk.c");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(disk.library()).arg(source).arg("-ldl").output();
        let built = built.expect("what links Rust programs, too");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        disk
    }

    fn library(&self) -> PathBuf {
        self.home.path().join("broken_disk.so")
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("fault")
    }

    /// What a process must have in its environment to write to it.
    fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.library().display().to_string()), ("BROKEN_DISK", self.file().display().to_string())]
    }

    /// From now on this fails, with this error.
    fn fails(&self, what: &str) {
        let next = self.home.path().join("next");
        fs::write(&next, what).unwrap();
        fs::rename(next, self.file()).unwrap();
    }

    fn is_mended(&self) {
        fs::remove_file(self.file()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_disk_does_no_call_goes_unrecorded_and_nobody_waits_for_it() {
    // Read-only, no space, an error of the device; the last two also once a page is to be written out.
    for fault in ["write 30", "write 28", "write 5", "sync 28", "sync 5"] {
        let (upstream, audited, disk) = (Upstream::start().await, Audited::new(), Disk::new());
        let world = audited.world(&upstream.url(), "mode: before_call").environment(&disk.environment());
        let mut gate = world.start().await;
        assert!(until(DEADLINE, async || is_ready(&gate).await).await);
        let mut carried = Vec::new();
        for _ in 0..CALLS {
            let asked = Instant::now();
            assert_eq!(search(&gate).await.status, 200, "{fault}");
            carried.push(asked.elapsed());
        }
        disk.fails(fault);
        let refused = search(&gate).await;
        assert_eq!((refused.status, upstream.count()), (503, CALLS), "{fault}: the first one already");
        assert!(until(DEADLINE, async || !is_ready(&gate).await).await, "{fault}");
        let mut refused = Vec::new();
        for _ in 0..CALLS {
            let asked = Instant::now();
            let answer = search(&gate).await;
            refused.push(asked.elapsed());
            assert_eq!(answer.json().unwrap()["error"]["data"]["reason"], "audit_unavailable", "{fault}");
        }
        let at_once = if is_optimised() { AT_ONCE } else { AT_ONCE.max(half(&mut carried)) };
        assert!(half(&mut refused) <= at_once, "{fault}: {refused:?}, not {at_once:?}");
        assert!(refused.iter().all(|took| *took < NEVER), "{fault}: {refused:?}");
        assert!(dropped(&gate).await > 0.0, "{fault}");
        disk.is_mended();
        assert!(until(DEADLINE, async || search(&gate).await.status == 200).await, "{fault}: calls pass again");
        assert_eq!(gate.terminate().await, Some(0), "{fault}");
        assert_eq!(audited.verify(&[]), 0, "{fault}");
        let allowed = audited.of_kind("decision").iter().filter(|record| record["effect"] == "allow").count();
        assert_eq!(upstream.count(), allowed, "{fault}: what the server got is what is recorded");
        assert!(!audited.of_kind("gap").is_empty(), "{fault}: what is missing is said");
    }
}
