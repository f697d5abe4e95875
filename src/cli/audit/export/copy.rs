//! Records, batch by batch: each batch, and how far the copy has come, in one transaction.

use std::io;
use std::path::Path;

use memchr::memmem;
use serde_json::Value;
use tokio_postgres::Client;

use super::told;
use crate::audit::{Lines, Link, Read};

/// So many records, or bytes, go at once.
const RECORDS: usize = 1000;
const BYTES: usize = 4 << 20;

const BEGUN: &str = "insert into audit_exports (log, next) values ($1, 0) on conflict (log) do nothing";
/// Whoever copies the same log waits here.
const NEXT: &str = "select next from audit_exports where log = $1 for update";
const CALLS: &str = "
insert into tool_calls
select line.* from jsonb_array_elements($2::text::jsonb) as record
cross join lateral jsonb_populate_record(null::tool_calls, record || jsonb_build_object('log', $1::text)) as line
where record->>'kind' = 'decision'
on conflict (log, index) do nothing";
const OUTCOMES: &str = "
update tool_calls as call
set outcome = line.outcome, refused = line.refused, status = line.status, code = line.code, duration_us = line.duration_us,
    redacted = line.redacted
from jsonb_array_elements($2::text::jsonb) as record
cross join lateral jsonb_populate_record(null::tool_calls, record) as line
where record->>'kind' = 'outcome' and call.log = $1 and call.decision = line.decision";
const EVENTS: &str = "
insert into gate_events
select line.* from jsonb_array_elements($2::text::jsonb) as record
cross join lateral jsonb_populate_record(null::gate_events, record
    || jsonb_build_object('log', $1::text, 'told', record - '{index,kind,prev,time}'::text[])) as line
where record->>'kind' not in ('decision', 'outcome', 'checkpoint', 'segment')
on conflict (log, index) do nothing";
const DONE: &str = "update audit_exports set next = $2, at = now() where log = $1";

/// How far a log has been copied.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) log: String,
    /// By this program.
    pub(super) records: usize,
    /// The index of the first record that is not there.
    pub(super) next: u64,
}

/// Some records of a log, one behind the other.
#[derive(Debug, Default)]
struct Batch {
    /// A JSON array, but for its end.
    json: String,
    records: usize,
}

impl Copied {
    /// Copies what has come since.
    pub(super) async fn go_on(&mut self, client: &mut Client, log: &Path) -> Result<(), String> {
        self.next = self.next.max(self.begun(client).await?);
        let unreadable = |error| format!("{} cannot be read: {error}", log.display());
        let mut lines = Lines::open(log).map_err(unreadable)?;
        lines.skip_to(self.next);
        loop {
            let batch = Batch::take(&mut lines, self.next).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => error.to_string(),
                _ => unreadable(error),
            })?;
            if batch.records == 0 {
                return Ok(());
            }
            self.store(client, &batch).await?;
        }
    }

    /// How far it was copied before.
    async fn begun(&self, client: &Client) -> Result<u64, String> {
        let failed = |error| told("how far the log was copied cannot be said", &error);
        client.execute(BEGUN, &[&self.log]).await.map_err(failed)?;
        let row = client.query_one(NEXT, &[&self.log]).await.map_err(failed)?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
    }

    async fn store(&mut self, client: &mut Client, batch: &Batch) -> Result<(), String> {
        let failed = |error| told("the records cannot be written", &error);
        let json = format!("{}]", batch.json);
        let next = self.next + batch.records as u64;
        let transaction = client.transaction().await.map_err(failed)?;
        let there = transaction.query_one(NEXT, &[&self.log]).await.map_err(failed)?;
        if there.get::<_, i64>(0).unsigned_abs() > self.next {
            return Err(format!("somebody else copies {} at the same time: let one of both do it", self.log));
        }
        for statement in [CALLS, OUTCOMES, EVENTS] {
            transaction.execute(statement, &[&self.log, &json]).await.map_err(failed)?;
        }
        transaction.execute(DONE, &[&self.log, &next.cast_signed()]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        (self.next, self.records) = (next, self.records + batch.records);
        Ok(())
    }
}

impl Batch {
    /// The next records from this index on. What is not whole yet comes with the next batch.
    fn take(lines: &mut Lines, next: u64) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut batch = Self::default();
        while batch.records < RECORDS && batch.json.len() < BYTES {
            let Some(Read::Line(line)) = lines.read()? else { break };
            let Some(index) = Link::read(line).map(|link| link.index) else {
                return Err(invalid("a line is no record: `tollgate audit verify` says which".to_owned()));
            };
            let wanted = next + batch.records as u64;
            if index < wanted {
                continue;
            }
            if index > wanted {
                return Err(invalid(missing(wanted, index)));
            }
            batch.json.push(if batch.records == 0 { '[' } else { ',' });
            batch.json.push_str(&storable(line));
            batch.records += 1;
        }
        Ok(batch)
    }
}

fn missing(wanted: u64, index: u64) -> String {
    format!(
        "the records from {wanted} to {} are not in the log; if they were taken away by plan, `--from {index}` goes on \
         behind them",
        index - 1
    )
}

/// The line as Postgres can keep it: no text there holds U+0000.
fn storable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if memmem::find(line, b"\\u0000").is_none() {
        return text.into_owned();
    }
    let replaced = |text: &mut String| *text = text.replace('\0', "\u{fffd}");
    match text.parse() {
        Ok(Value::Object(mut record)) => {
            for value in record.values_mut() {
                if let Value::String(text) = value {
                    replaced(text);
                }
            }
            Value::Object(record).to_string()
        }
        Ok(_) | Err(_) => text.into_owned(),
    }
}
