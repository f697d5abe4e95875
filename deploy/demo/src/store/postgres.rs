//! The records in Postgres, over a bounded pool. Every statement is written here; what a caller sends is a parameter.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};
use tokio_util::task::TaskTracker;

use super::{Count, Deletion, Page, PoolStatus, StoreError, Viewer};
use crate::query::{Column, Search};
use crate::record::{self, Record};

/// How long a call waits for a connection before it is told to come again.
const POOL_WAIT: Duration = Duration::from_secs(2);

/// In a schema of its own, so that a database with other content can be lent to the demo.
const SETUP: &str = "
    create schema if not exists tollgate_demo;
    create table if not exists tollgate_demo.records (
        record_id    text primary key,
        title        text not null,
        description  text not null,
        status       text not null,
        type         text not null,
        category     text not null,
        store_id     text not null,
        amount_cents bigint not null,
        created_on   date not null
    );
    create index if not exists records_store_id on tollgate_demo.records (store_id);";

/// Row-level security: who takes this role sees the rows of the store that the transaction names, and no others. Without a
/// name there are none. The owner of the table, who set it up, is not bound by it.
const ROWS: &str = "
    do $$ begin
        if not exists (select from pg_roles where rolname = 'tollgate_demo_viewer') then
            create role tollgate_demo_viewer nologin;
        end if;
    end $$;
    grant usage on schema tollgate_demo to tollgate_demo_viewer;
    grant select, delete on tollgate_demo.records to tollgate_demo_viewer;
    alter table tollgate_demo.records enable row level security;
    drop policy if exists own_store on tollgate_demo.records;
    create policy own_store on tollgate_demo.records to tollgate_demo_viewer
        using (store_id = current_setting('tollgate.store_id', true));";

/// Both last until the transaction ends: a connection goes back to the pool as it came.
const AS_VIEWER: &str = "set local role tollgate_demo_viewer";
const OF_STORE: &str = "select set_config('tollgate.store_id', $1, true)";

/// Two demos may start on one database; the second one waits here for the first one's setup.
const SETUP_LOCK: &str = "select pg_advisory_xact_lock(7103262419)";

const SAMPLES: &str = "
    insert into tollgate_demo.records
    select record_id, title, description, status, type, category, store_id, amount_cents, created_on::date
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                  $9::text[])
           as sample (record_id, title, description, status, type, category, store_id, amount_cents, created_on)
        on conflict do nothing";

macro_rules! record_columns {
    () => {
        "record_id, title, description, status, type, category, store_id, amount_cents,
         to_char(created_on, 'YYYY-MM-DD')"
    };
}

/// A filter that is null does not filter. Substrings, not patterns: `%` and `_` are ordinary characters.
macro_rules! matching {
    () => {
        " from tollgate_demo.records
        where (position(lower($1::text collate \"C\") in lower(title collate \"C\")) > 0
            or position(lower($1::text collate \"C\") in lower(description collate \"C\")) > 0)
          and ($2::text is null or status = $2)
          and ($3::text is null or type = $3)
          and ($4::text is null or category = $4)
          and ($5::text is null or store_id = $5)"
    };
}

const PAGE: &str =
    concat!("select ", record_columns!(), matching!(), " order by record_id collate \"C\" limit $6 offset $7");
const TOTAL: &str = concat!("select count(*)", matching!());
const RECORD: &str = concat!("select ", record_columns!(), " from tollgate_demo.records where record_id = $1");
const DELETE: &str = "delete from tollgate_demo.records where record_id = $1 returning record_id";

macro_rules! statistics_by {
    ($column:literal) => {
        concat!(
            "select ",
            $column,
            ", count(*), sum(amount_cents)::bigint from tollgate_demo.records group by 1 order by 2 desc, ",
            $column,
            " collate \"C\""
        )
    };
}

/// The statement of each column: no text of a caller ever becomes part of one.
const fn statistics(group_by: Column) -> &'static str {
    match group_by {
        Column::Status => statistics_by!("status"),
        Column::Type => statistics_by!("type"),
        Column::Category => statistics_by!("category"),
        Column::StoreId => statistics_by!("store_id"),
    }
}

type Parameter<'a> = &'a (dyn ToSql + Sync);

#[derive(Debug)]
pub(crate) struct PostgresStore {
    pool: Pool,
    /// The cancellations under way.
    background: TaskTracker,
}

impl PostgresStore {
    /// Opens a pool and puts the sample records there, if they are missing.
    pub(crate) async fn open(database: Config, pool_size: usize) -> Result<Self, StoreError> {
        let manager = Manager::from_config(database, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_WAIT))
            .recycle_timeout(Some(POOL_WAIT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Setup(Box::new(error)))?;
        let store = Self { pool, background: TaskTracker::new() };
        store.set_up().await?;
        Ok(store)
    }

    /// Lets the database itself keep callers to their rows.
    pub(crate) async fn secure_rows(&self) -> Result<(), StoreError> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(SETUP_LOCK).await?;
        transaction.batch_execute(ROWS).await?;
        Ok(transaction.commit().await?)
    }

    async fn set_up(&self) -> Result<(), StoreError> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(SETUP_LOCK).await?;
        transaction.batch_execute(SETUP).await?;
        let samples: Vec<Record> = record::samples().collect();
        let column = |value: fn(&Record) -> &str| samples.iter().map(value).collect::<Vec<&str>>();
        let amounts: Vec<i64> = samples.iter().map(|record| record.amount_cents).collect();
        let parameters: [Parameter<'_>; 9] = [
            &column(|record| &record.record_id),
            &column(|record| &record.title),
            &column(|record| &record.description),
            &column(|record| &record.status),
            &column(|record| &record.r#type),
            &column(|record| &record.category),
            &column(|record| &record.store_id),
            &amounts,
            &column(|record| &record.created_on),
        ];
        transaction.execute(SAMPLES, &parameters).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The page and the total are asked for at once, over two connections. Each needs only its own one to finish, so
    /// searches that wait for connections never wait for each other in a circle.
    pub(super) async fn search(&self, viewer: Viewer<'_>, search: &Search) -> Result<Page, StoreError> {
        let filters = search.filters();
        let (limit, offset) = (i64::from(search.limit()), i64::from(search.offset()));
        let query = search.query();
        let status = filters.get(Column::Status);
        let r#type = filters.get(Column::Type);
        let category = filters.get(Column::Category);
        let store_id = filters.get(Column::StoreId);
        let matching: [Parameter<'_>; 5] = [&query, &status, &r#type, &category, &store_id];
        let paged: [Parameter<'_>; 7] = [&query, &status, &r#type, &category, &store_id, &limit, &offset];

        let (rows, total) = tokio::try_join!(self.rows(viewer, PAGE, &paged), self.rows(viewer, TOTAL, &matching))?;
        Ok(Page {
            total: total.first().map_or(Ok(0), |row| row.try_get(0).map(unsigned))?,
            records: rows.iter().map(record).collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn record(&self, viewer: Viewer<'_>, record_id: &str) -> Result<Option<Record>, StoreError> {
        let rows = self.rows(viewer, RECORD, &[&record_id]).await?;
        Ok(rows.first().map(record).transpose()?)
    }

    pub(super) async fn statistics(&self, viewer: Viewer<'_>, group_by: Column) -> Result<Vec<Count>, StoreError> {
        let rows = self.rows(viewer, statistics(group_by), &[]).await?;
        let count = |row: &Row| -> Result<Count, tokio_postgres::Error> {
            Ok(Count { value: row.try_get(0)?, records: unsigned(row.try_get(1)?), amount_cents: row.try_get(2)? })
        };
        Ok(rows.iter().map(count).collect::<Result<_, _>>()?)
    }

    pub(super) async fn delete(&self, viewer: Viewer<'_>, record_id: &str) -> Result<Deletion, StoreError> {
        let rows = self.rows(viewer, DELETE, &[&record_id]).await?;
        Ok(if rows.is_empty() { Deletion::NotFound } else { Deletion::Deleted })
    }

    pub(super) async fn occupy(&self, time: Duration) -> Result<(), StoreError> {
        self.rows(Viewer::Everyone, "select pg_sleep($1)", &[&time.as_secs_f64()]).await?;
        Ok(())
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.rows(Viewer::Everyone, "select 1", &[]).await?;
        Ok(())
    }

    pub(super) fn pool(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            max_size: status.max_size,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
        }
    }

    async fn rows(
        &self,
        viewer: Viewer<'_>,
        statement: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mut lease = Lease { client: Some(self.pool.get().await?), background: &self.background };
        let rows = lease.rows(viewer, statement, parameters).await?;
        lease.give_back();
        Ok(rows)
    }
}

/// A connection while a statement runs on it.
///
/// A caller that gives up drops the call in the middle. Were the connection simply returned, the next caller would
/// queue behind a statement whose answer nobody wants; so it is closed, and the statement is cancelled.
struct Lease<'a> {
    client: Option<Object>,
    background: &'a TaskTracker,
}

impl Lease<'_> {
    async fn rows(
        &mut self,
        viewer: Viewer<'_>,
        statement: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let Some(client) = &mut self.client else {
            return Ok(Vec::new());
        };
        match viewer {
            Viewer::Everyone => {
                let prepared = client.prepare_cached(statement).await?;
                client.query(&prepared, parameters).await
            }
            Viewer::Store(store) => {
                let transaction = client.transaction().await?;
                transaction.batch_execute(AS_VIEWER).await?;
                transaction.query_one(OF_STORE, &[&store]).await?;
                let prepared = transaction.prepare_cached(statement).await?;
                let rows = transaction.query(&prepared, parameters).await?;
                transaction.commit().await?;
                Ok(rows)
            }
        }
    }

    fn give_back(mut self) {
        drop(self.client.take());
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let (Some(client), Ok(runtime)) = (self.client.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let client: ClientWrapper = Object::take(client);
        let cancel = client.cancel_token();
        let cancelling = async move {
            // Nobody is left to be told; the statement timeout of the connection is the second line.
            cancel.cancel_query(NoTls).await.ok();
            drop(client);
        };
        drop(self.background.spawn_on(cancelling, &runtime));
    }
}

fn record(row: &Row) -> Result<Record, tokio_postgres::Error> {
    Ok(Record {
        record_id: row.try_get(0)?,
        title: row.try_get(1)?,
        description: row.try_get(2)?,
        status: row.try_get(3)?,
        r#type: row.try_get(4)?,
        category: row.try_get(5)?,
        store_id: row.try_get(6)?,
        amount_cents: row.try_get(7)?,
        created_on: row.try_get(8)?,
    })
}

/// `count(*)` is a bigint, and never negative.
fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
