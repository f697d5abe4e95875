//! What a call waits in a proxy that has time: calls come at a constant rate, half of what the gate can carry, whether or not those
//! before them are answered. In a closed loop the proxy is at its limit, and what is measured is its queue.

use std::time::Duration;

use crate::Failure;
use crate::load;
use crate::options::Options;
use crate::process::Process;
use crate::report::{FLOOR, Report, median, rank_micros};
use crate::wire::Tool;

/// How long calls took through one target, sorted, round by round.
#[derive(Debug)]
struct Waits {
    target: &'static str,
    rounds: Vec<Vec<Duration>>,
}

/// Calls the small tool over as many connections as it was loaded with, and prints what each target adds.
///
/// # Errors
/// A call is not answered as it must be.
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
pub(crate) fn report(targets: &[&Process], options: &Options, full: &Report) -> Result<(), Failure> {
    let echoes = options.cells.iter().filter(|cell| cell.tool == Tool::Echo);
    let Some(cell) = echoes.max_by_key(|cell| cell.connections) else {
        return Ok(());
    };
    let per_second = full.gate_per_second(cell) / 2.0;
    let mut all: Vec<_> = targets.iter().map(|target| Waits { target: target.name, rounds: Vec::new() }).collect();
    for round in 0..options.rounds {
        for at in 0..targets.len() {
            let at = (at + round) % targets.len();
            if let (Some(target), Some(waits)) = (targets.get(at), all.get_mut(at)) {
                let mut times = load::at_rate(target, cell, options, per_second)?;
                times.sort_unstable();
                waits.rounds.push(times);
            }
        }
    }
    let Some(floor) = all.iter().find(|waits| waits.target == FLOOR) else {
        return Err("the floor was not measured".into());
    };
    println!(
        "\n{}: {per_second:.0} calls a second over {} connections, half of what the gate carries\n",
        cell.tool.name(),
        cell.connections
    );
    println!("| target | p50 µs | p99 µs | over the floor, p50 µs | p99 µs |\n|---|--:|--:|--:|--:|");
    for waits in &all {
        let [p50, p99] = [50, 99].map(|percent| waits.at(percent));
        let [over50, over99] = [50, 99].map(|percent| waits.over(floor, percent));
        println!("| {} | {p50:.0} | {p99:.0} | {over50:.0} | {over99:.0} |", waits.target);
    }
    Ok(())
}

impl Waits {
    /// In microseconds, the median of the rounds.
    fn at(&self, percent: usize) -> f64 {
        median(self.rounds.iter().map(|times| rank_micros(times, percent)))
    }

    /// What it adds to the other's, round by round: who was alone on the machine in one was so for both.
    fn over(&self, other: &Self, percent: usize) -> f64 {
        let rounds = self.rounds.iter().zip(&other.rounds);
        median(rounds.map(|(own, others)| rank_micros(own, percent) - rank_micros(others, percent)))
    }
}
