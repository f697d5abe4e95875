//! What each role opens and shuts, before and now.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Both, Change, Direction, What, Who, restrictions};
use crate::identity::ANONYMOUS;
use crate::mcp;
use crate::policy::names::Kind;
use crate::policy::restriction::Restriction;
use crate::policy::rules::{Brought, Denied, Found, Rules};
use crate::policy::{Mode, RuleId};

/// A name or pattern that is granted, and under which restrictions.
pub(super) struct Grant<'a> {
    name: Arc<str>,
    rule: &'a RuleId,
    restrictions: Vec<&'a Restriction>,
}

/// Which way it is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// What there is now, and was not.
    More,
    /// What there was, and is not now.
    Less,
}

impl Both<'_> {
    /// Grants and denials of every role, and of all.
    pub(super) fn grants(&self, found: &mut Vec<Change>) {
        let roles: BTreeSet<&Arc<str>> = self.old.roles.keys().chain(self.new.roles.keys()).collect();
        let roles = roles.into_iter().map(|role| Who::Role(Arc::clone(role)));
        for who in roles.chain([Who::Authenticated, Who::Everyone]) {
            for kind in Kind::ALL {
                for way in [Way::More, Way::Less] {
                    self.granted(way, &who, kind, found);
                    self.denied(way, &who, kind, found);
                }
            }
        }
    }

    /// The side that is looked through, and the one that it is compared with.
    fn sides(&self, way: Way) -> (&Rules, &Rules) {
        match way {
            Way::More => (self.new, self.old),
            Way::Less => (self.old, self.new),
        }
    }

    /// What one side grants and the other does not, or not as freely.
    fn granted(&self, way: Way, who: &Who, kind: Kind, found: &mut Vec<Change>) {
        let (side, other) = self.sides(way);
        for grant in grants(side, who, kind) {
            if denies(side, who).any(|denied| denied.names.of(kind).covering(&grant.name).is_some()) {
                continue;
            }
            let others = covering(other, who, kind, &grant.name);
            if others.iter().any(|other| restrictions::within(&grant.restrictions, &other.restrictions)) {
                continue;
            }
            // What is neither more nor less was told as more.
            let less = |other: &Grant<'_>| restrictions::within(&other.restrictions, &grant.restrictions);
            if way == Way::Less && !others.is_empty() && !others.iter().any(less) {
                continue;
            }
            let (old, new) = match way {
                Way::More => (others.first(), Some(&grant)),
                Way::Less => (Some(&grant), others.first()),
            };
            let (direction, details) = match (way, old, new) {
                (Way::More, Some(old), Some(new)) => (Direction::Widened, restricted(old, new)),
                (Way::Less, Some(old), Some(new)) => (Direction::Narrowed, restricted(old, new)),
                (Way::More, ..) => (Direction::Gained, Vec::new()),
                (Way::Less, ..) => (Direction::Lost, Vec::new()),
            };
            let [old, new] = [old, new].map(|grant| grant.map(|grant| grant.rule.clone()));
            let change = self.change(direction, What::named(kind, &grant.name), details);
            found.push(Change { who: BTreeSet::from([who.clone()]), old, new, ..change });
        }
    }

    /// What the other side denies and this one does not.
    fn denied(&self, way: Way, who: &Who, kind: Kind, found: &mut Vec<Change>) {
        let (side, other) = self.sides(way);
        let entries = own_denies(other, who).flat_map(|denied| denied.names.of(kind).entries());
        for (name, rule) in entries {
            if denies(side, who).any(|denied| denied.names.of(kind).covering(&name).is_some()) {
                continue;
            }
            let all = || side.roles.values().flatten().chain(&side.authenticated);
            let by_another = all().any(|brought| touches(brought, kind, &name));
            let by_itself = match who {
                Who::Everyone => by_another,
                Who::Role(_) | Who::Authenticated => own(side, who).any(|brought| touches(brought, kind, &name)),
            };
            let (direction, detail) = match (way, by_itself, by_another) {
                (_, false, false) => continue,
                (Way::More, true, _) => (Direction::Gained, "it is not denied any more"),
                (Way::More, false, true) => {
                    (Direction::Widened, "it is not denied any more to who holds another role, too")
                }
                (Way::Less, true, _) => (Direction::Lost, "it is denied now, whatever grants it"),
                (Way::Less, false, true) => (Direction::Narrowed, "it is denied now to who holds another role, too"),
            };
            let place = Some(rule.clone());
            let (old, new) = if way == Way::More { (place, None) } else { (None, place) };
            let change = self.change(direction, What::named(kind, &name), vec![detail.to_owned()]);
            found.push(Change { who: BTreeSet::from([who.clone()]), old, new, ..change });
        }
    }

    /// The roles that may call this tool now; those before, if none may.
    pub(super) fn callers(&self, tool: &str) -> BTreeSet<Who> {
        let of = |rules: &Rules| -> BTreeSet<Who> {
            let grants = |brought: &Brought| covers(brought, Kind::Tools, tool).is_some();
            let roles = rules.roles.iter().filter(|(_, brought)| brought.iter().any(grants));
            let roles = roles.map(|(role, _)| Who::Role(Arc::clone(role)));
            roles.chain(rules.authenticated.iter().filter(|it| grants(it)).map(|_| Who::Authenticated)).collect()
        };
        Some(of(self.new)).filter(|who| !who.is_empty()).unwrap_or_else(|| of(self.old))
    }
}

/// What somebody's role brings, by itself.
pub(super) fn own<'a>(rules: &'a Rules, who: &Who) -> impl Iterator<Item = &'a Brought> {
    let role = match who {
        Who::Role(role) => rules.roles.get(role),
        Who::Authenticated | Who::Everyone => None,
    };
    let authenticated = rules.authenticated.as_ref().filter(|_| *who == Who::Authenticated);
    role.into_iter().flatten().chain(authenticated)
}

/// What it grants.
fn grants<'a>(rules: &'a Rules, who: &Who, kind: Kind) -> impl Iterator<Item = Grant<'a>> {
    own(rules, who).flat_map(move |brought| {
        let entries = brought.role.grants.of(kind).entries();
        entries.map(|(name, rule)| Grant { name, rule, restrictions: enforced(brought) })
    })
}

/// The grants of all that this name or pattern means, the callers' common ones among them.
pub(super) fn covering<'a>(rules: &'a Rules, who: &Who, kind: Kind, name: &str) -> Vec<Grant<'a>> {
    let is_anonymous = matches!(who, Who::Role(role) if &**role == ANONYMOUS);
    let common = rules.authenticated.as_ref().filter(|_| matches!(who, Who::Role(_)) && !is_anonymous);
    let covering = own(rules, who).chain(common).filter_map(|brought| {
        let rule = covers(brought, kind, name)?;
        Some(Grant { name: name.into(), rule, restrictions: enforced(brought) })
    });
    covering.collect()
}

fn covers<'a>(brought: &'a Brought, kind: Kind, name: &str) -> Option<&'a RuleId> {
    // A pattern that grants does not mean tools of unusual names.
    let literal = kind == Kind::Tools && !name.contains('*') && !mcp::is_well_formed(name);
    let found = brought.role.grants.of(kind).covering(name)?;
    (!literal || matches!(found, Found::Exact(_))).then(|| found.rule())
}

fn touches(brought: &Brought, kind: Kind, name: &str) -> bool {
    brought.role.grants.of(kind).touches(name)
}

fn enforced(brought: &Brought) -> Vec<&Restriction> {
    brought.restrictions.iter().map(|it| &**it).filter(|it| it.mode == Mode::Enforce).collect()
}

/// What somebody's role denies, by itself; for everyone, what is denied to all.
fn own_denies<'a>(rules: &'a Rules, who: &Who) -> impl Iterator<Item = &'a Denied> {
    let all = rules.denied.iter().filter(|_| *who == Who::Everyone);
    let by_role = own(rules, who).filter_map(|brought| brought.role.denied.as_ref());
    all.chain(by_role).filter(|denied| denied.mode == Mode::Enforce)
}

/// All that is denied to somebody who holds it.
pub(super) fn denies<'a>(rules: &'a Rules, who: &Who) -> impl Iterator<Item = &'a Denied> {
    let all = rules.denied.iter().filter(|denied| denied.mode == Mode::Enforce && *who != Who::Everyone);
    own_denies(rules, who).chain(all)
}

fn restricted(old: &Grant<'_>, new: &Grant<'_>) -> Vec<String> {
    restrictions::details(&old.restrictions, &new.restrictions)
}
