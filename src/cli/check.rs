//! `tollgate check`: every problem in configuration and policies, by the very build that `run` uses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output;
use crate::clock;
use crate::config::{self, Folder, Overrides, Reach};
use crate::diagnostic::Diagnostics;

const CONFIG: &str = "tollgate.yaml";
const POLICIES: &str = "policies";

/// Exits with 0 if there is no error, 1 if there is, 2 if there is nothing to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration files and policy folders [default: tollgate.yaml, else policies]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A configuration file, and the policies it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut paths = args.paths.clone();
    paths.extend(args.config.clone());
    if paths.is_empty() {
        let usual = [CONFIG, POLICIES].map(PathBuf::from).into_iter().find(|path| path.exists());
        let Some(usual) = usual else {
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
    output::findings(&found);
    if found.has_errors() { ExitCode::from(output::NO) } else { ExitCode::SUCCESS }
}

/// All that is wrong or odd with a configuration or a policy folder.
fn check(path: &Path) -> Diagnostics {
    let config = if path.is_dir() { path.join(CONFIG) } else { path.to_owned() };
    if config.is_file() {
        let overrides = Overrides { config: Some(config), ..Overrides::default() };
        return config::load(&overrides).map_or_else(|found| found, |loaded| loaded.warnings);
    }
    let folder = Folder::read(path);
    let servers = folder.servers();
    let policies = folder.compile(&servers, Reach::Unknown, clock::wall());
    policies.map_or_else(|found| found, |policies| policies.warnings)
}
