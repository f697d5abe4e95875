//! The configuration file of a running gate: whether it still says what was read.

use std::path::{Path, PathBuf};

use super::build::DEFAULT_FILE;
use super::policies::read_file;
use super::yaml::MAX_BYTES;
use super::{Config, Kept, Overrides, read};
use crate::diagnostic::Diagnostics;

/// The file that a configuration was read from, if there was one.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    overrides: Overrides,
    path: Option<PathBuf>,
    text: Vec<u8>,
}

impl ConfigFile {
    /// The file as it is now.
    pub(super) fn of(overrides: &Overrides) -> Self {
        let path = overrides.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let text = path.as_deref().and_then(|path| read_file(path, MAX_BYTES).ok()).unwrap_or_default();
        Self { overrides: overrides.clone(), path, text }
    }

    /// Where it is.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What it says now, if that is not what it said then. Nothing is known of the policies here.
    pub fn reread(&self) -> Option<Result<Config, Diagnostics>> {
        let now = read_file(self.path.as_deref()?, MAX_BYTES);
        if now.is_ok_and(|now| now == self.text) {
            return None;
        }
        Some(read(&self.overrides, Kept::Here))
    }
}
