//! The wall clock of a process, turned by hand while it runs (libfaketime). The clock that only goes forward goes on.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

/// A wall clock.
#[derive(Debug)]
pub(crate) struct WallClock {
    home: TempDir,
}

impl WallClock {
    /// It is right, so far.
    pub(crate) fn new() -> Self {
        let clock = Self { home: tempfile::tempdir().expect("a temporary folder") };
        clock.is_off_by("+0");
        clock
    }

    /// Puts it forward or back: `+2h`, `-2h`.
    pub(crate) fn is_off_by(&self, offset: &str) {
        // It is read again and again: never half of it.
        let next = self.home.path().join("next");
        fs::write(&next, offset).expect("it can be written");
        fs::rename(next, self.file()).expect("a rename replaces a file");
    }

    /// What a process must have in its environment to go by it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("offset")
    }
}

fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("libraries").filter_map(Result::ok);
    let found = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    found.expect("libfaketime is needed; `tests/run.sh` installs it")
}
