//! Random policies.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde_json::{Map, Value, json};

use crate::diagnostic::SourceFile;
use crate::mcp::ServerName;
use crate::policy::{PolicyFile, PolicySet, RolesElsewhere, compile};

const TOOLS: &[&str] = &["a", "ab", "abc", "b", "get_x", "x y", "*", "a*", "*b", "a*c", "get_*"];
const PROMPTS: &[&str] = &["p", "q", "p*", "*"];
const RESOURCES: &[&str] = &["r://1", "r://*", "*"];
const METHODS: &[&str] = &["logging/setLevel", "subscriptions/listen", "*"];
pub(super) const SCOPES: &[&str] = &["s:r", "s:w", "s:x"];
pub(super) const ROLES: &[&str] = &["r0", "r1", "r2", "r3", "anonymous"];

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
pub(super) fn values(property: &str) -> Vec<Value> {
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
pub(super) struct Draft {
    pub(super) files: Vec<Value>,
}

pub(super) struct Dice(pub(super) StdRng);

impl Dice {
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(super) fn one<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        from.choose(&mut self.0).unwrap()
    }

    pub(super) fn some(&mut self, from: &[&str]) -> Value {
        let count = self.0.random_range(1..=from.len().min(3));
        from.choose_multiple(&mut self.0, count).copied().collect()
    }

    pub(super) fn targets(&mut self) -> Map<String, Value> {
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

    pub(super) fn restrict(&mut self, entry: &mut Map<String, Value>) {
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

    pub(super) fn arguments(&mut self) -> Value {
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

    /// Limits that few calls reach, counted per these.
    fn limits(&mut self, per: [&str; 2]) -> Value {
        let most = [
            json!({ "calls": 4, "every": "1s" }),
            json!({ "calls": 4, "every": "5s" }),
            json!({ "calls": 2, "every": "1s" }),
            json!({ "calls": 4, "every": "4s", "burst": 1 }),
            json!({ "calls": 4, "every": "4s", "burst": 2 }),
            json!({ "calls": 8, "every": "10s", "burst": 2 }),
            json!({ "bytes": 100, "every": "1s" }),
            json!({ "bytes": 500, "every": "5s" }),
            json!({ "bytes": 50, "every": "5s" }),
            json!({ "cost": 6, "every": "1s" }),
            json!({ "cost": 12, "every": "5s" }),
            json!({ "cost": 2, "every": "1s" }),
            json!({ "in_flight": 1 }),
            json!({ "in_flight": 2 }),
        ];
        let count = self.0.random_range(1..=2);
        let limits: Vec<_> = most.choose_multiple(&mut self.0, count).cloned().collect();
        let counted = limits.into_iter().map(|mut limit| {
            limit["per"] = json!(self.one(&per));
            limit
        });
        counted.collect()
    }

    pub(super) fn tool(&mut self) -> Value {
        let mut tool = Map::new();
        if self.chance(30) {
            tool.insert("limits".to_owned(), self.limits(["principal", "tool"]));
        }
        if self.chance(30) {
            tool.insert("cost".to_owned(), json!(self.0.random_range(1..=3)));
        }
        if self.chance(70) {
            tool.insert("arguments".to_owned(), self.arguments());
        }
        if self.chance(20) {
            tool.insert("scopes".to_owned(), self.some(SCOPES));
        }
        if self.chance(20) {
            tool.insert("redact".to_owned(), self.redact());
        }
        if self.chance(10) {
            let per = *self.one(&["principal", "everyone"]);
            tool.insert("cache".to_owned(), json!({ "for": *self.one(&["5m", "1h"]), "per": per }));
        }
        self.restrict(&mut tool);
        tool.insert("timeout".to_owned(), json!("5s"));
        // Nothing is allowed or refused by it.
        if tool.contains_key("cost") {
            tool.insert("idempotent".to_owned(), json!(true));
        } else if tool.contains_key("redact") {
            tool.insert("idempotency_key".to_owned(), json!("com.example/key"));
        }
        Value::Object(tool)
    }

    /// Of what calls hold (see [`values`]), beside the first of each.
    pub(super) fn redact(&mut self) -> Value {
        let then = *self.one(&["alert", "mask", "block", "block"]);
        let entries = [
            json!({ "pattern": "zz", "name": "own", "then": then }),
            json!({ "pattern": "FROM u", "name": "sql", "in": "arguments", "then": then }),
            json!({ "find": ["email", "card"], "in": *self.one(&["arguments", "results"]), "then": then }),
        ];
        let count = self.0.random_range(1..=2);
        entries.choose_multiple(&mut self.0, count).cloned().collect()
    }

    pub(super) fn role(&mut self, index: usize) -> Value {
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
    pub(super) fn file(&mut self, index: usize) -> Value {
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
        if self.chance(25) {
            file.insert("limits".to_owned(), self.limits(["principal", "server"]));
        }
        if self.chance(10) {
            file.insert("redact".to_owned(), self.redact());
        }
        if index == 0 && self.chance(25) {
            let headers = [
                json!({ "x-store": { "claim": "store" } }),
                json!({ "x-store": { "claim": "store", "optional": true } }),
                json!({ "x-store": { "claim": "other" } }),
                json!({ "x-other": { "claim": "other" }, "x-roles": { "principal": "roles" } }),
            ];
            file.insert("upstream_headers".to_owned(), self.one(&headers).clone());
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

    pub(super) fn draft(&mut self) -> Draft {
        let mut files = vec![self.file(0)];
        if self.chance(30) {
            files.push(self.file(1));
        }
        Draft { files }
    }

    /// One edit: another role, tool, condition, list or key, or one less.
    pub(super) fn edit(&mut self, draft: &mut Draft) {
        let index = self.0.random_range(0..draft.files.len());
        let file = draft.files[index].as_object_mut().unwrap();
        match self.0.random_range(0..6) {
            0 => {
                let fresh = self.file(index);
                let key = *self.one(&["mode", "deny", "allowed_tools", "upstream_headers", "limits", "redact"]);
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
                let key = *self.one(&[
                    "arguments",
                    "arguments",
                    "scopes",
                    "when",
                    "networks",
                    "mode",
                    "limits",
                    "limits",
                    "cost",
                    "redact",
                    "cache",
                ]);
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
    pub(super) fn shuffled(&mut self, value: &Value) -> Value {
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
    pub(super) fn compile(&self) -> Option<PolicySet> {
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
