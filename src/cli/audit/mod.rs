//! `tollgate audit`: makes the keys of audit logs, and verifies, proves, shows and copies what is in them.

mod export;
mod keys;
mod prove;
mod tail;
mod verify;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::audit::VerifyingKey;

/// No key or note is longer.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make the key of a log
    Keys(keys::Args),
    /// Say whether a log, or a proof, is what was signed
    Verify(verify::Args),
    /// Prove to somebody who does not have the log that a record is in it
    Prove(prove::Args),
    /// Print the records of a log, or its latest checkpoint, to be kept elsewhere
    Tail(tail::Args),
    /// Copy a log into Postgres, for those who query
    Export(export::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Keys(args) => keys::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Prove(args) => prove::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Export(args) => export::run(args),
    }
}

/// A verifying key: itself, or the file that it is in.
fn key(text: &str) -> Result<VerifyingKey, String> {
    let path = Path::new(text);
    let text = if path.exists() { read(path).map_err(|error| error.to_string())? } else { text.to_owned() };
    VerifyingKey::parse(&text).map_err(|error| format!("{error}; give NAME+ID+KEY, or the file that it is in"))
}

/// The text of a small file.
fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    fs::read_to_string(path)
}
