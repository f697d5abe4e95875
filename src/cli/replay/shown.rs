//! What a replay found: for a person, and for a program.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::told::Paint;
use crate::diagnostic::{Style, escaped};
use crate::trial::{Change, Direction, MOST_GROUPS, Replay};

/// What no line holds, and so nothing here can be about.
const NOT_REPLAYED: &str = "limits, arguments, headers and addresses are not replayed";

pub(super) fn human(replay: &Replay<'_>, style: Style) -> String {
    let paint = Paint::of(style);
    let mut text = String::new();
    let changed = replay.changed.sorted();
    let titles = [
        (Direction::Opens, "Refused then, would pass now:", paint.bad),
        (Direction::Closes, "Passed then, would be refused now:", paint.bold),
    ];
    // Writing to a String cannot fail, here and below.
    for (direction, title, colour) in titles {
        let mut groups = changed.iter().filter(|(change, _)| change.direction == direction).peekable();
        if groups.peek().is_some() {
            let _ = writeln!(text, "{colour}{title}{}", paint.plain);
        }
        for (change, count) in groups {
            let _ = writeln!(text, "  {count} x {}", escaped(&what(change)));
            let _ = writeln!(text, "      then: {}\n      now:  {}", escaped(&change.then), escaped(&change.now));
        }
    }
    if replay.changed.beyond > 0 {
        let _ =
            writeln!(text, "  and {} more: only {MOST_GROUPS} kinds of change are told apart", replay.changed.beyond);
    }
    let unsure = replay.unsure.sorted();
    if !unsure.is_empty() {
        let _ = writeln!(text, "Cannot say:");
    }
    for (why, count) in unsure {
        let _ = writeln!(text, "  {count} x {why}");
    }
    text + &summary(replay)
}

/// `alice: tools/call delete_record of records`.
fn what(change: &Change) -> String {
    let target = change.target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
    format!("{}: {}{target} of {}", change.principal, change.method, change.server)
}

fn summary(replay: &Replay<'_>) -> String {
    let (lines, changed, unsure) = (replay.lines(), replay.changed.sum(), replay.unsure.sum());
    let mut skipped = String::new();
    if let Some(first) = replay.skipped_first.split_first().map(|_| &replay.skipped_first) {
        let numbers: Vec<_> = first.iter().map(u64::to_string).collect();
        let more = if replay.skipped > u64::try_from(first.len()).unwrap_or(u64::MAX) { " and more" } else { "" };
        let _ = write!(skipped, " (lines {}{more})", numbers.join(", "));
    }
    format!(
        "{lines} lines: {} same, {changed} changed, {unsure} cannot be said, {} not decided by policy, {} skipped{skipped}\n\
         {NOT_REPLAYED}",
        replay.same, replay.undecided, replay.skipped
    )
}

#[derive(Serialize)]
struct Json<'a> {
    changes: Vec<Group<'a>>,
    unsure: Vec<Unsure<'a>>,
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct Group<'a> {
    count: u64,
    direction: &'static str,
    principal: &'a str,
    server: &'a str,
    method: &'a str,
    target: Option<&'a str>,
    then: &'a str,
    now: &'a str,
}

#[derive(Serialize)]
struct Unsure<'a> {
    count: u64,
    why: &'a str,
}

#[derive(Serialize)]
struct Summary<'a> {
    lines: u64,
    same: u64,
    changed: u64,
    /// Of the changed, those that are in no group.
    beyond: u64,
    unsure: u64,
    undecided: u64,
    skipped: u64,
    skipped_lines: &'a [u64],
    /// What the exit code says, too: `same` for 0, `changed` for 1.
    outcome: &'static str,
}

pub(super) fn json(replay: &Replay<'_>) -> String {
    let changes = replay.changed.sorted().into_iter().map(|(change, count)| Group {
        count,
        direction: change.direction.word(),
        principal: &change.principal,
        server: &change.server,
        method: &change.method,
        target: change.target.as_deref(),
        then: &change.then,
        now: &change.now,
    });
    let unsure = replay.unsure.sorted().into_iter().map(|(why, count)| Unsure { count, why });
    let summary = Summary {
        lines: replay.lines(),
        same: replay.same,
        changed: replay.changed.sum(),
        beyond: replay.changed.beyond,
        unsure: replay.unsure.sum(),
        undecided: replay.undecided,
        skipped: replay.skipped,
        skipped_lines: &replay.skipped_first,
        outcome: if replay.changed.sum() > 0 { "changed" } else { "same" },
    };
    let json = Json { changes: changes.collect(), unsure: unsure.collect(), summary };
    // Text and numbers only: there is nothing that could fail to be written.
    serde_json::to_string_pretty(&json).unwrap_or_default()
}
