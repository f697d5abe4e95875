//! A policy folder as a git revision has it, read by the `git` program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::policies::{Folder, MAX_FILES, is_policy_file, most_bytes};

/// A folder in a revision: `main:policies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    name: String,
    path: String,
    /// Where git is asked.
    within: PathBuf,
}

impl Revision {
    /// Reads `REVISION:PATH`, the path from the top of the repository; or `REVISION`, which means this folder there.
    ///
    /// # Errors
    /// It cannot be a revision.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let (revision, path, within) = match text.split_once(':') {
            Some((revision, path)) => (revision, path.trim_end_matches('/'), Path::new(".")),
            None => (text, "./", folder),
        };
        if revision.is_empty() || revision.starts_with('-') || revision.contains(char::is_control) || !within.is_dir() {
            return Err(format!("{text:?} is neither a folder nor a git revision of one"));
        }
        Ok(Self { name: revision.to_owned(), path: path.to_owned(), within: within.to_owned() })
    }

    /// The folder as it was there; without files, if it was not there.
    ///
    /// # Errors
    /// Git does not know the revision, or the folder holds what is no file.
    pub fn read(&self) -> Result<Folder, String> {
        let tree = format!("{}:{}", self.name, self.path);
        let name = match self.path.as_str() {
            "./" => format!("{}:{}", self.name, self.within.display()),
            _ => tree.clone(),
        };
        let commit = format!("{}^{{commit}}", self.name);
        self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            .map_err(|problem| format!("git knows no revision {:?} here: {problem}", self.name))?;
        if self.git(&["cat-file", "-e", &tree]).is_err() {
            return Ok(Folder::of(name, Vec::new()));
        }
        let listed = self
            .git(&["ls-tree", "-z", "--full-tree", "--end-of-options", &tree])
            .map_err(|problem| format!("git cannot list {name}: {problem}"))?;
        let mut files = Vec::new();
        for entry in listed.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            let Some((about, file)) = entry.split_once('\t').filter(|(_, file)| is_policy_file(file)) else {
                continue;
            };
            let mut about = about.split(' ');
            let (Some("100644" | "100755"), Some("blob"), Some(id)) = (about.next(), about.next(), about.next()) else {
                return Err(format!("{name}/{file} is no regular file in git"));
            };
            if files.len() >= MAX_FILES {
                return Err(format!("{name} has more than {MAX_FILES} policy files"));
            }
            let mut bytes =
                self.git(&["cat-file", "blob", id]).map_err(|problem| format!("{name}/{file}: {problem}"))?;
            bytes.truncate(most_bytes(file) + 1);
            files.push((file.to_owned(), bytes));
        }
        files.sort();
        Ok(Folder::of(name, files))
    }

    /// What git says, or why not.
    fn git(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let asked = Command::new("git").arg("-C").arg(&self.within).args(arguments).stdin(Stdio::null()).output();
        let answer = asked.map_err(|error| format!("git cannot be run: {error}"))?;
        if answer.status.success() {
            return Ok(answer.stdout);
        }
        let said = String::from_utf8_lossy(&answer.stderr);
        Err(said.lines().next().map_or_else(|| "there is none".to_owned(), str::to_owned))
    }
}
