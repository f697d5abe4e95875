//! Lists of names as written, compiled.

use std::sync::Arc;

use hashbrown::HashSet;

use super::RuleId;
use super::list::List;
use super::names::{self, Kind, Purpose};
use super::rules::{Names, Targets};
use crate::diagnostic::{Code, Diagnostics, SourceFile, quoted};

/// Reads lists of names. The same name is kept once, however many roles grant it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    known: HashSet<Arc<str>>,
}

/// Where a list stands, and what for.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) path: &'a str,
    pub(super) purpose: Purpose,
}

impl Reader {
    /// The lists of all kinds; problems go to `found`.
    pub(super) fn targets<'a>(
        &mut self,
        place: Place<'_>,
        list: impl Fn(Kind) -> Option<&'a List>,
        found: &mut Diagnostics,
    ) -> Targets {
        let mut read = |kind: Kind| {
            let path = format!("{}.{}", place.path, kind.key());
            let names = |list| self.list(Place { path: &path, ..place }, kind, list, found);
            list(kind).map(names).unwrap_or_default()
        };
        Targets {
            tools: read(Kind::Tools),
            prompts: read(Kind::Prompts),
            resources: read(Kind::Resources),
            methods: read(Kind::Methods),
        }
    }

    /// One list of names.
    pub(super) fn list(
        &mut self,
        Place { file, path, purpose }: Place<'_>,
        kind: Kind,
        list: &List,
        found: &mut Diagnostics,
    ) -> Names {
        if list.is_empty() {
            found.push(
                file.error(Code::EmptyList, list.at(), format!("`{path}` is empty"))
                    .help("an empty list names nothing; delete it, or name what it should hold"),
            );
        }
        let mut names = Names::default();
        let rule = RuleId::at(file.name(), list.at().line, path);
        for name in list.iter() {
            if let Err(problem) = names::check(file, name, (kind, purpose), found) {
                found.push(problem);
                continue;
            }
            let line = name.referenced.line;
            if let Some(first) = names.same(name.value).and_then(RuleId::line) {
                let message = format!("{} stands here twice", quoted(name.value));
                found.push(
                    file.warning(Code::DuplicateName, name.referenced, message)
                        .help(format!("it stands in line {first} already; delete one of them")),
                );
                continue;
            }
            names.add(&self.name(name.value), &rule.at_line(line));
        }
        names
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name));
        name
    }
}
