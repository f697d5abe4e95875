//! Whether any call can meet a condition, together with what the tool itself takes.
//!
//! It weighs only what is simple: types, values that are listed, bounds, required names. Whatever else a schema says could
//! make less possible, never more; so what is told to be impossible is. What a reference leads to nobody looks up.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use super::super::node::Node;
use super::arguments::join;
use super::range::BOUNDS;
use super::types::Types;
use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};

/// Keywords that make a schema more than it says by itself: no value is held against it.
const NOT_PLAIN: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "$id",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "dependentSchemas",
    "dependencies",
];

/// What is told of a condition, with the schema of the tool and where that stands, if it is pinned.
pub(super) fn check(
    file: &SourceFile,
    written: &Spanned<Node>,
    schema: Option<&Value>,
    place: Option<&str>,
) -> Diagnostics {
    let alone = judged(file, written, None, None);
    if schema.is_none() || alone.has_errors() { alone } else { judged(file, written, schema, place) }
}

fn judged(file: &SourceFile, written: &Spanned<Node>, schema: Option<&Value>, place: Option<&str>) -> Diagnostics {
    let mut judge = Judge { file, place, found: Diagnostics::new() };
    let value = written.value.value();
    let verdict = judge.schema(Pair { written, here: &value, there: schema, path: "" });
    let outcome = if verdict.left.is_empty() { Outcome::NoCall } else { Outcome::Otherwise };
    judge.tell(verdict.causes, outcome);
    judge.found
}

/// The same property, as the condition has it and as the tool has it.
#[derive(Clone, Copy)]
struct Pair<'a> {
    written: &'a Spanned<Node>,
    /// The same as a value.
    here: &'a Value,
    there: Option<&'a Value>,
    path: &'a str,
}

/// Which types can meet both sides, and why others cannot.
struct Verdict {
    left: Types,
    causes: Vec<Cause>,
}

/// Why nothing of these types meets both sides.
struct Cause {
    at: At,
    what: String,
    help: Option<String>,
    gone: Types,
}

/// What follows from a cause.
#[derive(Clone, Copy)]
enum Outcome<'a> {
    NoCall,
    /// A call can leave out what stands there.
    LeftOut(&'a str),
    /// Something of another type meets it.
    Otherwise,
}

struct Judge<'a> {
    file: &'a SourceFile,
    /// Where the tool stands.
    place: Option<&'a str>,
    found: Diagnostics,
}

impl Judge<'_> {
    fn schema(&mut self, pair: Pair<'_>) -> Verdict {
        let there = pair.there.and_then(Value::as_object).filter(|there| !there.contains_key("$ref"));
        let takes = there.map_or(Types::ALL, Types::of_schema);
        // Arguments are always an object.
        let takes = if pair.path.is_empty() { takes & Types::OBJECT } else { takes };
        let Some(here) = pair.here.as_object() else {
            // `false` forbids, which is what it is written for.
            let left = if pair.here == &Value::Bool(false) { Types::NONE } else { takes };
            return Verdict { left, causes: Vec::new() };
        };
        let pair = Pair { there: pair.there.filter(|_| there.is_some()), ..pair };
        let left = takes & Types::of_schema(here);
        if left.is_empty() {
            return Verdict { left, causes: vec![no_type(&pair, here, takes)] };
        }
        self.ineffective(&pair, left);
        if let Some(verdict) = self.values(&pair, left) {
            return verdict;
        }
        let mut verdict = Verdict { left, causes: Vec::new() };
        for bounds in BOUNDS.iter().filter(|bounds| left.touches(bounds.of)) {
            if let Some(empty) = bounds.empty(&pair.written.value, there, left) {
                let what = format!("{} would have to be {}", name(pair.path), empty.what);
                verdict.without(Cause { at: empty.at, what, help: None, gone: bounds.of });
            }
        }
        if left.touches(Types::OBJECT) {
            self.members(&pair, there, &mut verdict);
        }
        if left.touches(Types::ARRAY) {
            self.items(&pair, there, &mut verdict);
        }
        verdict
    }

    /// Keywords that say nothing, because what they are about is not among the types that are left.
    fn ineffective(&mut self, pair: &Pair<'_>, left: Types) {
        for (keyword, _) in pair.written.value.entries() {
            let about = Types::of_keyword(&keyword.value).filter(|about| !left.touches(*about));
            if let Some(about) = about {
                let (word, whole) = (quoted(&keyword.value), name(pair.path));
                let (is, about) = (left.words(), about.words());
                let message = format!("{word} says nothing here: it is about type {about}, and {whole} is {is}");
                let help = "it refuses nothing; write a keyword for this type, or delete it";
                self.found.push(
                    self.file.warning(Code::IneffectiveKeyword, keyword.referenced, message).help(self.compare(help)),
                );
            }
        }
    }

    /// What the values say that one side lists; `None` if none does.
    fn values(&mut self, pair: &Pair<'_>, left: Types) -> Option<Verdict> {
        let own = listed(pair.here);
        let values = own.or_else(|| listed(pair.there?))?;
        let (here, there) = (validator(pair.here), pair.there.and_then(validator));
        let meets =
            |validator: &Option<Validator>, value: &Value| validator.as_ref().is_none_or(|it| it.is_valid(value));
        let meets_both =
            |value: &&Value| left.touches(Types::of_value(value)) && meets(&here, value) && meets(&there, value);
        let sound = values.iter().filter(meets_both).map(Types::of_value).fold(Types::NONE, |all, one| all | one);
        let keyword = ["const", "enum"].into_iter().find_map(|keyword| pair.written.value.get(keyword));
        if sound.is_empty() {
            let (whose, at) = match (own, keyword) {
                (Some(_), Some(keyword)) => ("that are listed here", keyword.referenced),
                _ => ("that the tool takes", pair.written.referenced),
            };
            let what = format!("none of the values {whose} for {} meets all that is said of it", name(pair.path));
            let help = own.and_then(|own| Some((own.first()?.as_str()?, listed(pair.there?)?)));
            let help = help.and_then(|(one, known)| did_you_mean(one, known.iter().filter_map(Value::as_str)));
            return Some(Verdict { left: Types::NONE, causes: vec![Cause { at, what, help, gone: left }] });
        }
        for (value, written) in values.iter().zip(keyword.iter().flat_map(|list| list.value.items())) {
            if own.is_some() && !meets_both(&value) {
                let known = pair.there.and_then(listed).into_iter().flatten().filter_map(Value::as_str);
                let message = format!("{} can never be {}", name(pair.path), quoted(&value.to_string()));
                let help = self.compare("delete it");
                let help = value.as_str().and_then(|value| did_you_mean(value, known)).unwrap_or(help);
                self.found.push(self.file.warning(Code::UnusableArgument, written.referenced, message).help(help));
            }
        }
        Some(Verdict { left: sound, causes: Vec::new() })
    }

    /// Properties that must be there and may not, or cannot be as they must.
    fn members(&mut self, pair: &Pair<'_>, there: Option<&Map<String, Value>>, verdict: &mut Verdict) {
        let Some(here) = pair.here.as_object() else {
            return;
        };
        let written = &pair.written.value;
        let required = |schema: &Map<String, Value>, sought: &str| names(schema.get("required")).any(|it| it == sought);
        for entry in written.get("required").iter().flat_map(|list| list.value.items()) {
            let Some(sought) = entry.value.text() else {
                continue;
            };
            let known = there.filter(|there| forbids(there, sought).is_some()).map(|it| it.get("properties"));
            if let Some(known) = known {
                let known = known.and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str);
                let what = format!("the tool takes no {}", name(&join(pair.path, sought)));
                let help = did_you_mean(sought, known.filter(|known| *known != sought));
                verdict.without(Cause { at: entry.referenced, what, help, gone: Types::OBJECT });
            } else if forbids(here, sought).is_some() {
                let what = format!("{} is required and forbidden", name(&join(pair.path, sought)));
                verdict.without(Cause { at: entry.referenced, what, help: None, gone: Types::OBJECT });
            }
        }
        for sought in names(there.and_then(|there| there.get("required"))) {
            if let Some(keyword) = forbids(here, sought).filter(|_| !required(here, sought)) {
                let at = written.get(keyword).map_or(pair.written.referenced, |keyword| keyword.referenced);
                let at =
                    written.get("properties").and_then(|known| known.value.get(sought)).map_or(at, |it| it.referenced);
                let what = format!("the tool requires {}, which is forbidden here", name(&join(pair.path, sought)));
                verdict.without(Cause { at, what, help: None, gone: Types::OBJECT });
            }
        }
        let properties = written.get("properties").map(|it| it.value.entries()).unwrap_or_default();
        for (property, schema) in properties {
            let (sought, path) = (property.value.as_str(), join(pair.path, &property.value));
            let (Some(here_too), there_too) = (member(pair.here, sought), pair.there.and_then(|it| member(it, sought)))
            else {
                continue;
            };
            let inner = self.schema(Pair { written: schema, here: here_too, there: there_too, path: &path });
            let must = required(here, sought) || there.is_some_and(|there| required(there, sought));
            self.within((&path, inner), must.then_some(Types::OBJECT), verdict);
        }
    }

    fn items(&mut self, pair: &Pair<'_>, there: Option<&Map<String, Value>>, verdict: &mut Verdict) {
        let ordered = pair.here.get("prefixItems").is_some() || there.is_some_and(|it| it.contains_key("prefixItems"));
        let (Some(written), Some(here), false) = (pair.written.value.get("items"), pair.here.get("items"), ordered)
        else {
            return;
        };
        let path = format!("{}[]", pair.path);
        let inner = self.schema(Pair { written, here, there: there.and_then(|it| it.get("items")), path: &path });
        let least = |schema: &Value| schema.get("minItems").and_then(Value::as_f64).is_some_and(|least| least > 0.0);
        let must = least(pair.here) || pair.there.is_some_and(least);
        self.within((&path, inner), must.then_some(Types::ARRAY), verdict);
    }

    /// What follows for the whole from one part of it, which takes these types with it if it must be there.
    fn within(&mut self, (path, inner): (&str, Verdict), taken: Option<Types>, verdict: &mut Verdict) {
        match (inner.left.is_empty(), taken) {
            (true, Some(gone)) => inner.causes.into_iter().for_each(|cause| verdict.without(Cause { gone, ..cause })),
            (true, None) => self.tell(inner.causes, Outcome::LeftOut(path)),
            (false, _) => self.tell(inner.causes, Outcome::Otherwise),
        }
    }

    fn tell(&mut self, causes: Vec<Cause>, outcome: Outcome<'_>) {
        for Cause { at, what, help, gone } in causes {
            let help = self.compare(help.as_deref().unwrap_or("change this, or what it contradicts"));
            let problem = match outcome {
                Outcome::NoCall => {
                    let message = format!("{what}: no call can meet this");
                    // A tool that its server changes must not keep the gate from starting.
                    let tell = if self.place.is_none() { SourceFile::error } else { SourceFile::warning };
                    tell(self.file, Code::ImpossibleCondition, at, message)
                }
                Outcome::LeftOut(part) => {
                    let message = format!("{what}: a call can only leave out {}", quoted(part));
                    self.file.warning(Code::UnusableArgument, at, message)
                }
                Outcome::Otherwise => {
                    let message = format!("{what}: no {} can meet this", gone.words());
                    self.file.warning(Code::UnusableArgument, at, message)
                }
            };
            self.found.push(problem.help(help));
        }
    }

    /// The way out, and where the tool stands.
    fn compare(&self, help: &str) -> String {
        self.place.map_or_else(|| help.to_owned(), |place| format!("{help}\nthe tool stands at {place}"))
    }
}

impl Verdict {
    fn without(&mut self, cause: Cause) {
        self.left = self.left.without(cause.gone);
        self.causes.push(cause);
    }
}

/// No type meets both sides.
fn no_type(pair: &Pair<'_>, here: &Map<String, Value>, takes: Types) -> Cause {
    let own = Types::of_schema(here);
    let keyword = ["sql", "claim", "type"].into_iter().find_map(|keyword| pair.written.value.get(keyword));
    let what = if own.is_empty() {
        format!("{} cannot be of this type and what `sql` or `claim` asks for", name(pair.path))
    } else {
        format!("{} would have to be {} here and {} in the tool", name(pair.path), own.words(), takes.words())
    };
    Cause { at: keyword.map_or(pair.written.referenced, |it| it.referenced), what, help: None, gone: own | takes }
}

/// The only values that a schema leaves.
fn listed(schema: &Value) -> Option<&[Value]> {
    let only = schema.get("const").map(std::slice::from_ref);
    only.or_else(|| schema.get("enum").and_then(Value::as_array).map(Vec::as_slice))
}

/// To hold values against a schema that says all by itself.
fn validator(schema: &Value) -> Option<Validator> {
    let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(PatternOptions::regex());
    plain(schema).then(|| options.build(schema).ok()).flatten()
}

fn plain(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.iter().all(|(keyword, value)| !NOT_PLAIN.contains(&keyword.as_str()) && plain(value))
        }
        Value::Array(values) => values.iter().all(plain),
        _ => true,
    }
}

/// The keyword by which an object may not have this property.
fn forbids(schema: &Map<String, Value>, property: &str) -> Option<&'static str> {
    let no = Some(&Value::Bool(false));
    let said = schema.get("properties").and_then(|all| all.get(property));
    let others = schema.get("additionalProperties");
    let among = schema.get("propertyNames").and_then(|names| names.get("enum")).and_then(Value::as_array);
    if said == no {
        Some("properties")
    } else if said.is_none() && others == no && !schema.contains_key("patternProperties") {
        Some("additionalProperties")
    } else if among.is_some_and(|among| among.iter().all(|one| one.as_str() != Some(property))) {
        Some("propertyNames")
    } else {
        None
    }
}

fn member<'a>(schema: &'a Value, property: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(property)
}

/// The names in a list of them.
fn names(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// What a property is called, or all of them.
fn name(path: &str) -> String {
    if path.is_empty() { "the object of arguments".to_owned() } else { quoted(path) }
}
