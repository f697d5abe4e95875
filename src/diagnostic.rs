//! A problem in a file: where it is, what is wrong, how to put it right.
//!
//! Not for what goes wrong while serving; those are the errors of the steps themselves.

use std::fmt;
use std::sync::Arc;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it forbids to go on.
    pub severity: Severity,
    /// The file as the operator named it, or the flag.
    pub file: Arc<str>,
    /// Where in the file; `None` for the file as a whole.
    pub at: Option<At>,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub help: Option<String>,
    /// The line it stands in; `None` where showing it could give away a secret.
    pub source_line: Option<String>,
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
    pub line: u64,
    /// The first character.
    pub column: u64,
    /// How many characters to underline.
    pub width: u64,
}

/// All problems that were found, not only the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

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
    pub fn error(file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: Arc::from(file),
            at: None,
            message: message.into(),
            help: None,
            source_line: None,
        }
    }

    /// The same, but one can go on.
    pub fn warning(file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(file, message)
        }
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
        self.source_line = None;
        self
    }

    /// As text of several lines, without a line break at the end.
    pub fn render(&self, style: Style) -> impl fmt::Display {
        Rendered {
            problem: self,
            style,
        }
    }
}

impl Diagnostics {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, unless it is known already.
    pub fn push(&mut self, problem: Diagnostic) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
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
    pub fn without_source_lines(mut self) -> Self {
        for problem in &mut self.0 {
            problem.source_line = None;
        }
        self
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
        self.0
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// In the order of the files, top-down.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by(|a, b| {
            (&a.file, a.at, a.severity, &a.message).cmp(&(&b.file, b.at, b.severity, &b.message))
        });
        all
    }

    /// `3 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |severity, word: &str| match self.count(severity) {
            1 => format!("1 {word}"),
            n => format!("{n} {word}s"),
        };
        format!(
            "{}, {}",
            count(Severity::Error, "error"),
            count(Severity::Warning, "warning")
        )
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(problem: Diagnostic) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.sorted() {
            writeln!(f, "{}\n", problem.render(Style::Plain))?;
        }
        Ok(())
    }
}

impl SourceFile {
    /// A file of this name with this content.
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: Arc::from(name),
            text: Arc::from(text),
        }
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
    pub fn error(&self, at: impl Into<At>, message: impl Into<String>) -> Diagnostic {
        let at = at.into();
        let index = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
        Diagnostic {
            at: (at.line > 0).then_some(at),
            source_line: self
                .text
                .lines()
                .nth(index)
                .filter(|_| at.line > 0)
                .map(str::to_owned),
            ..Diagnostic::error(&self.name, message)
        }
    }

    /// The same, but one can go on.
    pub fn warning(&self, at: impl Into<At>, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..self.error(at, message)
        }
    }
}

impl From<serde_yaml::Location> for At {
    fn from(location: serde_yaml::Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
            width: location.span().len(),
        }
    }
}

/// A text from a file, in backticks, made visible and short.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The text with every character that cannot be seen, or moves others about, as an escape.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let (plain, escape) = if is_invisible(c) {
        (None, Some(c.escape_unicode()))
    } else {
        (Some(c), None)
    };
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// Whether a reader of the file cannot see this character, or sees another order than there is: controls, format and
/// bidirectional characters, fillers, and every space but the plain one.
pub fn is_invisible(c: char) -> bool {
    disturbs_review(c)
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0080}'..='\u{e0fff}')
}

/// Whether this character must not stand anywhere in a reviewed file, not even in a comment: it breaks or reorders lines
/// for some readers and not for others.
pub fn disturbs_review(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The known name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| {
            (
                distance(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", if something is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|name| format!("did you mean {}?", quoted(name)))
}

/// How many letters must be put in, left out, changed or swapped with their neighbour to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j) + usize::from(x != *y))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            if let Some(k) = j.checked_sub(1)
                && previous == Some(*y)
                && b.get(k) == Some(&x)
            {
                best = best.min(at(&before, k) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
        previous = Some(x);
    }
    last.last().copied().unwrap_or_default()
}

struct Rendered<'a> {
    problem: &'a Diagnostic,
    style: Style,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic {
            severity,
            file,
            at,
            message,
            help,
            source_line,
        } = self.problem;
        let (word, colour) = match severity {
            Severity::Error => ("error", "\x1b[1;31m"),
            Severity::Warning => ("warning", "\x1b[1;33m"),
        };
        let (colour, bold, blue, plain) = match self.style {
            Style::Plain => ("", "", "", ""),
            Style::Ansi => (colour, "\x1b[1m", "\x1b[1;34m", "\x1b[0m"),
        };
        write!(f, "{colour}{word}{plain}{bold}: {message}{plain}")?;
        let line = at.map_or(String::new(), |at| at.line.to_string());
        let margin = " ".repeat(line.len());
        write!(f, "\n{margin}{blue}-->{plain} {}", escaped(file))?;
        if let Some(At { line, column, .. }) = at {
            write!(f, ":{line}:{column}")?;
        }
        if let (Some(at), Some(source)) = (at, source_line) {
            let Excerpt {
                text,
                indent,
                width,
            } = Excerpt::of(source, *at);
            let caret = "^".repeat(width);
            write!(f, "\n{margin} {blue}|{plain}\n{blue}{line} |{plain} {text}")?;
            write!(
                f,
                "\n{margin} {blue}|{plain} {indent}{colour}{caret}{plain}"
            )?;
        }
        if let Some(help) = help {
            for (n, line) in help.lines().enumerate() {
                let lead = if n == 0 {
                    format!("{blue}={plain} help:")
                } else {
                    "       ".to_owned()
                };
                write!(f, "\n{margin} {lead} {line}")?;
            }
        }
        Ok(())
    }
}

/// The part of a line that is shown.
struct Excerpt {
    text: String,
    indent: String,
    width: usize,
}

impl Excerpt {
    /// Long lines are cut, so that the marked place stays on the screen.
    fn of(line: &str, at: At) -> Self {
        const LONGEST: usize = 160;
        let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(0);
        let skipped = if column > LONGEST / 2 {
            column - LONGEST / 4
        } else {
            0
        };
        let shown = || line.chars().skip(skipped).take(LONGEST);
        let before: String = shown().take(column - skipped).collect();
        let marked: String = shown()
            .skip(column - skipped)
            .take(usize::try_from(at.width).unwrap_or(1))
            .collect();
        Self {
            text: escaped(&shown().collect::<String>().replace('\t', " "))
                .trim_end()
                .to_owned(),
            indent: " ".repeat(escaped(&before.replace('\t', " ")).chars().count()),
            width: escaped(marked.trim_end()).chars().count().max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_line_and_the_way_out() {
        let file = SourceFile::new("policies/a.yaml", "roles:\n  reader: { tolls: [x] }\n");
        let problem = file
            .error(
                At {
                    line: 2,
                    column: 13,
                    width: 5,
                },
                "unknown key `tolls`",
            )
            .help("did you mean `tools`?");
        insta::assert_snapshot!(problem.render(Style::Plain), @r"
        error: unknown key `tolls`
         --> policies/a.yaml:2:13
          |
        2 |   reader: { tolls: [x] }
          |             ^^^^^
          = help: did you mean `tools`?
        ");
    }

    #[test]
    fn a_place_that_is_not_there_is_no_panic() {
        let file = SourceFile::new("a.yaml", "a\n");
        for (line, column, width) in [
            (0, 0, 0),
            (1, 900, 9),
            (7, 1, 1),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            let shown = file
                .error(
                    At {
                        line,
                        column,
                        width,
                    },
                    "x",
                )
                .render(Style::Ansi)
                .to_string();
            assert!(shown.contains("a.yaml"));
        }
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(quoted("a\u{202e}b\u{1b}[2J"), "`a\\u{202e}b\\u{1b}[2J`");
        let file = SourceFile::new("a.yaml", "\u{1b}]0;title\u{7} x");
        let shown = file
            .error(
                At {
                    line: 1,
                    column: 11,
                    width: 1,
                },
                "x",
            )
            .render(Style::Plain)
            .to_string();
        assert!(
            !shown.contains('\u{1b}') && !shown.contains('\u{7}'),
            "{shown:?}"
        );
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["search_records", "get_record_detail", "tools", "roles"];
        for (typed, meant) in [
            ("serach_records", Some("search_records")),
            ("tolls", Some("tools")),
            ("Tools", Some("tools")),
            ("rolse", Some("roles")),
            ("delete_record", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }

    #[test]
    fn all_are_sorted_and_none_is_told_twice() {
        let file = SourceFile::new("b.yaml", "x\ny\n");
        let mut all = Diagnostics::new();
        all.push(file.error(
            At {
                line: 2,
                column: 1,
                width: 1,
            },
            "second",
        ));
        all.push(file.warning(
            At {
                line: 1,
                column: 1,
                width: 1,
            },
            "first",
        ));
        all.push(file.error(
            At {
                line: 2,
                column: 1,
                width: 1,
            },
            "second",
        ));
        all.push(Diagnostic::error("a.yaml", "other file"));
        let told: Vec<_> = all
            .sorted()
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(told, ["other file", "first", "second"]);
        assert_eq!(all.summary(), "2 errors, 1 warning");
    }
}
