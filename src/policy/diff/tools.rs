//! How tools may be used, before and now.

use std::collections::BTreeSet;

use super::{Both, Change, Direction, What, conditions, limits, redactions, restrictions};
use crate::duration::written;
use crate::policy::names::Kind;
use crate::policy::restriction::Restriction;
use crate::policy::rules::{Repeats, ToolRules};
use crate::policy::{Caching, Condition, LimitRule, Mode, RuleId, Scopes, SharedBy};

/// What is different, each with its direction.
type Details = Vec<(Direction, String)>;

impl Both<'_> {
    /// Settings of every tool that has some, and of all others.
    pub(super) fn tools(&self, found: &mut Vec<Change>) {
        let names: BTreeSet<&str> = self.old.tools.keys().chain(self.new.tools.keys()).map(|name| &**name).collect();
        for name in names {
            let what = What::named(Kind::Tools, &name.into());
            let callers = self.callers(name);
            // What nobody may call, nobody gains by its settings.
            if callers.is_empty() {
                continue;
            }
            let from = found.len();
            self.tool(&what, [self.old.tool(name), self.new.tool(name)].map(|it| &**it), found);
            for change in found.iter_mut().skip(from) {
                change.who.clone_from(&callers);
            }
        }
        self.tool(&What::OtherTools, [&*self.old.other_tools, &*self.new.other_tools], found);
    }

    fn tool(&self, what: &What, [old, new]: [&ToolRules; 2], found: &mut Vec<Change>) {
        let [before, now] = [old, new].map(Enforced::of);
        let mut told = |places: [Option<&RuleId>; 2], details: Details| {
            for direction in [Direction::Widened, Direction::Changed, Direction::Narrowed] {
                let texts = details.iter().filter(|(way, _)| *way == direction).map(|(_, text)| text.clone());
                let texts: Vec<_> = texts.collect();
                if !texts.is_empty() {
                    let [old, new] = places.map(Option::<&RuleId>::cloned);
                    found.push(Change { old, new, ..self.change(direction, what.clone(), texts) });
                }
            }
        };
        told([None, None], mode(old, new));
        told([&before, &now].map(|it| it.arguments.map(|condition| &condition.rule)), before.arguments(&now));
        told([&before, &now].map(Enforced::restricted_at), before.restricted(&now));
        told([&before, &now].map(|it| it.scopes.map(|scopes| &scopes.rule)), before.scoped(&now));
        told(
            [&before, &now].map(|it| it.limits.first().map(|limit| &limit.rule)),
            limits::compare(before.limits, now.limits),
        );
        let judged = redactions::Judged::of([new]);
        let [before, now] = [old, new].map(|it| it.redactors.as_slice());
        told([before, now].map(redactions::rule), redactions::compare(before, now, judged));
        if old.cost != new.cost {
            let direction = if new.cost < old.cost { Direction::Widened } else { Direction::Narrowed };
            told([None, None], vec![(direction, format!("cost: {} → {}", old.cost, new.cost))]);
        }
        if old.timeout != new.timeout {
            let text = format!("timeout: {} → {}", written(old.timeout), written(new.timeout));
            told([None, None], vec![(Direction::Changed, text)]);
        }
        told([old, new].map(|it| it.caching.as_ref().map(|caching| &caching.rule)), caching(old, new));
        if old.repeats != new.repeats {
            let again = if old.repeats == Repeats::Harm { "; a call that failed may be sent again" } else { "" };
            let [was, is] = [old, new].map(|it| repeats(&it.repeats));
            told([None, None], vec![(Direction::Changed, format!("idempotent: {was} → {is}{again}"))]);
        }
    }
}

fn repeats(repeats: &Repeats) -> String {
    match repeats {
        Repeats::Harm => "false".to_owned(),
        Repeats::Nothing => "true".to_owned(),
        Repeats::Known(name) => format!("by its key ({})", name.as_str()),
    }
}

/// What one caller was answered, others see: that is wider, however few they are.
fn caching(old: &ToolRules, new: &ToolRules) -> Details {
    let [before, now] = [old, new].map(|it| it.caching.as_ref());
    let shares = |caching: Option<&Caching>| caching.is_some_and(|it| it.per == SharedBy::Everyone);
    let [said, says] = [before, now].map(|it| it.map_or_else(|| "none".to_owned(), ToString::to_string));
    let direction = match (shares(before), shares(now)) {
        _ if said == says => return Vec::new(),
        (false, true) => Direction::Widened,
        (true, false) => Direction::Narrowed,
        (false, false) | (true, true) => Direction::Changed,
    };
    vec![(direction, format!("cache: {said} → {says}"))]
}

fn mode(old: &ToolRules, new: &ToolRules) -> Details {
    let refuses = |tool: &ToolRules| {
        tool.arguments.is_some() || tool.restriction.is_some() || tool.scopes.is_some() || !tool.limits.is_empty()
    };
    match (old.mode, new.mode) {
        (Mode::Enforce, Mode::Shadow) if refuses(old) => {
            vec![(Direction::Widened, "mode: enforce → shadow; what it refuses is only recorded".to_owned())]
        }
        (Mode::Shadow, Mode::Enforce) if refuses(new) => {
            vec![(Direction::Narrowed, "mode: shadow → enforce; what it refuses is refused".to_owned())]
        }
        _ => Vec::new(),
    }
}

/// What of a tool's settings is enforced.
struct Enforced<'a> {
    arguments: Option<&'a Condition>,
    restrictions: Vec<&'a Restriction>,
    scopes: Option<&'a Scopes>,
    limits: &'a [LimitRule],
}

impl<'a> Enforced<'a> {
    fn of(tool: &'a ToolRules) -> Self {
        match tool.mode {
            Mode::Shadow => Self { arguments: None, restrictions: Vec::new(), scopes: None, limits: &[] },
            Mode::Enforce => Self {
                arguments: tool.arguments.as_deref(),
                restrictions: tool.restriction.iter().map(|it| &**it).collect(),
                scopes: tool.scopes.as_ref(),
                limits: &tool.limits,
            },
        }
    }

    fn arguments(&self, now: &Self) -> Details {
        match (self.arguments, now.arguments) {
            (None, None) => Vec::new(),
            (Some(_), None) => vec![(Direction::Widened, "arguments: a condition → none".to_owned())],
            (None, Some(_)) => vec![(Direction::Narrowed, "arguments: no condition → one".to_owned())],
            (Some(old), Some(new)) => conditions::compare(&old.written, &new.written),
        }
    }

    fn scoped(&self, now: &Self) -> Details {
        let direction = match (self.scopes, now.scopes) {
            (None, None) => return Vec::new(),
            (None, Some(_)) => Direction::Narrowed,
            (Some(_), None) => Direction::Widened,
            (Some(old), Some(new)) => match (new.cover(old), old.cover(new)) {
                (true, true) => return Vec::new(),
                (true, false) => Direction::Narrowed,
                // Somebody whom the old ones kept out has all of the new ones.
                (false, _) => Direction::Widened,
            },
        };
        let [old, new] = [self, now].map(|it| it.scopes.map_or_else(|| "none".to_owned(), ToString::to_string));
        vec![(direction, format!("scopes: {old} → {new}"))]
    }

    fn restricted_at(&self) -> Option<&'a RuleId> {
        let restriction = self.restrictions.first()?;
        let when = restriction.when.as_ref().map(|when| &when.rule);
        when.or_else(|| restriction.networks.as_ref().map(|networks| &networks.rule))
    }

    fn restricted(&self, now: &Self) -> Details {
        let wider = !restrictions::within(&now.restrictions, &self.restrictions);
        let narrower = !restrictions::within(&self.restrictions, &now.restrictions);
        let direction = match (wider, narrower) {
            (true, _) => Direction::Widened,
            (false, true) => Direction::Narrowed,
            (false, false) => return Vec::new(),
        };
        let details = restrictions::details(&self.restrictions, &now.restrictions);
        details.into_iter().map(|text| (direction, text)).collect()
    }
}
