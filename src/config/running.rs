//! The configuration file of a running gate: whether it still says what the gate runs on.

use std::path::PathBuf;

use super::build::DEFAULT_FILE;
use super::policies::read_file;
use super::yaml::MAX_BYTES;
use super::{Overrides, deployment};
use crate::diagnostic::Diagnostics;

/// The file that the gate was started with, if there was one.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    overrides: Overrides,
    path: Option<PathBuf>,
    text: Vec<u8>,
}

/// What has become of it.
#[derive(Debug)]
pub enum Change {
    /// It says something else, which is in order.
    Sound,
    /// It says something else, with which no gate would start. Nothing is known of the policies here.
    Broken(Diagnostics),
}

impl ConfigFile {
    /// The file as it is now.
    pub(super) fn of(overrides: &Overrides) -> Self {
        let path = overrides.config.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let text = path.as_deref().and_then(|path| read_file(path, MAX_BYTES).ok()).unwrap_or_default();
        Self { overrides: overrides.clone(), path, text }
    }

    /// What has become of it, if it is not what the gate runs on.
    pub fn changed(&self) -> Option<Change> {
        let now = read_file(self.path.as_deref()?, MAX_BYTES);
        if now.is_ok_and(|now| now == self.text) {
            return None;
        }
        Some(deployment(&self.overrides).map_or_else(Change::Broken, |_sound| Change::Sound))
    }
}
