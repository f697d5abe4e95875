//! Calls that ask the same at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::key::{Keys, Terms, Wanted};
use super::{Cache, CacheSettings, Kept, Turn};
use crate::upstream::InFlight;

const ALICE: Keys = Keys { shared: [0; 32], own: [1; 32] };
const BOB: Keys = Keys { shared: [0; 32], own: [2; 32] };
const OPEN: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
const PRIVATE: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private"}}"#;
const FAILED: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"isError":true}}"#;

fn cache(max_bytes: usize) -> Cache {
    Cache::new(&CacheSettings { max_bytes, lists: None, shared: None }, None)
}

/// Looks until there is an answer, or it is this one's turn to ask.
async fn look(cache: &Arc<Cache>, keys: Keys) -> Result<Arc<Kept>, Turn> {
    cache.look(Wanted { keys, terms: Terms::Policy(Duration::from_mins(1)) }, None).await
}

/// One who asks, and others who look and wait for that one.
async fn crowd(cache: &Arc<Cache>) -> (Turn, JoinSet<(Keys, Result<Arc<Kept>, Turn>)>) {
    let first = look(cache, ALICE).await.unwrap_err();
    let mut others = JoinSet::new();
    for keys in [ALICE, BOB, BOB] {
        let cache = Arc::clone(cache);
        others.spawn(async move { (keys, look(&cache, keys).await) });
    }
    // One thread: each of them has looked, and waits, when this goes on.
    tokio::task::yield_now().await;
    assert!(others.try_join_next().is_none());
    (first, others)
}

#[tokio::test]
async fn one_asks_and_all_have_the_answer() {
    let cache = Arc::new(cache(1 << 20));
    let (first, others) = crowd(&cache).await;
    first.answered(OPEN, InFlight::for_test());
    assert!(others.join_all().await.iter().all(|(_, found)| found.is_ok()));
    assert!(look(&cache, BOB).await.is_ok(), "and whoever comes later");
    assert!(cache.asked().is_empty() && cache.count() == 1 && cache.bytes() > 0);
}

#[tokio::test]
async fn if_the_first_one_goes_it_is_the_next_ones_turn_and_the_others_go_on_waiting() {
    let cache = Arc::new(cache(1 << 20));
    let (first, mut others) = crowd(&cache).await;
    drop(first);
    let (_, next) = others.join_next().await.unwrap().unwrap();
    tokio::task::yield_now().await;
    assert!(others.try_join_next().is_none());
    next.unwrap_err().answered(OPEN, InFlight::for_test());
    assert!(others.join_all().await.iter().all(|(_, found)| found.is_ok()));
}

#[tokio::test]
async fn what_is_for_nobody_else_makes_nobody_wait_again() {
    let cache = Arc::new(cache(1 << 20));
    let (first, others) = crowd(&cache).await;
    first.answered(FAILED, InFlight::for_test());
    let mut turns: Vec<_> = others.join_all().await.into_iter().map(|(_, found)| found.unwrap_err()).collect();
    // What one of them hears, later ones have.
    turns.remove(0).answered(OPEN, InFlight::for_test());
    assert!(look(&cache, BOB).await.is_ok());
}

#[tokio::test]
async fn a_private_answer_is_its_callers_own() {
    let cache = Arc::new(cache(1 << 20));
    let (first, others) = crowd(&cache).await;
    first.answered(PRIVATE, InFlight::for_test());
    assert!(others.join_all().await.iter().all(|(keys, found)| found.is_ok() == (*keys == ALICE)));
    assert!(look(&cache, ALICE).await.is_ok() && look(&cache, BOB).await.is_err());
}

#[test]
fn memory_is_bounded() {
    let cache = cache(10_000);
    for n in 0..1_000_u16 {
        let kept =
            Kept::read(OPEN, InFlight::for_test(), Terms::Policy(Duration::from_mins(1)), crate::clock::monotonic())
                .unwrap();
        let key = [n.to_be_bytes(); 16].concat().try_into().unwrap();
        cache.kept.insert(key, Arc::new(kept));
    }
    assert!(cache.bytes() <= 10_000 && cache.count() > 0, "{} bytes", cache.bytes());
}
