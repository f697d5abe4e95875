//! The two stores give the same answers; and Postgres is left alone by callers who left.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{Deletion, MemoryStore, PostgresStore, Store, Viewer};
use crate::cluster::{Cluster, ClusterError};
use crate::query::{Column, Search, SearchArguments};

/// Nothing if this machine has no Postgres: the demo then serves from memory, and there is nothing to compare.
async fn cluster() -> Option<Cluster> {
    match Cluster::start().await {
        Ok(cluster) => Some(cluster),
        Err(ClusterError::NotInstalled) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn open(cluster: &Cluster, pool_size: usize) -> Store {
    Store::Postgres(PostgresStore::open(cluster.database(), pool_size).await.unwrap())
}

fn searches() -> impl Iterator<Item = Search> {
    [
        json!({"query": ""}),
        json!({"query": "", "limit": 100, "offset": 150}),
        json!({"query": "", "offset": 10_000}),
        json!({"query": "LAMP", "limit": 7, "offset": 3}),
        json!({"query": "refund"}),
        json!({"query": "100%"}),
        json!({"query": "%"}),
        json!({"query": "_"}),
        json!({"query": "supplier's"}),
        json!({"query": "'; drop table tollgate_demo.records; --"}),
        json!({"query": "\\"}),
        json!({"query": "Ä"}),
        json!({"query": "", "filters": {"status": "open"}}),
        json!({"query": "", "filters": {"status": "open' or '1'='1"}}),
        json!({"query": "desk", "filters": {"type": "ticket", "category": "office"}}),
        json!({"query": "", "limit": 100, "filters": {"status": "closed", "store_id": "s3"}}),
        json!({"query": "", "filters": {"status": "", "type": null}}),
    ]
    .into_iter()
    .map(|written| {
        let arguments: SearchArguments = serde_json::from_value(written).unwrap();
        Search::try_from(arguments).unwrap()
    })
}

#[tokio::test]
async fn memory_answers_as_postgres_does() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let (postgres, memory) = (open(&cluster, 4).await, Store::Memory(MemoryStore::new()));
    let compare = async || {
        for search in searches() {
            let expected = postgres.search(Viewer::Everyone, &search).await.unwrap();
            assert_eq!(memory.search(Viewer::Everyone, &search).await.unwrap(), expected, "{search:?}");
        }
        for column in Column::ALL {
            let expected = postgres.statistics(Viewer::Everyone, column).await.unwrap();
            assert_eq!(memory.statistics(Viewer::Everyone, column).await.unwrap(), expected, "{column:?}");
        }
        for id in ["rec-0001", "rec-0007", "rec-0200", "rec-0201", "", "rec-0001' --"] {
            let expected = postgres.record(Viewer::Everyone, id).await.unwrap();
            assert_eq!(memory.record(Viewer::Everyone, id).await.unwrap(), expected, "{id}");
        }
    };
    compare().await;
    for (id, expected) in
        [("rec-0007", Deletion::Deleted), ("rec-0007", Deletion::NotFound), ("none", Deletion::NotFound)]
    {
        assert_eq!(postgres.delete(Viewer::Everyone, id).await.unwrap(), expected, "{id}");
        assert_eq!(memory.delete(Viewer::Everyone, id).await.unwrap(), expected, "{id}");
    }
    compare().await;

    // A second start finds the table and puts back what is missing.
    let again = open(&cluster, 1).await;
    assert!(again.record(Viewer::Everyone, "rec-0007").await.unwrap().is_some());
}

#[tokio::test]
async fn searches_share_a_pool_of_one_connection() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let store = open(&cluster, 1).await;
    let search = searches().next().unwrap();
    let (a, b, c) = tokio::join!(
        store.search(Viewer::Everyone, &search),
        store.search(Viewer::Everyone, &search),
        store.search(Viewer::Everyone, &search)
    );
    assert_eq!((a.unwrap().total, b.unwrap().total, c.unwrap().total), (200, 200, 200));
    assert_eq!(store.pool().max_size, 1);
}

#[tokio::test]
async fn a_caller_who_leaves_leaves_no_query_behind() {
    let Some(cluster) = cluster().await else {
        return;
    };
    let store = open(&cluster, 1).await;
    let left = timeout(Duration::from_millis(100), store.occupy(Duration::from_secs(10))).await;
    assert!(left.is_err());

    // The one connection must be had again at once, not after ten seconds.
    store.ping().await.unwrap();
    let (watch, connection) = cluster.database().connect(tokio_postgres::NoTls).await.unwrap();
    let watching = async {
        let sleeping = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
        while watch.query_one(sleeping, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = timeout(Duration::from_secs(5), watching) => ended.unwrap(),
        lost = connection => panic!("{lost:?}"),
    }
}
