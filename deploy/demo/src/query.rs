//! What a caller may ask of the records: the columns, the bounds, and a search that keeps to both. No storage.

use std::fmt;

use rmcp::schemars;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

/// Longest text that a search or a filter may carry, in characters.
const MAX_TEXT: usize = 200;
const MAX_LIMIT: u32 = 100;
const MAX_OFFSET: u32 = 10_000;

/// The columns by which records may be filtered and counted. A caller's text never becomes a column name: it becomes
/// one of these or is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Column {
    #[default]
    Status,
    Type,
    Category,
    StoreId,
}

impl Column {
    pub(crate) const ALL: [Self; 4] = [Self::Status, Self::Type, Self::Category, Self::StoreId];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Type => "type",
            Self::Category => "category",
            Self::StoreId => "store_id",
        }
    }
}

/// Keep only records with exactly these values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Filters {
    /// open, pending, resolved or closed
    pub(crate) status: Option<String>,
    /// order, return, invoice or ticket
    pub(crate) r#type: Option<String>,
    /// garden, kitchen, lighting, office or tools
    pub(crate) category: Option<String>,
    /// s1 to s8
    pub(crate) store_id: Option<String>,
}

impl Filters {
    pub(crate) fn get(&self, column: Column) -> Option<&str> {
        match column {
            Column::Status => self.status.as_deref(),
            Column::Type => self.r#type.as_deref(),
            Column::Category => self.category.as_deref(),
            Column::StoreId => self.store_id.as_deref(),
        }
    }
}

/// The arguments of `search_records`, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_formats)]
pub(crate) struct SearchArguments {
    /// Text to look for in title and description, case-insensitive; empty finds every record.
    #[schemars(length(max = 200))]
    query: String,
    /// Records on this page.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// Records to skip before this page.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    offset: u32,
    #[serde(default)]
    filters: Filters,
}

const fn default_limit() -> u32 {
    20
}

/// Takes Rust's `uint32` and the like out of a schema: clients know no such formats, and warn of them.
pub(crate) fn without_formats(schema: &mut Schema) {
    RecursiveTransform(|schema: &mut Schema| drop(schema.remove("format"))).transform(schema);
}

/// A search within bounds.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    query: String,
    limit: u32,
    offset: u32,
    filters: Filters,
}

impl Search {
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) const fn offset(&self) -> u32 {
        self.offset
    }

    pub(crate) const fn filters(&self) -> &Filters {
        &self.filters
    }
}

impl TryFrom<SearchArguments> for Search {
    type Error = OutOfBounds;

    fn try_from(written: SearchArguments) -> Result<Self, OutOfBounds> {
        check_text("query", &written.query)?;
        for column in Column::ALL {
            check_text(column.name(), written.filters.get(column).unwrap_or_default())?;
        }
        if !(1..=MAX_LIMIT).contains(&written.limit) {
            return Err(OutOfBounds::Number { name: "limit", min: 1, max: MAX_LIMIT });
        }
        if written.offset > MAX_OFFSET {
            return Err(OutOfBounds::Number { name: "offset", min: 0, max: MAX_OFFSET });
        }
        Ok(Self { query: written.query, limit: written.limit, offset: written.offset, filters: written.filters })
    }
}

/// Refuses what no record can contain, before it costs a connection; Postgres would refuse NUL with a protocol error.
pub(crate) fn check_text(name: &'static str, text: &str) -> Result<(), OutOfBounds> {
    if text.chars().count() > MAX_TEXT || text.contains(char::is_control) {
        return Err(OutOfBounds::Text { name });
    }
    Ok(())
}

/// An argument that no search takes, in words that say what to change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OutOfBounds {
    Text { name: &'static str },
    Number { name: &'static str, min: u32, max: u32 },
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { name } => {
                write!(f, "{name} must be at most {MAX_TEXT} characters and hold no control characters")
            }
            Self::Number { name, min, max } => write!(f, "{name} must be between {min} and {max}"),
        }
    }
}

impl std::error::Error for OutOfBounds {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn search(arguments: serde_json::Value) -> Result<Search, String> {
        let written: SearchArguments = serde_json::from_value(arguments).map_err(|e| e.to_string())?;
        Search::try_from(written).map_err(|e| e.to_string())
    }

    #[test]
    fn only_the_listed_columns_filter() {
        for column in Column::ALL {
            let found = search(json!({"query": "", "filters": {column.name(): "x"}})).unwrap();
            assert_eq!(found.filters().get(column), Some("x"));
        }
        for name in ["title", "record_id", "STATUS", "status;--", "1=1 or status", ""] {
            let refusal = search(json!({"query": "", "filters": {name: "x"}})).unwrap_err();
            assert!(refusal.contains("unknown field"), "{name}: {refusal}");
        }
    }

    #[test]
    fn only_the_listed_columns_group() {
        for column in Column::ALL {
            let read: Column = serde_json::from_value(json!(column.name())).unwrap();
            assert_eq!(read, column);
        }
        for name in ["title", "record_id", "Status", "status, title", "(select 1)", ""] {
            assert!(serde_json::from_value::<Column>(json!(name)).is_err(), "{name}");
        }
        assert_eq!(Column::default(), Column::Status);
    }

    #[test]
    fn a_page_has_bounds() {
        let page = search(json!({"query": "lamp"})).unwrap();
        assert_eq!((page.limit(), page.offset()), (20, 0));
        for (arguments, says) in [
            (json!({"query": "", "limit": 0}), "limit must be"),
            (json!({"query": "", "limit": 101}), "limit must be"),
            (json!({"query": "", "limit": -1}), "invalid value"),
            (json!({"query": "", "offset": 10_001}), "offset must be"),
            (json!({"query": "a\u{0}b"}), "query must be"),
            (json!({"query": "x".repeat(201)}), "query must be"),
            (json!({"query": "", "filters": {"type": "a\nb"}}), "type must be"),
            (json!({"query": "", "order": "title"}), "unknown field"),
            (json!({}), "missing field `query`"),
        ] {
            let refusal = search(arguments.clone()).unwrap_err();
            assert!(refusal.contains(says), "{arguments}: {refusal}");
        }
    }
}
