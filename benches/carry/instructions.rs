//! How many instructions a call takes: the same on a busy machine as on a quiet one, so a change of a few percent can be told.
//! callgrind counts them, of the program itself and of all libraries; what the kernel does is not among them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Failure;
use crate::load;
use crate::options::Cell;
use crate::process::{Core, Pinning, Process};
use crate::report::{FLOOR, GATE};
use crate::wire::Tool;

/// What a call through the gate takes, as a multiple of what it takes through the floor. Lower it with every change that
/// makes the gate cheaper; who raises it says why.
const KNOWN: [(Cell, f64); 3] = [
    (Cell { tool: Tool::Echo, connections: 16 }, 2.42),
    (Cell { tool: Tool::Blob16k, connections: 16 }, 3.27),
    (Cell { tool: Tool::Sse100, connections: 4 }, 2.08),
];
/// So far, as a share of it, it may be missed.
const TOLERANCE: f64 = 0.03;
/// So many calls of each connection are counted, after as many that are not.
const CALLS: usize = 100;
/// The program that counts, and the one that says when.
const VALGRIND: &str = "/usr/bin/valgrind";
const CONTROL: &str = "/usr/bin/callgrind_control";

/// Counts in every cell, and holds the figures against what is known.
///
/// # Errors
/// Nothing can be counted here, or the gate takes more than it did.
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
pub(crate) fn measure(floor: &Command, gate: &Command, pinning: Pinning) -> Result<(), Failure> {
    if !Path::new(VALGRIND).exists() {
        return Err("valgrind is not installed here, and it is what counts (Debian: apt-get install valgrind)".into());
    }
    let mut missed = Vec::new();
    println!("| call | connections | floor | gate | × floor | known |\n|---|--:|--:|--:|--:|--:|");
    for (cell, known) in KNOWN {
        let floor = counted(FLOOR, floor, &cell, pinning)?;
        let gate = counted(GATE, gate, &cell, pinning)?;
        let (name, connections, ratio) = (cell.tool.name(), cell.connections, gate / floor);
        println!("| {name} | {connections} | {floor:.0} | {gate:.0} | {ratio:.2} | {known:.2} |");
        if (ratio / known - 1.0).abs() > TOLERANCE {
            missed.push(format!("{name}:{connections} takes {ratio:.2} × the floor, and {known:.2} were known"));
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(format!("{}: find out why, or tell benches/carry/instructions.rs", missed.join("; ")).into())
}

/// The instructions of one call of a target that is started for it.
fn counted(name: &'static str, target: &Command, cell: &Cell, pinning: Pinning) -> Result<f64, Failure> {
    let folder = TempDir::new()?;
    let counts = folder.path().join("counts");
    let mut command = Command::new(VALGRIND);
    command.args(["--tool=callgrind", "--instr-atstart=no"]);
    command.arg(format!("--callgrind-out-file={}", counts.display()));
    command.arg(target.get_program()).args(target.get_args());
    command.envs(target.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process = Process::start(name, command, pinning, Core::Proxy)?;
    load::call(&process, cell, CALLS)?;
    switch("on", &process)?;
    load::call(&process, cell, CALLS)?;
    switch("off", &process)?;
    process.end()?;
    let counts = fs::read_to_string(counts)?;
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("callgrind counted nothing")?;
    #[expect(clippy::cast_precision_loss, reason = "so many calls are not made")]
    let calls = (CALLS * cell.connections) as f64;
    Ok(total.trim().parse::<f64>()? / calls)
}

/// Says whether what follows counts.
fn switch(to: &str, process: &Process) -> Result<(), Failure> {
    let mut control = Command::new(CONTROL);
    let done = control.args(["-i", to, &process.id().to_string()]).stdout(Stdio::null()).status()?;
    if done.success() { Ok(()) } else { Err(format!("callgrind_control -i {to}: {done}").into()) }
}
