//! What nobody sees, before and now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Both, Change, Direction, What};
use crate::policy::RuleId;
use crate::policy::redaction::{Action, Flow, Looked, Redactors};
use crate::policy::rules::ToolRules;

impl Both<'_> {
    /// What is looked for in all calls and answers.
    pub(super) fn redactions(&self, found: &mut Vec<Change>) {
        let [old, new] = [self.old, self.new].map(|rules| rules.redactors.as_slice());
        let [before, now] = [old, new].map(|lists| rule(lists).cloned());
        let judged = Judged::of(self.new.tools.values().chain([&self.new.other_tools]).map(|tool| &**tool));
        for (direction, detail) in compare(old, new, judged) {
            let change = self.change(direction, What::Server, vec![detail]);
            found.push(Change { old: before.clone(), new: now.clone(), ..change });
        }
    }
}

/// Whether a condition judges what is left of arguments: one that a call did not meet it may meet masked, and which, nobody
/// can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Yes,
    No,
}

impl Judged {
    pub(super) fn of<'a>(tools: impl IntoIterator<Item = &'a ToolRules>) -> Self {
        if tools.into_iter().any(|tool| tool.arguments.is_some()) { Self::Yes } else { Self::No }
    }
}

/// Where these lists are written.
pub(super) fn rule(lists: &[Arc<Redactors>]) -> Option<&RuleId> {
    lists.iter().find_map(|list| list.rule())
}

/// What is different, each with its direction: less is hidden, or more. What is only recorded hides nothing.
pub(super) fn compare(old: &[Arc<Redactors>], new: &[Arc<Redactors>], judged: Judged) -> Vec<(Direction, String)> {
    let [old, new] = [old, new].map(enforced);
    let all: BTreeSet<&(Flow, Looked)> = old.keys().chain(new.keys()).collect();
    let different = all.into_iter().filter_map(|it| {
        let [before, now] = [&old, &new].map(|side| side.get(it).copied());
        let hides = |action: Option<Action>| action.filter(|action| *action > Action::Alert);
        let (flow, looked) = it;
        let masks = *flow == Flow::Arguments && now == Some(Action::Mask) && judged == Judged::Yes;
        let direction = match hides(now).cmp(&hides(before)) {
            _ if before == now => return None,
            _ if masks => Direction::Widened,
            std::cmp::Ordering::Less => Direction::Widened,
            std::cmp::Ordering::Equal => Direction::Changed,
            std::cmp::Ordering::Greater => Direction::Narrowed,
        };
        let shown = |action: Option<Action>| action.map_or("nothing", Action::word);
        let judged = if masks { "; conditions judge what is left" } else { "" };
        Some((direction, format!("redact: {looked} in {}: {} → {}{judged}", flow.word(), shown(before), shown(now))))
    });
    different.collect()
}

/// The strictest that becomes of each thing.
fn enforced(lists: &[Arc<Redactors>]) -> BTreeMap<(Flow, Looked), Action> {
    let mut all = BTreeMap::new();
    for (looked, action) in lists.iter().flat_map(|list| list.enforced()) {
        let known = all.entry(looked).or_insert(action);
        *known = action.max(*known);
    }
    all
}
