//! What each role grants in the end: its own grants and those of all that it inherits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::compile::{Role, RolesElsewhere};
use super::rules::Grants;
use crate::diagnostic::{Code, Diagnostics, did_you_mean, quoted};

/// A longer line of ancestors is a mistake.
const MAX_DEPTH: usize = 32;
/// Names in all flattened roles together: what a policy may take up in memory.
const MAX_GRANTS: usize = 1_000_000;

/// Follows inheritance. Unknown roles and circles are told, with their place.
pub(super) fn flatten(
    roles: &BTreeMap<&str, Role<'_>>,
    elsewhere: RolesElsewhere,
    found: &mut Diagnostics,
) -> HashMap<Arc<str>, Grants> {
    let mut walk =
        Walk { roles, elsewhere, found, path: Vec::new(), told: HashSet::new(), done: HashMap::new(), size: 0 };
    for name in roles.keys() {
        walk.role(name);
    }
    walk.done.into_iter().map(|(name, grants)| (Arc::from(name), grants)).collect()
}

struct Walk<'a, 'b> {
    roles: &'a BTreeMap<&'a str, Role<'a>>,
    elsewhere: RolesElsewhere,
    found: &'b mut Diagnostics,
    /// From the role that the walk began with to the current one.
    path: Vec<&'a str>,
    /// The members of circles that were told.
    told: HashSet<&'a str>,
    done: HashMap<&'a str, Grants>,
    size: usize,
}

impl<'a> Walk<'a, '_> {
    fn role(&mut self, name: &'a str) {
        let roles = self.roles;
        let Some(role) = roles.get(name).filter(|_| !self.done.contains_key(name)) else {
            return;
        };
        let mut grants = role.grants.clone();
        self.path.push(name);
        for parent in role.source.inherits.as_ref().map(|list| list.0.value.as_slice()).unwrap_or_default() {
            if self.may_follow(role, parent.value.as_str(), parent.referenced) {
                self.role(&parent.value);
                if let Some(inherited) = self.done.get(parent.value.as_str()) {
                    grants.inherit(inherited);
                }
            }
        }
        self.path.pop();
        if let Some(list) = role.source.inherits.as_ref().filter(|list| list.0.value.is_empty()) {
            self.found.push(
                role.file
                    .error(Code::EmptyList, list.0.referenced, "`inherits` is empty")
                    .help("delete it, or name a role"),
            );
        }
        self.size += grants.len();
        if self.size > MAX_GRANTS {
            grants = Grants::default();
            let message = format!("the roles grant more than {MAX_GRANTS} names when inheritance is followed");
            let problem = role.file.error(Code::TooLarge, role.name.referenced, message);
            self.found.push(problem.help("use patterns such as `get_*` in place of long lists"));
        }
        self.done.insert(name, grants);
    }

    /// Whether the parent is there and the walk does not come back to where it was.
    fn may_follow(&mut self, role: &Role<'a>, parent: &'a str, at: serde_yaml::Location) -> bool {
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
