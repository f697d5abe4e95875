//! What an SQL text may do: one statement, of the allowed kinds, over the allowed tables. Judged from the text alone:
//! no connection, no catalogue. It bounds what a text may say, not what it costs: time and rows are for the database.
//!
//! Every step knows what is harmless and refuses the rest. A text passes three:
//! 1. `scan`: only such characters and tokens as this reader and the database cut at the same places;
//! 2. the parser, of the crate `sqlparser`, with bounds on length, tokens and depth;
//! 3. `walk`: every node of the tree is of a kind that is listed as harmless; every table and function is allowed.

mod functions;
mod name;
mod refused;
mod scan;
#[cfg(test)]
mod tests;
mod types;
mod walk;

use sqlparser::ast::Statement;
use sqlparser::dialect::{Dialect as Grammar, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

pub use name::{FunctionName, TableName};
pub use refused::Refused;

use name::Names;
use walk::Walk;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Calls of the parser into itself. Each may take a few KiB of stack in a debug build; a worker's stack has 2 MiB.
const MAX_PARSER_DEPTH: usize = 50;

/// The language that the database reads. Others are not guessed at: a text may mean one thing to the reader and
/// another to the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As PostgreSQL reads it, with `standard_conforming_strings` on or off.
    #[default]
    PostgreSql,
    /// As SQLite reads it.
    Sqlite,
}

/// A kind of statement that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatementKind {
    /// `SELECT`, also within another statement, `VALUES` by itself, and `RETURNING`.
    Select,
    /// `INSERT`.
    Insert,
    /// `UPDATE`, and `ON CONFLICT DO UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
}

/// What an SQL text may do.
#[derive(Clone, Debug)]
pub struct Allowed {
    dialect: Dialect,
    statements: Vec<StatementKind>,
    tables: Names,
    functions: Names,
}

impl Allowed {
    /// Only `SELECT`, over these tables and no others, with the built-in list of functions.
    pub fn select_from(dialect: Dialect, tables: &[TableName]) -> Self {
        let tables = Names::of(dialect, tables.iter().map(TableName::parts));
        Self { dialect, statements: vec![StatementKind::Select], tables, functions: Names::default() }
    }

    /// These kinds of statements instead.
    #[must_use]
    pub fn statements(self, statements: &[StatementKind]) -> Self {
        let mut statements = statements.to_vec();
        statements.sort();
        statements.dedup();
        Self { statements, ..self }
    }

    /// These functions beside the built-in ones, which compute a value and do nothing else.
    #[must_use]
    pub fn functions(self, functions: &[FunctionName]) -> Self {
        Self { functions: Names::of(self.dialect, functions.iter().map(FunctionName::parts)), ..self }
    }

    /// Whether the text does only what is allowed; if not, the first thing that it may not.
    pub fn check(&self, text: &str) -> Result<(), Refused> {
        if text.len() > MAX_BYTES {
            return Err(Refused::TooLong);
        }
        scan::scan(text, self.dialect)?;
        match self.parse(text) {
            Ok(statement) => Walk::of(self).statement(&statement),
            Err(ParserError::RecursionLimitExceeded) => Err(Refused::TooDeep),
            Err(ParserError::TokenizerError(_) | ParserError::ParserError(_)) => Err(Refused::Syntax),
        }
    }

    /// One statement, and the end of the text. (The parser's own loop over statements ends at a word `END`, whatever
    /// follows.)
    fn parse(&self, text: &str) -> Result<Statement, ParserError> {
        let parser = Parser::new(self.dialect.grammar()).with_recursion_limit(MAX_PARSER_DEPTH);
        let mut parser = parser.try_with_sql(text)?;
        let statement = parser.parse_statement()?;
        while parser.consume_token(&Token::SemiColon) {}
        parser.expect_token(&Token::EOF)?;
        Ok(statement)
    }

    fn allows(&self, kind: StatementKind) -> Result<(), Refused> {
        if self.statements.contains(&kind) { Ok(()) } else { Err(self.statement_refused()) }
    }

    fn statement_refused(&self) -> Refused {
        Refused::Statement { allowed: self.statements.iter().map(|kind| kind.word()).collect() }
    }
}

impl Dialect {
    fn grammar(self) -> &'static dyn Grammar {
        match self {
            Self::PostgreSql => &PostgreSqlDialect {},
            Self::Sqlite => &SQLiteDialect {},
        }
    }
}

impl StatementKind {
    /// The word that the statement begins with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}
