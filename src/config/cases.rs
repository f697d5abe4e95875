//! The files of cases that lie beside the policies: not part of the policy, neither read nor digested with it.

use std::path::Path;

use super::policies::{self, folder_name, join, read_file};
use super::yaml::{Document, MAX_BYTES};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::trial::CaseFile;

/// All files of cases in a folder, by name.
///
/// # Errors
/// Every problem of every file, or that there is none.
pub fn read_cases(folder: &Path) -> Result<Vec<CaseFile>, Diagnostics> {
    let name = folder_name(folder);
    let files = policies::files(folder, &name, is_case_file)?;
    if files.is_empty() {
        let problem = Diagnostic::error(Code::NoCases, &name, "there is no file of cases in this folder");
        return Err(problem.help("write one beside the policy that it is about, such as `records.test.yaml`").into());
    }
    let mut found = Diagnostics::new();
    let read: Vec<_> =
        files.iter().filter_map(|(file, bytes)| found.take(case_file(&join(&name, file), bytes))).collect();
    if found.is_empty() { Ok(read) } else { Err(found) }
}

/// One file of cases.
///
/// # Errors
/// Every problem of it.
pub fn read_case_file(path: &Path) -> Result<CaseFile, Diagnostics> {
    let name = path.display().to_string();
    let bytes = read_file(path, MAX_BYTES).map_err(|error| {
        Diagnostic::error(Code::Unreadable, &name, format!("cannot be read: {error}")).help("this is a file of cases")
    })?;
    case_file(&name, &bytes)
}

/// A file of cases with this content.
pub(super) fn case_file(name: &str, bytes: &[u8]) -> Result<CaseFile, Diagnostics> {
    let read = || {
        let document = Document::new(name, bytes)?;
        Ok(CaseFile::new(document.file().clone(), document.read()?))
    };
    // A file that is wrong may hold a key where its id should stand: its lines are not shown.
    let may_hold_keys = bytes.windows(3).any(|word| word == b"tg_");
    read().map_err(|found: Diagnostics| if may_hold_keys { found.without_source_lines() } else { found })
}

/// Whether a file of this name holds cases: `records.test.yaml`.
pub fn is_case_file(name: &str) -> bool {
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
    stem.and_then(|stem| stem.strip_suffix(".test")).is_some_and(|name| !name.is_empty() && !name.starts_with('.'))
}
