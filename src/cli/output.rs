//! What commands say. The only place that writes to the terminal; answers go to stdout, everything else to stderr.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use crate::diagnostic::{Diagnostics, Style, escaped};
use crate::secret::Secret;

/// The answer is no.
pub(super) const NO: u8 = 1;
/// It cannot be said.
pub(super) const CANNOT_SAY: u8 = 2;

/// What was asked for.
pub(super) fn answer(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// One of many lines of an answer; false if nobody reads any more.
pub(super) fn line(text: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", escaped(text)).and_then(|()| out.flush()).is_ok()
}

/// What the person at the terminal should know beside it.
pub(super) fn note(text: &str) {
    write(&mut io::stderr().lock(), text);
}

/// Help, the version, or what is wrong with the arguments.
pub(super) fn usage(told: &clap::Error) -> ExitCode {
    // Nobody is left to be told that this failed.
    drop(told.print());
    u8::try_from(told.exit_code()).map_or(ExitCode::from(CANNOT_SAY), ExitCode::from)
}

/// The command could not do its work.
pub(super) fn failed(problem: &dyn Display) -> ExitCode {
    note(&format!("error: {problem}"));
    ExitCode::from(CANNOT_SAY)
}

/// The gate does not start with these files.
pub(super) fn refused(problems: &Diagnostics) -> ExitCode {
    note(&rendered(problems, style(&io::stderr())));
    note(&format!("not started: {}", problems.summary()));
    ExitCode::from(CANNOT_SAY)
}

/// These files answer nothing.
pub(super) fn unclear(problems: &Diagnostics) -> ExitCode {
    self::problems(problems);
    note(&format!("it cannot be said: {}", problems.summary()));
    ExitCode::from(CANNOT_SAY)
}

/// What is wrong with files that cannot be used.
pub(super) fn problems(problems: &Diagnostics) {
    note(rendered(problems, style(&io::stderr())).trim_end());
}

/// What is odd, though not wrong.
pub(super) fn warnings(problems: &Diagnostics) {
    if !problems.is_empty() {
        self::problems(problems);
    }
}

/// How an answer may look.
pub(super) fn answer_style() -> Style {
    style(&io::stdout())
}

fn rendered(problems: &Diagnostics, style: Style) -> String {
    let mut text = String::new();
    for problem in problems.iter() {
        text += &problem.render(style).to_string();
        text += "\n\n";
    }
    text
}

/// Colours for people, unless they asked for none (<https://no-color.org>).
fn style(stream: &impl IsTerminal) -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if stream.is_terminal() && !unwanted { Style::Ansi } else { Style::Plain }
}

/// A reader that went away (`| head`) is no problem of ours.
fn write(stream: &mut impl Write, text: &str) {
    drop(writeln!(stream, "{text}").and_then(|()| stream.flush()));
}

/// Writes a secret into a file of its own: only the owner reads it, and nothing that is there is written over.
pub(super) fn secret_file(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
