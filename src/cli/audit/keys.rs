//! `tollgate audit keys`: makes the key that signs a log's checkpoints, into a file of its own, and prints its other half; and
//! hands a log over to another one.

use std::path::PathBuf;
use std::process::ExitCode;

use super::super::output;
use crate::audit::{SigningKey, rotate};
use crate::secret::Reference;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: the secret half goes into a file, the other half is printed
    New(New),
    /// Hand a log over to another key, which its gate signs with from then on; the gate must have ended
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
struct New {
    /// What the log is called, such as `gate-1.example.com/audit`; no two logs have the same name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The file for the secret half; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The folder of segments
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The file with the secret half that has signed so far
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file with the secret half that signs from then on; `keys new` makes it, with the same name
    #[arg(long, value_name = "FILE")]
    next: PathBuf,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::New(args) => new(args),
        Command::Rotate(args) => match rotated(args) {
            Ok(next) => {
                output::answer(&next);
                output::note(&format!(
                    "\nThis one signs from now on: tell the gate (audit.key), and keep it where the old one is kept. Who verifies \
                     the log shows the first key, as ever: the log itself says that the others follow. {} is needed no more.",
                    args.key.display()
                ));
                ExitCode::SUCCESS
            }
            Err(problem) => output::failed(&problem),
        },
    }
}

/// Hands the log over; returns the other half of the next key.
fn rotated(Rotate { log, key, next }: &Rotate) -> Result<String, String> {
    let read = |path: &PathBuf| {
        let secret =
            Reference::File(path.clone()).read().map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
        SigningKey::parse(&secret).map_err(|why| format!("{} is no signing key: {why}", path.display()))
    };
    let (key, next) = (read(key)?, read(next)?);
    let (old, new) = (key.verifying().clone(), next.verifying().clone());
    if old.name() != new.name() {
        return Err(format!("a log keeps its name: the key is of {}, the next one of {}", old.name(), new.name()));
    }
    if old == new {
        return Err("both files have the same key".to_owned());
    }
    if !log.is_dir() {
        return Err(format!("{} is no folder of segments", log.display()));
    }
    rotate(log, key, next).map_err(|error| format!("{} cannot be handed over: {error}", log.display()))?;
    Ok(new.to_string())
}

fn new(New { name, out }: &New) -> ExitCode {
    let (key, secret) = match SigningKey::generate(name) {
        Ok(made) => made,
        Err(problem) => return output::failed(&problem),
    };
    if let Err(error) = output::secret_file(out, &secret) {
        return output::failed(&format!("{} cannot be written: {error}", out.display()));
    }
    output::answer(&key.verifying().to_string());
    output::note(&format!(
        "\nThis line verifies the log: keep it where the gate cannot write. {} signs it: only the gate may read it.\n\
         In tollgate.yaml: audit: {{ file: audit/, key: file:/… }}",
        out.display()
    ));
    ExitCode::SUCCESS
}
