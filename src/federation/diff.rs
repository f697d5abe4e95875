//! What changes between two sets of views: for reviewers. Views grant nothing, so nobody gains or loses a call by them; but what
//! a view newly shows, or calls or describes otherwise, is put before models.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::view::{Member, Naming, Place, View, Views};
use crate::policy::{Change, Direction, What};

/// What is different in `new`, view by view.
pub fn diff(old: &Views, new: &Views) -> Vec<Change> {
    let said = |views: &Views| -> BTreeMap<String, BTreeSet<String>> {
        views.iter().map(|view| (view.name.to_string(), said(view))).collect()
    };
    let (old, new) = (said(old), said(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let none = BTreeSet::new();
    let changes = names.into_iter().filter_map(|name| {
        let (before, now) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        let gone = before.difference(now).map(|line| format!("no more: {line}"));
        let details: Vec<_> = now.difference(before).map(|line| format!("now: {line}")).chain(gone).collect();
        (!details.is_empty()).then(|| Change {
            direction: Direction::Changed,
            server: None,
            what: What::View(name.as_str().into()),
            details,
            who: BTreeSet::new(),
            old: None,
            new: None,
        })
    });
    changes.collect()
}

/// All that a view says, a line each.
fn said(view: &View) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    if view.place == Place::Default {
        lines.insert("it is at /mcp".to_owned());
    }
    lines.insert(match view.naming {
        Naming::Bare => "names are the servers' own where only one has them".to_owned(),
        Naming::Prefixed => "names begin with the server's".to_owned(),
    });
    for member in &view.members {
        lines.extend(shown(member));
    }
    lines
}

fn shown(Member { server, tools, prompts, resources, called, described }: &Member) -> Vec<String> {
    let of = |kind: Kind, patterns: &[Box<str>]| -> Vec<String> {
        patterns.iter().map(|pattern| format!("{} {pattern} of {server}", kind.member())).collect()
    };
    let called = called.iter().map(|(tool, name)| format!("{server}/{tool} is called {name}"));
    let described = described.iter().map(|(tool, text)| format!("{server}/{tool} is described as {text:?}"));
    let mut lines = of(Kind::Tool, tools);
    lines.extend(of(Kind::Prompt, prompts));
    lines.extend(of(Kind::Resource, resources));
    lines.extend(called);
    lines.extend(described);
    lines
}
