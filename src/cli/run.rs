//! `tollgate run`: the gate.

use std::process::ExitCode;
use std::time::Duration;

use super::output;
use crate::app::{self, End};
use crate::config::{self, Overrides};
use crate::telemetry::{Telemetry, TelemetrySettings, log};

/// Flags beat TOLLGATE_* variables, which beat the file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    overrides: Overrides,
}

/// What is still to be said when the process ends may take this long.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args) -> ExitCode {
    log::start();
    let loaded = match config::load(&args.overrides) {
        Ok(loaded) => loaded,
        Err(problems) => return output::refused(&problems),
    };
    output::warnings(&loaded.warnings);
    let started = TelemetrySettings::from_env().and_then(|settings| Telemetry::start(&settings));
    let (telemetry, guard) = match started {
        Ok(started) => started,
        Err(problem) => return output::failed(&problem),
    };
    // One provider for everything that speaks TLS. It fails only where there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => return output::failed(&problem),
    };
    let ended = runtime.block_on(app::run(loaded, telemetry));
    runtime.shutdown_timeout(LAST_WORDS);
    guard.shutdown();
    match ended {
        Ok(End::Drained) => ExitCode::SUCCESS,
        Ok(End::CutShort) => {
            tracing::error!("the drain timeout was over before every call was answered");
            ExitCode::FAILURE
        }
        Err(problem) => output::failed(&problem),
    }
}
