//! The record, and the two hundred of them that every store starts with: the same on every machine, every time.

use rmcp::schemars;
use schemars::JsonSchema;
use serde::Serialize;

use crate::query::Column;

/// How many sample records there are.
pub(crate) const SAMPLES: u32 = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
#[expect(clippy::struct_field_names, reason = "the names are the columns'")]
pub(crate) struct Record {
    pub(crate) record_id: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) status: String,
    pub(crate) r#type: String,
    pub(crate) category: String,
    pub(crate) store_id: String,
    pub(crate) amount_cents: i64,
    /// YYYY-MM-DD
    pub(crate) created_on: String,
}

impl Record {
    pub(crate) fn column(&self, column: Column) -> &str {
        match column {
            Column::Status => &self.status,
            Column::Type => &self.r#type,
            Column::Category => &self.category,
            Column::StoreId => &self.store_id,
        }
    }
}

const STATUSES: [&str; 4] = ["open", "pending", "resolved", "closed"];
const TYPES: [&str; 4] = ["order", "return", "invoice", "ticket"];
const GOODS: [(&str, &str); 10] = [
    ("Desk lamp", "lighting"),
    ("Garden hose", "garden"),
    ("Cast-iron pan", "kitchen"),
    ("Standing desk", "office"),
    ("Cordless drill", "tools"),
    ("Ceiling lamp", "lighting"),
    ("Rose shears", "garden"),
    ("Bread knife", "kitchen"),
    ("Desk chair", "office"),
    ("Torque wrench", "tools"),
];
const REMARKS: [&str; 7] = [
    "Arrived on time; the customer asks for a gift receipt.",
    "One part is missing. A replacement was promised by Friday.",
    "Paid twice by mistake, refund requested.",
    "Delivery address changed after dispatch.",
    "100% cotton bag included free of charge.",
    "Waiting for the supplier's answer.",
    "Damaged in transit, photographs attached. Refund agreed.",
];

/// The sample records, ordered by id.
pub(crate) fn samples() -> impl Iterator<Item = Record> {
    (1..=SAMPLES).map(sample)
}

fn sample(number: u32) -> Record {
    // Mixed, so that the columns do not move in step with each other; no randomness, so that tests can count.
    let mixed = number.wrapping_mul(2_654_435_761).rotate_left(11);
    let (goods, category) = pick(&GOODS, mixed);
    let r#type = pick(&TYPES, mixed >> 7);
    Record {
        record_id: format!("rec-{number:04}"),
        title: format!("{goods}: {type} {}", 10_000 + number),
        description: pick(&REMARKS, mixed >> 13).to_owned(),
        status: pick(&STATUSES, mixed >> 17).to_owned(),
        r#type: r#type.to_owned(),
        category: category.to_owned(),
        store_id: format!("s{}", 1 + (mixed >> 21) % 8),
        amount_cents: i64::from(490 + mixed % 40_000),
        created_on: format!("2026-{:02}-{:02}", 1 + number % 12, 1 + (mixed >> 5) % 28),
    }
}

fn pick<T: Copy, const N: usize>(choices: &[T; N], seed: u32) -> T {
    #[expect(clippy::indexing_slicing, reason = "the remainder of a division by the length is an index")]
    choices[seed as usize % N]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_value_of_every_column_occurs() {
        let records: Vec<Record> = samples().collect();
        assert_eq!(records.len(), 200);
        for (column, values) in [(Column::Status, 4), (Column::Type, 4), (Column::Category, 5), (Column::StoreId, 8)] {
            let seen: BTreeSet<&str> = records.iter().map(|record| record.column(column)).collect();
            assert_eq!(seen.len(), values, "{column:?}");
        }
        assert!(records.is_sorted_by_key(|record| record.record_id.clone()));
        let first = records.first().unwrap();
        assert_eq!(first.record_id, "rec-0001");
    }
}
