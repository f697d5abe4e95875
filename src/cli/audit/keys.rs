//! `tollgate audit keys new`: the key that signs a log's checkpoints, into a file of its own; its other half is printed.

use std::path::PathBuf;
use std::process::ExitCode;

use super::super::output;
use crate::audit::SigningKey;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: the secret half goes into a file, the other half is printed
    New(New),
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

pub(super) fn run(args: &Args) -> ExitCode {
    let Command::New(New { name, out }) = &args.command;
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
