//! How much memory there is, and how much of it is used: before it is used up, and the system ends the process, the gate lets
//! fewer messages in.
//!
//! The bound is `max_memory_bytes`, or else that of the control group that the process is in (cgroups v2 and v1). Of a group
//! what counts is its working set, as Kubernetes counts it: what the page cache can give back at once is not used up.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::proxy::{Bodies, Gateway, Memory};
use crate::telemetry::MemoryUse;

/// How often it is looked at: between two looks no more comes in than the rest can take.
const LOOK: Duration = Duration::from_millis(50);
/// From so many hundredths of the bound on it is short, and until it is under so many again.
const SHORT: u64 = 90;
const ENOUGH: u64 = 80;
/// Of so many parts of it one is for the bodies of messages that are long.
const BODIES: u64 = 4;
/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// Room for long bodies: a share of the memory. With a crowd of them, each look would come too late.
pub(super) fn bodies(bound: Option<&Bound>) -> Bodies {
    Bodies::of(bound.map(|bound| bound.bytes() / BODIES))
}

/// Looks at the memory until `stop`, if anything bounds it.
pub(super) async fn watch(bound: Option<Bound>, gateway: Arc<Gateway>, stop: CancellationToken) {
    let Some(bound) = bound else {
        return;
    };
    tracing::info!(bytes = bound.bytes(), "memory is bounded by {}", bound.what());
    let shown = MemoryUse::default();
    shown.bytes.set(i64::try_from(bound.bytes()).unwrap_or(i64::MAX));
    gateway.telemetry.memory(shown.clone());
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut memory = Memory::Enough;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let Some(bytes) = bound.used() else {
            continue;
        };
        shown.used.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let now = level(memory, bytes, bound.bytes());
        if now == memory {
            continue;
        }
        memory = now;
        gateway.capacity.memory(now);
        gateway.routes.served().iter().for_each(|served| served.capacity.memory(now));
        shown.short.set(i64::from(now == Memory::Short));
        match now {
            Memory::Short => {
                gateway.cache.clear();
                tracing::warn!(
                    used = bytes,
                    bytes = bound.bytes(),
                    "memory is nearly used up ({}): an eighth of max_in_flight is let in, the rest is refused by 503",
                    bound.what()
                );
            }
            Memory::Enough => tracing::info!(used = bytes, bytes = bound.bytes(), "there is enough memory again"),
        }
    }
}

/// Short, or enough; what lies between the two stays what it was.
fn level(before: Memory, used: u64, bytes: u64) -> Memory {
    match used.saturating_mul(100) {
        used if used >= bytes.saturating_mul(SHORT) => Memory::Short,
        used if used < bytes.saturating_mul(ENOUGH) => Memory::Enough,
        _ => before,
    }
}

/// What bounds the memory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The configuration: so many bytes for this process.
    Configured(u64),
    /// A control group, with everything that is in it.
    Group { folder: PathBuf, version: Version, bytes: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Bound {
    pub(super) fn find(max_bytes: Option<u64>) -> Option<Self> {
        match max_bytes {
            Some(bytes) => Some(Self::Configured(bytes)),
            None => Self::of_group(Path::new(GROUPS), &fs::read_to_string("/proc/self/cgroup").ok()?),
        }
    }

    /// The tightest bound of all groups that the process is in, by what `/proc/self/cgroup` says (cgroups(7)).
    fn of_group(root: &Path, memberships: &str) -> Option<Self> {
        let groups = memberships.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            match controllers.split(',').any(|controller| controller == "memory") {
                true => Some((root.join("memory"), path, Version::V1)),
                false if controllers.is_empty() => Some((root.to_owned(), path, Version::V2)),
                false => None,
            }
        });
        let bounds = groups.flat_map(|(root, path, version)| {
            // In a container its own group may be the root of what can be seen, whatever it is called outside.
            let folders = Path::new(path).ancestors().map(|part| root.join(part)).collect::<Vec<_>>();
            folders.into_iter().filter_map(move |folder| {
                let bytes = number(&folder.join(version.limit()))?;
                Some(Self::Group { folder, version, bytes })
            })
        });
        // Version 1 says «none» by a number that no machine has.
        bounds.filter(|bound| bound.bytes() < i64::MAX.unsigned_abs() / 2).min_by_key(Self::bytes)
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Configured(bytes) | Self::Group { bytes, .. } => *bytes,
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Configured(_) => "max_memory_bytes".to_owned(),
            Self::Group { folder, version, .. } => folder.join(version.limit()).display().to_string(),
        }
    }

    /// How much is used of it.
    fn used(&self) -> Option<u64> {
        match self {
            Self::Configured(_) => resident(&fs::read_to_string("/proc/self/statm").ok()?),
            Self::Group { folder, version, .. } => {
                let all = number(&folder.join(version.usage()))?;
                let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
                let reclaimable =
                    stat.lines().find_map(|line| line.strip_prefix(version.inactive())?.trim().parse().ok());
                Some(all.saturating_sub(reclaimable.unwrap_or_default()))
            }
        }
    }
}

impl Version {
    fn limit(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }

    fn inactive(self) -> &'static str {
        match self {
            Self::V1 => "total_inactive_file ",
            Self::V2 => "inactive_file ",
        }
    }
}

/// The number that a file holds; `max` is none.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Resident memory, by `/proc/self/statm` (proc(5)): its second field, in pages.
fn resident(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_bound_counts_and_what_can_be_given_back_is_not_used() {
        for (membership, files, bytes, used) in [
            // A container sees its own group as the root.
            (
                "0::/\n",
                &[
                    ("memory.max", "1000\n"),
                    ("memory.current", "700\n"),
                    ("memory.stat", "anon 1\ninactive_file 100\n"),
                ][..],
                1000,
                600,
            ),
            // A service of systemd, in a slice with a tighter bound.
            (
                "0::/a.slice/b.service\n",
                &[
                    ("a.slice/b.service/memory.max", "5000\n"),
                    ("a.slice/memory.max", "2000\n"),
                    ("a.slice/memory.current", "10\n"),
                ],
                2000,
                10,
            ),
            (
                "4:cpu,memory:/docker/x\n0::/\n",
                &[
                    ("memory/docker/x/memory.limit_in_bytes", "3000\n"),
                    ("memory/docker/x/memory.usage_in_bytes", "900\n"),
                    ("memory/docker/x/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
                    ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                3000,
                600,
            ),
        ] {
            let root = groups(files);
            let bound = Bound::of_group(root.path(), membership).unwrap();
            assert_eq!((bound.bytes(), bound.used()), (bytes, Some(used)), "{membership}");
        }
    }

    #[test]
    fn without_a_bound_there_is_none() {
        for (membership, files) in [
            ("0::/\n", &[("memory.max", "max\n")][..]),
            ("4:memory:/x\n", &[("memory/memory.limit_in_bytes", "9223372036854771712\n")]),
            ("1:name=systemd:/\n", &[("memory.max", "1000\n")]),
            ("", &[]),
        ] {
            assert_eq!(Bound::of_group(groups(files).path(), membership), None, "{membership}");
        }
    }

    #[test]
    fn it_is_short_until_there_is_clearly_enough() {
        let mut memory = Memory::Enough;
        let mut at = |used| {
            memory = level(memory, used, 1000);
            memory == Memory::Short
        };
        let levels = [899, 900, 850, 800, 799, 850, 899, 2000, u64::MAX].map(&mut at);
        assert_eq!(levels, [false, true, true, true, false, false, false, true, true]);
        assert!(Bound::Configured(1).used().unwrap() > 1 << 20);
    }
}
