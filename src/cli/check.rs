//! `tollgate check`: every problem in configuration and policies, by the very build that `run` uses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{consult, output};
use crate::clock;
use crate::config::{self, Folder, Kept, Reach};
use crate::diagnostic::{Denied, Diagnostics, Format, Report};

/// Exits with 0 if there is no error, 1 if there is, 2 if it could not be said.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration files and policy folders [default: tollgate.yaml, else policies]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A configuration file, and the policies it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For whom to write what was found
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
    /// What fails beside errors
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// Text with the line and the way out
    Human,
    /// One JSON object; README.md describes it
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands of GitHub Actions
    Github,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Deny {
    /// Exit with 1 if there is a warning, too
    Warnings,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut paths = args.paths.clone();
    paths.extend(args.config.clone());
    if paths.is_empty() {
        let Some(usual) = consult::usual() else {
            return output::failed(&"there is neither tollgate.yaml nor policies/ here; say what to check");
        };
        paths.push(usual);
    }
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        return output::failed(&format!("{} is not there", missing.display()));
    }
    let mut found = Diagnostics::new();
    for path in &paths {
        found.extend(check(path));
    }
    // Where the current directory is not known, paths stay as they were given.
    let here = std::env::current_dir().unwrap_or_default();
    let denied = args.deny.map_or(Denied::Nothing, |Deny::Warnings| Denied::Warnings);
    let report = Report { found: &found, denied, here: &here };
    output::answer(&report.render(args.format.into()));
    if report.fails() { ExitCode::from(output::NO) } else { ExitCode::SUCCESS }
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Human => Self::Human(output::answer_style()),
            Form::Json => Self::Json,
            Form::Sarif => Self::Sarif,
            Form::Github => Self::Github,
        }
    }
}

/// All that is wrong or odd with a configuration or a policy folder.
fn check(path: &Path) -> Diagnostics {
    if let Some(overrides) = consult::configuration(path) {
        return config::load(&overrides, Kept::Elsewhere).map_or_else(|found| found, |loaded| loaded.warnings);
    }
    let folder = Folder::read(path);
    let servers = folder.servers();
    let policies = folder.compile(&servers, Reach::Unknown, clock::wall());
    policies.map_or_else(|found| found, |policies| policies.warnings)
}
