//! Names and patterns of tools that the lock does not have.

use super::super::source::PolicyFile;
use super::{Locked, MAX_TOLD, denied, granted, listed, names};
use crate::diagnostic::{Code, Diagnostics, did_you_mean, quoted};
use crate::mcp;

/// Tools that are granted, denied or set up and are not there, and grants that grant nothing of what is.
pub(super) fn check(locked: Locked<'_>, files: &[&PolicyFile], found: &mut Diagnostics) {
    let known = || locked.server.tools().map(|pin| pin.definition().name());
    let may_be_called = names(files.iter().flat_map(|file| granted(file)));
    let named = files.iter().flat_map(|file| {
        let lists = granted(file).chain(denied(file)).flat_map(|list| &list.0.value);
        // That nobody may call a tool has been told.
        let settings = file.written.tools.iter().map(|(name, _)| name);
        let settings = settings.filter(|name| may_be_called.find(&name.value).is_some());
        lists.chain(settings).map(|name| (file.file(), name))
    });
    let exact = named.filter(|(_, name)| !name.value.contains('*'));
    for (file, name) in exact.filter(|(_, name)| locked.server.tool(&name.value).is_none()).take(MAX_TOLD) {
        let message = format!("{} has no tool {} in {}", quoted(locked.name), quoted(&name.value), locked.lock.name());
        found.push(
            file.warning(Code::UnknownTool, name.referenced, message)
                .help("delete it; or if the server has it by now, look at it with `tollgate lock`")
                .maybe_help(did_you_mean(&name.value, known())),
        );
    }
    // A pattern that denies may well be about what the server adds later.
    let lists = files.iter().flat_map(|file| granted(file).map(|list| (file.file(), list)));
    let patterns = lists.flat_map(|(file, list)| list.0.value.iter().map(move |name| (file, name)));
    let means = |pattern: &str| locked.matching(pattern).any(|pin| mcp::is_well_formed(pin.definition().name()));
    let patterns = patterns.filter(|(_, name)| name.value.contains('*') && !means(&name.value));
    for (file, name) in patterns.take(MAX_TOLD) {
        let message =
            format!("{} matches no tool of {} in {}", quoted(&name.value), quoted(locked.name), locked.lock.name());
        let known: Vec<_> = known().collect();
        let help = if known.is_empty() {
            "no tool is pinned there".to_owned()
        } else {
            format!("there are {}", listed(&known))
        };
        found.push(file.warning(Code::UnmatchedPattern, name.referenced, message).help(help));
    }
}
