//! Times and networks, before and now.

use std::fmt::Display;

use ipnet::IpNet;

use crate::policy::restriction::{DAY, Days, Restriction, Window};

/// Whether all that the first let through, the others do, too. What cannot be told is no.
pub(super) fn within(inner: &[&Restriction], outer: &[&Restriction]) -> bool {
    outer.iter().all(|outer| {
        let when = outer.when.as_ref().is_none_or(|outer| {
            let mut inner = inner.iter().filter_map(|it| it.when.as_ref());
            inner.any(|inner| inner.any_of.iter().all(|a| outer.any_of.iter().any(|b| window_within(a, b))))
        });
        let networks = outer.networks.as_ref().is_none_or(|outer| {
            let mut inner = inner.iter().filter_map(|it| it.networks.as_ref());
            inner.any(|inner| inner.any_of.iter().all(|a| outer.any_of.iter().any(|b| network_within(a, b))))
        });
        when && networks
    })
}

fn window_within(a: &Window, b: &Window) -> bool {
    let always = b.days == Days::ALL && b.from == 0 && b.to >= DAY;
    let hours = a.zone == b.zone && a.days.within(b.days) && a.from >= b.from && a.to <= b.to;
    let after = b.after.is_none_or(|b| a.after.is_some_and(|a| a >= b));
    let until = b.until.is_none_or(|b| a.until.is_some_and(|a| a <= b));
    (always || hours) && after && until
}

fn network_within(a: &IpNet, b: &IpNet) -> bool {
    b.contains(a)
}

/// What is different, in words.
pub(super) fn details(old: &[&Restriction], new: &[&Restriction]) -> Vec<String> {
    let when = |side: &[&Restriction]| {
        let lists = side.iter().filter_map(|it| it.when.as_ref());
        lists.map(|list| any_of(&list.any_of)).collect::<Vec<_>>().join(" and ")
    };
    let networks = |side: &[&Restriction]| {
        let lists = side.iter().filter_map(|it| it.networks.as_ref());
        lists.map(|list| any_of(&list.any_of)).collect::<Vec<_>>().join(" and ")
    };
    let changed = |key: &str, free: &str, [old, new]: [String; 2]| {
        let shown = |text: String| if text.is_empty() { free.to_owned() } else { text };
        (old != new).then(|| format!("{key}: {} → {}", shown(old), shown(new)))
    };
    let when = changed("when", "at any time", [old, new].map(when));
    let told: Vec<_> = when.into_iter().chain(changed("networks", "from anywhere", [old, new].map(networks))).collect();
    if told.is_empty() { vec!["when or networks: another".to_owned()] } else { told }
}

fn any_of<T: Display>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(" or ")
}
