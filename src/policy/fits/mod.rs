//! Whether the policies fit what they are about: the tools that are pinned in the lock, and the time. What does not fit is
//! hardly ever meant: a rule about a tool or an argument that there is not says nothing of the one that was thought of.
//!
//! No decision depends on this. It looks only at policies without errors. A server may be ahead of its lock, so nearly all
//! of it are warnings.

mod arguments;
mod cached;
mod destructive;
mod named;
mod possible;
mod range;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use super::compile::server_of;
use super::list::List;
use super::lock::{LockedServer, Pin, ToolLock};
use super::names::Kind;
use super::rules::Names;
use super::source::{PolicyFile, TargetsSource, ToolSource};
use super::{RuleId, when};
use crate::diagnostic::{Diagnostics, SourceFile, Spanned, quoted};
use crate::mcp::ServerName;

/// More of one kind nobody reads.
const MAX_TOLD: usize = 500;

/// A server whose tools are pinned.
#[derive(Clone, Copy)]
struct Locked<'a> {
    name: &'a str,
    lock: &'a SourceFile,
    server: &'a LockedServer,
}

/// All that does not fit.
pub fn fits(files: &[PolicyFile], servers: &[ServerName], lock: Option<&ToolLock>, now: SystemTime) -> Diagnostics {
    let mut found = Diagnostics::new();
    for server in servers {
        let is_of = |file: &&PolicyFile| server_of(file, servers).is_ok_and(|of| of == server);
        let files: Vec<&PolicyFile> = files.iter().filter(is_of).collect();
        let locked = lock.and_then(|lock| Locked::new(lock, server.as_str()));
        if let Some(locked) = locked {
            named::check(locked, &files, &mut found);
            destructive::check(locked, &files, &mut found);
            cached::check(locked, &files, &mut found);
        }
        for file in files {
            for (name, tool) in file.written.tools.iter() {
                condition(&file.file, locked, (name, tool), &mut found);
            }
            let roles = file.written.roles.iter().filter_map(|(_, role)| role.when.as_ref());
            let tools = file.written.tools.iter().filter_map(|(_, tool)| tool.when.as_ref());
            for windows in roles.chain(tools) {
                when::over(&file.file, windows, now, &mut found);
            }
        }
    }
    found
}

/// The condition on a tool's arguments. What cannot be is told first, and of the same place nothing else.
fn condition(
    file: &SourceFile,
    locked: Option<Locked<'_>>,
    (name, tool): (&Spanned<String>, &ToolSource),
    found: &mut Diagnostics,
) {
    let Some(written) = &tool.arguments else {
        return;
    };
    let pinned = locked.and_then(|locked| Some((locked, locked.server.tool(&name.value)?)));
    let schema = pinned.and_then(|(_, pin)| pin.definition().input_schema());
    let place = pinned.map(|(locked, pin)| locked.place(pin));
    let impossible = possible::check(file, written, schema, place.as_deref());
    if let (Some(schema), Some(place)) = (schema, place) {
        let unknown = arguments::check(file, written, schema, (&name.value, &place));
        for problem in unknown.filter(|problem| impossible.iter().all(|other| other.at != problem.at)) {
            found.push(problem);
        }
    }
    found.extend(impossible);
}

impl<'a> Locked<'a> {
    fn new(lock: &'a ToolLock, server: &'a str) -> Option<Self> {
        Some(Self { name: server, lock: lock.file()?, server: lock.server(server)? })
    }

    /// Where a tool stands, as `policies/tools.lock:7`.
    fn place(self, pin: &Pin) -> String {
        format!("{}:{}", self.lock.name(), pin.at().map_or(1, |at| at.line))
    }
}

/// Those of these names that a pattern means.
fn matching<'a>(pattern: &'a str, names: &'a BTreeSet<&'a str>) -> impl Iterator<Item = &'a str> {
    let (head, tail) = pattern.split_once('*').unwrap_or((pattern, ""));
    let from = names.range::<str, _>((Bound::Included(head), Bound::Unbounded)).copied();
    let begins = from.take_while(move |name| name.starts_with(head));
    begins.filter(move |name| name.len() >= head.len() + tail.len() && name.ends_with(tail))
}

/// The lists of names of a kind that a file grants.
fn granted(file: &PolicyFile, kind: Kind) -> impl Iterator<Item = &List> {
    let roles = file.written.roles.iter().filter_map(move |(_, role)| role.list(kind));
    roles.chain(file.written.allowed_tools.as_ref().filter(|_| kind == Kind::Tools))
}

/// The lists of names of a kind that a file denies.
fn denied(file: &PolicyFile, kind: Kind) -> impl Iterator<Item = &List> {
    let roles = file.written.roles.iter().filter_map(|(_, role)| role.deny.as_ref());
    roles.chain(&file.written.deny).filter_map(move |deny| deny.value.list(kind))
}

fn denied_tools(deny: &Spanned<TargetsSource>) -> Option<&List> {
    deny.value.list(Kind::Tools)
}

/// What these lists name.
fn names<'a>(lists: impl IntoIterator<Item = &'a List>) -> Names {
    let (mut names, rule) = (Names::default(), RuleId::default_deny());
    for name in lists.into_iter().flat_map(List::iter) {
        names.add(&Arc::from(name.value), &rule);
    }
    names
}

/// Some names, as far as anyone reads on.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    match (names.len().saturating_sub(SHOWN), shown.as_slice()) {
        (0, [head @ .., last]) if !head.is_empty() => format!("{} and {last}", head.join(", ")),
        (0, _) => shown.join(", "),
        (more, _) => format!("{} and {more} more", shown.join(", ")),
    }
}
