//! What each role grants in the end: its own grants and those of all that it inherits.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::compile::{Role, RolesElsewhere};
use super::list::List;
use super::restriction::Restriction;
use super::rules::Brought;
use crate::diagnostic::{Code, Diagnostics, Spanned, did_you_mean, quoted};

/// A longer line of ancestors is a mistake.
const MAX_DEPTH: usize = 32;
/// What all roles bring together: what a policy may take up in memory.
const MAX_BROUGHT: usize = 200_000;

/// By role, what it brings: itself, then what it inherits. Unknown roles and circles are told, with their place.
pub(super) fn follow(
    roles: &BTreeMap<&str, Role<'_>>,
    elsewhere: RolesElsewhere,
    found: &mut Diagnostics,
) -> HashMap<Arc<str>, Box<[Brought]>> {
    let mut walk =
        Walk { roles, elsewhere, found, path: Vec::new(), told: HashSet::new(), done: HashMap::new(), size: 0 };
    for name in roles.keys() {
        walk.role(name);
    }
    walk.done.into_iter().map(|(name, brought)| (Arc::from(name), brought.into())).collect()
}

struct Walk<'a, 'b> {
    roles: &'a BTreeMap<&'a str, Role<'a>>,
    elsewhere: RolesElsewhere,
    found: &'b mut Diagnostics,
    /// From the role that the walk began with to the current one.
    path: Vec<&'a str>,
    /// The members of circles that were told.
    told: HashSet<&'a str>,
    done: HashMap<&'a str, Vec<Brought>>,
    size: usize,
}

impl<'a> Walk<'a, '_> {
    fn role(&mut self, name: &'a str) {
        let roles = self.roles;
        let Some(role) = roles.get(name).filter(|_| !self.done.contains_key(name)) else {
            return;
        };
        let own: Vec<_> = role.rules.restriction.iter().cloned().collect();
        let mut brought = vec![Brought { role: Arc::clone(&role.rules), restrictions: own.clone().into() }];
        self.path.push(name);
        for parent in role.source.inherits.iter().flat_map(List::iter) {
            if self.may_follow(role, parent) {
                self.role(parent.value);
                for inherited in self.done.get(parent.value).into_iter().flatten() {
                    add(&mut brought, inherited, &own);
                }
            }
        }
        self.path.pop();
        if let Some(list) = role.source.inherits.as_ref().filter(|list| list.is_empty()) {
            self.found.push(
                role.file.error(Code::EmptyList, list.at(), "`inherits` is empty").help("delete it, or name a role"),
            );
        }
        self.size += brought.len();
        if self.size > MAX_BROUGHT {
            brought.truncate(1);
            let message = format!("roles inherit each other more than {MAX_BROUGHT} times");
            let problem = role.file.error(Code::TooLarge, role.name.referenced, message);
            self.found.push(problem.help("put roles together that are always inherited together"));
        }
        self.done.insert(name, brought);
    }

    /// Whether the parent is there and the walk does not come back to where it was.
    fn may_follow(&mut self, role: &Role<'a>, Spanned { value: parent, referenced: at }: Spanned<&'a str>) -> bool {
        if !self.roles.contains_key(parent) {
            if self.elsewhere == RolesElsewhere::None {
                self.found.push(
                    role.file
                        .error(Code::UnknownRole, at, format!("unknown role {}", quoted(parent)))
                        .help("define it under `roles:`, or take it out of `inherits`")
                        .maybe_help(did_you_mean(parent, self.roles.keys().copied())),
                );
            }
            return false;
        }
        if let Some(start) = self.path.iter().position(|name| *name == parent) {
            let circle = self.path.get(start..).unwrap_or_default();
            if circle.iter().all(|name| self.told.insert(name)) {
                let line = circle.iter().chain([&parent]).copied().collect::<Vec<_>>().join(" -> ");
                let message = format!("roles inherit each other in a circle: {line}");
                self.found.push(
                    role.file.error(Code::InheritanceCycle, at, message).help("take one of these out of `inherits`"),
                );
            }
            return false;
        }
        if self.path.len() >= MAX_DEPTH {
            let message = format!("roles inherit each other more than {MAX_DEPTH} deep");
            let way_out = "let a role inherit directly what it needs, or put roles together that nobody holds alone";
            self.found.push(role.file.error(Code::TooDeep, at, message).help(way_out));
            return false;
        }
        true
    }
}

/// Adds an inherited role, which is restricted like the one that inherits it, too. One that comes by two ways counts
/// once, unless it is restricted differently on each.
fn add(brought: &mut Vec<Brought>, inherited: &Brought, own: &[Arc<Restriction>]) {
    let restrictions: Box<[_]> = own.iter().chain(&inherited.restrictions).cloned().collect();
    let same = |known: &Brought| {
        let alike = |(a, b): (&Arc<Restriction>, &Arc<Restriction>)| Arc::ptr_eq(a, b);
        Arc::ptr_eq(&known.role, &inherited.role)
            && known.restrictions.len() == restrictions.len()
            && known.restrictions.iter().zip(&restrictions).all(alike)
    };
    if !brought.iter().any(same) {
        brought.push(Brought { role: Arc::clone(&inherited.role), restrictions });
    }
}
