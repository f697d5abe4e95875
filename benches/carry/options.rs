//! The command line: what to measure, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;
use crate::machine;
use crate::peer::Peer;
use crate::process::Pinning;
use crate::shared::is_smoke_test;
use crate::wire::Tool;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) cells: Vec<Cell>,
    /// How many streams of events are heard through each target.
    pub(crate) streams: usize,
    /// The gate: the one that cargo built for this bench, if no other is named.
    pub(crate) gate: PathBuf,
    /// Who is measured beside it.
    pub(crate) peers: Vec<Peer>,
    /// Where the picture goes.
    pub(crate) svg: Option<PathBuf>,
    /// Figures need cores of their own; whether it runs can be seen without.
    pub(crate) pinning: Pinning,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To see that everything works, in no time.
    SmokeTest,
    /// Figures.
    Figures,
}

/// One tool, called over so many connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) tool: Tool,
    pub(crate) connections: usize,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Wanted {
    Run(Options),
    /// Instructions, not time.
    Instructions(Options),
    /// Another bench.
    Nothing,
}

const DEFAULT_CELLS: &str = "echo:1,16,64 blob16k:16 blob1m:4 sse1:16 sse100:4";
const SMOKE_CELLS: &str = "echo:2 blob16k:1 blob1m:1 sse1:1 sse100:1";
const USAGE: &str = "usage: cargo bench --bench carry -- [--rounds N] [--secs S] [--cells TOOL:CONNECTIONS,.. ..] [--streams N] [--gate PROGRAM] [--peer NAME=SCRIPT].. [--svg FILE] [--free] [--instructions] [--test]";

pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Wanted, Failure> {
    let mut options = Options::default_for(if is_smoke_test() { Purpose::SmokeTest } else { Purpose::Figures })?;
    let mut args = args.peekable();
    let mut filters = Vec::new();
    let mut figures: fn(Options) -> Wanted = Wanted::Run;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" | "--test" => {}
            "--instructions" => figures = Wanted::Instructions,
            "--free" => options.pinning = Pinning::Free,
            "--rounds" => options.rounds = args.next().ok_or(USAGE)?.parse()?,
            "--streams" => options.streams = args.next().ok_or(USAGE)?.parse()?,
            "--gate" => options.gate = PathBuf::from(args.next().ok_or(USAGE)?),
            "--peer" => {
                let said = args.next().ok_or(USAGE)?;
                options.peers.push(Peer::read(&said).ok_or("a peer is NAME=SCRIPT; see benches/peers")?);
            }
            "--svg" => options.svg = Some(PathBuf::from(args.next().ok_or(USAGE)?)),
            "--secs" => {
                options.duration = Duration::from_secs_f64(args.next().ok_or(USAGE)?.parse()?);
            }
            "--cells" => {
                let mut text = args.next().ok_or(USAGE)?;
                while let Some(more) = args.next_if(|arg| arg.contains(':')) {
                    text = format!("{text} {more}");
                }
                options.cells = cells(&text)?;
            }
            filter if !filter.starts_with('-') => filters.push(filter.to_owned()),
            _ => return Err(USAGE.into()),
        }
    }
    // `cargo bench decide` says "decide" to every bench.
    let meant = filters.is_empty() || filters.iter().any(|filter| "carry".contains(filter.as_str()));
    Ok(if meant { figures(options) } else { Wanted::Nothing })
}

fn cells(text: &str) -> Result<Vec<Cell>, Failure> {
    let mut cells = Vec::new();
    for group in text.split_whitespace() {
        let (name, counts) = group.split_once(':').ok_or(USAGE)?;
        let tool = Tool::named(name).ok_or_else(|| format!("no tool is called {name}"))?;
        for count in counts.split(',') {
            cells.push(Cell { tool, connections: count.parse()? });
        }
    }
    Ok(cells)
}

impl Options {
    fn default_for(purpose: Purpose) -> Result<Self, Failure> {
        let (rounds, millis, cells_text, streams, pinning) = match purpose {
            Purpose::SmokeTest => (1, 20, SMOKE_CELLS, 1, Pinning::Free),
            Purpose::Figures => (3, 1000, DEFAULT_CELLS, 10, machine::pinning()),
        };
        Ok(Self {
            rounds,
            warm_up: Duration::from_millis(millis / 3),
            duration: Duration::from_millis(millis),
            cells: cells(cells_text)?,
            streams,
            gate: PathBuf::from(env!("CARGO_BIN_EXE_tollgate")),
            peers: Vec::new(),
            svg: None,
            pinning,
        })
    }
}
