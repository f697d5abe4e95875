//! Rules that change nothing, because another rule of the same role or tool says as much. They are told as warnings: a
//! reviewer who deletes the wider one thinks that something ends, and it does not.
//!
//! No decision depends on this. It looks only at policies without errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::compile::Role;
use super::list::List;
use super::names::Kind;
use super::rules::{Brought, Denied, Names, Targets};
use super::{Mode, RuleId};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, quoted};
use crate::mcp;

/// So many ancestors of one role are looked at.
const MAX_ANCESTORS: usize = 256;

/// Grants that the same role has anyway, by itself or by what it inherits, and roles that it inherits twice.
pub(super) fn roles(
    roles: &BTreeMap<&str, Role<'_>>,
    brought: &HashMap<Arc<str>, Box<[Brought]>>,
    found: &mut Diagnostics,
) {
    for (name, role) in roles {
        let own = usize::from(role.rules.restriction.is_some());
        // What is inherited under a restriction more does not grant the same.
        let inherited = brought.get(*name).into_iter().flatten().skip(1).filter(|it| it.restrictions.len() == own);
        let inherited: Vec<&Targets> = inherited.map(|it| &it.role.grants).collect();
        for kind in Kind::ALL {
            if let Some(list) = role.source.list(kind) {
                let inherited = inherited.iter().map(|grants| grants.of(kind)).collect();
                let granted = Granted { own: role.rules.grants.of(kind), inherited };
                shadowed(role.file, list, kind, &granted, found);
            }
        }
        for (index, parent) in parents(role).enumerate() {
            if let Some(problem) = repeated(role, parent, index, roles) {
                found.push(problem);
            }
        }
    }
}

/// Grants of what is denied: they can never be used.
pub(super) fn denied(roles: &BTreeMap<&str, Role<'_>>, for_all: &[Denied], found: &mut Diagnostics) {
    for role in roles.values() {
        let denied = || role.rules.denied.iter().chain(for_all).filter(|denied| denied.mode == Mode::Enforce);
        for kind in Kind::ALL {
            for name in role.source.list(kind).into_iter().flat_map(List::iter) {
                let by = denied().find_map(|denied| {
                    let names = denied.names.of(kind);
                    names.same(name.value).or_else(|| names.wider(name.value).map(|(_, rule)| rule))
                });
                if let Some(rule) = by {
                    let message = format!("{} is denied, whatever grants it", quoted(name.value));
                    found.push(
                        role.file
                            .warning(Code::DeniedGrant, name.referenced, message)
                            .help(format!("see {rule}; delete this one, or the other if it denies too much")),
                    );
                }
            }
        }
    }
}

/// All that is granted of one kind.
pub(super) struct Granted<'a> {
    /// By the list itself.
    pub(super) own: &'a Names,
    /// By each role that is inherited.
    pub(super) inherited: Vec<&'a Names>,
}

impl<'a> Granted<'a> {
    /// What grants this name or pattern beside itself, and where that stands.
    fn again(&self, name: &str, kind: Kind) -> Option<(String, &'a RuleId)> {
        let shown = quoted(name);
        // A pattern does not mean tools of unusual names.
        let literal = kind == Kind::Tools && !name.contains('*') && !mcp::is_well_formed(name);
        let wider = |names: &'a Names| names.wider(name).filter(|_| !literal);
        if let Some((pattern, rule)) = wider(self.own) {
            return Some((format!("{shown} is granted by {} as well", quoted(&pattern)), rule));
        }
        if let Some((pattern, rule)) = self.inherited.iter().find_map(|names| wider(names)) {
            return Some((format!("{shown} is granted by the inherited {} as well", quoted(&pattern)), rule));
        }
        let rule = self.inherited.iter().find_map(|names| names.same(name))?;
        Some((format!("{shown} is inherited as well"), rule))
    }
}

/// Names and patterns of a list that a wider pattern of it, or something inherited, grants as well.
pub(super) fn shadowed(file: &SourceFile, list: &List, kind: Kind, granted: &Granted<'_>, found: &mut Diagnostics) {
    for name in list.iter() {
        if let Some((message, rule)) = granted.again(name.value, kind) {
            found.push(
                file.warning(Code::ShadowedGrant, name.referenced, message)
                    .help(format!("see {rule}; delete this one, or the other if it grants too much")),
            );
        }
    }
}

fn parents<'a>(role: &Role<'a>) -> impl Iterator<Item = Spanned<&'a str>> + use<'a> {
    role.source.inherits.iter().flat_map(List::iter)
}

/// A role that is inherited twice: it stands there twice, or another one brings it along.
fn repeated(
    role: &Role<'_>,
    parent: Spanned<&str>,
    index: usize,
    roles: &BTreeMap<&str, Role<'_>>,
) -> Option<Diagnostic> {
    let name = quoted(parent.value);
    let warning = |message: String| role.file.warning(Code::RepeatedInheritance, parent.referenced, message);
    if let Some(first) = parents(role).take(index).find(|other| other.value == parent.value) {
        let line = first.referenced.line;
        return Some(
            warning(format!("the role {name} is inherited twice"))
                .help(format!("it stands in line {line} already; delete one of the two")),
        );
    }
    let by = parents(role).find(|other| other.value != parent.value && comes_with(other.value, parent.value, roles))?;
    // What comes by a role that is restricted comes under its restrictions.
    if roles.values().any(|role| role.rules.restriction.is_some()) {
        return None;
    }
    let by = quoted(by.value);
    Some(warning(format!("the role {name} is inherited by {by}, too")).help("delete it here: nothing changes by that"))
}

/// Whether one role is among the ancestors of the other.
fn comes_with(role: &str, sought: &str, roles: &BTreeMap<&str, Role<'_>>) -> bool {
    let (mut seen, mut next) = (HashSet::new(), vec![role]);
    while let Some(role) = next.pop().and_then(|name| roles.get(name)) {
        for parent in parents(role) {
            if parent.value == sought {
                return true;
            }
            if seen.len() < MAX_ANCESTORS && seen.insert(parent.value) {
                next.push(parent.value);
            }
        }
    }
    false
}
