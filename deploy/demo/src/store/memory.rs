//! The records in memory: for machines without Postgres. It answers as [`super::PostgresStore`] does; a test compares.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tokio::sync::RwLock;

use super::{Count, Deletion, Page, Viewer};
use crate::query::{Column, Search};
use crate::record::{self, Record};

#[derive(Debug)]
pub(crate) struct MemoryStore {
    /// Ordered by id.
    records: RwLock<Vec<Record>>,
}

impl MemoryStore {
    pub(crate) fn new() -> Self {
        Self { records: RwLock::new(record::samples().collect()) }
    }

    pub(super) async fn search(&self, viewer: Viewer<'_>, search: &Search) -> Page {
        let records = self.records.read().await;
        let found: Vec<&Record> =
            records.iter().filter(|record| sees(viewer, record) && matches(record, search)).collect();
        Page {
            total: found.len() as u64,
            records: found.into_iter().skip(search.offset() as usize).take(search.limit() as usize).cloned().collect(),
        }
    }

    pub(super) async fn record(&self, viewer: Viewer<'_>, record_id: &str) -> Option<Record> {
        let records = self.records.read().await;
        records.iter().find(|record| sees(viewer, record) && record.record_id == record_id).cloned()
    }

    pub(super) async fn statistics(&self, viewer: Viewer<'_>, group_by: Column) -> Vec<Count> {
        let mut groups: BTreeMap<String, (u64, i64)> = BTreeMap::new();
        for record in self.records.read().await.iter().filter(|record| sees(viewer, record)) {
            let (records, amount_cents) = groups.entry(record.column(group_by).to_owned()).or_default();
            *records += 1;
            *amount_cents += record.amount_cents;
        }
        let mut counts: Vec<Count> =
            groups.into_iter().map(|(value, (records, amount_cents))| Count { value, records, amount_cents }).collect();
        // Stable, so groups of one size stay in the order of their values.
        counts.sort_by_key(|count| Reverse(count.records));
        counts
    }

    pub(super) async fn delete(&self, viewer: Viewer<'_>, record_id: &str) -> Deletion {
        let mut records = self.records.write().await;
        let before = records.len();
        records.retain(|record| !sees(viewer, record) || record.record_id != record_id);
        if records.len() < before { Deletion::Deleted } else { Deletion::NotFound }
    }
}

fn sees(viewer: Viewer<'_>, record: &Record) -> bool {
    match viewer {
        Viewer::Everyone => true,
        Viewer::Store(store) => record.store_id == store,
    }
}

fn matches(record: &Record, search: &Search) -> bool {
    // ASCII only, as Postgres' lower() is under the "C" collation.
    let wanted = search.query().to_ascii_lowercase();
    let has_text =
        [&record.title, &record.description].into_iter().any(|text| text.to_ascii_lowercase().contains(&wanted));
    has_text
        && Column::ALL
            .into_iter()
            .all(|column| search.filters().get(column).is_none_or(|value| record.column(column) == value))
}
