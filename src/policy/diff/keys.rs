//! Who is let in, before and now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use super::issuers::issuers;
use super::{Change, Direction, What};
use crate::identity::{Authenticators, Claim, Claims, KeysOf, Principal};

/// What is different of keys and of callers without one, most access first.
pub(super) fn diff_keys(old: &Authenticators, new: &Authenticators) -> Vec<Change> {
    let mut found = Vec::new();
    if old.admits_anonymous() != new.admits_anonymous() {
        let (direction, detail) = if new.admits_anonymous() {
            (Direction::Gained, "they are let in")
        } else {
            (Direction::Lost, "they are not let in any more")
        };
        found.push(change(direction, What::Anonymous, detail.to_owned()));
    }
    let (before, now) = (old.keys(), new.keys());
    let ids: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    for id in ids {
        let what = || What::Key(Arc::from(id));
        match (before.get(id), now.get(id)) {
            (Some(keys), None) => found.push(change(Direction::Lost, what(), holds(keys.principal.roles()))),
            (None, Some(keys)) => {
                let detail = format!("{}, {}", holds(keys.principal.roles()), until(keys.end()));
                found.push(change(Direction::Gained, what(), detail));
            }
            (Some(before), Some(now)) => {
                let details = same_id(before, now);
                found.extend(details.into_iter().map(|(direction, detail)| change(direction, what(), detail)));
            }
            (None, None) => {}
        }
    }
    certificates(old, new, &mut found);
    issuers(old, new, &mut found);
    found.sort();
    found
}

/// What is different of one id.
fn same_id(before: &KeysOf<'_>, now: &KeysOf<'_>) -> Vec<(Direction, String)> {
    let (old, new, mut details) = (before.principal, now.principal, Vec::new());
    roles(old.roles(), new.roles(), &mut details);
    scopes(old, new, &mut details);
    claims(&old.claims().collect(), &new.claims().collect(), &mut details);
    ends(before.end(), now.end(), &mut details);
    let lost = before.ends.keys().any(|hash| !now.ends.contains_key(hash));
    let gained = now.ends.keys().any(|hash| !before.ends.contains_key(hash));
    match (lost, gained) {
        (false, false) => {}
        (true, true) => details.push((Direction::Changed, "another key has this id now".to_owned())),
        (false, true) => details.push((Direction::Widened, "one more key has this id".to_owned())),
        (true, false) => details.push((Direction::Narrowed, "a key of this id is not accepted any more".to_owned())),
    }
    details
}

/// Who goes by which name in a certificate.
fn certificates(old: &Authenticators, new: &Authenticators, found: &mut Vec<Change>) {
    let (before, now) = (old.certificates(), new.certificates());
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let what = || What::Certificate(Arc::from(name.as_str()));
        match (before.get(name), now.get(name)) {
            (Some(holder), None) => found.push(change(Direction::Lost, what(), holds(&holder.roles))),
            (None, Some(holder)) => found.push(change(Direction::Gained, what(), holds(&holder.roles))),
            (Some(before), Some(now)) => {
                let mut details = Vec::new();
                roles(&before.roles, &now.roles, &mut details);
                claims(&known(&before.claims), &known(&now.claims), &mut details);
                if before.id() != now.id() {
                    details.push((Direction::Changed, "it has another id now".to_owned()));
                }
                found.extend(details.into_iter().map(|(direction, detail)| change(direction, what(), detail)));
            }
            (None, None) => {}
        }
    }
}

fn known(claims: &Claims) -> BTreeMap<&str, &Claim> {
    claims.iter().map(|(name, value)| (&**name, value)).collect()
}

pub(super) fn change(direction: Direction, what: What, detail: String) -> Change {
    Change { direction, server: None, what, details: vec![detail], who: BTreeSet::new(), old: None, new: None }
}

fn holds(roles: &[Arc<str>]) -> String {
    let roles: Vec<_> = roles.iter().map(|role| &**role).collect();
    if roles.is_empty() { "without a role".to_owned() } else { format!("with the roles {}", roles.join(", ")) }
}

fn until(end: Option<SystemTime>) -> String {
    match end {
        None => "without an end".to_owned(),
        Some(end) => format!("until {}", Timestamp::try_from(end).unwrap_or_default()),
    }
}

fn roles(old: &[Arc<str>], new: &[Arc<str>], details: &mut Vec<(Direction, String)>) {
    let gained = new.iter().filter(|role| !old.contains(role)).map(|role| (Direction::Gained, role));
    let lost = old.iter().filter(|role| !new.contains(role)).map(|role| (Direction::Lost, role));
    details.extend(gained.chain(lost).map(|(direction, role)| (direction, format!("role {role}"))));
}

/// Whoever has a scope may have what needs it.
fn scopes(old: &Principal, new: &Principal, details: &mut Vec<(Direction, String)>) {
    let lacks = |principal: &Principal, scope: &str| !principal.scopes().any(|held| held == scope);
    let gained = new.scopes().filter(|scope| lacks(old, scope)).map(|scope| (Direction::Widened, scope));
    let lost = old.scopes().filter(|scope| lacks(new, scope)).map(|scope| (Direction::Narrowed, scope));
    details.extend(gained.chain(lost).map(|(direction, scope)| (direction, format!("scope {scope}"))));
}

/// Whoever has a claim may have what is bound to it.
fn claims(old: &BTreeMap<&str, &Claim>, new: &BTreeMap<&str, &Claim>, details: &mut Vec<(Direction, String)>) {
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let (before, now) = (old.get(name), new.get(name));
        let direction = match (before, now) {
            (before, now) if before == now => continue,
            (Some(_), None) => Direction::Narrowed,
            _ => Direction::Widened,
        };
        let [before, now] = [before, now].map(|value| value.map_or_else(|| "none".to_owned(), ToString::to_string));
        details.push((direction, format!("claim {name}: {before} → {now}")));
    }
}

fn ends(old: Option<SystemTime>, new: Option<SystemTime>, details: &mut Vec<(Direction, String)>) {
    let direction = match (old, new) {
        (old, new) if old == new => return,
        (_, None) => Direction::Widened,
        (Some(old), Some(new)) if new > old => Direction::Widened,
        _ => Direction::Narrowed,
    };
    details.push((direction, format!("it ends: {} → {}", until(old), until(new))));
}
