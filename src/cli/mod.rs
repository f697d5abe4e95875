//! The commands. Exit codes: 0 it is so, 1 the answer is no, 2 it cannot be said.

mod ask;
mod audit;
mod check;
mod consult;
mod diff;
mod drain;
mod explain;
mod health;
mod init;
mod keys;
mod kill;
mod lines;
mod lock;
mod output;
mod replay;
mod run;
mod schema;
mod signing;
mod test;
mod told;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A gate in front of MCP servers: every message is read, decided by reviewed policy files, limited, recorded and
/// carried.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of a server
    Run(run::Args),
    /// Say every problem of configuration and policies, and how to put it right
    Check(check::Args),
    /// Try the cases beside the policies, and say what no case shows
    Test(test::Args),
    /// Say of one call how it is decided, by which lines, and what the caller hears
    Explain(explain::Args),
    /// Say which calls of a log would be decided otherwise by these policies
    Replay(replay::Args),
    /// Say who gains or loses what between two policies
    Diff(diff::Args),
    /// Verify, prove and show what is in an audit log
    Audit(audit::Args),
    /// Make keys for callers, and keys that sign
    Keys(keys::Args),
    /// Ask a live server for its tools, and write a starter policy and a lock of what they are
    Init(init::Args),
    /// Ask a live server for its tools, show what it has changed, and pin them
    Lock(lock::Args),
    /// Stop a tool, a caller, a server or everything in a running gate, at once (kill switch)
    Kill(kill::KillArgs),
    /// Let go on what was stopped
    Unkill(kill::UnkillArgs),
    /// Ask a running gate whether it is ready for calls
    Health(health::Args),
    /// Ask the gate of this container to end, once nothing new comes: for preStop hooks
    Drain(drain::Args),
    /// Print the form of a file as JSON Schema, for editors
    Schema(schema::Args),
}

/// The whole program: reads arguments, runs the command.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(args) {
        Ok(cli) => match cli.command {
            Command::Run(args) => run::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Test(args) => test::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Replay(args) => replay::run(&args),
            Command::Diff(args) => diff::run(&args),
            Command::Audit(args) => audit::run(&args),
            Command::Keys(args) => keys::run(&args),
            Command::Init(args) => init::run(&args),
            Command::Lock(args) => lock::run(&args),
            Command::Kill(args) => kill::kill(&args),
            Command::Unkill(args) => kill::unkill(&args),
            Command::Health(args) => health::run(&args),
            Command::Drain(args) => drain::run(&args),
            Command::Schema(args) => schema::run(&args),
        },
        Err(told) => output::usage(&told),
    }
}
