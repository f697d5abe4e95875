//! Whose tokens are taken, and whom they prove, before and now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys::change;
use super::{Change, Direction, What};
use crate::identity::{Authenticators, TokenMapping};

/// What is different of the tokens of each issuer.
pub(super) fn issuers(old: &Authenticators, new: &Authenticators, found: &mut Vec<Change>) {
    let (before, now) = (old.token_mappings(), new.token_mappings());
    let names: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    for name in names {
        let what = || What::Tokens(Arc::from(name));
        match (before.get(name), now.get(name)) {
            (None, Some(now)) => found.push(change(Direction::Gained, what(), gives(now))),
            (Some(before), None) => found.push(change(Direction::Lost, what(), gives(before))),
            (Some(before), Some(now)) => {
                let details = details(before, now).into_iter();
                found.extend(details.map(|(direction, detail)| change(direction, what(), detail)));
            }
            (None, None) => {}
        }
    }
}

fn gives(mapping: &TokenMapping<'_>) -> String {
    match mapping.roles() {
        None => "whatever roles they name".to_owned(),
        Some(roles) if roles.is_empty() => "without a role".to_owned(),
        Some(roles) => {
            let roles: Vec<_> = roles.iter().map(|(word, role)| format!("{word} → {role}")).collect();
            format!("with the roles {}", roles.join(", "))
        }
    }
}

fn details(before: &TokenMapping<'_>, now: &TokenMapping<'_>) -> Vec<(Direction, String)> {
    let mut details = Vec::new();
    match (before.roles(), now.roles()) {
        (None, None) => {}
        (Some(_), None) => details.push((Direction::Gained, "whatever roles they name".to_owned())),
        (None, Some(_)) => details.push((Direction::Narrowed, "only roles that are listed".to_owned())),
        (Some(old), Some(new)) => {
            let more = |from: &BTreeMap<&str, &Arc<str>>, other: &BTreeMap<&str, &Arc<str>>, direction| {
                let only = from.iter().filter(|(word, role)| other.get(*word) != Some(role));
                only.map(|(word, role)| (direction, format!("role {role}, by `{word}`"))).collect::<Vec<_>>()
            };
            details.extend(more(&new, &old, Direction::Gained));
            details.extend(more(&old, &new, Direction::Lost));
        }
    }
    let (old, new) = (before.scopes_include(), now.scopes_include());
    let within = |(scope, other): &(&str, &str)| format!("scope {other}, within {scope}");
    details.extend(new.difference(&old).map(|pair| (Direction::Widened, within(pair))));
    details.extend(old.difference(&new).map(|pair| (Direction::Narrowed, within(pair))));
    let (old, new) = (before.rest(), now.rest());
    for (key, value) in &new {
        if let Some(old) = old.get(key).filter(|old| *old != value) {
            let [old, value] = [old, value].map(|text| if text.is_empty() { "none" } else { text.as_str() });
            let text = format!("{key}: {old} → {value} (whether that is more or less cannot be said)");
            details.push((Direction::Widened, text));
        }
    }
    if !before.has_same_means(now) {
        details.push((
            Direction::Widened,
            "what they prove is asked for elsewhere, or in another way: keys, or each token".to_owned(),
        ));
    }
    details
}
