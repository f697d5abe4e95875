//! The figures: medians over rounds, and the least work that a round took, held against the floor's.

use std::time::Duration;

use crate::machine;
use crate::options::{Cell, Options};
use crate::plot::{self, Bar, Group};
use crate::process::Process;

/// One target under one load for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Of the target's own process, in microseconds per answer.
    cpu: f64,
    /// The share of the proxy's core that went to others.
    others: Option<f64>,
}

impl Sample {
    pub(crate) fn new(mut latencies: Vec<Duration>, took: Duration, cpu: Duration, busy: Option<Duration>) -> Self {
        latencies.sort_unstable();
        let count = latencies.len().max(1);
        #[expect(clippy::cast_precision_loss, reason = "no round has 2^53 answers")]
        let answers = count as f64;
        let others = busy.map(|busy| busy.saturating_sub(cpu).as_secs_f64() / took.as_secs_f64());
        Self {
            per_second: answers / took.as_secs_f64(),
            p50: rank_micros(&latencies, 50),
            p99: rank_micros(&latencies, 99),
            cpu: micros(cpu) / answers,
            others,
        }
    }
}

/// No proxy.
pub(crate) const DIRECT: &str = "direct";
/// The target that the others are held against.
pub(crate) const FLOOR: &str = "floor";
/// The gate with what is always on, and with everything that tells of a call.
pub(crate) const GATE: &str = "gate";
pub(crate) const TOLD: &str = "gate, all told";

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Report {
    heading: String,
    rows: Vec<Row>,
}

/// One target in one cell, round by round.
#[derive(Debug)]
struct Row {
    cell: Cell,
    target: &'static str,
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn new(options: &Options, targets: &[&Process]) -> Self {
        let rows = options.cells.iter().flat_map(|cell| {
            let row = |target: &&Process| Row { cell: *cell, target: target.name, samples: Vec::new() };
            targets.iter().map(row)
        });
        let heading = format!(
            "{}; {} rounds of {:?}, {:?}",
            machine::describe(),
            options.rounds,
            options.duration,
            options.pinning,
        );
        Self { heading, rows: rows.collect() }
    }

    pub(crate) fn add(&mut self, cell: &Cell, target: &Process, sample: Sample) {
        let found = |row: &&mut Row| row.cell == *cell && row.target == target.name;
        if let Some(row) = self.rows.iter_mut().find(found) {
            row.samples.push(sample);
        }
    }

    /// Prints a table that can stand in a Markdown file as it is.
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    pub(crate) fn print(&self, targets: &[&Process]) {
        println!("{}\n", self.heading);
        println!(
            "| call | connections | target | requests/s | p50 µs | p99 µs | CPU µs | least CPU µs | × floor | others |"
        );
        println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            println!(
                "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.2} | {:.0} % |",
                row.cell.tool.name(),
                row.cell.connections,
                row.target,
                row.median(|sample| sample.per_second),
                row.median(|sample| sample.p50),
                row.median(|sample| sample.p99),
                row.median(|sample| sample.cpu),
                row.least_cpu(),
                row.least_cpu() / self.of(row, FLOOR).least_cpu(),
                row.median(|sample| sample.others.unwrap_or(f64::NAN)) * 100.0,
            );
        }
        println!();
        for row in self.rows.iter().filter(|row| row.target == TOLD) {
            let (cell, alone) = (row.cell, self.of(row, GATE));
            let more = (row.least_cpu() / alone.least_cpu() - 1.0) * 100.0;
            println!("{}:{}: everything told costs {more:.0} % more", cell.tool.name(), cell.connections);
        }
        println!();
        for target in targets {
            let memory = target.peak_memory().unwrap_or(f64::NAN);
            println!("{}: at most {memory:.0} MiB of memory", target.name);
        }
    }

    /// How many calls the gate carried.
    pub(crate) fn gate_per_second(&self, cell: &Cell) -> f64 {
        let row = self.rows.iter().find(|row| row.cell == *cell && row.target == GATE);
        row.map_or(f64::NAN, |row| row.median(|sample| sample.per_second))
    }

    /// The same as a picture.
    pub(crate) fn plot(&self) -> String {
        let mut groups: Vec<Group> = Vec::new();
        for row in self.rows.iter().filter(|row| row.target != DIRECT) {
            let title = format!("{}, {} connections", row.cell.tool.name(), row.cell.connections);
            let cpu = row.least_cpu();
            let bar = Bar { target: row.target, ratio: cpu / self.of(row, FLOOR).least_cpu(), cpu };
            match groups.last_mut() {
                Some(group) if group.title == title => group.bars.push(bar),
                _ => groups.push(Group { title, bars: vec![bar] }),
            }
        }
        plot::svg(&self.heading, &groups)
    }

    /// What this target does in the same cell.
    fn of<'a>(&'a self, row: &'a Row, target: &str) -> &'a Row {
        let is_it = |other: &&Row| other.cell == row.cell && other.target == target;
        self.rows.iter().find(is_it).unwrap_or(row)
    }
}

impl Row {
    fn median(&self, figure: fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure))
    }

    /// Whoever else uses the machine only ever adds to the work of a round.
    fn least_cpu(&self) -> f64 {
        let figures = self.samples.iter().map(|sample| sample.cpu);
        figures.fold(f64::INFINITY, f64::min)
    }
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What so many percent of them are below, if there are any.
pub(crate) fn rank(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied()
}

/// The same in microseconds.
pub(crate) fn rank_micros(sorted: &[Duration], percent: usize) -> f64 {
    rank(sorted, percent).map_or(f64::NAN, micros)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
