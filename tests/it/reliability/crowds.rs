//! R14: a crowd that comes in one moment is served, all of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::size;
use crate::support::DEADLINE;
use crate::support::demand::Demand;
use crate::support::keys::ALICE;
use crate::support::message::{post, tool_call};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::Upstream;
use crate::support::world::World;

const SERVED: Demand =
    Demand { name: "R14, a crowd is served", most: Duration::from_secs(2), most_unoptimised: Duration::from_mins(1) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_of_a_crowd_is_turned_away() {
    let upstream = Upstream::start().await;
    let gate = World::new(&upstream.url()).listen("max_in_flight: 4096").start().await;
    let mut took = Vec::new();
    for _ in 0..size(1, 3) {
        let begun = Instant::now();
        serve_crowd(gate.data).await;
        took.push(begun.elapsed());
    }
    SERVED.judge(&mut took);
}

async fn serve_crowd(to: SocketAddr) {
    let mut crowd = JoinSet::new();
    let count = size(400, 2_000);
    for n in 0..count {
        crowd.spawn(async move {
            let mut connection = Connection::try_open(to).await.map_err(|error| error.to_string())?;
            let call = post(ALICE, &tool_call(&n.to_string(), "search_records", "{}"));
            match connection.exchange(&call).await {
                Answer::Response(answer) if answer.json().is_some_and(|it| it["id"] == n) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let served = tokio::time::timeout(DEADLINE * 6, crowd.join_all()).await.expect("all in time");
    let lost: Vec<_> = served.into_iter().filter_map(Result::err).collect();
    assert!(lost.is_empty(), "{} of {count}, such as {:?}", lost.len(), lost.first());
}
