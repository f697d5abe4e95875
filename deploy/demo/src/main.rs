//! The demo: a tour of the gate in front of a real MCP server with a real Postgres behind it. Not part of the product.

mod query;
mod record;
mod store;
mod cluster;
mod tools;
mod serve;
mod gate;
mod tour;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::serve::{Backing, Database};
use crate::tools::Rows;

/// Starts a demo MCP server and the gate in front of it, makes a tour of calls, then keeps serving.
#[derive(Debug, Parser)]
#[command(name = "tollgate-demo", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    tour: TourArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the demo MCP server alone.
    Serve(ServeArguments),
    /// Run the gate: what follows is tollgate's own command line.
    #[command(disable_help_flag = true)]
    Gate(GateArguments),
}

#[derive(Debug, Args)]
struct TourArguments {
    /// End after the tour: 0 if every step went as expected, 1 if not.
    #[arg(long)]
    once: bool,
    /// Where the gate listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(flatten)]
    database: DatabaseArguments,
}

#[derive(Debug, Args)]
struct DatabaseArguments {
    /// A Postgres to keep the records in (schema `tollgate_demo`) [default: a private one, if Postgres is installed].
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Keep the records in memory, even if there is a Postgres.
    #[arg(long)]
    memory: bool,
}

impl DatabaseArguments {
    fn choice(self) -> Database {
        match self.database_url {
            _ if self.memory => Database::Memory,
            Some(url) => Database::At(url),
            None => Database::Private,
        }
    }
}

#[derive(Debug, Args)]
struct ServeArguments {
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    address: SocketAddr,
    /// Most database connections.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=32))]
    pool_size: u8,
    /// Show each caller the records of one store: the one that the gate names in `x-rls-store-id`.
    #[arg(long)]
    row_level_security: bool,
    #[command(flatten)]
    database: DatabaseArguments,
    #[command(flatten)]
    parent: ParentArguments,
}

#[derive(Debug, Args)]
struct GateArguments {
    #[command(flatten)]
    parent: ParentArguments,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
struct ParentArguments {
    /// End when standard input closes: a child does not outlive a parent that was killed.
    #[arg(long, hide = true)]
    with_parent: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Gate(gate)) => {
            if gate.parent.with_parent {
                std::thread::spawn(end_with_parent);
            }
            // The gate makes its own runtime.
            return gate::main(gate.arguments);
        }
        Some(Command::Serve(arguments)) => Runtime::new().map_err(Into::into).and_then(|runtime| {
            runtime.block_on(serve(arguments))?;
            // Whoever reads standard input blocks for ever; nothing else is left to wait for.
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }),
        None => Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(take_tour(arguments.tour))),
    };
    done.unwrap_or_else(|error: Box<dyn Error>| {
        let mut text = format!("tollgate-demo: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        writeln!(io::stderr(), "{text}").ok();
        ExitCode::FAILURE
    })
}

async fn take_tour(arguments: TourArguments) -> Result<ExitCode, Box<dyn Error>> {
    let stop = stop_on_signal()?;
    let plan = tour::Plan { listen: arguments.listen, database: arguments.database.choice() };
    let after = if arguments.once { tour::After::End } else { tour::After::Serve };
    Ok(match tour::run(plan, after, &stop).await? {
        tour::Verdict::AsExpected => ExitCode::SUCCESS,
        tour::Verdict::Surprised => ExitCode::FAILURE,
    })
}

async fn serve(arguments: ServeArguments) -> Result<(), Box<dyn Error>> {
    let stop = stop_on_signal()?;
    if arguments.parent.with_parent {
        std::thread::spawn(end_with_parent);
    }
    let opening = Backing::open(arguments.database.choice(), arguments.pool_size.into());
    let backing = tokio::select! {
        opened = opening => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    if let Some(why) = &backing.fallback {
        writeln!(
            io::stderr(),
            "{why}; the records are in memory.\nFor Postgres: apt-get install postgresql, or set DATABASE_URL.",
        )?;
    }
    let rows = if arguments.row_level_security { Rows::OwnStore } else { Rows::All };
    backing.prepare(rows).await?;
    let listener = TcpListener::bind(arguments.address).await?;
    writeln!(io::stdout(), "{}", serve::ready_line(listener.local_addr()?, backing.store.source()))?;
    Ok(backing.serve(rows, listener, stop).await?)
}

/// Cancelled by ctrl-c, SIGTERM or a terminal that goes away.
fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let stopped = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process; nothing waits for it")]
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}

fn end_with_parent() {
    // The parent writes nothing: this returns when it is gone.
    io::stdin().read_to_end(&mut Vec::new()).ok();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).ok();
}
