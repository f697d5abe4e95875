//! Limits that are never reached, because another one always is before, and costs that no limit counts or lets pass. They
//! are told as warnings: somebody thinks that they bind.
//!
//! No decision depends on this. It looks only at policies without errors, and tells only what holds whatever is called: how
//! long a call takes and how large its result is, nobody knows before.

use std::num::{NonZeroU32, NonZeroU64};

use super::limit::{Limit, Most, Per, Rate, Unit};
use super::limit_source::{self, LimitSource};
use super::source::{PolicyFile, ToolSource};
use super::{Mode, when};
use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, quoted};

/// So many limits of one list are compared with others.
const MAX_COMPARED: usize = 64;

/// A limit where it is written.
#[derive(Clone, Copy)]
struct Written<'a> {
    file: &'a SourceFile,
    at: At,
    limit: Limit,
    mode: Mode,
}

/// What one call of those that a limit counts costs, at least and at most.
#[derive(Clone, Copy)]
struct Costs {
    least: u64,
    most: u64,
}

/// A tool's settings, and what a call of it costs.
struct Tool<'a> {
    file: &'a SourceFile,
    name: &'a Spanned<String>,
    source: &'a ToolSource,
    limits: Vec<Written<'a>>,
}

/// The limits of all files of one server.
pub(super) fn check(files: &[&PolicyFile], found: &mut Diagnostics) {
    let mut of_server = Vec::new();
    let mut tools = Vec::new();
    for PolicyFile { file, written } in files {
        // Every problem of a mode has been told.
        let around = when::mode(file, written.mode.as_ref(), Mode::Enforce, &mut Diagnostics::new());
        of_server.extend(limits(file, written.limits.as_ref(), limit_source::OF_SERVER, around));
        for (name, source) in written.tools.iter() {
            let mode = when::mode(file, source.mode.as_ref(), around, &mut Diagnostics::new());
            let limits = limits(file, source.limits.as_ref(), limit_source::OF_TOOL, mode);
            tools.push(Tool { file, name, source, limits });
        }
    }
    of_server.truncate(MAX_COMPARED);
    // Prompts and resources cost 1, and so does a tool of which nothing else is said.
    let dearest = tools.iter().map(Tool::cost).max().unwrap_or(1);
    never_reached(&of_server, &[], Costs { least: 1, most: dearest }, found);
    for tool in &tools {
        let cost = tool.cost();
        never_reached(&tool.limits, &of_server, Costs { least: cost, most: cost }, found);
        tool.affordable(&of_server, found);
    }
}

/// Limits of calls at once above what the whole gate has under way.
pub fn beyond(files: &[PolicyFile], max_in_flight: usize) -> Diagnostics {
    let mut found = Diagnostics::new();
    for PolicyFile { file, written } in files {
        let of_tools = written.tools.iter().filter_map(|(_, tool)| tool.limits.as_ref());
        let limits = written.limits.iter().chain(of_tools).flat_map(|list| &list.value);
        for most in limits.filter_map(|limit| limit.value.in_flight.as_ref()) {
            if usize::try_from(most.value).is_ok_and(|most| most >= max_in_flight) {
                let help = format!(
                    "the gate takes no more than {max_in_flight} messages at once (`listen.max_in_flight`); lower this one, \
                     or delete it"
                );
                let problem = file.warning(Code::IneffectiveLimit, most.referenced, "this limit is never reached");
                found.push(problem.help(help));
            }
        }
    }
    found
}

/// The limits of one list.
fn limits<'a>(
    file: &'a SourceFile,
    list: Option<&'a limit_source::Limits>,
    scopes: &'static [(&'static str, Per)],
    mode: Mode,
) -> Vec<Written<'a>> {
    let place = limit_source::Place { file, path: "", mode, scopes };
    let read = |written: &'a Spanned<LimitSource>| {
        let limit = place.limit(&written.value, written.referenced).ok()?;
        Some(Written { file, at: written.referenced, limit, mode })
    };
    list.into_iter().flat_map(|list| &list.value).take(MAX_COMPARED).filter_map(read).collect()
}

/// Those of a list that another one of it, or one of the whole server, always reaches before.
fn never_reached(list: &[Written<'_>], of_server: &[Written<'_>], costs: Costs, found: &mut Diagnostics) {
    for (index, this) in list.iter().enumerate() {
        let before = |other: usize, tighter: &Written<'_>| {
            other != index
                && costs.implies(tighter.limit, this.limit)
                && (other < index || !costs.implies(this.limit, tighter.limit))
        };
        let beside = list.iter().enumerate().find(|(other, tighter)| before(*other, tighter)).map(|(_, it)| it);
        let around = || of_server.iter().find(|tighter| costs.implies(tighter.limit, this.limit));
        // What is only tried out keeps nobody from anything.
        let binds = |tighter: &&Written<'_>| tighter.mode == Mode::Enforce || this.mode == Mode::Shadow;
        if let Some(tighter) = beside.or_else(around).filter(binds) {
            found.push(
                this.file
                    .warning(Code::IneffectiveLimit, this.at, "this limit is never reached")
                    .help(format!("{} is always reached before; delete one of the two", tighter.shown_to(this.file))),
            );
        }
    }
}

impl Written<'_> {
    /// As it is called in a problem of this file.
    fn shown_to(&self, file: &SourceFile) -> String {
        if self.file.name() == file.name() {
            format!("the one in line {}", self.at.line)
        } else {
            format!("the one at {}:{}", self.file.name(), self.at.line)
        }
    }

    /// The cost that it lets pass.
    fn cost(&self) -> Option<NonZeroU64> {
        match self.limit.most {
            Most::Rate(Rate { unit: Unit::Cost, amount, .. }) => Some(amount),
            Most::Rate(_) | Most::InFlight(_) => None,
        }
    }
}

impl Costs {
    /// Whether whatever one lets through, the other does, too.
    fn implies(self, tighter: Limit, other: Limit) -> bool {
        let calls = || Some((in_calls(tighter, self.least)?, in_calls(other, self.most)?));
        tighter.implies(other) || calls().is_some_and(|(tighter, other)| tighter.implies(other))
    }
}

/// A limit of calls or cost as one of calls that cost so much each.
fn in_calls(limit: Limit, cost: u64) -> Option<Limit> {
    let Most::Rate(rate @ Rate { unit: Unit::Calls | Unit::Cost, .. }) = limit.most else {
        return None;
    };
    let amount = match rate.unit {
        Unit::Cost => NonZeroU64::new(rate.amount.get() / cost.max(1))?,
        Unit::Calls | Unit::Bytes => rate.amount,
    };
    Some(Limit { most: Most::Rate(Rate { unit: Unit::Calls, amount, ..rate }), ..limit })
}

impl Tool<'_> {
    /// What a call of it costs.
    fn cost(&self) -> u64 {
        let written = self.source.cost.as_ref().and_then(|cost| u32::try_from(cost.value).ok());
        written.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN).get().into()
    }

    /// A cost that some limit counts, and lets pass.
    fn affordable(&self, of_server: &[Written<'_>], found: &mut Diagnostics) {
        let Some(at) = self.source.cost.as_ref().map(|cost| cost.referenced) else {
            return;
        };
        let mut limits =
            self.limits.iter().chain(of_server).filter_map(|limit| Some((limit, limit.cost()?))).peekable();
        if limits.peek().is_none() {
            found.push(
                self.file
                    .warning(Code::IneffectiveLimit, at, "no limit counts this cost")
                    .help("add one, such as `{ cost: 1000, every: 1h, per: principal }`, or delete it"),
            );
        }
        if let Some((limit, most)) = limits.find(|(_, most)| self.cost() > most.get()) {
            let message =
                format!("no call of {} can pass: it costs more than a limit lets through", quoted(&self.name.value));
            let help = format!("{} lets {most} through; raise it, or lower the cost", limit.shown_to(self.file));
            found.push(self.file.warning(Code::ImpossibleCost, at, message).help(help));
        }
    }
}
