//! `tollgate drain`: asks the gate of this container to end, for hooks where there is no shell, `sleep` or `kill`.

use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::output;
use crate::duration::parse_duration;

/// Waits until balancers have turned elsewhere, then asks the gate to end as SIGTERM does: it answers what it has
/// accepted. Exits with 0 once the gate knows.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long balancers may take to send nothing new, such as `5s`
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span)]
    after: Duration,
    /// The process of the gate; in a container it is the first
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pid: i32,
}

/// No grace period that makes sense is longer.
const SPAN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

fn span(text: &str) -> Result<Duration, String> {
    parse_duration(text, SPAN)
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Some(pid) = Pid::from_raw(args.pid).filter(|_| args.pid > 0) else {
        return output::failed(&"`--pid` takes the number of a process, from 1");
    };
    if let Err(problem) = is_a_gate(args.pid) {
        return output::failed(&problem);
    }
    sleep(args.after);
    match kill_process(pid, Signal::TERM) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => output::failed(&format!("process {} cannot be asked to end: {problem}", args.pid)),
    }
}

/// A signal to anything else would do harm: where containers share their processes, the first is the pod's own.
fn is_a_gate(pid: i32) -> Result<(), String> {
    let program = |of: &str| fs::read_link(PathBuf::from("/proc").join(of).join("exe"));
    let (its, ours) = (program(&pid.to_string()), program("self"));
    match (its, ours) {
        (Ok(its), Ok(ours)) if its == ours => Ok(()),
        (Ok(its), Ok(_)) => Err(format!("process {pid} is {}, not a gate; `--pid` says which one is", its.display())),
        (Err(error), _) | (_, Err(error)) => Err(format!("it is not known what process {pid} is: {error}")),
    }
}
