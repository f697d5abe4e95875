//! `tollgate diff`: who gains or loses which call, between two policy folders or git revisions of one.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use super::output;
use crate::config::{Folder, Policies, Reach, Revision};
use crate::diagnostic::Diagnostics;
use crate::federation;
use crate::mcp::ServerName;
use crate::policy::{Side, diff_callers};

use report::Changes;

/// Exits with 0 if nobody gains anything, 3 if somebody does, 2 if it could not be said.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder before: DIR, REVISION:DIR, or REVISION for the same folder there
    #[arg(value_name = "OLD")]
    old: String,
    /// The folder now
    #[arg(value_name = "NEW", default_value = "policies")]
    new: String,
    /// For whom to write what was found
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// For a terminal
    Text,
    /// One JSON object; README.md describes it
    Json,
    /// For a comment on a pull request
    Markdown,
}

/// Access widens.
const WIDENS: u8 = 3;

pub(super) fn run(args: &Args) -> ExitCode {
    match changes(args) {
        Ok(changes) => {
            output::answer(&match args.format {
                Form::Text => changes.text(),
                Form::Json => changes.json(),
                Form::Markdown => changes.markdown(),
            });
            if changes.widen() { ExitCode::from(WIDENS) } else { ExitCode::SUCCESS }
        }
        Err(Problem::Told(problem)) => output::failed(&problem),
        Err(Problem::Found(side, problems)) => {
            output::note(&format!("{side} is not a policy that could be enforced:"));
            output::problems(&problems);
            ExitCode::from(output::CANNOT_SAY)
        }
    }
}

/// Why it cannot be said.
enum Problem {
    Told(String),
    Found(String, Diagnostics),
}

fn changes(args: &Args) -> Result<Changes, Problem> {
    let old = folder(&args.old, &args.new).map_err(Problem::Told)?;
    let new = folder(&args.new, &args.old).map_err(Problem::Told)?;
    if old.is_empty() && new.is_empty() {
        return Err(Problem::Told(format!("there is no policy file in {} and in {}", args.old, args.new)));
    }
    // The only server there is may have no name on one side.
    let names = |side: &Folder, other: &Folder| if side.names_servers() { side.servers() } else { other.servers() };
    let (before, now) = (names(&old, &new), names(&new, &old));
    let old = compiled(old, &before).map_err(|found| Problem::Found(args.old.clone(), found))?;
    let new = compiled(new, &now).map_err(|found| Problem::Found(args.new.clone(), found))?;
    let [before, now] = [&old, &new].map(|it| Side { policy: &it.policy, callers: &it.authenticators });
    let callers = diff_callers(before, now);
    Ok(Changes::of([old.policy.diff(&new.policy), callers, federation::diff(&old.views, &new.views)]))
}

/// A folder of the disk, or of a revision.
fn folder(text: &str, other: &str) -> Result<Folder, String> {
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(Folder::read(path));
    }
    let other = match other.split_once(':') {
        Some((_, path)) => PathBuf::from(path),
        None => PathBuf::from(other),
    };
    Revision::parse(text, &other)?.read()
}

fn compiled(folder: Folder, servers: &[ServerName]) -> Result<Policies, Diagnostics> {
    if folder.is_empty() {
        return Ok(Policies::default());
    }
    // That a key has ended meanwhile is no difference between the two.
    folder.compile(servers, Reach::Nowhere, UNIX_EPOCH)
}
