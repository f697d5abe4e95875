//! What `diff` found, written for a terminal, a program, or a comment on a pull request.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::mcp::ServerName;
use crate::policy::{Change, Direction, RuleId, What, Who};

/// So many roles are named; the others are counted.
const MAX_NAMED: usize = 6;
/// So many changes fit into a comment (GitHub takes 65,536 characters).
const MAX_ROWS: usize = 200;

const ORDER: [Direction; 5] =
    [Direction::Gained, Direction::Widened, Direction::Changed, Direction::Narrowed, Direction::Lost];

/// All that is different, most access first.
pub(super) struct Changes(Vec<Change>);

impl Changes {
    pub(super) fn of(changes: [Vec<Change>; 3]) -> Self {
        let mut changes: Vec<_> = changes.into_iter().flatten().collect();
        changes.sort();
        Self(changes)
    }

    /// Whether somebody gains something.
    pub(super) fn widen(&self) -> bool {
        self.0.iter().any(|change| change.direction.widens())
    }

    fn count(&self, direction: Direction) -> usize {
        self.0.iter().filter(|change| change.direction == direction).count()
    }

    /// `2 gained, 1 narrowed`
    fn counts(&self) -> String {
        let counts = ORDER.map(|direction| (self.count(direction), direction.word()));
        let counts: Vec<_> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        counts.join(", ")
    }

    fn verdict(&self) -> &'static str {
        match (self.0.is_empty(), self.widen()) {
            (true, _) => "Nobody may do anything else than before.",
            (false, true) => "Access widens.",
            (false, false) => "Nobody gains anything.",
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for change in &self.0 {
            let server = change.server.as_ref().map(|server| format!("{server}: ")).unwrap_or_default();
            // Writing to a string cannot fail, here and below.
            let _ = write!(text, "{:8}  {server}{}", change.direction.word(), change.what);
            if !change.who.is_empty() {
                let _ = write!(text, ": {}", whom(&change.who));
            }
            text.push('\n');
            for detail in &change.details {
                let _ = writeln!(text, "          {detail}");
            }
            if let Some(place) = place(change) {
                let _ = writeln!(text, "          at {place}");
            }
        }
        if !self.0.is_empty() {
            let _ = write!(text, "\n{}. ", self.counts());
        }
        text + self.verdict()
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!("### Policy: {}\n\n", self.verdict().trim_end_matches('.').to_lowercase());
        let (more, less): (Vec<_>, Vec<_>) = self.0.iter().partition(|change| change.direction.widens());
        rows(&mut text, &more);
        if !less.is_empty() {
            let counts = if more.is_empty() { self.counts() } else { format!("{} that give nobody more", less.len()) };
            let _ = write!(text, "<details><summary>{counts}</summary>\n\n");
            rows(&mut text, &less);
            text += "</details>\n";
        }
        text.trim_end().to_owned()
    }

    pub(super) fn json(&self) -> String {
        let whole = Whole {
            changes: self.0.iter().map(Row::of).collect(),
            summary: Summary {
                gained: self.count(Direction::Gained),
                widened: self.count(Direction::Widened),
                changed: self.count(Direction::Changed),
                narrowed: self.count(Direction::Narrowed),
                lost: self.count(Direction::Lost),
                widens: self.widen(),
            },
        };
        // Text and numbers only: there is nothing that could fail to be written.
        serde_json::to_string_pretty(&whole).unwrap_or_default()
    }
}

fn rows(text: &mut String, changes: &[&Change]) {
    if changes.is_empty() {
        return;
    }
    *text += "| | what | who | how | where |\n|---|---|---|---|---|\n";
    for change in changes.iter().take(MAX_ROWS) {
        let what = match &change.what {
            What::Named(kind, name) => format!("{kind} {}", code(name)),
            What::Key(id) => format!("key {}", code(id)),
            What::Certificate(name) => format!("certificate with {}", code(name)),
            What::Tokens(issuer) => format!("tokens of {}", code(issuer)),
            What::View(name) => format!("view {}", code(name)),
            What::Server | What::OtherTools | What::Anonymous => change.what.to_string(),
        };
        let server = change.server.as_ref().map(|server| format!(" of {}", code(server.as_str()))).unwrap_or_default();
        let details: Vec<_> = change.details.iter().map(|detail| code(detail)).collect();
        let place = place(change).map(|place| code(&place)).unwrap_or_default();
        let _ = writeln!(
            text,
            "| **{}** | {what}{server} | {} | {} | {place} |",
            change.direction.word(),
            whom(&change.who),
            details.join("<br>")
        );
    }
    if let Some(left) = changes.len().checked_sub(MAX_ROWS).filter(|left| *left > 0) {
        let _ = writeln!(text, "\n… and {left} more.");
    }
    text.push('\n');
}

/// A text that stands for itself, whatever it holds.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn whom(who: &BTreeSet<Who>) -> String {
    let named: Vec<_> = who.iter().take(MAX_NAMED).map(Who::to_string).collect();
    match who.len().saturating_sub(MAX_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Where it is written now, or was.
fn place(change: &Change) -> Option<String> {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if old == new => Some(new.to_string()),
        (Some(old), Some(new)) => match (old.path() == new.path(), old.line()) {
            (true, Some(line)) => Some(format!("{new} (line {line} before)")),
            _ => Some(format!("{new} (before: {old})")),
        },
        (None, Some(new)) => Some(new.to_string()),
        (Some(old), None) => Some(format!("before: {old}")),
        (None, None) => None,
    }
}

/// What is not known is `null`, so that every key is always there.
#[derive(Serialize)]
struct Row<'a> {
    direction: &'static str,
    server: Option<&'a str>,
    what: &'static str,
    name: Option<&'a str>,
    who: Vec<String>,
    details: &'a [String],
    old: Option<Place<'a>>,
    new: Option<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: Option<&'a str>,
    line: Option<u32>,
    rule: &'a str,
}

#[derive(Serialize)]
struct Whole<'a> {
    changes: Vec<Row<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    gained: usize,
    widened: usize,
    changed: usize,
    narrowed: usize,
    lost: usize,
    widens: bool,
}

impl<'a> Row<'a> {
    fn of(change: &'a Change) -> Self {
        let (what, name) = match &change.what {
            What::Server => ("server", None),
            What::Named(kind, name) => (*kind, Some(&**name)),
            What::OtherTools => ("other_tools", None),
            What::Key(id) => ("key", Some(&**id)),
            What::Certificate(name) => ("certificate", Some(&**name)),
            What::Tokens(issuer) => ("tokens", Some(&**issuer)),
            What::Anonymous => ("anonymous", None),
            What::View(name) => ("view", Some(&**name)),
        };
        let place = |rule: &'a RuleId| Place { file: rule.file(), line: rule.line(), rule: rule.path() };
        Self {
            direction: change.direction.word(),
            server: change.server.as_ref().map(ServerName::as_str),
            what,
            name,
            who: change.who.iter().map(Who::to_string).collect(),
            details: &change.details,
            old: change.old.as_ref().map(place),
            new: change.new.as_ref().map(place),
        }
    }
}
