//! Random questions to a policy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::draft::{Dice, ROLES, SCOPES, values};
use crate::identity::{Principal, Proof};
use crate::json::Bounds;
use crate::mcp::{self, Call, ServerName};
use crate::policy::{Context, PolicySet, Shown};

const ASKED: &[&str] = &["a", "ab", "abc", "abxc", "b", "xb", "get_x", "get_y", "x y", "a b", "zzz"];

/// Who asks for what, when and where.
pub(super) struct World {
    pub(super) calls: Vec<Arc<Call>>,
    pub(super) principals: Vec<Arc<Principal>>,
    pub(super) contexts: Vec<Context>,
    pub(super) server: ServerName,
}

impl World {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let message = |method: &str, params: Value| {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            Arc::new(mcp::read(&Bytes::from(body.to_string()), &Bounds::default()).unwrap())
        };
        let mut calls = Vec::new();
        for name in ASKED {
            calls.extend(met().map(|arguments| message("tools/call", json!({ "name": name, "arguments": arguments }))));
            calls.push(message("tools/call", json!({ "name": name })));
            for property in ["n", "e", "c", "o", "l", "s"] {
                let call = |value| message("tools/call", json!({ "name": name, "arguments": { property: value } }));
                calls.extend(values(property).into_iter().map(call));
            }
            for _ in 0..12 {
                let mut arguments = Map::new();
                for property in ["n", "e", "c", "o", "l", "s", "z"].choose_multiple(&mut dice.0, 3) {
                    arguments.insert((*property).to_owned(), dice.one(&values(property)).clone());
                }
                calls.push(message("tools/call", json!({ "name": name, "arguments": arguments })));
            }
        }
        for name in ["p", "pq", "q"] {
            calls.push(message("prompts/get", json!({ "name": name })));
        }
        for uri in ["r://1", "r://2", "s://1"] {
            calls.push(message("resources/read", json!({ "uri": uri })));
        }
        for method in ["tools/list", "prompts/list", "resources/list", "logging/setLevel", "vendor/method"] {
            calls.push(message(method, json!({})));
        }
        let mut principals = vec![Arc::new(Principal::for_test("nobody", &[]))];
        for n in 0..24 {
            let count = dice.0.random_range(1..=3);
            let roles: Vec<_> = ROLES.choose_multiple(&mut dice.0, count).copied().collect();
            let principal = Principal::for_test(&format!("p{n}"), &roles);
            let principal = if dice.chance(60) {
                let scopes: Vec<_> = SCOPES.iter().copied().filter(|_| dice.chance(50)).collect();
                principal.scoped(&scopes)
            } else {
                principal
            };
            let principal = if dice.chance(70) { principal.claiming("store", &"1".into()) } else { principal };
            principals.push(Arc::new(if dice.chance(30) {
                principal.claiming("other", &"1".into())
            } else {
                principal
            }));
        }
        let moments = [33, 0, 9, 15, 47, 57, 81].map(|hour: u64| UNIX_EPOCH + Duration::from_secs(hour * 3600));
        let addresses = ["10.1.2.3", "10.2.0.1", "192.0.2.1", "203.0.113.9", "fd00::1"];
        let addresses = addresses.map(|text| text.parse::<IpAddr>().unwrap());
        let contexts = moments
            .iter()
            .flat_map(|at| addresses.map(|from| Context { at: *at, from, shown: Shown::NotYet }))
            .collect();
        Self { calls, principals, contexts, server: ServerName::new("records").unwrap() }
    }

    pub(super) fn question<'a>(&'a self, dice: &mut Dice) -> (&'a Arc<Principal>, &'a Arc<Call>, Context) {
        // Most questions fail of something else than what an edit was about.
        let context = if dice.chance(60) { self.contexts[0] } else { *dice.one(&self.contexts) };
        (dice.one(&self.principals), dice.one(&self.calls), context)
    }

    /// The same caller, with a token for everything if it has one.
    pub(super) fn stepped_up(principal: &Arc<Principal>) -> Arc<Principal> {
        match principal.proof() {
            Proof::Token(_) => Arc::new(principal.as_ref().scoped(SCOPES)),
            Proof::ApiKey(_) | Proof::Certificate(_) | Proof::Anonymous => Arc::clone(principal),
        }
    }

    pub(super) fn allows(
        &self,
        policy: &PolicySet,
        (principal, call, context): (&Arc<Principal>, &Arc<Call>, Context),
    ) -> bool {
        policy.permit(principal, call, &self.server, context).is_ok()
    }
}

/// Arguments of which some meet every condition that does not ask for a claim that the caller does not have.
fn met() -> impl Iterator<Item = Value> {
    let all = ["n", "e", "c", "o", "l", "s"];
    (0..1 << all.len()).map(move |set: u32| {
        let chosen = all.iter().enumerate().filter(|(n, _)| set & 1 << n != 0);
        chosen.map(|(_, name)| ((*name).to_owned(), values(name)[0].clone())).collect::<Map<_, _>>().into()
    })
}
