//! Random histories of calls, and what limits mean by the words of the file: in any span as long as `every`, no more than
//! they say. The counters of the gate are stricter by a part of a span; whatever these here let through, they may.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::draft::Dice;
use super::world::World;
use crate::identity::Principal;
use crate::mcp::Call;
use crate::policy::{Context, LimitRule, Mode, Most, Per, Permit, PolicySet, Unit};

/// One call of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) principal: &'a Arc<Principal>,
    pub(super) call: &'a Arc<Call>,
    pub(super) context: Context,
    /// When it is made.
    at: Duration,
    /// So many bytes come back.
    brings: u64,
    /// So many calls are made before that.
    during: usize,
}

/// What was let through so far.
struct Taken<'a> {
    policy: &'a PolicySet,
    calls: Vec<(usize, Step<'a>, Permit)>,
}

impl World {
    /// Calls of two callers of few tools: others do not come near a limit.
    pub(super) fn history<'a>(&'a self, dice: &mut Dice) -> Vec<Step<'a>> {
        let mut at = Duration::ZERO;
        let (few, context) = ([0; 4].map(|_| self.question(dice)), self.contexts[0]);
        let step = |_| {
            at += *dice.one(&[0, 0, 0, 400, 1000, 5000].map(Duration::from_millis));
            let (principal, ..) = few[dice.0.random_range(0..2)];
            let (_, call, _) = *dice.one(&few);
            let (brings, during) = (*dice.one(&[0, 10, 100, 5000]), dice.0.random_range(0..4));
            Step { principal, call, context, at, brings, during }
        };
        (0..14).map(step).collect()
    }
}

/// How many calls of a history the second policy lets through under limits; or the first that the other one would not have,
/// after all that were let through before.
pub(super) fn let_through(world: &World, history: &[Step<'_>], [old, new]: [&PolicySet; 2]) -> Result<usize, usize> {
    if old.limits().chain(new.limits()).next().is_none() {
        return Ok(0);
    }
    let (mut before, mut after) = (Taken::none(old), Taken::none(new));
    for (now, step) in history.iter().enumerate() {
        if after.take(world, now, *step) && !before.take(world, now, *step) {
            return Err(now);
        }
    }
    Ok(after.calls.len())
}

impl<'a> Taken<'a> {
    fn none(policy: &'a PolicySet) -> Self {
        Self { policy, calls: Vec::new() }
    }

    /// Takes the call of this number, if it is allowed and there is room.
    fn take(&mut self, world: &World, now: usize, step: Step<'a>) -> bool {
        let Ok(permit) = self.policy.permit(step.principal, step.call, &world.server, step.context) else {
            return false;
        };
        let enforced = || permit.limits().filter(|rule| rule.mode == Mode::Enforce);
        let room = enforced().all(|rule| self.has_room(rule, now, step, &permit));
        if room {
            self.calls.push((now, step, permit));
        }
        room
    }

    fn has_room(&self, rule: &LimitRule, now: usize, step: Step<'a>, permit: &Permit) -> bool {
        let with = |(_, other, before): &&(usize, Step<'a>, Permit)| {
            let (same_tool, same_principal) =
                (other.call.target() == step.call.target(), other.principal.id() == step.principal.id());
            let counted = before.limits().any(|limit| limit == rule);
            counted
                && match rule.limit.per {
                    Per::Server => true,
                    Per::Tool => same_tool,
                    Per::Principal => same_principal,
                    Per::PrincipalAndTool => same_tool && same_principal,
                }
        };
        let counted = || self.calls.iter().filter(with);
        match rule.limit.most {
            Most::InFlight(most) => {
                let under_way = counted().filter(|(begun, it, _)| begun + it.during >= now).count();
                under_way < usize::try_from(most.get()).unwrap()
            }
            Most::Rate(rate) => {
                let window = rate.window();
                let recent = counted().filter(|(_, it, _)| step.at.saturating_sub(it.at) < window.every);
                let taken: u64 = recent.map(|(_, it, permit)| amount(rate.unit, permit).unwrap_or(it.brings)).sum();
                // From any call on, no more than the burst, and one for each time that one takes.
                let ago: Vec<_> = counted().map(|(_, it, _)| step.at.saturating_sub(it.at).as_nanos()).collect();
                let evenly = rate.burst().is_none_or(|burst| {
                    let room = |ago: u128| u128::from(burst.most.get()) + ago / burst.each.as_nanos();
                    (0..).zip(ago.iter().rev()).all(|(later, ago)| later + 2 <= room(*ago))
                });
                evenly && taken + amount(rate.unit, permit).unwrap_or(1) <= window.most
            }
        }
    }
}

/// What a call takes; `None`: as much as it brings.
fn amount(unit: Unit, permit: &Permit) -> Option<u64> {
    match unit {
        Unit::Calls => Some(1),
        Unit::Cost => Some(permit.tool().map_or(1, |tool| tool.cost.get().into())),
        Unit::Bytes => None,
    }
}
