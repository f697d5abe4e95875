//! `tollgate audit export`: copies a log into Postgres, for those who ask. What can be verified is the log.

mod copy;
mod secured;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use tokio_postgres::{Client, Config};

use super::super::output;
use crate::audit::{Lines, Link, Read};
use crate::secret::Reference;
use crate::tls::{self, Part};

use copy::Copied;
use secured::Secured;

/// What it fills.
const TABLES: &str = include_str!("tables.sql");
/// How often the log is looked at for more.
const LOOK: Duration = Duration::from_secs(1);
/// The database is there within this, or not.
const CONNECT: Duration = Duration::from_secs(10);

/// Copies each record once, in batches, and goes on where it was interrupted. The tables are made if they are not there:
/// `tool_calls` has a row for each message, `gate_events` for what the gate did; views beside them sum up.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of segments, or a file of records
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The database: `postgres://USER@HOST/NAME`, or where its URL is kept if it has a password: `env:NAME`, `file:/PATH`
    #[arg(long, value_name = "URL")]
    to: String,
    /// Authorities to believe for the database's certificate, instead of those of the machine
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Leave out the records before this index: they are not in the log any more
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Go on with those that come later
    #[arg(long)]
    follow: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let copied = match runtime {
        Ok(runtime) => runtime.block_on(export(args)),
        Err(error) => Err(format!("no runtime: {error}")),
    };
    match copied {
        Ok(Copied { log, records, next }) => {
            output::answer(&format!("{log}: {records} records copied; the next one is {next}"));
            ExitCode::SUCCESS
        }
        Err(error) => output::failed(&error),
    }
}

async fn export(args: &Args) -> Result<Copied, String> {
    let log = name(&args.log)?;
    let mut client = connect(args).await?;
    client.batch_execute(TABLES).await.map_err(|error| told("the tables cannot be made", &error))?;
    let mut copied = Copied { log, records: 0, next: args.from };
    loop {
        copied.go_on(&mut client, &args.log).await?;
        if !args.follow {
            return Ok(copied);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            stopped = tokio::signal::ctrl_c() => return stopped.map(|()| copied).map_err(|error| error.to_string()),
        }
    }
}

/// The log's name, which stands in its first line.
fn name(log: &Path) -> Result<String, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", log.display());
    let mut lines = Lines::open(log).map_err(unreadable)?;
    let first = match lines.read().map_err(unreadable)? {
        Some(Read::Line(line)) => Link::read(line).and_then(|link| link.origin),
        Some(Read::Torn(_)) | None => None,
    };
    first.ok_or_else(|| format!("{} does not begin with the first line of a segment", log.display()))
}

async fn connect(args: &Args) -> Result<Client, String> {
    let config = config(&args.to)?;
    let tls = Secured(Arc::new(trust(args.ca.as_deref())?));
    let (client, connection) =
        config.connect(tls).await.map_err(|error| told("the database cannot be reached", &error))?;
    // It ends with the client, and what was wrong with it is told to whoever asks through that.
    #[expect(clippy::disallowed_methods, reason = "a program that copies, and ends")]
    tokio::spawn(connection);
    Ok(client)
}

/// How to reach the database. Whoever can see processes sees what stands in a command.
fn config(to: &str) -> Result<Config, String> {
    let kept = Reference::parse(to).map(|reference| reference.read());
    let secret = kept.transpose().map_err(|error| format!("--to: {error}"))?;
    let url = secret.as_ref().map_or(to, |secret| secret.expose());
    let mut config: Config = url.parse().map_err(|_quotes_it| {
        "--to is no URL of a database: write postgres://USER@HOST/NAME, or env:NAME or file:/PATH where one is kept"
            .to_owned()
    })?;
    if secret.is_none() && config.get_password().is_some() {
        return Err(
            "--to shows a password to everyone on this machine: keep the URL in a file or a variable, and write \
                    file:/PATH or env:NAME"
                .to_owned(),
        );
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    config.application_name("tollgate audit export");
    Ok(config)
}

fn trust(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder();
    let builder = match ca {
        None => builder.with_native_roots().map_err(|error| format!("the machine's authorities: {error}"))?,
        Some(path) => {
            let pem = super::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            let flawed = |flaw: tls::Flaw| format!("{}: {flaw} ({})", path.display(), flaw.way_out());
            builder.with_root_certificates(tls::authorities(Part::Ca, pem.as_bytes()).map_err(flawed)?.0)
        }
    };
    Ok(builder.with_no_client_auth())
}

/// What the database says is in what its error comes from.
fn told(what: &str, error: &tokio_postgres::Error) -> String {
    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    format!("{what}: {why}")
}
