//! A condition as written, compiled. A keyword that JSON Schema does not know would be ignored by it, and a condition
//! that nobody enforces is worse than none: so it is refused here.

use jsonschema::{Draft, PatternOptions};
use serde_json::{Map, Value};

use super::RuleId;
use super::condition::{ClaimRule, Condition, SqlRule};
use super::keywords::{Holds, KEYWORDS, TYPES};
use super::node::Node;
use super::sql_rule;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};

/// Compiles the condition on a tool's arguments; problems go to `found`.
pub(super) fn compile(
    file: &SourceFile,
    written: &Spanned<Node>,
    path: &str,
    found: &mut Diagnostics,
) -> Option<Condition> {
    let mut reader = Reader { file, found, claims: Vec::new(), sql: Vec::new(), sound: true };
    let schema = reader.schema(written, Place::Property { path: &[], required: true });
    let Reader { claims, sql, sound, found, .. } = reader;
    if !sound {
        return None;
    }
    let built = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex()) // linear time, whatever a caller sends
        .build(&schema);
    match built {
        Ok(schema) => {
            let rule = RuleId::at(file.name(), written.referenced.line, &format!("{path}.arguments"));
            Some(Condition { schema, claims, sql, written: written.value.value(), rule })
        }
        Err(error) => {
            let at = written.value.place(&error.instance_path().to_string()).unwrap_or(written.referenced);
            found.push(
                file.error(Code::InvalidSchema, at, format!("this is no JSON Schema: {error}"))
                    .help("see JSON Schema 2020-12"),
            );
            None
        }
    }
}

/// Where a schema stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// It is that of the arguments, or of a property of theirs: these names lead there.
    Property { path: &'a [Box<str>], required: bool },
    /// Elsewhere: it may not hold, or hold several times.
    Nested,
}

struct Reader<'a> {
    file: &'a SourceFile,
    found: &'a mut Diagnostics,
    claims: Vec<ClaimRule>,
    sql: Vec<SqlRule>,
    sound: bool,
}

impl Reader<'_> {
    /// A schema without what is ours.
    fn schema(&mut self, written: &Spanned<Node>, place: Place<'_>) -> Value {
        match &written.value {
            Node::Bool(value) => Value::Bool(*value),
            Node::Map(entries) => {
                let mut schema = Map::new();
                for (name, value) in entries {
                    let known = KEYWORDS.iter().find(|(keyword, _)| *keyword == name.value);
                    let Some((_, holds)) = known else {
                        let keywords = || KEYWORDS.iter().map(|(keyword, _)| *keyword);
                        let help = did_you_mean(&name.value, keywords());
                        let message = format!("{} is no keyword of JSON Schema 2020-12", quoted(&name.value));
                        self.refuse(
                            self.file
                                .error(Code::UnknownKeyword, name.referenced, message)
                                .help("the name of an argument stands under `properties:`; anything else would be enforced by nobody")
                                .maybe_help(help),
                        );
                        continue;
                    };
                    if name.value == "type" {
                        self.types(value);
                    }
                    if let Some(value) = self.keyword(*holds, value, entries, place) {
                        schema.insert(name.value.clone(), value);
                    }
                }
                Value::Object(schema)
            }
            _ => {
                let problem = self.file.error(
                    Code::InvalidSchema,
                    written.referenced,
                    "a schema is a mapping, `true` or `false`",
                );
                self.refuse(problem.help("write keywords of JSON Schema, such as `{ type: string }`"));
                Value::Bool(false)
            }
        }
    }

    /// What stands behind a keyword of the schema with these entries.
    fn keyword(
        &mut self,
        holds: Holds,
        value: &Spanned<Node>,
        entries: &[(Spanned<String>, Spanned<Node>)],
        place: Place<'_>,
    ) -> Option<Value> {
        match (holds, &value.value) {
            (Holds::Value, node) => Some(node.value()),
            (Holds::Schema, _) => Some(self.schema(value, Place::Nested)),
            (Holds::Schemas, Node::List(schemas)) => {
                Some(schemas.iter().map(|schema| self.schema(schema, Place::Nested)).collect())
            }
            (Holds::Named, Node::Map(named)) => {
                let schema =
                    |(name, schema): &(Spanned<String>, _)| (name.value.clone(), self.schema(schema, Place::Nested));
                Some(named.iter().map(schema).collect())
            }
            (Holds::Properties, Node::Map(named)) => {
                let listed = entries.iter().find(|(name, _)| name.value == "required");
                let listed: Vec<&str> = listed.map(|(_, list)| list.value.texts().collect()).unwrap_or_default();
                let property = |(name, schema): &(Spanned<String>, Spanned<Node>)| {
                    let schema = match place {
                        Place::Property { path, required } => {
                            let path = [path, &[Box::from(name.value.as_str())]].concat();
                            let required = required && listed.contains(&name.value.as_str());
                            self.schema(schema, Place::Property { path: &path, required })
                        }
                        Place::Nested => self.schema(schema, Place::Nested),
                    };
                    (name.value.clone(), schema)
                };
                Some(named.iter().map(property).collect())
            }
            (Holds::Claim, Node::Text(claim)) => {
                self.claim(claim, value, place);
                None
            }
            (Holds::Sql, _) => {
                self.sql(value, place);
                None
            }
            (Holds::Reference, Node::Text(reference)) if reference.starts_with('#') => Some(value.value.value()),
            (Holds::Reference, _) => {
                let problem =
                    self.file.error(Code::InvalidSchema, value.referenced, "a reference leads to this schema only");
                self.refuse(problem.help("write it as `#/$defs/NAME`"));
                None
            }
            (Holds::Schemas, _) => {
                self.expected(value, "a list of schemas", "such as `[{ type: string }, { minimum: 1 }]`")
            }
            (Holds::Named | Holds::Properties, _) => {
                self.expected(value, "a mapping of names to schemas", "such as `{ limit: { maximum: 100 } }`")
            }
            (Holds::Claim, _) => self.expected(value, "the name of a claim", "such as `claim: store_id`"),
        }
    }

    fn types(&mut self, written: &Spanned<Node>) {
        let listed: Vec<&Spanned<Node>> = match &written.value {
            Node::List(types) => types.iter().collect(),
            _ => vec![written],
        };
        for written in listed {
            if let Node::Text(name) = &written.value
                && !TYPES.contains(&name.as_str())
            {
                let help = did_you_mean(name, TYPES.iter().copied())
                    .unwrap_or_else(|| format!("there are {}", TYPES.join(", ")));
                self.refuse(
                    self.file
                        .error(Code::InvalidSchema, written.referenced, format!("{} is no type", quoted(name)))
                        .help(help),
                );
            }
        }
    }

    fn claim(&mut self, claim: &str, written: &Spanned<Node>, place: Place<'_>) {
        match place {
            Place::Property { path, required } if !path.is_empty() => {
                if !required {
                    let property = path.join(".");
                    self.found.push(
                        self.file
                            .warning(
                                Code::OptionalClaim,
                                written.referenced,
                                format!("a call without `{property}` meets this condition"),
                            )
                            .help(format!("add {} to `required`", quoted(&property))),
                    );
                }
                self.claims.push(ClaimRule { path: path.to_vec(), claim: claim.into(), required });
            }
            Place::Property { .. } | Place::Nested => self.misplaced(written, "claim"),
        }
    }

    fn sql(&mut self, written: &Spanned<Node>, place: Place<'_>) {
        match place {
            Place::Property { path, .. } if !path.is_empty() => {
                match sql_rule::compile(self.file, written, self.found) {
                    Some(allowed) => self.sql.push(SqlRule { path: path.to_vec(), allowed }),
                    None => self.sound = false,
                }
            }
            Place::Property { .. } | Place::Nested => self.misplaced(written, "sql"),
        }
    }

    fn misplaced(&mut self, written: &Spanned<Node>, keyword: &str) {
        let message = format!("`{keyword}` says nothing here");
        self.refuse(self.file.error(Code::MisplacedClaim, written.referenced, message).help(format!(
            "it stands under `properties: {{ NAME: {{ {keyword}: … }} }}`, and not inside of `anyOf` and the like"
        )));
    }

    fn expected(&mut self, value: &Spanned<Node>, what: &str, example: &str) -> Option<Value> {
        self.refuse(self.file.error(Code::InvalidSchema, value.referenced, format!("expected {what}")).help(example));
        None
    }

    fn refuse(&mut self, problem: Diagnostic) {
        self.sound = false;
        self.found.push(problem);
    }
}
