//! `tollgate schema`: the form of each file that people write, for their editors.

use std::process::ExitCode;

use super::output;
use crate::config::{self, ConfigSource};
use crate::federation::ViewsSource;
use crate::identity::PrincipalsSource;
use crate::policy::{KillsSource, PolicySource};
use crate::trial::CasesSource;

/// Prints JSON Schema (2020-12), made from what reads the file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of which file
    #[arg(value_enum, value_name = "FILE")]
    file: File,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum File {
    /// Who may use what, and how: policies/*.yaml
    Policy,
    /// Who may prove themselves: policies/principals.yaml
    Principals,
    /// Which servers stand as one: policies/views.yaml
    Views,
    /// Where things are: tollgate.yaml
    Config,
    /// What the policies are meant to say: policies/*.test.yaml
    Test,
    /// What is stopped: the file of the kill switch
    Kills,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let form = match args.file {
        File::Policy => config::form::<PolicySource>(),
        File::Principals => config::form::<PrincipalsSource>(),
        File::Views => config::form::<ViewsSource>(),
        File::Config => config::form::<ConfigSource>(),
        File::Test => config::form::<CasesSource>(),
        File::Kills => config::form::<KillsSource>(),
    };
    output::answer(&format!("{form:#}"));
    ExitCode::SUCCESS
}
