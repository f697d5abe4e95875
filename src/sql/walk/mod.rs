//! The tree, node by node. Every struct is taken apart without `..` and every enum lists the kinds that are harmless,
//! so that a newer parser, which knows more, either does not compile here or is refused.
//!
//! Here: statements, tables, and the names that `WITH` gives. Not the text: by now it has only plain tokens.

mod call;
mod expression;
mod query;
mod table;
mod write;

use sqlparser::ast::{ObjectName, Statement};

use super::name::folded;
use super::{Allowed, Dialect, Refused, StatementKind};

/// The most nodes on the way from the root to a leaf, chains of operators counted once.
const MAX_DEPTH: usize = 200;

/// Where in the tree one is.
pub(super) struct Walk<'a> {
    allowed: &'a Allowed,
    /// The names that `WITH` gave and that are in force here, folded.
    with: Vec<String>,
    depth: usize,
}

/// That this part of a node is absent.
fn none<T>(part: Option<&T>, what: &'static str) -> Result<(), Refused> {
    match part {
        None => Ok(()),
        Some(_) => Err(Refused::Construct { what }),
    }
}

/// That there are none of these.
fn empty<T>(parts: &[T], what: &'static str) -> Result<(), Refused> {
    none(parts.first(), what)
}

impl<'a> Walk<'a> {
    pub(super) fn of(allowed: &'a Allowed) -> Self {
        Self { allowed, with: Vec::new(), depth: 0 }
    }

    /// Whether the statement does only what is allowed.
    pub(super) fn statement(&mut self, statement: &Statement) -> Result<(), Refused> {
        match statement {
            Statement::Query(query) => {
                self.allowed.allows(StatementKind::Select)?;
                self.query(query)
            }
            Statement::Insert(insert) => {
                self.allowed.allows(StatementKind::Insert)?;
                self.insert(insert)
            }
            Statement::Update(update) => {
                self.allowed.allows(StatementKind::Update)?;
                self.update(update)
            }
            Statement::Delete(delete) => {
                self.allowed.allows(StatementKind::Delete)?;
                self.delete(delete)
            }
            _ => Err(self.allowed.statement_refused()),
        }
    }

    fn dialect(&self) -> Dialect {
        self.allowed.dialect
    }

    /// One step down the tree.
    fn down(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Refused>) -> Result<(), Refused> {
        if self.depth >= MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        self.depth += 1;
        let outcome = step(self);
        self.depth -= 1;
        outcome
    }

    /// A table that is read: one that is allowed, or a name that `WITH` gave. The latter hide tables, but only those
    /// without schema (PostgreSQL documentation, SELECT, "WITH Clause").
    fn read_table(&self, name: &ObjectName) -> Result<(), Refused> {
        let words = folded(self.dialect(), name)?;
        match words.as_slice() {
            [word] if self.with.contains(word) => Ok(()),
            _ => self.table(&words),
        }
    }

    /// A table that is written to; never a name that `WITH` gave.
    fn written_table(&self, name: &ObjectName) -> Result<(), Refused> {
        self.table(&folded(self.dialect(), name)?)
    }

    fn table(&self, words: &[String]) -> Result<(), Refused> {
        if self.allowed.tables.contains(words) { Ok(()) } else { Err(Refused::Table { name: words.join(".") }) }
    }
}
