//! What it costs to carry a call: the gate beside a pass-through proxy and beside no proxy at all, in the same minute.
//!
//! One program in five parts: started plainly it measures; it starts itself again as the server (`serve-upstream`), as
//! the pass-through (`serve-floor`) and as a collector (`serve-collector`), and starts the gate twice: with what is always
//! on, and with everything that tells of a call. How to read the figures: `benches/README.md`.

mod collector;
mod floor;
mod half;
mod instructions;
mod load;
mod machine;
mod options;
mod pace;
mod peer;
mod plot;
mod process;
mod report;
#[path = "../shared.rs"]
mod shared;
mod upstream;
mod wire;

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use options::{Options, Wanted};
use process::{Core, Process};
use report::Report;
use shared::{Deployment, SERVER};
use wire::{PACED, Tool};

type Failure = Box<dyn Error + Send + Sync>;

/// The first argument of the parts that are started by the first one.
const UPSTREAM: &str = "serve-upstream";
const PASS_THROUGH: &str = "serve-floor";
const COLLECTOR: &str = "serve-collector";

#[expect(clippy::print_stderr, reason = "the program's last word")]
fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let done = match (args.next().as_deref(), args.next()) {
        (Some(UPSTREAM), _) => upstream::serve(),
        (Some(COLLECTOR), _) => collector::serve(),
        (Some(PASS_THROUGH), Some(address)) => floor::serve(&address),
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("carry: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failure> {
    match options::read(env::args().skip(1))? {
        Wanted::Run(options) => time(&options),
        Wanted::Instructions(options) => {
            let pinned = options.pinning;
            let upstream = Process::start(report::DIRECT, myself(UPSTREAM)?, pinned, Core::Load)?;
            let (floor, deployment) = (floor_command(&upstream)?, gate_files(&upstream)?);
            instructions::measure(&floor, &gate_command(&options.gate, &deployment), pinned)
        }
        Wanted::Nothing => Ok(()),
    }
}

fn time(options: &Options) -> Result<(), Failure> {
    let pinned = options.pinning;
    let upstream = Process::start(report::DIRECT, myself(UPSTREAM)?, pinned, Core::Load)?;
    let floor = Process::start(report::FLOOR, floor_command(&upstream)?, pinned, Core::Proxy)?;
    let deployment = gate_files(&upstream)?;
    let gate = Process::start(report::GATE, gate_command(&options.gate, &deployment), pinned, Core::Proxy)?;
    let collector = Process::start("collector", myself(COLLECTOR)?, pinned, Core::Load)?;
    let telling = gate_files(&upstream)?;
    let told =
        Process::start(report::TOLD, telling_command(&options.gate, &telling, &collector)?, pinned, Core::Proxy)?;
    let peers = options.peers.iter().map(|peer| peer.start(&upstream, pinned)).collect::<Result<Vec<_>, _>>()?;
    machine::pin_myself(pinned);

    let own = [&upstream, &floor, &gate, &told];
    let targets: Vec<&Process> = own.into_iter().chain(peers.iter().map(|peer| &peer.process)).collect();
    for cell in &options.cells {
        load::agree(&targets, cell.tool)?;
    }
    let mut report = Report::new(options, &targets);
    for round in 0..options.rounds {
        for cell in &options.cells {
            // Whoever is first meets a machine that the others have warmed or tired; so everybody is, in turn.
            for target in targets.iter().cycle().skip(round).take(targets.len()) {
                let sample = load::measure(target, cell, options)?;
                report.add(cell, target, sample);
            }
        }
    }
    report.print(&targets);
    half::report(&targets, options, &report)?;
    if let Some(file) = &options.svg {
        fs::write(file, report.plot())?;
    }
    if options.streams == 0 {
        return Ok(());
    }
    pace::report(&pace::measure(&targets, options)?)
}

/// This program again, as another part.
fn myself(part: &str) -> Result<Command, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(part);
    Ok(command)
}

/// The pass-through before that server.
fn floor_command(upstream: &Process) -> Result<Command, Failure> {
    let mut command = myself(PASS_THROUGH)?;
    command.arg(upstream.address.to_string());
    Ok(command)
}

/// Everything that a deployment has: a key, a role, a rate limit and a bound on calls in flight, none of which is hit.
fn gate_files(upstream: &Process) -> Result<Deployment, Failure> {
    let tools: Vec<_> = Tool::ALL.iter().map(|tool| tool.name()).chain([PACED]).collect();
    let mut policy = format!("server: {SERVER}\nroles:\n  caller: {{ tools: [{}] }}\ntools:\n", tools.join(", "));
    for tool in tools {
        writeln!(
            policy,
            "  {tool}:\n    limits:\n      - {{ calls: 1000000000, every: 1m, per: principal }}\n      \
             - {{ in_flight: 1000, per: tool }}"
        )?;
    }
    let url = format!("http://{}/mcp", upstream.address);
    let files = [("bench.yaml".to_owned(), policy)];
    Ok(Deployment::new(&url, "caller", &files, &[])?)
}

/// The gate as it runs in production, but for spans: where they go is not ours to measure.
fn gate_command(gate: &Path, deployment: &Deployment) -> Command {
    let mut command = Command::new(gate);
    command.arg("run").arg("--config").arg(deployment.config()).env_clear().env("OTEL_TRACES_EXPORTER", "none");
    command
}

/// The gate with everything that tells of a call: one trace in ten and all metrics to a collector, the audit log on the
/// disk, decision lines.
fn telling_command(gate: &Path, deployment: &Deployment, collector: &Process) -> Result<Command, Failure> {
    let config = deployment.config();
    let (key, log) = (config.with_file_name("audit-key"), config.with_file_name("audit"));
    let made =
        Command::new(gate).args(["audit", "keys", "new", "--name", "bench.test/audit", "--out"]).arg(&key).output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into());
    }
    let mut said = fs::read_to_string(&config)?;
    writeln!(said, "audit: {{ file: \"{}\", key: \"file:{}\", mode: interval }}", log.display(), key.display())?;
    fs::write(&config, said)?;
    let mut command = gate_command(gate, deployment);
    command
        .env("OTEL_TRACES_EXPORTER", "otlp")
        .env("OTEL_METRICS_EXPORTER", "otlp")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address))
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0.1")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    Ok(command)
}
