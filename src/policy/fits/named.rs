//! Names and patterns of tools and prompts that the lock does not have.

use std::collections::BTreeSet;

use super::super::list::List;
use super::super::names::Kind;
use super::super::source::PolicyFile;
use super::{Locked, MAX_TOLD, denied, granted, listed, matching, names};
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::mcp;

/// What there is of one kind.
struct There<'a> {
    kind: Kind,
    names: BTreeSet<&'a str>,
}

/// What is granted, denied or set up and is not there, and grants that grant nothing of what is.
pub(super) fn check(locked: Locked<'_>, files: &[&PolicyFile], found: &mut Diagnostics) {
    let tools = locked.server.tools().map(|pin| pin.definition().name()).collect();
    There { kind: Kind::Tools, names: tools }.check(locked, files, found);
    if let Some(prompts) = locked.server.prompts() {
        There { kind: Kind::Prompts, names: prompts.collect() }.check(locked, files, found);
    }
}

impl There<'_> {
    fn check(&self, locked: Locked<'_>, files: &[&PolicyFile], found: &mut Diagnostics) {
        for (file, name) in self.exact(files).filter(|(_, name)| !self.names.contains(name.value)).take(MAX_TOLD) {
            let (code, what) = self.words();
            let of = quoted(locked.name);
            let message = format!("{of} has no {what} {} in {}", quoted(name.value), locked.lock.name());
            found.push(
                file.warning(code, name.referenced, message)
                    .help("delete it; or if the server has it by now, look at it with `tollgate lock`")
                    .maybe_help(did_you_mean(name.value, self.names.iter().copied())),
            );
        }
        // A pattern that denies may well be about what the server adds later.
        let lists = files.iter().flat_map(|file| granted(file, self.kind).map(|list| (file.file(), list)));
        let patterns = lists.flat_map(|(file, list)| list.iter().map(move |name| (file, name)));
        let patterns = patterns.filter(|(_, name)| name.value.contains('*') && !self.has_some_of(name.value));
        for (file, name) in patterns.take(MAX_TOLD) {
            let (_, what) = self.words();
            let (pattern, of) = (quoted(name.value), quoted(locked.name));
            let message = format!("{pattern} matches no {what} of {of} in {}", locked.lock.name());
            let known: Vec<_> = self.names.iter().copied().collect();
            let help = match known.as_slice() {
                [] => "there is none".to_owned(),
                known => format!("there are {}", listed(known)),
            };
            found.push(file.warning(Code::UnmatchedPattern, name.referenced, message).help(help));
        }
    }

    /// All that is spelt out.
    fn exact<'a>(&self, files: &'a [&'a PolicyFile]) -> impl Iterator<Item = (&'a SourceFile, Spanned<&'a str>)> {
        let kind = self.kind;
        let may_be_called = names(files.iter().flat_map(|file| granted(file, Kind::Tools)));
        let named = files.iter().flat_map(move |file| {
            let lists = granted(file, kind).chain(denied(file, kind)).flat_map(List::iter);
            // Only tools have settings. That nobody may call one has been told.
            let settings = file.written.tools.iter().map(|(name, _)| name).filter(|_| kind == Kind::Tools);
            let settings: Vec<_> =
                settings.map(Spanned::as_text).filter(|name| may_be_called.find(name.value).is_some()).collect();
            lists.chain(settings).map(|name| (file.file(), name))
        });
        named.filter(|(_, name)| !name.value.contains('*'))
    }

    /// Whether a pattern grants something; tools of unusual names it does not.
    fn has_some_of(&self, pattern: &str) -> bool {
        matching(pattern, &self.names).any(|name| self.kind != Kind::Tools || mcp::is_well_formed(name))
    }

    fn words(&self) -> (Code, &'static str) {
        match self.kind {
            Kind::Prompts => (Code::UnknownPrompt, "prompt"),
            Kind::Tools | Kind::Resources | Kind::Methods => (Code::UnknownTool, "tool"),
        }
    }
}
