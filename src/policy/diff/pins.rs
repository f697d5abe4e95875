//! What tools must be, before and now.

use std::collections::BTreeSet;

use super::{Both, Change, Direction, What};
use crate::policy::Mode;
use crate::policy::names::Kind;
use crate::policy::pins::Pins;
use crate::policy::rules::Rules;

impl Both<'_> {
    /// Where tools are pinned, one that is not is not there; so a pin more is a tool more.
    pub(super) fn pins(&self, found: &mut Vec<Change>) {
        let (old, new) = match [self.old, self.new].map(enforced) {
            [Some(old), Some(new)] => (old, new),
            [None, None] => return,
            [Some(old), None] => {
                let detail = "pinning: enforced → not; a tool may be another one than was looked at".to_owned();
                let change = self.change(Direction::Widened, What::Server, vec![detail]);
                found.push(Change { old: Some(old.rule().clone()), ..change });
                return;
            }
            [None, Some(new)] => {
                let detail = "pinning: not enforced → enforced; only tools as they are in the lock".to_owned();
                let change = self.change(Direction::Narrowed, What::Server, vec![detail]);
                found.push(Change { new: Some(new.rule().clone()), ..change });
                return;
            }
        };
        let names: BTreeSet<&str> = old.tools().chain(new.tools()).collect();
        for name in names {
            let who = self.callers(name);
            if who.is_empty() && self.new.ungranted.mode == Mode::Enforce {
                continue;
            }
            let (before, now) = (old.get(name), new.get(name));
            let (direction, detail) = match (before, now) {
                (Some((before, _)), Some((now, _))) if before == now => continue,
                (Some((before, _)), Some((now, _))) => {
                    (Direction::Widened, format!("its definition: another one is pinned ({before} → {now})"))
                }
                (None, _) => (Direction::Gained, "it is pinned now, and was not there before".to_owned()),
                (_, None) => (Direction::Lost, "it is not pinned any more, and so not there".to_owned()),
            };
            let change = self.change(direction, What::named(Kind::Tools, &name.into()), vec![detail]);
            let [before, now] = [before, now].map(|pin| pin.map(|(_, rule)| rule.clone()));
            let who = if who.is_empty() { change.who } else { who };
            found.push(Change { who, old: before, new: now, ..change });
        }
    }
}

fn enforced(rules: &Rules) -> Option<&Pins> {
    rules.pins.as_ref().filter(|pins| pins.mode() == Mode::Enforce)
}
