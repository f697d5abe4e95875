//! Tools whose answers are given again, though the lock says that they change something: the second call would not.

use super::super::source::PolicyFile;
use super::destructive::destroys;
use super::{Locked, MAX_TOLD};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, quoted};
use crate::mcp::Definition;

/// Each of them, where it is cached.
pub(super) fn check(locked: Locked<'_>, files: &[&PolicyFile], found: &mut Diagnostics) {
    let tools = files.iter().flat_map(|file| file.written.tools.iter().map(move |entry| (*file, entry)));
    let problems = tools.filter_map(|(file, (name, tool))| {
        let (cache, pin) = (tool.cache.as_ref()?, locked.server.tool(&name.value)?);
        changes(pin.definition()).then(|| told(file, &locked.place(pin), (&name.value, cache.referenced)))
    });
    problems.take(MAX_TOLD).for_each(|problem| found.push(problem));
}

fn told(file: &PolicyFile, place: &str, (name, at): (&str, At)) -> Diagnostic {
    let message = format!("{} changes something, and its answers are given again", quoted(name));
    let help =
        format!("a call that is answered so does not run; delete `cache:`, or see what the lock says at {place}");
    file.file().warning(Code::CachedEffect, at, message).help(help)
}

/// What the server says of it counts, and only if it says nothing, what it is called. Most servers say nothing of tools
/// that only read, so silence alone is no sign.
fn changes(tool: &Definition) -> bool {
    tool.hint("readOnlyHint") == Some(false) || destroys(tool)
}
