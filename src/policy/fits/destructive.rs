//! Tools that destroy something, and that a pattern grants: whoever reads the pattern does not read them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::list::List;
use super::super::lock::Pin;
use super::super::rules::Names;
use super::super::source::{PolicyFile, RoleSource};
use super::{Locked, MAX_TOLD, denied_tools, listed, matching, names};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, quoted};
use crate::mcp::{self, Definition};

/// What a tool is called that destroys something.
const WORDS: &[&str] = &[
    "delete",
    "drop",
    "remove",
    "purge",
    "destroy",
    "truncate",
    "wipe",
    "erase",
    "kill",
    "revoke",
    "reset",
    "overwrite",
];

/// Grants of them that no `deny` takes back.
pub(super) fn check(locked: Locked<'_>, files: &[&PolicyFile], found: &mut Diagnostics) {
    let definitions = locked.server.tools().map(Pin::definition);
    // A pattern grants no tool of an unusual name.
    let destructive = definitions.filter(|it| mcp::is_well_formed(it.name()) && destroys(it)).map(Definition::name);
    let for_all = files.iter().filter(|file| !in_shadow(file)).filter_map(|file| file.written.deny.as_ref());
    let denied = names(for_all.filter_map(denied_tools));
    let destructive: BTreeSet<&str> = destructive.filter(|tool| denied.find(tool).is_none()).collect();
    if destructive.is_empty() {
        return;
    }
    let search = Search { destructive };
    let roles = files.iter().flat_map(|file| file.written.roles.iter().map(|(name, role)| (name, (*file, role))));
    let roles: HashMap<&str, Written<'_>> = roles.map(|(name, role)| (name.value.as_str(), role)).collect();
    let mut problems = Vec::new();
    for file in files {
        for (name, role) in file.written.roles.iter() {
            if let Some(list) = &role.tools {
                problems.extend(search.granted(file, list, || denied_to(&name.value, &roles)));
            }
        }
        if let Some(list) = &file.written.allowed_tools {
            problems.extend(search.granted(file, list, Names::default));
        }
    }
    problems.into_iter().take(MAX_TOLD).for_each(|problem| found.push(problem));
}

type Written<'a> = (&'a PolicyFile, &'a RoleSource);

struct Search<'a> {
    /// The tools that destroy something and are not denied to all.
    destructive: BTreeSet<&'a str>,
}

impl Search<'_> {
    /// Patterns of a list that grant such tools, but for those that it names or that are denied, too.
    fn granted(&self, file: &PolicyFile, list: &List, denied: impl FnOnce() -> Names) -> Vec<Diagnostic> {
        let patterns = list.iter().filter(|name| name.value.contains('*'));
        let patterns =
            patterns.map(|pattern| (pattern, matching(pattern.value, &self.destructive).collect::<Vec<_>>()));
        let patterns: Vec<_> = patterns.filter(|(_, meant)| !meant.is_empty()).collect();
        if patterns.is_empty() {
            return Vec::new();
        }
        let denied = denied();
        let spelt_out: HashSet<&str> = list.iter().map(|name| name.value).collect();
        let left = |tool: &&&str| denied.find(tool).is_none() && !spelt_out.contains(**tool);
        let left: HashSet<&str> = self.destructive.iter().filter(left).copied().collect();
        let left = patterns.into_iter().map(|(pattern, meant)| {
            (pattern, meant.into_iter().filter(|tool| left.contains(tool)).collect::<Vec<_>>())
        });
        let told = left.filter(|(_, meant)| !meant.is_empty()).map(|(pattern, meant)| {
            let message = format!("{} grants what destroys something: {}", quoted(pattern.value), listed(&meant));
            let help = "name the tools that are meant, or take these back under `deny:`";
            file.file().warning(Code::DestructiveByPattern, pattern.referenced, message).help(help)
        });
        told.take(MAX_TOLD).collect()
    }
}

/// What the server says of the tool counts, and only if it says nothing, what the tool is called.
pub(super) fn destroys(tool: &Definition) -> bool {
    match (tool.hint("readOnlyHint"), tool.hint("destructiveHint")) {
        (_, Some(said)) => said,
        (Some(true), None) => false,
        (_, None) => words(tool.name()).iter().any(|word| WORDS.contains(&word.as_str())),
    }
}

/// The words of a name, however they are joined: `delete_record`, `records.delete`, `deleteRecord`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && before.is_ascii_lowercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words
}

/// What a role denies to whoever holds it, by itself or by what it inherits.
fn denied_to(role: &str, roles: &HashMap<&str, Written<'_>>) -> Names {
    let (mut seen, mut next, mut denied) = (HashSet::new(), vec![role], Vec::new());
    while let Some(name) = next.pop() {
        let Some((file, role)) = roles.get(name).filter(|_| seen.insert(name)) else {
            continue;
        };
        if !in_shadow(file) && role.mode.as_ref().is_none_or(|mode| mode.value != "shadow") {
            denied.extend(role.deny.as_ref().and_then(denied_tools));
        }
        let parents = role.inherits.iter().flat_map(List::iter);
        next.extend(parents.map(|name| name.value));
    }
    names(denied)
}

fn in_shadow(file: &PolicyFile) -> bool {
    file.written.mode.as_ref().is_some_and(|mode| mode.value == "shadow")
}
