//! Names of tables and functions: as a policy writes them, and as a database folds them. Not for columns: a policy
//! that allows a table allows its columns.

use std::collections::BTreeSet;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::{Dialect, Refused};

/// PostgreSQL cuts names after so many bytes (NAMEDATALEN - 1; documentation, 4.1.1), so that longer ones can mean
/// what they do not say.
pub(super) const MAX_NAME: usize = 63;

/// A table, as in `orders`, `shop.orders`, `"Orders"`. One without schema is not the same as one with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName(Vec<Part>);

/// A function, as in `similarity`, `shop.discount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName(Vec<Part>);

/// One word of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Which the database folds.
    Plain(String),
    /// In double quotes.
    Quoted(String),
}

impl TableName {
    /// The name, if it is one: up to three words, of which those in double quotes are taken as they are.
    pub fn new(text: &str) -> Option<Self> {
        parts(text).map(Self)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl FunctionName {
    /// The name, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        parts(text).map(Self)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.0
    }
}

fn parts(text: &str) -> Option<Vec<Part>> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = quoted.split_once('"')?;
            let fits = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(may_be_quoted);
            found.push(fits.then(|| Part::Quoted(name.to_owned()))?);
            after
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (name, after) = rest.split_at_checked(end)?;
            found.push(is_plain(name).then(|| Part::Plain(name.to_owned()))?);
            after
        };
        match after.strip_prefix('.') {
            Some(more) if found.len() < 3 => rest = more,
            Some(_) => return None,
            None => return after.is_empty().then_some(found),
        }
    }
}

fn is_plain(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= MAX_NAME && name.starts_with(|c: char| is_word(c) && !c.is_ascii_digit()) && name.chars().all(is_word)
}

/// Whether the character may stand in a quoted name: one can see it, and no reader takes it for an escape.
pub(super) fn may_be_quoted(c: char) -> bool {
    /// Letters by the Unicode tables, but nothing to look at: fillers of Hangul.
    const FILLERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
    match c {
        '"' | '\\' | '`' => false,
        ' '..='~' => true,
        _ => c.is_alphanumeric() && !FILLERS.contains(&c),
    }
}

/// Names as a database folds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeSet<Vec<String>>);

impl Names {
    pub(super) fn of<'a>(dialect: Dialect, names: impl Iterator<Item = &'a [Part]>) -> Self {
        let folded = |part: &Part| match part {
            Part::Plain(name) => fold(dialect, name, Quotes::Without),
            Part::Quoted(name) => fold(dialect, name, Quotes::Within),
        };
        Self(names.map(|parts| parts.iter().map(folded).collect()).collect())
    }

    pub(super) fn contains(&self, name: &[String]) -> bool {
        self.0.contains(name)
    }
}

#[derive(Clone, Copy)]
enum Quotes {
    Without,
    Within,
}

/// PostgreSQL folds what is not quoted to lower case, and nothing else (documentation, 4.1.1). SQLite compares names
/// without regard to the case of ASCII letters, quoted or not.
fn fold(dialect: Dialect, name: &str, quotes: Quotes) -> String {
    match (dialect, quotes) {
        (Dialect::PostgreSql, Quotes::Within) => name.to_owned(),
        (Dialect::PostgreSql, Quotes::Without) | (Dialect::Sqlite, _) => name.to_ascii_lowercase(),
    }
}

/// The words of a name, folded.
pub(super) fn folded(dialect: Dialect, name: &ObjectName) -> Result<Vec<String>, Refused> {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(word) => folded_word(dialect, word),
        ObjectNamePart::Function(_) => Err(Refused::Construct { what: "a function in the place of a name" }),
    };
    name.0.iter().map(part).collect()
}

/// The word, folded.
pub(super) fn folded_word(dialect: Dialect, word: &Ident) -> Result<String, Refused> {
    match word.quote_style {
        None => Ok(fold(dialect, &word.value, Quotes::Without)),
        Some('"') => Ok(fold(dialect, &word.value, Quotes::Within)),
        Some(_) => Err(Refused::Literal),
    }
}

/// A name in a place where only a name can stand.
///
/// The parser takes many words as names that the databases reserve. There, it reads the text as they do not.
/// What is in double quotes is a name to everybody.
pub(super) fn is_name(word: &Ident) -> Result<(), Refused> {
    match word.quote_style {
        None => {
            let lower = word.value.to_ascii_lowercase();
            if RESERVED.contains(&lower.as_str()) { Err(Refused::Reserved { word: lower }) } else { Ok(()) }
        }
        Some('"') => Ok(()),
        Some(_) => Err(Refused::Literal),
    }
}

/// Reserved by PostgreSQL 18, for some use or for every (documentation, appendix C), which includes the names of
/// functions without parentheses, such as `user`.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];
