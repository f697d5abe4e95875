//! The machine: what it is, who else is busy on it, and where this program runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio, id};
use std::thread;
use std::time::Duration;

use crate::process::{Core, Pinning};

/// Whether processes can be bound to cores here: `taskset` is there, and a second core.
pub(crate) fn pinning() -> Pinning {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores >= 2 && Path::new("/usr/bin/taskset").exists() { Pinning::Pinned } else { Pinning::Free }
}

/// Binds this program, which makes the load, to the load's core.
pub(crate) fn pin_myself(pinning: Pinning) {
    if pinning == Pinning::Pinned {
        Command::new("/usr/bin/taskset")
            .args(["-a", "-c", "-p", Core::Load.number(), &id().to_string()])
            .stdout(Stdio::null())
            .status()
            .ok();
    }
}

/// How long the proxy's core was busy so far, with whatever.
pub(crate) fn proxy_core_busy() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu0 "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal (proc(5)); a tick is 10 ms on every Linux that matters here.
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: u64 = ticks.iter().take(8).sum();
    Some(Duration::from_millis((all - idle) * 10))
}

/// Cores, processor and kernel, in a line.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}
