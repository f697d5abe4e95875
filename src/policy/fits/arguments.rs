//! Arguments that a condition names and the tool does not have: whatever it says of them, it says nothing of those that were
//! thought of.

use serde_json::{Map, Value};

use super::super::node::Node;
use super::{MAX_TOLD, listed};
use crate::diagnostic::{At, Code, Diagnostic, SourceFile, Spanned, did_you_mean, quoted};

/// Keywords by which more names may come than stand under `properties`, or others.
const OPEN: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "patternProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
    "dependencies",
];

/// What is told of a condition beside this schema of a tool, which stands at that place.
pub(super) fn check<'a>(
    file: &'a SourceFile,
    written: &'a Spanned<Node>,
    schema: &Value,
    (tool, place): (&'a str, &'a str),
) -> impl Iterator<Item = Diagnostic> {
    let mut reader = Reader { unknown: Vec::new() };
    reader.schema(&written.value, Some(schema), "");
    reader.unknown.into_iter().take(MAX_TOLD).map(move |Unknown { at, path, help }| {
        let message = format!("the tool {} has no argument {}", quoted(tool), quoted(&path));
        file.warning(Code::UnknownArgument, at, message).help(format!("{help}\nthe tool stands at {place}"))
    })
}

struct Unknown {
    at: At,
    path: String,
    help: String,
}

struct Reader {
    unknown: Vec<Unknown>,
}

impl Reader {
    fn schema(&mut self, here: &Node, there: Option<&Value>, path: &str) {
        if let Some(there) = there.and_then(Value::as_object) {
            self.object(here, there, path);
        }
    }

    fn object(&mut self, here: &Node, there: &Map<String, Value>, path: &str) {
        for (keyword, value) in here.entries() {
            match (keyword.value.as_str(), &value.value) {
                ("properties", Node::Map(properties)) => {
                    for (name, schema) in properties {
                        self.name(&name.value, name.referenced, there, path);
                        let known = there.get("properties").and_then(|known| known.get(&name.value));
                        self.schema(&schema.value, known, &join(path, &name.value));
                    }
                }
                ("required", list) => self.names(list, there, path),
                ("propertyNames", names) => names.get("enum").iter().for_each(|it| self.names(&it.value, there, path)),
                ("items", items) => self.schema(items, there.get("items"), &format!("{path}[]")),
                // These are about the same value.
                ("not" | "if" | "then" | "else", schema) => self.object(schema, there, path),
                ("allOf" | "anyOf" | "oneOf", schemas) => {
                    schemas.items().iter().for_each(|schema| self.object(&schema.value, there, path));
                }
                _ => {}
            }
        }
    }

    fn names(&mut self, list: &Node, there: &Map<String, Value>, path: &str) {
        for name in list.items() {
            if let Some(text) = name.value.text() {
                self.name(text, name.referenced, there, path);
            }
        }
    }

    fn name(&mut self, name: &str, at: At, there: &Map<String, Value>, path: &str) {
        let Some(known) = closed(there).filter(|known| !known.contains_key(name)) else {
            return;
        };
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| match names.as_slice() {
            [] => "it has none".to_owned(),
            names => format!("it has {}", listed(names)),
        });
        self.unknown.push(Unknown { at, path: join(path, name), help });
    }
}

/// All properties there are, where the schema names them. It need not forbid others: that is what most leave out.
fn closed(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let says_more = matches!(schema.get("additionalProperties"), Some(Value::Bool(true) | Value::Object(_)));
    let open = says_more || OPEN.iter().any(|keyword| schema.contains_key(*keyword));
    schema.get("properties")?.as_object().filter(|_| !open)
}

/// The name of a property of what has this name. That of the arguments themselves is empty, and no property's.
pub(super) fn join(path: &str, name: &str) -> String {
    let name = if name.is_empty() { "\"\"" } else { name };
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
