//! Conditions on arguments, before and now, keyword by keyword.
//!
//! A schema is all its keywords together, so one whose every keyword lets through no more lets through no more. That
//! holds where each keyword means the same by itself; those that depend on others are compared as a whole, and what
//! differs there cannot be said.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::Direction;

type Schema = Map<String, Value>;
type Details = Vec<(Direction, String)>;

/// How a keyword is compared.
#[derive(Clone, Copy)]
enum Compared {
    /// It says nothing about what is valid.
    Not,
    /// More of it lets through more: a maximum.
    Maximum,
    /// More of it lets through less: a minimum.
    Minimum,
    /// A list of what is valid.
    Allowlist,
    /// A list of what must be there.
    Demands,
    /// A schema of a part of the value.
    Part,
    /// `true` lets through less.
    Flag,
    /// The same, or nobody can say.
    Same,
}

const KEYWORDS: &[(&str, Compared)] = &[
    ("$comment", Compared::Not),
    ("$defs", Compared::Not),
    ("title", Compared::Not),
    ("description", Compared::Not),
    ("default", Compared::Not),
    ("examples", Compared::Not),
    ("deprecated", Compared::Not),
    ("maximum", Compared::Maximum),
    ("exclusiveMaximum", Compared::Maximum),
    ("maxLength", Compared::Maximum),
    ("maxItems", Compared::Maximum),
    ("maxProperties", Compared::Maximum),
    ("minimum", Compared::Minimum),
    ("exclusiveMinimum", Compared::Minimum),
    ("minLength", Compared::Minimum),
    ("minItems", Compared::Minimum),
    ("minProperties", Compared::Minimum),
    ("enum", Compared::Allowlist),
    ("required", Compared::Demands),
    ("propertyNames", Compared::Part),
    ("uniqueItems", Compared::Flag),
];

/// Keywords that mean something only together with others. If one of them is there, the whole group must be the same.
const GROUPS: &[(&str, &[&str])] = &[
    ("patternProperties", &["properties", "patternProperties", "additionalProperties"]),
    ("unevaluatedProperties", &["properties", "patternProperties", "additionalProperties", "unevaluatedProperties"]),
    ("prefixItems", &["prefixItems", "items"]),
    ("unevaluatedItems", &["prefixItems", "items", "contains", "unevaluatedItems"]),
    ("contains", &["contains", "minContains", "maxContains"]),
    ("if", &["if", "then", "else"]),
];
/// Those that have a comparison of their own.
const OWN: &[&str] = &["type", "properties", "additionalProperties", "items", "claim", "sql"];

/// What is different, each with its direction. What cannot be compared counts as wider.
pub(super) fn compare(old: &Value, new: &Value) -> Details {
    let mut comparison = Comparison { details: Details::new() };
    // What a reference leads to stands elsewhere, so no part means the same by itself.
    if old != new && [old, new].into_iter().any(has_references) {
        comparison.cannot_say("", "a condition with `$ref` is another one");
    } else {
        comparison.schemas("", old, new);
    }
    comparison.details
}

fn has_references(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.contains_key("$ref") || members.values().any(has_references),
        Value::Array(values) => values.iter().any(has_references),
        _ => false,
    }
}

struct Comparison {
    details: Details,
}

impl Comparison {
    fn schemas(&mut self, path: &str, old: &Value, new: &Value) {
        if old == new {
            return;
        }
        let empty = Schema::new();
        match (old, new) {
            (Value::Bool(false), _) => self.say(Direction::Widened, path, "nothing → something is allowed"),
            (_, Value::Bool(false)) => self.say(Direction::Narrowed, path, "nothing is allowed any more"),
            (Value::Object(old), Value::Object(new)) => self.keywords(path, old, new),
            (Value::Object(old), _) => self.keywords(path, old, &empty),
            (_, Value::Object(new)) => self.keywords(path, &empty, new),
            _ => {}
        }
    }

    fn keywords(&mut self, path: &str, old: &Schema, new: &Schema) {
        let mut grouped: BTreeSet<&str> = BTreeSet::new();
        for (by, group) in GROUPS.iter().filter(|(by, _)| old.contains_key(*by) || new.contains_key(*by)) {
            if group.iter().any(|keyword| old.get(*keyword) != new.get(*keyword)) {
                self.cannot_say(path, &format!("`{by}` and what belongs to it is another one"));
            }
            grouped.extend(*group);
        }
        let keywords: BTreeSet<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
        for keyword in keywords.into_iter().filter(|keyword| !grouped.contains(keyword) && !OWN.contains(keyword)) {
            let sides = [old.get(keyword), new.get(keyword)];
            if sides[0] != sides[1] {
                self.keyword(path, keyword, sides);
            }
        }
        if !grouped.contains("properties") {
            self.properties(path, old, new);
        }
        if !grouped.contains("items") {
            self.part(path, "items", [old.get("items"), new.get("items")]);
        }
        self.types(path, [old.get("type"), new.get("type")]);
        self.claim(path, [old.get("claim"), new.get("claim")]);
        self.sql(path, [old.get("sql"), new.get("sql")]);
    }

    fn keyword(&mut self, path: &str, keyword: &str, [old, new]: [Option<&Value>; 2]) {
        let compared = KEYWORDS.iter().find(|(name, _)| *name == keyword).map_or(Compared::Same, |(_, how)| *how);
        let direction = match compared {
            Compared::Not => return,
            Compared::Part => return self.part(path, keyword, [old, new]),
            Compared::Maximum => bound(old, new, Ordering::Less),
            Compared::Minimum => bound(old, new, Ordering::Greater),
            Compared::Allowlist => subset(old, new, Absent::Everything),
            Compared::Demands => subset(old, new, Absent::Nothing).map(reversed),
            Compared::Flag => match (old, new) {
                (_, Some(Value::Bool(true))) => Some(Direction::Narrowed),
                (Some(Value::Bool(true)), _) => Some(Direction::Widened),
                _ => return,
            },
            Compared::Same if old.is_none() => Some(Direction::Narrowed),
            Compared::Same if new.is_none() => Some(Direction::Widened),
            Compared::Same => None,
        };
        let text = format!("{keyword} {} → {}", shown(old), shown(new));
        match direction {
            Some(direction) => self.say(direction, path, &text),
            None => self.cannot_say(path, &text),
        }
    }

    /// A schema of a part; none lets everything through.
    fn part(&mut self, path: &str, keyword: &str, [old, new]: [Option<&Value>; 2]) {
        let any = Value::Bool(true);
        self.schemas(&join(path, keyword), old.unwrap_or(&any), new.unwrap_or(&any));
    }

    /// A property that only one side names is there anything that `additionalProperties` lets through.
    fn properties(&mut self, path: &str, old: &Schema, new: &Schema) {
        let listed =
            |schema: &'_ Schema| schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let others = |schema: &'_ Schema| schema.get("additionalProperties").cloned().unwrap_or(Value::Bool(true));
        let sides = [(listed(old), others(old)), (listed(new), others(new))];
        let names: BTreeSet<&String> = sides.iter().flat_map(|(known, _)| known.keys()).collect();
        let [(old, old_others), (new, new_others)] = &sides;
        for name in names {
            self.schemas(&join(path, name), old.get(name).unwrap_or(old_others), new.get(name).unwrap_or(new_others));
        }
        self.schemas(&join(path, "(any other)"), old_others, new_others);
    }

    fn types(&mut self, path: &str, [old, new]: [Option<&Value>; 2]) {
        if old == new {
            return;
        }
        let (before, now) = (types(old), types(new));
        let text = format!("type {} → {}", shown(old), shown(new));
        match (before.is_superset(&now), now.is_superset(&before)) {
            (true, true) => {}
            (true, false) => self.say(Direction::Narrowed, path, &text),
            (false, _) => self.say(Direction::Widened, path, &text),
        }
    }

    fn claim(&mut self, path: &str, [old, new]: [Option<&Value>; 2]) {
        match (old, new) {
            (old, new) if old == new => {}
            (None, Some(_)) => self.say(Direction::Narrowed, path, &format!("claim {}", shown(new))),
            (Some(_), None) => {
                self.say(Direction::Widened, path, &format!("claim {} → any value of the caller's choice", shown(old)));
            }
            _ => self.cannot_say(path, &format!("claim {} → {}", shown(old), shown(new))),
        }
    }

    fn sql(&mut self, path: &str, sides: [Option<&Value>; 2]) {
        let (old, new) = match sides {
            [old, new] if old == new => return,
            [None, _] => return self.say(Direction::Narrowed, path, "sql: a condition"),
            [_, None] => return self.say(Direction::Widened, path, "sql: a condition → any text"),
            [Some(old), Some(new)] => (old, new),
        };
        if old.get("dialect") != new.get("dialect") {
            let [old, new] = [old, new].map(|it| shown(it.get("dialect")));
            self.cannot_say(path, &format!("sql: dialect {old} → {new}"));
        }
        let select = Value::from(vec!["select"]);
        for (key, absent) in [("tables", None), ("statements", Some(&select)), ("functions", None)] {
            let [old, new] = [old, new].map(|it| it.get(key).or(absent));
            let text = format!("sql: {key} {} → {}", shown(old), shown(new));
            match subset(old, new, Absent::Nothing) {
                _ if old == new => {}
                Some(direction) => self.say(direction, path, &text),
                None => self.cannot_say(path, &text),
            }
        }
    }

    fn say(&mut self, direction: Direction, path: &str, text: &str) {
        let place = if path.is_empty() { "arguments".to_owned() } else { format!("arguments.{path}") };
        self.details.push((direction, format!("{place}: {text}")));
    }

    fn cannot_say(&mut self, path: &str, text: &str) {
        self.say(Direction::Widened, path, &format!("{text} (whether that is more or less cannot be said)"));
    }
}

/// What a list that is not there means.
#[derive(Clone, Copy)]
enum Absent {
    Nothing,
    Everything,
}

/// Whether a list lets through more or less; `None` if neither.
fn subset(old: Option<&Value>, new: Option<&Value>, absent: Absent) -> Option<Direction> {
    let list = |value: Option<&'_ Value>| value.map(|value| value.as_array().cloned().unwrap_or_default());
    match (list(old), list(new), absent) {
        (None, _, Absent::Everything) => Some(Direction::Narrowed),
        (_, None, Absent::Everything) => Some(Direction::Widened),
        (old, new, _) => {
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            let within = |a: &[Value], b: &[Value]| a.iter().all(|value| b.contains(value));
            match (within(&new, &old), within(&old, &new)) {
                (true, false) => Some(Direction::Narrowed),
                (false, true) => Some(Direction::Widened),
                // The same in another order.
                (true, true) => Some(Direction::Changed),
                (false, false) => None,
            }
        }
    }
}

/// Whether a bound lets through more or less: more, if the old one is to the new one as this says. None lets everything
/// through.
fn bound(old: Option<&Value>, new: Option<&Value>, wider: Ordering) -> Option<Direction> {
    let (Some(old), Some(new)) = (old, new) else {
        return Some(if new.is_none() { Direction::Widened } else { Direction::Narrowed });
    };
    Some(match order(old.as_number()?, new.as_number()?)? {
        Ordering::Equal => Direction::Changed,
        order if order == wider => Direction::Widened,
        Ordering::Less | Ordering::Greater => Direction::Narrowed,
    })
}

/// The order of two numbers, where it is sure: large whole ones would lose digits as floating-point ones.
fn order(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => match a.as_f64()?.partial_cmp(&b.as_f64()?)? {
            Ordering::Equal => None,
            order => Some(order),
        },
    }
}

/// What a list of demands does is the other way round.
fn reversed(direction: Direction) -> Direction {
    match direction {
        Direction::Widened => Direction::Narrowed,
        Direction::Narrowed => Direction::Widened,
        other => other,
    }
}

/// The types that a value may have; an integer is a number, too.
fn types(written: Option<&Value>) -> BTreeSet<&str> {
    let all = ["null", "boolean", "object", "array", "number", "integer", "string"];
    let named: BTreeSet<&str> = match written {
        None => all.into(),
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
    };
    let integer = named.contains("number").then_some("integer");
    named.into_iter().chain(integer).collect()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), Value::to_string)
}
