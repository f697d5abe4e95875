//! A control group of a test's own (cgroups(7)): what is started in it has no more memory than that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::id;

const GROUPS: &str = "/sys/fs/cgroup";

/// The group. Goes when it is dropped, with whom it is left by then.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    folder: PathBuf,
    /// Where this process was before it entered.
    home: PathBuf,
    /// Where the bound stands, and where it is counted who was ended for it.
    bound: &'static str,
    ended: &'static str,
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Stays only where somebody is left in it, and does no harm then.
        drop(fs::remove_dir(&self.folder));
    }
}

impl ControlGroup {
    /// A new one with so many bytes, of the version that this system bounds memory by.
    ///
    /// # Errors
    ///
    /// If no group can be made here: it takes root, and a file system of them that may be written to.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let root = Path::new(GROUPS);
        let memberships = fs::read_to_string("/proc/self/cgroup")?;
        let of = |prefix: &str| {
            let line = memberships.lines().find_map(|line| line.split_once(prefix));
            line.map(|(_, path)| path.trim_start_matches('/').to_owned())
        };
        let name = format!("tollgate-it-{}", id());
        let first = root.join("memory");
        let group = match of(":memory:/").filter(|_| first.is_dir()) {
            Some(path) => Self {
                folder: first.join(name),
                home: first.join(path),
                bound: "memory.limit_in_bytes",
                ended: "memory.oom_control",
            },
            None => Self {
                folder: root.join(name),
                home: root.join(of("0::/").unwrap_or_default()),
                bound: "memory.max",
                ended: "memory.events",
            },
        };
        fs::create_dir(&group.folder)?;
        fs::write(group.bound(), bytes.to_string())?;
        Ok(group)
    }

    /// The file that bounds it.
    pub(crate) fn bound(&self) -> PathBuf {
        self.folder.join(self.bound)
    }

    /// From now on this process is in it, and who is started by it.
    pub(crate) fn enter(&self) {
        go(&self.folder);
    }

    /// This process is again where it was. Who was started meanwhile stays.
    pub(crate) fn leave(&self) {
        go(&self.home);
    }

    /// How many processes the system has ended because there was no memory.
    pub(crate) fn ended(&self) -> usize {
        let said = fs::read_to_string(self.folder.join(self.ended)).expect("every group has it");
        said.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).expect("every group counts them")
    }
}

fn go(to: &Path) {
    fs::write(to.join("cgroup.procs"), id().to_string()).expect("root may move whom it likes");
}
