//! `tollgate test`: the cases beside the policies, asked of the very rules that `run` enforces.

mod human;
mod json;
mod junit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::consult::{self, Consulted};
use super::output;
use crate::config;
use crate::diagnostic::Diagnostics;
use crate::trial::{CaseFile, Trial};

/// Exits with 0 if all cases pass, 1 if one fails or too little is covered, 2 if it could not be said.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy folders, configuration files or single files of cases [default: tollgate.yaml, else policies]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Fail if less of the policy decides some case
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    require_coverage: Option<u8>,
    /// For whom to write what came of it
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// What failed, why, and what no case shows
    Human,
    /// One JSON object; README.md describes it
    Json,
    /// JUnit XML, for CI
    Junit,
}

/// The cases of one folder, with what came of them.
struct Tried {
    policies: Consulted,
    trial: Trial,
}

/// What is true of all folders together.
struct Totals {
    cases: usize,
    failed: usize,
    clauses: usize,
    tested: usize,
    required: Option<usize>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut paths = args.paths.clone();
    if paths.is_empty() {
        let Some(usual) = consult::usual() else {
            return output::failed(&"there is neither tollgate.yaml nor policies/ here; say what to test");
        };
        paths.push(usual);
    }
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        return output::failed(&format!("{} is not there", missing.display()));
    }
    let (mut tried, mut found) = (Vec::new(), Diagnostics::new());
    for path in &paths {
        tried.extend(found.take(attempt(path)));
    }
    if found.has_errors() {
        return output::unclear(&found);
    }
    let totals = Totals::of(&tried, args.require_coverage.map(usize::from));
    output::answer(&match args.format {
        Form::Human => human::render(&tried, &totals, output::answer_style()),
        Form::Json => json::render(&tried, &totals),
        Form::Junit => junit::render(&tried, &totals),
    });
    if totals.fails() { ExitCode::from(output::NO) } else { ExitCode::SUCCESS }
}

/// Runs the cases of a folder, or of one file beside the policies that it is about.
fn attempt(path: &Path) -> Result<Tried, Diagnostics> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let only = path.is_file() && config::is_case_file(name);
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let policies = Consulted::read(if only { beside } else { path })?;
    let files = if only { vec![config::read_case_file(path)?] } else { config::read_cases(&policies.folder)? };
    let (mut cases, mut found) = (Vec::new(), Diagnostics::new());
    for file in &files {
        cases.extend(found.take(CaseFile::compile(file, &policies.against())).unwrap_or_default());
    }
    if found.has_errors() {
        return Err(found);
    }
    let trial = Trial::run(cases, &policies.policies.policy);
    Ok(Tried { policies, trial })
}

impl Totals {
    fn of(tried: &[Tried], required: Option<usize>) -> Self {
        let sum = |count: fn(&Trial) -> usize| tried.iter().map(|tried| count(&tried.trial)).sum();
        Self {
            cases: sum(|trial| trial.ran.len()),
            failed: sum(|trial| trial.failed().count()),
            clauses: sum(|trial| trial.coverage.clauses),
            tested: sum(|trial| trial.coverage.tested()),
            required,
        }
    }

    /// Rounded down: only all of it is 100.
    fn percent(&self) -> usize {
        (self.tested * 100).checked_div(self.clauses).unwrap_or(100)
    }

    /// The percentage that is required and not there.
    fn lacks(&self) -> Option<usize> {
        self.required.filter(|required| self.percent() < *required)
    }

    fn fails(&self) -> bool {
        self.failed > 0 || self.lacks().is_some()
    }

    /// `7 cases: 6 passed, 1 failed; coverage 83 % (10 of 12)`.
    fn summary(&self) -> String {
        let Self { cases, failed, clauses, tested, .. } = self;
        let noun = if *cases == 1 { "case" } else { "cases" };
        let (passed, percent) = (cases - failed, self.percent());
        let lacks = self.lacks().map(|required| format!(", less than the {required} % required"));
        let lacks = lacks.unwrap_or_default();
        format!("{cases} {noun}: {passed} passed, {failed} failed; coverage {percent} % ({tested} of {clauses}){lacks}")
    }
}
