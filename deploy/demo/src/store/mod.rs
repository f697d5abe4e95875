//! Where the records are: one [`Store`], two ways. Every answer says which one gave it. No MCP, no HTTP.

mod memory;
mod postgres;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use rmcp::schemars;
use schemars::JsonSchema;
use serde::Serialize;

use crate::query::{Column, Search};
use crate::record::Record;

pub(crate) use memory::MemoryStore;
pub(crate) use postgres::PostgresStore;

/// Whose records an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Viewer<'a> {
    /// Everybody's.
    Everyone,
    /// Those of this store.
    Store(&'a str),
}

#[derive(Debug)]
pub(crate) enum Store {
    Postgres(PostgresStore),
    Memory(MemoryStore),
}

/// Which kind of store gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Source {
    Postgres,
    Memory,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Memory => "memory",
        })
    }
}

/// One page of what a search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Records that match, on all pages.
    pub(crate) total: u64,
    pub(crate) records: Vec<Record>,
}

/// How many records have this value.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Count {
    pub(crate) value: String,
    pub(crate) records: u64,
    pub(crate) amount_cents: i64,
}

/// What became of a record that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    Deleted,
    NotFound,
}

/// The connections to the database. A store in memory has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct PoolStatus {
    /// Most connections that may be open.
    pub(crate) max_size: usize,
    /// Connections that are open.
    pub(crate) size: usize,
    /// Open connections that nobody uses.
    pub(crate) available: usize,
    /// Calls that wait for a connection.
    pub(crate) waiting: usize,
}

impl Store {
    pub(crate) const fn source(&self) -> Source {
        match self {
            Self::Postgres(_) => Source::Postgres,
            Self::Memory(_) => Source::Memory,
        }
    }

    pub(crate) async fn search(&self, viewer: Viewer<'_>, search: &Search) -> Result<Page, StoreError> {
        match self {
            Self::Postgres(store) => store.search(viewer, search).await,
            Self::Memory(store) => Ok(store.search(viewer, search).await),
        }
    }

    pub(crate) async fn record(&self, viewer: Viewer<'_>, record_id: &str) -> Result<Option<Record>, StoreError> {
        match self {
            Self::Postgres(store) => store.record(viewer, record_id).await,
            Self::Memory(store) => Ok(store.record(viewer, record_id).await),
        }
    }

    /// Counts the records by the values of one column, the largest group first.
    pub(crate) async fn statistics(&self, viewer: Viewer<'_>, group_by: Column) -> Result<Vec<Count>, StoreError> {
        match self {
            Self::Postgres(store) => store.statistics(viewer, group_by).await,
            Self::Memory(store) => Ok(store.statistics(viewer, group_by).await),
        }
    }

    pub(crate) async fn delete(&self, viewer: Viewer<'_>, record_id: &str) -> Result<Deletion, StoreError> {
        match self {
            Self::Postgres(store) => store.delete(viewer, record_id).await,
            Self::Memory(store) => Ok(store.delete(viewer, record_id).await),
        }
    }

    /// Occupies the store for a while, as a report over a large table would.
    pub(crate) async fn occupy(&self, time: Duration) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.occupy(time).await,
            Self::Memory(_) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }

    pub(crate) fn pool(&self) -> PoolStatus {
        match self {
            Self::Postgres(store) => store.pool(),
            Self::Memory(_) => PoolStatus::default(),
        }
    }

    /// Asks the store for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.ping().await,
            Self::Memory(_) => Ok(()),
        }
    }
}

/// Why the store could not answer. Its text reaches the caller, so it holds nothing of the database's own words.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// No connection within the time that a call waits for one.
    Connection(deadpool_postgres::PoolError),
    /// The database refused or broke off.
    Query(tokio_postgres::Error),
    /// The address of the database cannot be read, or a pool cannot be made for it.
    Setup(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(_) => "no database connection could be had in time; try again later",
            Self::Query(_) => "the database could not answer",
            Self::Setup(_) => "the database cannot be used",
        })
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Query(error) => Some(error),
            Self::Setup(error) => Some(error.as_ref()),
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Connection(error)
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query(error)
    }
}
