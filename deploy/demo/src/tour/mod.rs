//! The tour: starts the server and the gate, makes the calls of [`steps`], and shows what the gate decided and why.

mod caller;
mod child;
mod decision;
mod gate;
mod report;
mod steps;
mod workspace;

use std::error::Error;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use crate::serve::{self, Database};
use caller::Caller;
use child::Child;
use gate::Gate;
use report::Report;
use workspace::Workspace;

/// What the tour is made with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) listen: SocketAddr,
    pub(crate) database: Database,
}

/// What to do after the tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    End,
    Serve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    AsExpected,
    /// At least one call was answered or decided otherwise than the policy says.
    Surprised,
}

/// Runs the tour. Whenever it ends – done, failed, or told to `stop` – both processes are ended and the files removed.
pub(crate) async fn run(plan: Plan, after: After, stop: &CancellationToken) -> Result<Verdict, Box<dyn Error>> {
    let mut stage = Stage::default();
    let outcome = tokio::select! {
        outcome = stage.perform(plan, after) => outcome,
        () = stop.cancelled() => Ok(Verdict::AsExpected),
    };
    stage.clear().await;
    outcome
}

/// Everything that has to go at the end, in the order in which it came.
#[derive(Default)]
struct Stage {
    server: Option<Child>,
    workspace: Option<Workspace>,
    gate: Option<Gate>,
}

impl Stage {
    async fn perform(&mut self, plan: Plan, after: After) -> Result<Verdict, Box<dyn Error>> {
        let started = tokio::time::Instant::now();
        let report = Report::to_terminal();
        Report::begin()?;

        let server = self.server.insert(start_server(&plan.database)?);
        let ready = server.line_where(|line| serve::read_ready_line(line).map(owned)).await?;
        let (server_url, source) = ready;
        let workspace = self.workspace.insert(Workspace::make(plan.listen, &server_url)?);
        let gate = self.gate.insert(Gate::start(&workspace.config()).await?);
        report.heading(&source)?;

        let url = gate.url().to_owned();
        let cast = steps::Cast {
            analyst: Caller::new("analyst", Some(workspace.analyst()), &url)?,
            oncall: Caller::new("oncall", Some(workspace.oncall()), &url)?,
            nobody: Caller::new("nobody", None, &url)?,
        };
        let tally = steps::run(&cast, gate.decisions(), report, &source).await?;
        report.tally(&tally, started.elapsed())?;
        let verdict = if tally.is_clean() { Verdict::AsExpected } else { Verdict::Surprised };
        if after == After::Serve {
            report.how_to_connect(gate, workspace, &server_url)?;
            gate.show_decisions(report).await?;
        }
        Ok(verdict)
    }

    async fn clear(&mut self) {
        // The gate first: it drains what it carries to the server.
        if let Some(gate) = self.gate.take() {
            gate.stop().await;
        }
        drop(self.workspace.take());
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}

fn owned((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

fn start_server(database: &Database) -> Result<Child, child::ChildError> {
    let mut command = child::ourselves()?;
    command.args(["serve", "--with-parent", "--address", "127.0.0.1:0"]);
    match database {
        // By the environment, not on the command line: the address may hold a password.
        Database::At(url) => command.env("DATABASE_URL", url),
        Database::Private => command.env_remove("DATABASE_URL"),
        Database::Memory => command.arg("--memory"),
    };
    Child::start("the MCP server", command)
}
