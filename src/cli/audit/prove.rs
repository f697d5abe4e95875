//! `tollgate audit prove`: that one record is in a log, for somebody who has no more of it than its verifying key.

use std::path::PathBuf;
use std::process::ExitCode;

use super::super::output;
use crate::audit::{Wanted, prove};

/// Prints a proof in the form of C2SP tlog-proof, with the record in it. `tollgate audit verify` checks it.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").args(["index", "decision"]).required(true))]
pub(super) struct Args {
    /// The folder of segments, or a file of records
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The record at this index
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// The decision of this id, as callers and lines have it
    #[arg(long, value_name = "ID")]
    decision: Option<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let wanted = match (&args.decision, args.index) {
        (Some(id), _) => Wanted::Decision(id.clone()),
        (None, index) => Wanted::Index(index.unwrap_or_default()),
    };
    match prove(&args.log, &wanted) {
        Ok(Some(proof)) => {
            output::answer(proof.to_string().trim_end());
            ExitCode::SUCCESS
        }
        Ok(None) => {
            output::note("no such record is in the log, or no checkpoint covers it yet");
            ExitCode::from(output::NO)
        }
        Err(error) => output::failed(&format!("{} cannot be read: {error}", args.log.display())),
    }
}
