//! What the server is told of who asks, before and now.

use std::collections::BTreeSet;

use super::{Both, Change, Direction, What};
use crate::policy::rules::Rules;
use crate::policy::upstream_headers::{Absent, Says, UpstreamHeader};

impl Both<'_> {
    /// A header that is there besides tells the server more, and refuses who has nothing to be told. What a server does
    /// without a header, or with another value, nobody here can say: that counts as wider.
    pub(super) fn upstream_headers(&self, found: &mut Vec<Change>) {
        let all = self.old.upstream_headers.iter().chain(&self.new.upstream_headers);
        let names: BTreeSet<&str> = all.map(|header| header.name.as_str()).collect();
        for name in names {
            let [old, new] = [self.old, self.new].map(|rules| named(rules, name));
            let direction = match (old, new) {
                (Some(old), Some(new)) if old.says == new.says && old.absent == new.absent => continue,
                (Some(old), Some(new)) if old.says == new.says && new.absent == Absent::Refused => Direction::Narrowed,
                (Some(_), _) => Direction::Widened,
                (None, _) => Direction::Changed,
            };
            let detail = format!("upstream_headers.{name}: {} → {}", shown(old), shown(new));
            let place = |header: Option<&UpstreamHeader>| header.map(|header| header.rule.clone());
            let change = self.change(direction, What::Server, vec![detail]);
            found.push(Change { old: place(old), new: place(new), ..change });
        }
    }
}

fn named<'a>(rules: &'a Rules, name: &str) -> Option<&'a UpstreamHeader> {
    rules.upstream_headers.iter().find(|header| header.name == name)
}

fn shown(header: Option<&UpstreamHeader>) -> String {
    let Some(header) = header else {
        return "not sent".to_owned();
    };
    let says = match &header.says {
        Says::Claim(name) => format!("the claim {name}"),
        Says::Id => "the caller's id".to_owned(),
        Says::Account => "the caller's account".to_owned(),
        Says::Roles => "the caller's roles".to_owned(),
    };
    match header.absent {
        Absent::Refused => says,
        Absent::Passes => format!("{says}, if there is one"),
    }
}
