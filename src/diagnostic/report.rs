//! All that was found as one text, in the form that its reader wants: a person, a program, a code host.
//!
//! The only walk over the problems; each form says in a file of its own what becomes of one problem.

use std::path::{Component, Path, PathBuf};

use super::github::Github;
use super::human::Human;
use super::json::Json;
use super::sarif::Sarif;
use super::{Diagnostic, Diagnostics, Severity, Style};

/// All that was found, and what counts as a failure.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was found.
    pub found: &'a Diagnostics,
    /// What fails beside errors.
    pub denied: Denied,
    /// The current directory: paths are written as seen from here where their reader resolves them so.
    pub here: &'a Path,
}

/// What fails beside errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing.
    Nothing,
    /// Warnings, too.
    Warnings,
}

/// For whom it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A person.
    Human(Style),
    /// A program: one JSON object.
    Json,
    /// A code scanner's inbox: SARIF 2.1.0.
    Sarif,
    /// A GitHub Actions log: workflow commands.
    Github,
}

/// How many problems there are, and what that means.
pub(super) struct Totals {
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) fails: bool,
    pub(super) summary: String,
}

/// What one form makes of the problems.
pub(super) trait Renderer {
    /// The next one.
    fn problem(&mut self, problem: &Diagnostic);
    /// The whole text, without a line break at its end.
    fn end(self, totals: &Totals) -> String;
}

impl Report<'_> {
    /// Whether the answer is no.
    pub fn fails(&self) -> bool {
        self.found.has_errors() || (self.denied == Denied::Warnings && !self.found.is_empty())
    }

    /// The text, without a line break at its end.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Human(style) => self.walk(Human { style, text: String::new() }),
            Format::Json => self.walk(Json::default()),
            Format::Sarif => self.walk(Sarif::new(self.here)),
            Format::Github => self.walk(Github::new(self.here)),
        }
    }

    fn walk(&self, mut renderer: impl Renderer) -> String {
        for problem in self.found.iter() {
            renderer.problem(problem);
        }
        renderer.end(&self.totals())
    }

    fn totals(&self) -> Totals {
        let warnings = self.found.count(Severity::Warning);
        let note = match (self.denied, warnings) {
            (Denied::Warnings, 1..) => "; warnings are denied",
            (Denied::Warnings, 0) | (Denied::Nothing, _) => "",
        };
        Totals {
            errors: self.found.count(Severity::Error),
            warnings,
            fails: self.fails(),
            summary: format!("{}{note}", self.found.summary()),
        }
    }
}

/// A path as it is named from the current directory, if it lies below.
pub(super) fn relative(file: &str, here: &Path) -> PathBuf {
    let path = Path::new(file);
    let path = path.strip_prefix(here).unwrap_or(path);
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}
