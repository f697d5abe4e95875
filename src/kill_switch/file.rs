//! The files of the kill switch: the one that operators write, and the one that the gate keeps.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{kills, read_kill_file, write_kill_file};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::policy::Kills;
use crate::secret::Reference;

/// A file that operators write. It is read and compared: some file systems tell nobody of changes, and it is small.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    /// What is in force, or was told to be wrong.
    known: Result<Vec<u8>, String>,
    /// What stood there at the last look, if that is something else.
    next: Option<Result<Vec<u8>, String>>,
}

/// What a look at the file shows.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing new.
    Same,
    /// From now on this is stopped.
    New(Kills),
    /// What stands there cannot be taken.
    Broken(Diagnostics),
}

impl Watched {
    /// Reads the file for the first time.
    pub(super) fn open(path: &Path) -> Result<(Self, Kills), Diagnostics> {
        let bytes = read_kill_file(path)?;
        let kills = kills(path, &bytes)?;
        Ok((Self { path: path.to_owned(), known: Ok(bytes), next: None }, kills))
    }

    /// Looks again. What is new counts when two looks have seen it: half of a file that is being written may make sense.
    pub(super) fn look(&mut self) -> Look {
        let read = read_kill_file(&self.path);
        let seen = read.as_ref().map_err(ToString::to_string).cloned();
        if seen == self.known {
            self.next = None;
            return Look::Same;
        }
        if self.next.as_ref() != Some(&seen) {
            self.next = Some(seen);
            return Look::Same;
        }
        self.next = None;
        self.known = seen;
        match read.and_then(|bytes| kills(&self.path, &bytes)) {
            Ok(kills) => Look::New(kills),
            Err(problems) => Look::Broken(problems),
        }
    }
}

/// What the gate has kept. Nothing, before it was ever started.
pub(super) fn kept(path: &Path) -> Result<Kills, Diagnostics> {
    if path.exists() { kills(path, &read_kill_file(path)?) } else { Ok(Kills::default()) }
}

/// That what is stopped will be found again.
pub(super) fn can_be_written(path: &Path, kept: &Kills) -> Result<(), Diagnostics> {
    write_kill_file(path, kept).map_err(|error| {
        Diagnostic::error(Code::Unreadable, &path.display().to_string(), format!("cannot be written: {error}"))
            .help("`kill_switch.api.state` names a file in a folder that the gate may write to and that stays")
            .into()
    })
}

/// That there is a credential, and one worth its name.
pub(super) fn is_usable(key: &Reference, shortest: usize) -> Result<(), Diagnostics> {
    let problem = match key.read() {
        Ok(secret) if secret.expose().len() >= shortest => return Ok(()),
        Ok(_) => format!("the key is shorter than {shortest} characters"),
        Err(error) => io::Error::other(error).to_string(),
    };
    Err(Diagnostic::error(Code::WeakKey, &key.to_string(), problem)
        .help("`kill_switch.api.key` names where a long random text is kept; `openssl rand -hex 32` prints one")
        .into())
}
