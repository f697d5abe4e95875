//! What holds of every policy, tried on random ones.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::{Change, Context, Effect, PolicyFile, PolicySet, Query, RolesElsewhere, Shown, compile};
use crate::diagnostic::SourceFile;
use crate::identity::Principal;
use crate::json::Bounds;
use crate::mcp::{self, Call, Method, ServerName, Target};

const TOOLS: &[&str] = &["a", "ab", "abc", "b", "get_x", "x y", "*", "a*", "*b", "a*c", "get_*"];
const ASKED: &[&str] = &["a", "ab", "abc", "abxc", "b", "xb", "get_x", "get_y", "x y", "a b", "zzz"];
const PROMPTS: &[&str] = &["p", "q", "p*", "*"];
const RESOURCES: &[&str] = &["r://1", "r://*", "*"];
const METHODS: &[&str] = &["logging/setLevel", "subscriptions/listen", "*"];
const ROLES: &[&str] = &["r0", "r1", "r2", "r3", "anonymous"];

/// Each of these can be met by some arguments of `arguments`, alone and together.
fn properties() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (
            "n",
            vec![
                json!({ "maximum": 10 }),
                json!({ "maximum": 100 }),
                json!({ "maximum": 100, "minimum": 0 }),
                json!({ "minimum": -5 }),
                json!({ "minimum": 1 }),
            ],
        ),
        ("n", vec![json!({ "type": "integer" }), json!({ "type": "number", "exclusiveMaximum": 50.5 })]),
        ("e", vec![json!({ "enum": ["x"] }), json!({ "enum": ["x", "y"] }), json!({ "const": "x" })]),
        ("e", vec![json!({ "pattern": "^x" }), json!({ "maxLength": 3 }), json!({ "not": { "const": "y" } })]),
        (
            "c",
            vec![
                json!({ "claim": "store" }),
                json!({ "claim": "store", "type": "string" }),
                json!({ "claim": "other" }),
            ],
        ),
        ("o", vec![json!({ "properties": { "k": { "maximum": 5 } }, "additionalProperties": false })]),
        (
            "o",
            vec![json!({ "required": ["k"], "maxProperties": 2 }), json!({ "propertyNames": { "enum": ["k", "l"] } })],
        ),
        ("l", vec![json!({ "items": { "maximum": 3 }, "maxItems": 2 }), json!({ "items": { "maximum": 9 } })]),
        (
            "s",
            vec![
                json!({ "sql": { "tables": ["t"] } }),
                json!({ "sql": { "tables": ["t", "u"] } }),
                json!({ "sql": { "tables": ["t", "u"] } }),
            ],
        ),
        ("s", vec![json!({ "sql": { "tables": ["t"], "statements": ["select", "delete"] } })]),
    ]
}

/// Values that calls have for a property; the first meets every condition on it.
fn values(property: &str) -> Vec<Value> {
    match property {
        "n" => vec![json!(5), json!(-1), json!(50), json!(50.25), json!(99), json!(1000), json!("5")],
        "e" => vec![json!("x"), json!("y"), json!("xyzz"), json!(1)],
        "c" => vec![json!("1"), json!("2"), json!(1)],
        "o" => {
            vec![json!({ "k": 1 }), json!({}), json!({ "k": 9 }), json!({ "l": 1 }), json!({ "k": 1, "m": 1, "n": 1 })]
        }
        "l" => vec![json!([1]), json!([5]), json!([1, 1, 1]), json!([20])],
        _ => vec![json!("SELECT 1 FROM t"), json!("SELECT 1 FROM u"), json!("DELETE FROM t"), json!("DROP TABLE t")],
    }
}

/// A policy as a reviewer would see it, and how it is changed.
#[derive(Clone)]
struct Draft {
    files: Vec<Value>,
}

struct Dice(StdRng);

impl Dice {
    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn one<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        from.choose(&mut self.0).unwrap()
    }

    fn some(&mut self, from: &[&str]) -> Value {
        let count = self.0.random_range(1..=from.len().min(3));
        from.choose_multiple(&mut self.0, count).copied().collect()
    }

    fn targets(&mut self) -> Map<String, Value> {
        let mut targets = Map::new();
        for (kind, names, percent) in
            [("tools", TOOLS, 90), ("prompts", PROMPTS, 20), ("resources", RESOURCES, 20), ("methods", METHODS, 10)]
        {
            if self.chance(percent) {
                targets.insert(kind.to_owned(), self.some(names));
            }
        }
        if targets.is_empty() {
            targets.insert("tools".to_owned(), self.some(TOOLS));
        }
        targets
    }

    fn restrict(&mut self, entry: &mut Map<String, Value>) {
        if self.chance(15) {
            let windows = [
                json!({ "until": "1970-01-03" }),
                json!({ "until": "1970-01-05" }),
                json!({ "days": ["thu", "fri"], "from": "08:00", "to": "18:00" }),
                json!({ "days": ["fri"], "from": "09:00", "to": "17:00" }),
                json!({ "from": "22:00", "to": "06:00", "zone": "Europe/Berlin" }),
                json!({ "from": "22:00", "to": "06:00", "zone": "America/New_York" }),
                json!({ "after": "1970-01-02" }),
            ];
            let count = self.0.random_range(1..=2);
            entry.insert("when".to_owned(), windows.choose_multiple(&mut self.0, count).cloned().collect());
        }
        if self.chance(15) {
            entry.insert("networks".to_owned(), self.some(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "fd00::/8"]));
        }
        if self.chance(8) {
            entry.insert("mode".to_owned(), json!("shadow"));
        }
    }

    fn arguments(&mut self) -> Value {
        let all = properties();
        let mut named = Map::new();
        for _ in 0..self.0.random_range(1..=3) {
            let (name, conditions) = self.one(&all);
            named.insert((*name).to_owned(), self.one(conditions).clone());
        }
        let required: Vec<_> = named.keys().filter(|_| self.0.random_bool(0.5)).cloned().collect();
        let mut schema = json!({ "properties": named });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if self.chance(15) {
            schema["additionalProperties"] = json!(false);
        }
        if self.chance(5) {
            schema["anyOf"] = json!([{ "required": ["n"] }, { "properties": { "n": true } }]);
        }
        schema
    }

    fn tool(&mut self) -> Value {
        let mut tool = Map::new();
        if self.chance(70) {
            tool.insert("arguments".to_owned(), self.arguments());
        }
        self.restrict(&mut tool);
        tool.insert("timeout".to_owned(), json!("5s"));
        Value::Object(tool)
    }

    fn role(&mut self, index: usize) -> Value {
        let mut role = if self.chance(90) { self.targets() } else { Map::new() };
        let below = ROLES.get(..index).unwrap_or_default();
        if !below.is_empty() && (role.is_empty() || self.chance(50)) {
            role.insert("inherits".to_owned(), self.some(below));
        }
        if role.is_empty() || self.chance(20) {
            role.insert("deny".to_owned(), Value::Object(self.targets()));
        }
        self.restrict(&mut role);
        Value::Object(role)
    }

    /// The first file has the roles and the tools.
    fn file(&mut self, index: usize) -> Value {
        let mut file = Map::new();
        if self.chance(10) {
            file.insert("mode".to_owned(), json!("shadow"));
        }
        if self.chance(20) {
            file.insert("deny".to_owned(), Value::Object(self.targets()));
        }
        if self.chance(15) {
            file.insert("allowed_tools".to_owned(), self.some(TOOLS));
        }
        if index == 0 {
            let count = self.0.random_range(1..=ROLES.len());
            let roles = (0..count).map(|index| (ROLES[index].to_owned(), self.role(index))).collect();
            file.insert("roles".to_owned(), Value::Object(roles));
            let names = ["a", "ab", "b", "get_x", "*"].choose_multiple(&mut self.0, 2).copied().collect::<Vec<_>>();
            let tools = names.iter().map(|name| ((*name).to_owned(), self.tool())).collect();
            file.insert("tools".to_owned(), Value::Object(tools));
        } else if file.is_empty() {
            file.insert("allowed_tools".to_owned(), self.some(TOOLS));
        }
        Value::Object(file)
    }

    fn draft(&mut self) -> Draft {
        let mut files = vec![self.file(0)];
        if self.chance(30) {
            files.push(self.file(1));
        }
        Draft { files }
    }

    /// One edit: another role, tool, condition, list or key, or one less.
    fn edit(&mut self, draft: &mut Draft) {
        let index = self.0.random_range(0..draft.files.len());
        let file = draft.files[index].as_object_mut().unwrap();
        match self.0.random_range(0..6) {
            0 => {
                let fresh = self.file(index);
                let key = *self.one(&["mode", "deny", "allowed_tools"]);
                match fresh.get(key) {
                    Some(value) => file.insert(key.to_owned(), value.clone()),
                    None if file.len() > 1 => file.remove(key),
                    None => None,
                };
            }
            1 | 2 => {
                let Some(roles) = file.get_mut("roles").and_then(Value::as_object_mut) else { return };
                let place = self.0.random_range(0..roles.len());
                let fresh = self.role(place);
                let role = roles.get_mut(ROLES[place]).and_then(Value::as_object_mut).unwrap();
                let key = *self.one(&["tools", "deny", "inherits", "when", "networks", "mode"]);
                match fresh.get(key) {
                    Some(value) => role.insert(key.to_owned(), value.clone()),
                    None if role.keys().any(|it| it != key && ["tools", "inherits", "deny"].contains(&it.as_str())) => {
                        role.remove(key)
                    }
                    None => None,
                };
            }
            _ => {
                let Some(tools) = file.get_mut("tools").and_then(Value::as_object_mut) else { return };
                let name = tools.keys().nth(self.0.random_range(0..tools.len())).unwrap().clone();
                if tools.len() > 1 && self.chance(10) {
                    tools.remove(&name);
                    return;
                }
                let fresh = self.tool();
                let tool = tools.get_mut(&name).and_then(Value::as_object_mut).unwrap();
                let key = *self.one(&["arguments", "arguments", "when", "networks", "mode"]);
                match (fresh.get(key), tool.get_mut(key).and_then(Value::as_object_mut)) {
                    // A small edit of a condition rather than another one.
                    (Some(Value::Object(new)), Some(old)) if self.chance(60) => {
                        if let (Some(new), Some(old)) = (new.get("properties"), old.get_mut("properties")) {
                            let (name, value) = new.as_object().unwrap().iter().next().unwrap();
                            old.as_object_mut().unwrap().insert(name.clone(), value.clone());
                        }
                    }
                    (Some(value), _) => drop(tool.insert(key.to_owned(), value.clone())),
                    (None, _) => drop(tool.remove(key)),
                }
            }
        }
    }

    /// The same rules in another order.
    fn shuffled(&mut self, value: &Value) -> Value {
        match value {
            Value::Array(values) => {
                let mut values: Vec<_> = values.iter().map(|value| self.shuffled(value)).collect();
                values.shuffle(&mut self.0);
                Value::Array(values)
            }
            Value::Object(members) => {
                let mut members: Vec<_> =
                    members.iter().map(|(name, value)| (name.clone(), self.shuffled(value))).collect();
                members.shuffle(&mut self.0);
                Value::Object(members.into_iter().collect())
            }
            other => other.clone(),
        }
    }
}

impl Draft {
    /// The policy, if it has no errors.
    fn compile(&self) -> Option<PolicySet> {
        let read = |(n, file): (usize, &Value)| {
            let text = file.to_string();
            let written = serde_yaml::from_str(&text).unwrap();
            PolicyFile::new(SourceFile::new(&format!("p/{n}.yaml"), &text), written)
        };
        let files: Vec<_> = self.files.iter().enumerate().map(read).collect();
        let compiled = compile(&files, &[ServerName::new("records").unwrap()], RolesElsewhere::None, Arc::from("test"));
        compiled.ok().map(|compiled| compiled.policy)
    }
}

/// Who asks for what, when and where.
struct World {
    calls: Vec<Arc<Call>>,
    principals: Vec<Arc<Principal>>,
    contexts: Vec<Context>,
    server: ServerName,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
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
            let principal = if dice.chance(70) { principal.claiming("store", "1") } else { principal };
            principals.push(Arc::new(if dice.chance(30) { principal.claiming("other", "1") } else { principal }));
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

    fn question<'a>(&'a self, dice: &mut Dice) -> (&'a Arc<Principal>, &'a Arc<Call>, Context) {
        // Most questions fail of something else than what an edit was about.
        let context = if dice.chance(60) { self.contexts[0] } else { *dice.one(&self.contexts) };
        (dice.one(&self.principals), dice.one(&self.calls), context)
    }

    fn allows(&self, policy: &PolicySet, (principal, call, context): (&Arc<Principal>, &Arc<Call>, Context)) -> bool {
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

fn dice() -> Dice {
    Dice(StdRng::seed_from_u64(0x7011_6a7e))
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
    try_pairs(100_000, dice());
}

#[test]
#[ignore = "takes an hour: cargo test --release --lib properties -- --ignored"]
fn whoever_gains_a_call_is_told_to_the_reviewer_however_long_one_looks() {
    try_pairs(5_000_000, Dice(StdRng::from_os_rng()));
}

fn try_pairs(pairs: usize, mut dice: Dice) {
    const FAMILY: usize = 20;
    let world = World::new(&mut dice);
    let (mut tried, mut safe, mut wider) = (0, 0, 0);
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
            }
            assert_eq!(old.diff(old), [], "{:#?}", before.files);
        }
    }
    // Whatever is always told says nothing.
    assert!(safe * 10 > tried && wider * 10 > tried, "{safe} of {tried} do not widen");
}

#[test]
fn what_is_listed_can_be_called_and_nothing_else_can() {
    let mut dice = dice();
    let world = World::new(&mut dice);
    for _ in 0..400 {
        let draft = dice.draft();
        let Some(policy) = draft.compile() else { continue };
        for _ in 0..20 {
            let (principal, call, context) = world.question(&mut dice);
            let Target::Tool(name) = call.target() else { continue };
            let (server, method) = (&world.server, Method::ToolsCall);
            let query = Query { principal, server, method, target: Target::Tool(name), context };
            let listed = policy.decide(&query).effect == Effect::Allow;
            let mut calls = world.calls.iter().filter(|call| call.target().name() == Some(name));
            let callable = calls.any(|call| world.allows(&policy, (principal, call, context)));
            assert_eq!(listed, callable, "{name} for {principal:?} at {context:?}\n{:#?}", draft.files);
        }
    }
}

#[test]
fn the_order_of_rules_decides_nothing() {
    let mut dice = dice();
    let world = World::new(&mut dice);
    for _ in 0..800 {
        let draft = dice.draft();
        let Some(policy) = draft.compile() else { continue };
        let mut other = Draft { files: draft.files.iter().map(|file| dice.shuffled(file)).collect() };
        other.files.reverse();
        let shuffled = other.compile().expect("it was a policy before");
        for _ in 0..40 {
            let question = world.question(&mut dice);
            let both = [&policy, &shuffled].map(|policy| world.allows(policy, question));
            assert_eq!(both[0], both[1], "{question:?}\n{:#?}\n{:#?}", draft.files, other.files);
        }
    }
}

#[test]
fn a_denial_wins() {
    let mut dice = dice();
    let world = World::new(&mut dice);
    for _ in 0..800 {
        let draft = dice.draft();
        let (principal, call, context) = world.question(&mut dice);
        let Target::Tool(name) = call.target() else { continue };
        let mut denying = draft.clone();
        denying.files.push(json!({ "deny": { "tools": [name] } }));
        let (Some(policy), Some(denying)) = (draft.compile(), denying.compile()) else { continue };
        assert!(!world.allows(&denying, (principal, call, context)), "{:#?}", draft.files);
        assert!(!widens(&policy.diff(&denying)), "{:#?}", draft.files);
    }
}
