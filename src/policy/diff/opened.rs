//! What callers come to open and lose by the roles that they hold: a role by itself tells a reviewer little.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::grants::{covering, denies, own};
use super::keys::diff_keys;
use super::{Change, Direction, What, Who};
use crate::identity::{ANONYMOUS, Authenticators};
use crate::mcp::ServerName;
use crate::policy::names::Kind;
use crate::policy::rules::Rules;
use crate::policy::{PolicySet, RuleId};

/// So many names of one kind are told; the others are counted.
const MAX_NAMED: usize = 12;

/// Policies, and who proves themselves to them.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Who may do what.
    pub policy: &'a PolicySet,
    /// Who is who.
    pub callers: &'a Authenticators,
}

/// What is different of callers, with what that opens to them and shuts.
pub fn diff_callers(old: Side<'_>, new: Side<'_>) -> Vec<Change> {
    let mut changes = together(diff_keys(old.callers, new.callers));
    for change in &mut changes {
        let [before, now] = [old, new].map(|side| side.rule(&change.what));
        (change.old, change.new) = (before, now);
        let [before, now] = [old, new].map(|side| side.holds(&change.what));
        let told = match change.direction {
            Direction::Gained => opened("which opens", new.policy, now.as_deref(), before.as_deref()),
            Direction::Lost => opened("which shuts", old.policy, before.as_deref(), now.as_deref()),
            Direction::Widened | Direction::Changed | Direction::Narrowed => continue,
        };
        change.details.extend(told);
    }
    changes
}

/// What one caller gains is one change, and so what it loses.
fn together(found: Vec<Change>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for change in found {
        let same = changes.iter_mut().find(|it| it.what == change.what && it.direction == change.direction);
        match same {
            Some(same) => same.details.extend(change.details),
            None => changes.push(change),
        }
    }
    changes
}

impl Side<'_> {
    /// Where it stands whom a change is about.
    fn rule(self, what: &What) -> Option<RuleId> {
        let path = match what {
            What::Key(id) => format!("keys.{id}"),
            What::Certificate(name) => format!("certificates.{name}"),
            What::Tokens(issuer) => format!("tokens.{issuer}"),
            What::Anonymous => ANONYMOUS.to_owned(),
            What::Server | What::Named(..) | What::OtherTools | What::View(_) => return None,
        };
        let (file, line) = self.callers.written(&path)?;
        Some(RuleId::at(file, line, &path))
    }

    /// The roles of whom a change is about; `None` if there is nobody of that name.
    fn holds(self, what: &What) -> Option<Vec<Arc<str>>> {
        match what {
            What::Key(id) => Some(self.callers.keys().get(&**id)?.principal.roles().to_vec()),
            What::Certificate(name) => Some(self.callers.certificates().get(&**name)?.roles.clone()),
            What::Tokens(issuer) => {
                let mapped = self.callers.token_mappings().get(&**issuer)?.roles()?;
                Some(mapped.into_values().map(Arc::clone).collect())
            }
            What::Anonymous => self.callers.admits_anonymous().then(|| vec![Arc::from(ANONYMOUS)]),
            What::Server | What::Named(..) | What::OtherTools | What::View(_) => None,
        }
    }
}

/// What whoever holds these roles may use, and whoever holds the others may not; a line for each server.
fn opened(word: &str, policy: &PolicySet, holds: Option<&[Arc<str>]>, others: Option<&[Arc<str>]>) -> Vec<String> {
    let Some(holds) = holds else {
        return Vec::new();
    };
    let line = |(server, rules): (&ServerName, &Arc<Rules>)| {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| {
            let names = names(rules, kind, &whose(holds), &others.map(whose).unwrap_or_default());
            (!names.is_empty()).then(|| format!("{} {}", kind.key(), listed(&names)))
        });
        let kinds: Vec<_> = kinds.collect();
        (!kinds.is_empty()).then(|| format!("{word} of {server}: {}", kinds.join("; ")))
    };
    let servers: BTreeMap<_, _> = policy.servers.iter().collect();
    servers.into_iter().filter_map(line).collect()
}

/// Those whose grants count for a holder of these roles.
fn whose(roles: &[Arc<str>]) -> Vec<Who> {
    let common = roles.iter().all(|role| **role != *ANONYMOUS).then_some(Who::Authenticated);
    roles.iter().map(|role| Who::Role(Arc::clone(role))).chain(common).collect()
}

/// The names and patterns that the first may use and the others may not.
fn names(rules: &Rules, kind: Kind, holds: &[Who], others: &[Who]) -> BTreeSet<Arc<str>> {
    let granted = holds.iter().flat_map(|who| own(rules, who));
    let granted = granted.flat_map(|brought| brought.role.grants.of(kind).entries().map(|(name, _)| name));
    let denied = |name: &str| {
        let mut denied = holds.iter().flat_map(|who| denies(rules, who));
        denied.any(|denied| denied.names.of(kind).covering(name).is_some())
    };
    let known = |name: &str| others.iter().any(|who| !covering(rules, who, kind, name).is_empty());
    granted.filter(|name| !denied(name) && !known(name)).collect()
}

fn listed(names: &BTreeSet<Arc<str>>) -> String {
    let shown: Vec<_> = names.iter().take(MAX_NAMED).map(|name| &**name).collect();
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
