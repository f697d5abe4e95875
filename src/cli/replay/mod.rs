//! `tollgate replay`: what a change of the policies would have meant for the calls of a log.

mod shown;

use std::path::PathBuf;
use std::process::ExitCode;

use super::consult::Consulted;
use super::lines::Lines;
use super::output;
use crate::trial::Replay;

/// Exits with 0 if no decision changes, 1 if one does, 2 if it could not be said.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What `run` writes to standard output, one line for each decision, or the folder of an audit log; `-` for standard
    /// input
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The policy folder, or a configuration file
    #[arg(value_name = "POLICIES")]
    policies: PathBuf,
    /// For whom to write it
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// What changes, the most frequent first, and the sum
    Human,
    /// One JSON object; README.md describes it
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Args { log, policies, format } = args;
    if !policies.exists() {
        return output::failed(&format!("{} is not there", policies.display()));
    }
    let consulted = match Consulted::read(policies) {
        Ok(consulted) => consulted,
        Err(found) => return output::unclear(&found),
    };
    let mut replay = Replay::new(consulted.against());
    if let Err(error) = read(log, &mut replay) {
        return output::failed(&format!("{} cannot be read: {error}", log.display()));
    }
    if replay.lines() == replay.skipped {
        return output::failed(&format!("no line of {} is a decision", log.display()));
    }
    output::answer(&match format {
        Form::Human => shown::human(&replay, output::answer_style()),
        Form::Json => shown::json(&replay),
    });
    if replay.changed.sum() > 0 { ExitCode::from(output::NO) } else { ExitCode::SUCCESS }
}

fn read(log: &std::path::Path, replay: &mut Replay<'_>) -> std::io::Result<()> {
    let mut lines = Lines::open(log)?;
    while let Some((number, line)) = lines.next()? {
        replay.line(number, line);
    }
    Ok(())
}
