//! The MCP server: six tools over the records. It checks its arguments, and knows nothing of who may call what: that
//! is the gate's business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{ContentBlock, IntoContents};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, schemars, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::query::{self, Column, OutOfBounds, Search, SearchArguments};
use crate::record::Record;
use crate::store::{Count, Deletion, PoolStatus, Source, Store, StoreError, Viewer};

/// Longest report, in seconds.
const MAX_REPORT: f64 = 10.0;

#[derive(Debug, Clone)]
pub(crate) struct Records {
    store: Arc<Store>,
    rows: Rows,
}

/// Whose records a caller sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Everybody's.
    All,
    /// Those of the store that the gate names in [`STORE`].
    OwnStore,
}

/// Set by the gate from what it knows of the caller. Whoever can reach this server past the gate can say anything in it.
const STORE: &str = "x-rls-store-id";

impl Records {
    pub(crate) const fn new(store: Arc<Store>, rows: Rows) -> Self {
        Self { store, rows }
    }

    /// Who looks, as the gate says. Two values would be two stores, and none is not everybody.
    fn viewer<'a>(&self, context: &'a RequestContext<RoleServer>) -> Result<Viewer<'a>, ToolError> {
        if self.rows == Rows::All {
            return Ok(Viewer::Everyone);
        }
        let headers = context.extensions.get::<http::request::Parts>().map(|parts| &parts.headers);
        let mut values = headers.into_iter().flat_map(|headers| headers.get_all(STORE));
        match (values.next().map(http::HeaderValue::to_str), values.next()) {
            (Some(Ok(store)), None) if !store.is_empty() => Ok(Viewer::Store(store)),
            _ => Err(ToolError::Unidentified),
        }
    }
}

/// One record, by its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RecordArguments {
    /// For example rec-0042
    #[schemars(length(max = 200))]
    record_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatisticsArguments {
    /// The column whose values are counted.
    #[serde(default)]
    group_by: Column,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = query::without_formats)]
struct ReportArguments {
    /// How long the report takes.
    #[schemars(range(min = 0.0, max = 10.0))]
    seconds: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = query::without_formats)]
struct SearchResult {
    source: Source,
    /// Records that match, on all pages.
    total: u64,
    limit: u32,
    offset: u32,
    records: Vec<Record>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = query::without_formats)]
struct RecordResult {
    source: Source,
    record: Record,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = query::without_formats)]
struct StatisticsResult {
    source: Source,
    group_by: Column,
    groups: Vec<Count>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = query::without_formats)]
struct PoolResult {
    source: Source,
    #[serde(flatten)]
    pool: PoolStatus,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(transform = query::without_formats)]
struct ReportResult {
    source: Source,
    seconds: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DeletionResult {
    source: Source,
    deleted: String,
}

#[tool_router]
impl Records {
    /// Search the records by text and by exact column values, one page at a time.
    #[tool(annotations(
        title = "Search records",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn search_records(
        &self,
        Parameters(arguments): Parameters<SearchArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<SearchResult>, ToolError> {
        let search = Search::try_from(arguments)?;
        let page = self.store.search(self.viewer(&context)?, &search).await?;
        Ok(Json(SearchResult {
            source: self.store.source(),
            total: page.total,
            limit: search.limit(),
            offset: search.offset(),
            records: page.records,
        }))
    }

    /// Read one record.
    #[tool(annotations(
        title = "Record detail",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn get_record_detail(
        &self,
        Parameters(RecordArguments { record_id }): Parameters<RecordArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<RecordResult>, ToolError> {
        query::check_text("record_id", &record_id)?;
        let Some(record) = self.store.record(self.viewer(&context)?, &record_id).await? else {
            return Err(ToolError::NoSuchRecord);
        };
        Ok(Json(RecordResult { source: self.store.source(), record }))
    }

    /// Count the records, and sum their amounts, by the values of one column.
    #[tool(annotations(
        title = "Statistics",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn get_statistics(
        &self,
        Parameters(StatisticsArguments { group_by }): Parameters<StatisticsArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<StatisticsResult>, ToolError> {
        let groups = self.store.statistics(self.viewer(&context)?, group_by).await?;
        Ok(Json(StatisticsResult { source: self.store.source(), group_by, groups }))
    }

    /// The state of the server's database connections.
    #[tool(annotations(
        title = "Pool status",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn get_pool_status(&self) -> Json<PoolResult> {
        Json(PoolResult { source: self.store.source(), pool: self.store.pool() })
    }

    /// Write a report that takes as long as the caller says: for trying out time limits.
    #[tool(annotations(
        title = "Slow report",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn slow_report(
        &self,
        Parameters(ReportArguments { seconds }): Parameters<ReportArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<ReportResult>, ToolError> {
        if !(0.0..=MAX_REPORT).contains(&seconds) {
            return Err(ToolError::TooLong);
        }
        tokio::select! {
            done = self.store.occupy(Duration::from_secs_f64(seconds)) => done?,
            () = context.ct.cancelled() => return Err(ToolError::Cancelled),
        }
        Ok(Json(ReportResult { source: self.store.source(), seconds }))
    }

    /// Delete one record for good.
    #[tool(annotations(
        title = "Delete record",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn delete_record(
        &self,
        Parameters(RecordArguments { record_id }): Parameters<RecordArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<DeletionResult>, ToolError> {
        query::check_text("record_id", &record_id)?;
        match self.store.delete(self.viewer(&context)?, &record_id).await? {
            Deletion::Deleted => Ok(Json(DeletionResult { source: self.store.source(), deleted: record_id })),
            Deletion::NotFound => Err(ToolError::NoSuchRecord),
        }
    }
}

#[tool_handler(
    name = "records",
    instructions = "Search and read the demo's records: two hundred invented orders, returns, invoices and tickets."
)]
impl ServerHandler for Records {}

/// Why a tool could not do it, in words that a model can act on.
#[derive(Debug)]
enum ToolError {
    Argument(OutOfBounds),
    NoSuchRecord,
    Unidentified,
    TooLong,
    Cancelled,
    Store(StoreError),
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(error) => error.fmt(f),
            Self::NoSuchRecord => f.write_str("there is no such record; search_records lists the ids that exist"),
            Self::Unidentified => f.write_str("nobody said whose records these may be: call through the gate"),
            Self::TooLong => write!(f, "seconds must be between 0 and {MAX_REPORT}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl IntoContents for ToolError {
    fn into_contents(self) -> Vec<ContentBlock> {
        vec![ContentBlock::text(self.to_string())]
    }
}

impl From<OutOfBounds> for ToolError {
    fn from(error: OutOfBounds) -> Self {
        Self::Argument(error)
    }
}

impl From<StoreError> for ToolError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_says_what_it_takes_and_what_it_does() {
        let tools = Records::tool_router().list_all();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        let expected = [
            "delete_record",
            "get_pool_status",
            "get_record_detail",
            "get_statistics",
            "search_records",
            "slow_report",
        ];
        assert_eq!(names, expected);
        for tool in &tools {
            let hints = tool.annotations.as_ref().unwrap();
            let deletes = tool.name == "delete_record";
            assert_eq!(hints.read_only_hint, Some(!deletes), "{}", tool.name);
            assert_eq!(hints.destructive_hint, Some(deletes), "{}", tool.name);
            let output = serde_json::to_string(tool.output_schema.as_ref().unwrap()).unwrap();
            assert!(output.contains(r#""source""#), "{}", tool.name);
            let input = serde_json::to_string(&tool.input_schema).unwrap();
            assert!(!(input + &output).contains(r#""format""#), "{}", tool.name);
        }
    }
}
