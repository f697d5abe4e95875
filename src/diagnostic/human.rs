//! How problems look to a person.

use std::fmt;

use super::report::{Renderer, Totals};
use super::{At, Diagnostic, Severity, Style, escaped};

/// One problem after the other, and how many there are.
pub(super) struct Human {
    pub(super) style: Style,
    pub(super) text: String,
}

impl Renderer for Human {
    fn problem(&mut self, problem: &Diagnostic) {
        self.text += &problem.render(self.style).to_string();
        self.text += "\n\n";
    }

    fn end(self, totals: &Totals) -> String {
        self.text + &totals.summary
    }
}

/// A problem as text of several lines: where, the line itself, and the way out.
pub(super) struct Rendered<'a> {
    pub(super) problem: &'a Diagnostic,
    pub(super) style: Style,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { severity, code, file, message, help, .. } = self.problem;
        let at = self.problem.marked();
        let colour = match severity {
            Severity::Error => "\x1b[1;31m",
            Severity::Warning => "\x1b[1;33m",
        };
        let (colour, bold, blue, plain) = match self.style {
            Style::Plain => ("", "", "", ""),
            Style::Ansi => (colour, "\x1b[1m", "\x1b[1;34m", "\x1b[0m"),
        };
        write!(f, "{colour}{}[{}]{plain}{bold}: {message}{plain}", severity.word(), code.id())?;
        let line = at.map_or(String::new(), |at| at.line.to_string());
        let margin = " ".repeat(line.len());
        write!(f, "\n{margin}{blue}-->{plain} {}", escaped(file))?;
        if let Some(At { line, column, .. }) = at {
            write!(f, ":{line}:{column}")?;
        }
        if let (Some(at), Some(source)) = (at, self.problem.line()) {
            let Excerpt { text, indent, width } = Excerpt::of(source, at);
            let caret = "^".repeat(width);
            write!(f, "\n{margin} {blue}|{plain}\n{blue}{line} |{plain} {text}")?;
            write!(f, "\n{margin} {blue}|{plain} {indent}{colour}{caret}{plain}")?;
        }
        if let Some(help) = help {
            for (n, line) in help.lines().enumerate() {
                let lead = if n == 0 { format!("{blue}={plain} help:") } else { "       ".to_owned() };
                write!(f, "\n{margin} {lead} {line}")?;
            }
        }
        Ok(())
    }
}

/// Lines and columns count from 1.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX)
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
        let column = index(at.column);
        let skipped = if column > LONGEST / 2 { column - LONGEST / 4 } else { 0 };
        let shown = || line.chars().skip(skipped).take(LONGEST);
        let before: String = shown().take(column - skipped).collect();
        let marked: String = shown().skip(column - skipped).take(usize::try_from(at.width).unwrap_or(1)).collect();
        let cut = if skipped > 0 { "…" } else { "" };
        let shown_before = escaped(&before.replace('\t', " ")).chars().count();
        let text = escaped(&shown().collect::<String>().replace('\t', " "));
        Self {
            text: format!("{cut}{}", text.trim_end()),
            indent: " ".repeat(cut.chars().count() + shown_before),
            width: escaped(marked.trim_end()).chars().count().max(1),
        }
    }
}
