//! `tollgate audit tail`: the records of a log as they come, or its latest checkpoint.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::super::output;
use crate::audit::{Lines, Link, Read};

/// How often the log is looked at for more.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of segments, or a file of records
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Only the records from this index on
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Go on with those that come later
    #[arg(long, conflicts_with = "checkpoint")]
    follow: bool,
    /// The latest checkpoint instead: a signed note, to be kept where the gate cannot write
    #[arg(long)]
    checkpoint: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut next = args.from;
    loop {
        let passed = if args.checkpoint { checkpoint(args) } else { records(args, &mut next) };
        match passed {
            Ok(Some(code)) => return code,
            Ok(None) if args.follow => thread::sleep(LOOK),
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => return output::failed(&format!("{} cannot be read: {error}", args.log.display())),
        }
    }
}

/// Prints what there is from `next` on.
fn records(args: &Args, next: &mut u64) -> std::io::Result<Option<ExitCode>> {
    let mut lines = Lines::open(&args.log)?;
    lines.skip_to(*next);
    while let Some(read) = lines.read()? {
        let Read::Line(line) = read else { break };
        if let Some(link) = Link::read(line).filter(|link| link.index >= *next) {
            *next = link.index + 1;
            if !output::line(&String::from_utf8_lossy(line)) {
                return Ok(Some(ExitCode::SUCCESS));
            }
        }
    }
    Ok(None)
}

/// Prints the latest checkpoint.
fn checkpoint(args: &Args) -> std::io::Result<Option<ExitCode>> {
    let mut lines = Lines::open(&args.log)?;
    let mut latest = None;
    while let Some(read) = lines.read()? {
        if let Read::Line(line) = read
            && let Some(note) = Link::read(line).filter(|link| link.kind == "checkpoint").and_then(|link| link.note)
        {
            latest = Some(note);
        }
    }
    let Some(note) = latest else {
        output::note("there is no checkpoint yet");
        return Ok(Some(ExitCode::from(output::NO)));
    };
    output::answer(note.trim_end());
    Ok(Some(ExitCode::SUCCESS))
}
