//! What holds of every policy, tried on random ones: by default the same every time, and more and other ones with
//! `TOLLGATE_TRIES=5000000 cargo test --release --lib properties`.

mod draft;
mod history;
mod world;

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::json;

use super::{Change, Effect, PolicySet, Query};
use crate::mcp::{Method, Target};

use draft::{Dice, Draft};
use world::World;

/// So many times each is tried, if nothing is said.
const TRIES: usize = 100_000;
/// So many questions are put to one policy.
const QUESTIONS: usize = 100;

/// How often, and with which dice.
fn tries() -> (usize, Dice) {
    match option_env!("TOLLGATE_TRIES") {
        None => (TRIES, Dice(StdRng::seed_from_u64(0x7011_6a7e))),
        Some(said) => (said.parse().unwrap(), Dice(StdRng::from_os_rng())),
    }
}

/// Policies that come from each other by a few edits.
fn family(dice: &mut Dice, size: usize) -> Vec<(Draft, PolicySet)> {
    let mut family: Vec<(Draft, PolicySet)> = Vec::new();
    while family.len() < size {
        let mut draft = match family.choose(&mut dice.0) {
            Some((draft, _)) => draft.clone(),
            None => dice.draft(),
        };
        if !family.is_empty() {
            dice.edit(&mut draft);
        }
        if let Some(policy) = draft.compile() {
            family.push((draft, policy));
        }
    }
    family
}

fn widens(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.direction.widens())
}

#[test]
fn whoever_gains_a_call_is_told_to_the_reviewer() {
    const FAMILY: usize = 20;
    let (pairs, mut dice) = tries();
    let world = World::new(&mut dice);
    let (mut tried, mut safe, mut wider, mut limited) = (0, 0, 0, 0);
    while tried < pairs {
        let family = family(&mut dice, FAMILY);
        for (before, old) in &family {
            for (after, new) in &family {
                tried += 1;
                let changes = old.diff(new);
                if widens(&changes) {
                    wider += 1;
                    continue;
                }
                safe += 1;
                for _ in 0..40 {
                    let question = world.question(&mut dice);
                    assert!(
                        !world.allows(new, question) || world.allows(old, question),
                        "told: {changes:#?}\nbut {question:?} is allowed now\n{:#?}\n{:#?}",
                        before.files,
                        after.files
                    );
                }
                let history = world.history(&mut dice);
                let lets = history::let_through(&world, &history, [old, new]);
                let gained = |now| format!("told: {changes:#?}\nbut call {now} of {history:#?} is let through now");
                limited +=
                    lets.unwrap_or_else(|now| panic!("{}\n{:#?}\n{:#?}", gained(now), before.files, after.files));
            }
            assert_eq!(old.diff(old), [], "{:#?}", before.files);
        }
    }
    // Whatever is always told says nothing.
    assert!(safe * 10 > tried && wider * 10 > tried, "{safe} of {tried} do not widen");
    assert!(limited > tried, "only {limited} calls under limits");
}

#[test]
fn what_is_listed_can_be_called_and_nothing_else_can() {
    let (tries, mut dice) = tries();
    let world = World::new(&mut dice);
    let mut asked = 0;
    while asked < tries {
        let draft = dice.draft();
        let Some(policy) = draft.compile() else { continue };
        for _ in 0..QUESTIONS {
            let (principal, call, context) = world.question(&mut dice);
            let Target::Tool(name) = call.target() else { continue };
            let (server, method) = (&world.server, Method::ToolsCall);
            let query = Query { principal, server, method, target: Target::Tool(name), context };
            let decision = policy.decide(&query);
            let calls = || world.calls.iter().filter(|call| call.target().name() == Some(name));
            let mut callable = |by: &Arc<_>| {
                calls().any(|call| {
                    asked += 1;
                    world.allows(&policy, (by, call, context))
                })
            };
            let said = format!("{name} for {principal:?} at {context:?}\n{:#?}", draft.files);
            assert_eq!(decision.effect == Effect::Allow, callable(principal), "{said}");
            // Beside that, only what another token of the same caller opens.
            assert_eq!(decision.shows(), callable(&World::stepped_up(principal)), "{said}");
        }
    }
}

#[test]
fn the_order_of_rules_decides_nothing() {
    let (tries, mut dice) = tries();
    let world = World::new(&mut dice);
    let mut asked = 0;
    while asked < tries {
        let draft = dice.draft();
        let Some(policy) = draft.compile() else { continue };
        let mut other = Draft { files: draft.files.iter().map(|file| dice.shuffled(file)).collect() };
        other.files.reverse();
        let shuffled = other.compile().expect("it was a policy before");
        for _ in 0..QUESTIONS {
            asked += 1;
            let question = world.question(&mut dice);
            let both = [&policy, &shuffled].map(|policy| world.allows(policy, question));
            assert_eq!(both[0], both[1], "{question:?}\n{:#?}\n{:#?}", draft.files, other.files);
        }
    }
}

#[test]
fn a_denial_wins() {
    let (tries, mut dice) = tries();
    let world = World::new(&mut dice);
    let mut asked = 0;
    while asked < tries {
        let draft = dice.draft();
        let (_, denied, _) = world.question(&mut dice);
        let Target::Tool(name) = denied.target() else { continue };
        let mut denying = draft.clone();
        denying.files.push(json!({ "deny": { "tools": [name] } }));
        let (Some(policy), Some(denying)) = (draft.compile(), denying.compile()) else { continue };
        assert!(!widens(&policy.diff(&denying)), "{:#?}", draft.files);
        let calls: Vec<_> = world.calls.iter().filter(|call| call.target().name() == Some(name)).collect();
        for _ in 0..QUESTIONS {
            asked += 1;
            let (principal, _, context) = world.question(&mut dice);
            let call = *dice.one(&calls);
            assert!(!world.allows(&denying, (principal, call, context)), "{call:?}\n{:#?}", draft.files);
        }
    }
}
