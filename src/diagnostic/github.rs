//! Problems as workflow commands of GitHub Actions, which become notes at the lines of a pull request.
//!
//! A command ends at the line's end and its properties at `,` and `:`, so a file could say more than one thing by its
//! name or content if those passed through. <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::report::{Renderer, Totals, relative};
use super::{At, Diagnostic};

/// The commands so far.
pub(super) struct Github {
    here: PathBuf,
    text: String,
}

impl Github {
    pub(super) fn new(here: &Path) -> Self {
        Self { here: here.to_owned(), text: String::new() }
    }
}

impl Renderer for Github {
    fn problem(&mut self, problem: &Diagnostic) {
        let path = relative(&problem.file, &self.here);
        let file = property(&path.to_string_lossy());
        let mut command = format!("::{} file={file}", problem.severity.word());
        if let Some(at) = problem.marked() {
            let At { line, column, .. } = at;
            // Writing to a string cannot fail.
            let _ = write!(command, ",line={line},col={column},endColumn={}", at.end_column());
        }
        let help = problem.help.as_deref().map_or(String::new(), |help| format!("\n{help}"));
        let said = data(&format!("{}{help}", problem.message));
        let _ = writeln!(self.text, "{command},title={}::{said}", property(problem.code.id()));
    }

    /// The summary is no command: it is for whoever reads the log.
    fn end(self, totals: &Totals) -> String {
        self.text + &totals.summary
    }
}

/// What may stand behind `::`.
fn data(text: &str) -> String {
    escaped(text, |c| matches!(c, '%' | '\r' | '\n'))
}

/// What may stand behind `=`.
fn property(text: &str) -> String {
    escaped(text, |c| matches!(c, '%' | '\r' | '\n' | ':' | ','))
}

/// The text with these characters as `%` and their code. All of them are ASCII.
fn escaped(text: &str, special: fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if special(c) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{:02X}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}
