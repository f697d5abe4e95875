//! `tollgate run`: the gate.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::output;
use crate::app::{self, End};
use crate::audit::{Audit, Copied, Copyist, Settings as AuditSettings};
use crate::config::{self, Kept, Overrides};
use crate::telemetry::{AuditCopy, Telemetry, TelemetrySettings, start_log};

/// Flags beat TOLLGATE_* variables, which beat the file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    overrides: Overrides,
}

/// What is still to be said when the process ends may take this long.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Args) -> ExitCode {
    let settings = match TelemetrySettings::from_env() {
        Ok(settings) => settings,
        Err(problem) => return output::failed(&problem),
    };
    // One provider for everything that speaks TLS. It fails only where there is one already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(problem) => return output::failed(&problem),
    };
    // Exporters that speak gRPC are bound to the runtime they are made in.
    let within = runtime.enter();
    let log = match start_log(&settings) {
        Ok(log) => log,
        Err(problem) => return output::failed(&problem),
    };
    let loaded = match config::load(&args.overrides, Kept::Here) {
        Ok(loaded) => loaded,
        Err(problems) => return output::refused(&problems),
    };
    output::warnings(&loaded.warnings);
    let audit = match loaded.config.audit.as_ref().map(|audit| audited(audit, &settings)).transpose() {
        Ok(audit) => audit.unwrap_or_default(),
        Err(problem) => return output::failed(&problem),
    };
    let (telemetry, guard) = match Telemetry::start(&settings, audit, &log) {
        Ok(started) => started,
        Err(problem) => return output::failed(&problem),
    };
    drop(within);
    let ended = runtime.block_on(async {
        let ended = app::run(loaded, telemetry).await;
        // The last spans leave through the runtime, which goes on meanwhile.
        let told = tokio::task::spawn_blocking(|| guard.shutdown()).await;
        ended.and_then(|ended| told.map(|()| ended).map_err(io::Error::other))
    });
    let code = match ended {
        Ok(End::Drained) => ExitCode::SUCCESS,
        Ok(End::CutShort) => {
            tracing::error!("the drain timeout was over before every call was answered");
            ExitCode::FAILURE
        }
        Err(problem) => output::failed(&problem),
    };
    runtime.shutdown_timeout(LAST_WORDS);
    // What could not be sent is told in the log, so its own last lines come last.
    drop(log);
    code
}

/// The audit log, and what copies it to a collector.
type Audited = (Audit, Option<AuditCopy>);

/// Opens the audit log, and what copies it to a collector, if something does.
fn audited(audit: &AuditSettings, telemetry: &TelemetrySettings) -> Result<Audited, Box<dyn Error>> {
    let copy = (audit.copied > Copied::Nothing).then(|| AuditCopy::start(telemetry)).transpose()?;
    let copyist = copy.clone().map(|copy| Box::new(copy) as Box<dyn Copyist>);
    Ok((Audit::open(audit, copyist)?, copy))
}

/// What goes on beside the connections: on one core with them, so that nothing is handed from thread to thread.
fn runtime() -> io::Result<Runtime> {
    let alone = thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if alone { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(2).enable_all().build()
}
