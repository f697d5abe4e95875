//! `sql:` as written: what the SQL text in a property may do. What that means is in [`crate::sql`].

use serde_json::{Value, json};

use super::node::Node;
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::sql::{Allowed, Dialect, FunctionName, StatementKind, TableName};

const KEYS: &[&str] = &["tables", "statements", "functions", "dialect"];
const EXAMPLE: &str = "write `sql: { tables: [orders], statements: [select] }`";
const DIALECTS: &[(&str, Dialect)] = &[("postgresql", Dialect::PostgreSql), ("sqlite", Dialect::Sqlite)];
const STATEMENTS: &[(&str, StatementKind)] = &[
    ("select", StatementKind::Select),
    ("insert", StatementKind::Insert),
    ("update", StatementKind::Update),
    ("delete", StatementKind::Delete),
];

/// What may be done; `None` if something is wrong, which goes to `found`.
pub(super) fn compile(file: &SourceFile, written: &Spanned<Node>, found: &mut Diagnostics) -> Option<Allowed> {
    let mut reader = Reader { file, found, sound: true };
    let Node::Map(entries) = &written.value else {
        reader.wrong(written, "expected what the SQL text may do", EXAMPLE);
        return None;
    };
    for (name, _) in entries.iter().filter(|(name, _)| !KEYS.contains(&name.value.as_str())) {
        let help = did_you_mean(&name.value, KEYS.iter().copied()).unwrap_or_else(|| EXAMPLE.to_owned());
        let message = format!("{} means nothing under `sql`", quoted(&name.value));
        reader.sound = false;
        reader.found.push(file.error(Code::UnknownKey, name.referenced, message).help(help));
    }
    let entry = |key: &str| entries.iter().find(|(name, _)| name.value == key).map(|(_, value)| value);
    let named = "up to three words, such as `orders` or `shop.orders`; \"quoted\" ones are taken exactly";
    let tables = entry("tables").map(|list| reader.list(list, "a table", named, TableName::new));
    let statements = entry("statements").map(|list| {
        reader.list(list, "a kind of statement", "there are select, insert, update and delete", |text| {
            known(STATEMENTS, text)
        })
    });
    let functions = entry("functions").map(|list| reader.list(list, "a function", named, FunctionName::new));
    let dialect = match entry("dialect") {
        None => Dialect::default(),
        Some(written) => match &written.value {
            Node::Text(name) if known(DIALECTS, name).is_some() => known(DIALECTS, name).unwrap_or_default(),
            _ => {
                reader.wrong(
                    written,
                    "this is no dialect of SQL that is known here",
                    "there are postgresql and sqlite",
                );
                Dialect::default()
            }
        },
    };
    let Some(tables) = tables else {
        reader.wrong(written, "nothing says over which tables", EXAMPLE);
        return None;
    };
    let allowed = Allowed::select_from(dialect, &tables).functions(&functions.unwrap_or_default());
    let allowed = if let Some(statements) = statements { allowed.statements(&statements) } else { allowed };
    reader.sound.then_some(allowed)
}

/// What may be written, for editors.
pub(super) fn form() -> Value {
    let words = |all: Vec<&str>| json!({ "type": "string", "enum": all });
    let list = |entry: Value, description: &str| {
        json!({
            "description": description,
            "type": "array",
            "items": entry,
            "minItems": 1,
        })
    };
    let name = || json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "tables": list(name(), "The tables it may name. A schema is part of a name: `public.orders` is not `orders`."),
            "statements": list(words(names(STATEMENTS)), "What it may be. `select` if not said."),
            "functions": list(name(), "Functions it may call beside the built-in ones that only compute a value."),
            "dialect": { "description": "Whose SQL it is. `postgresql` if not said.", "type": "string", "enum": names(DIALECTS) },
        },
        "required": ["tables"],
        "additionalProperties": false,
        "examples": [{ "tables": ["orders"], "statements": ["select"] }],
    })
}

fn names<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
    all.iter().map(|(name, _)| *name).collect()
}

fn known<T: Copy>(all: &[(&str, T)], name: &str) -> Option<T> {
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

struct Reader<'a> {
    file: &'a SourceFile,
    found: &'a mut Diagnostics,
    sound: bool,
}

impl Reader<'_> {
    /// All that can be read of a list of names; the others are told.
    fn list<T>(&mut self, written: &Spanned<Node>, what: &str, help: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Node::List(values) = &written.value else {
            self.wrong(written, "expected a list", EXAMPLE);
            return Vec::new();
        };
        if values.is_empty() {
            self.sound = false;
            let problem = self.file.error(Code::EmptyList, written.referenced, "the list is empty");
            self.found.push(problem.help("an empty list allows nothing; name what is allowed"));
        }
        let mut names = Vec::new();
        for value in values {
            match &value.value {
                Node::Text(text) => match read(text) {
                    Some(name) => names.push(name),
                    None => self.wrong(value, &format!("{} is not {what}", quoted(text)), help),
                },
                _ => self.wrong(value, &format!("expected {what}"), help),
            }
        }
        names
    }

    fn wrong(&mut self, written: &Spanned<Node>, message: &str, help: &str) {
        self.sound = false;
        self.found.push(self.file.error(Code::InvalidSql, written.referenced, message).help(help));
    }
}
