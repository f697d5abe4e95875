//! A problem in a file: where it is, what is wrong, how to put it right.
//!
//! Not for what goes wrong while serving; those are the errors of the steps themselves.

mod code;
mod github;
mod human;
mod json;
mod report;
mod sarif;
mod spanned;
#[cfg(test)]
mod tests;
mod text;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use code::Code;
pub use report::{Denied, Format, Report};
pub use spanned::Spanned;
pub use text::{did_you_mean, disturbs_review, escaped, hidden, is_invisible, nearest, quoted};

use human::Rendered;

/// One problem. Two are the same if they say the same of the same place.
#[derive(Clone)]
pub struct Diagnostic {
    /// Whether it forbids to go on.
    pub severity: Severity,
    /// What kind of problem it is.
    pub code: Code,
    /// The file as the operator named it, or the flag.
    pub file: Arc<str>,
    /// Where in the file; `None` for the file as a whole.
    pub at: Option<At>,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: Option<String>,
    /// The text of the file, to show the line; `None` where showing it could give away a secret.
    text: Option<Arc<str>>,
}

/// Whether a problem forbids to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: u32,
    /// The first character.
    pub column: u32,
    /// How many characters to underline.
    pub width: u32,
}

/// All problems that were found, not only the first; each once, in the order of the files.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(BTreeSet<Diagnostic>);

/// More problems of one severity would tell nobody more.
const MAX_TOLD: usize = 500;

/// A file that was read, for quoting from.
#[derive(Clone, Debug)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For pipes, files and log collectors.
    Plain,
    /// For terminals.
    Ansi,
}

impl Diagnostic {
    /// A problem of a file as a whole, or of a flag.
    pub fn error(code: Code, file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            file: Arc::from(file),
            at: None,
            message: message.into(),
            help: None,
            text: None,
        }
    }

    /// The same, but one can go on.
    pub fn warning(code: Code, file: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, message) }
    }

    /// Says how to put it right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says how to put it right, if there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Shows the place but not the line, which may hold a secret.
    #[must_use]
    pub fn without_source_line(mut self) -> Self {
        self.at = self.marked();
        self.text = None;
        self
    }

    /// The place, as far as it lies in its first line: what spans several lines is marked where it begins.
    pub fn marked(&self) -> Option<At> {
        let at = self.at?;
        let rest = self.line().map_or(at.width, |line| {
            let after = line.trim_end().chars().count().saturating_sub(human::index(at.column));
            at.width.min(u32::try_from(after).unwrap_or(u32::MAX))
        });
        Some(At { width: rest.max(1), ..at })
    }

    /// The line that it is about, if it may be shown.
    fn line(&self) -> Option<&str> {
        self.text.as_ref()?.lines().nth(human::index(self.at?.line))
    }

    /// As text of several lines, without a line break at the end.
    pub fn render(&self, style: Style) -> impl fmt::Display {
        Rendered { problem: self, style }
    }
}

impl Severity {
    /// The word for it, the same in every format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Diagnostics {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, unless it is known already or there are more than anyone would read.
    pub fn push(&mut self, problem: Diagnostic) {
        if self.count(problem.severity) < MAX_TOLD {
            self.0.insert(problem);
        }
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, others: Self) {
        for problem in others.0 {
            self.push(problem);
        }
    }

    /// Keeps the value of a step that went well, or else its problems.
    pub fn take<T>(&mut self, step: Result<T, Self>) -> Option<T> {
        match step {
            Ok(value) => Some(value),
            Err(problems) => {
                self.extend(problems);
                None
            }
        }
    }

    /// The same, but no line is shown: some may hold a secret.
    #[must_use]
    pub fn without_source_lines(self) -> Self {
        Self(self.0.into_iter().map(Diagnostic::without_source_line).collect())
    }

    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something forbids to go on.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|problem| problem.severity == severity).count()
    }

    /// In the order of the files, top-down.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// `3 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |severity: Severity| match (self.count(severity), severity.word()) {
            (1, word) => format!("1 {word}"),
            (MAX_TOLD, word) => format!("{MAX_TOLD} {word}s or more"),
            (n, word) => format!("{n} {word}s"),
        };
        format!("{}, {}", count(Severity::Error), count(Severity::Warning))
    }
}

impl Diagnostic {
    fn order(&self) -> impl Ord {
        (&*self.file, self.at, self.severity, &*self.message, self.help.as_deref())
    }
}

impl Ord for Diagnostic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Diagnostic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Diagnostic {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Diagnostic {}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.render(Style::Plain))
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(problem: Diagnostic) -> Self {
        Self(BTreeSet::from([problem]))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.iter() {
            writeln!(f, "{}\n", problem.render(Style::Plain))?;
        }
        Ok(())
    }
}

impl SourceFile {
    /// A file of this name with this content.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: Arc::from(name), text: Arc::from(text) }
    }

    /// The file as the operator named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its content.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A problem at a place in this file.
    pub fn error(&self, code: Code, at: impl Into<At>, message: impl Into<String>) -> Diagnostic {
        let at = at.into();
        Diagnostic {
            at: (at.line > 0).then_some(at),
            text: Some(Arc::clone(&self.text)),
            ..Diagnostic::error(code, &self.name, message)
        }
    }

    /// The same, but one can go on.
    pub fn warning(&self, code: Code, at: impl Into<At>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.error(code, at, message) }
    }
}

impl At {
    /// The column after the last character.
    pub fn end_column(self) -> u32 {
        self.column.saturating_add(self.width)
    }
}

impl From<serde_yaml::Location> for At {
    fn from(location: serde_yaml::Location) -> Self {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self { line: number(location.line()), column: number(location.column()), width: number(location.span().len()) }
    }
}
