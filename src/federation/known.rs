//! What is known of what a server has: what it told last, for how long that holds, and whether it still says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout_at;

use super::contents::Contents;
use crate::clock;

/// What is known.
#[derive(Debug)]
pub struct Known {
    now: watch::Sender<Knowledge>,
    /// What was told is shown for so long.
    shown_for: Duration,
}

#[derive(Clone, Debug, Default)]
struct Knowledge {
    told: Option<Told>,
    /// Whether it has been asked for at all, in vain or not.
    asked: bool,
    /// Whether it was asked in vain last.
    fails: bool,
    /// When it was first asked.
    since: Option<Instant>,
}

/// What a server told.
#[derive(Clone, Debug)]
struct Told {
    contents: Arc<Contents>,
    at: Instant,
    /// For how long it said that it holds.
    ttl: Duration,
}

/// What was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has what it had.
    None,
    /// It has something else.
    Some,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(shown_for: Duration) -> Self {
        Self { now: watch::Sender::default(), shown_for }
    }

    /// What the server has, and until when that is shown if it says nothing more; nothing if that is not known, or was told
    /// too long ago.
    pub(super) fn contents(&self) -> Option<(Arc<Contents>, Instant)> {
        let now = self.now.borrow();
        let told = now.told.as_ref()?;
        let until = told.at + self.shown_for;
        (clock::monotonic() < until).then(|| (Arc::clone(&told.contents), until))
    }

    /// For how much longer that holds, as its server said.
    pub fn left(&self) -> Duration {
        let now = self.now.borrow();
        let told = now.told.as_ref().filter(|_| !now.fails);
        told.map(|told| told.ttl.saturating_sub(told.age())).unwrap_or_default()
    }

    /// How long ago it was told.
    pub fn age(&self) -> Option<Duration> {
        self.now.borrow().told.as_ref().map(Told::age)
    }

    /// Whether the server does not say now what it has.
    pub fn fails(&self) -> bool {
        self.now.borrow().fails
    }

    /// Waits until the server was asked once, in vain or not; but at most for so long after it was asked first.
    pub(super) async fn asked(&self, at_most: Duration) {
        let mut now = self.now.subscribe();
        let since = now.borrow().since.unwrap_or_else(clock::monotonic);
        // This has the other end.
        drop(timeout_at((since + at_most).into(), now.wait_for(|now| now.asked)).await);
    }

    /// It is being asked.
    pub(super) fn asks(&self) {
        self.now.send_if_modified(|now| {
            now.since.get_or_insert_with(clock::monotonic);
            false
        });
    }

    /// It has this now.
    pub(super) fn learn(&self, contents: Contents, ttl: Duration) -> News {
        let mut news = News::None;
        self.now.send_modify(|now| {
            // What was too old to be shown is new again.
            let before = now.told.take().filter(|told| told.age() < self.shown_for);
            let before = before.filter(|told| *told.contents == contents);
            news = if before.is_none() { News::Some } else { News::None };
            let contents = before.map_or_else(|| Arc::new(contents), |told| told.contents);
            let told = Told { contents, at: clock::monotonic(), ttl };
            *now = Knowledge { told: Some(told), asked: true, fails: false, since: now.since };
        });
        news
    }

    /// It does not say now what it has. Whether that was so before.
    pub(super) fn miss(&self) -> bool {
        let mut before = false;
        self.now.send_modify(|now| {
            before = std::mem::replace(&mut now.fails, true);
            now.asked = true;
        });
        before
    }

    /// What it told holds no longer; it is shown until it says more.
    pub(super) fn outdate(&self) {
        self.now.send_modify(|now| {
            if let Some(told) = &mut now.told {
                told.ttl = Duration::ZERO;
            }
        });
    }
}

impl Told {
    fn age(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.at)
    }
}
