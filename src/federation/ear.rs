//! A stream on which a server says that it has something else than before.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::contents::Eras;
use super::inquiry;
use crate::clock;
use crate::json::{self, Bounds};
use crate::upstream::{Endpoint, Hearing, Upstream};

/// Hears that a server has something else, while it says so.
#[derive(Debug, Default)]
pub(super) struct Ear {
    open: Option<Open>,
    opened: Option<Instant>,
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) hearing: Hearing,
    /// The session that it belongs to, if it does.
    pub(super) session: Option<HeaderValue>,
    pub(super) version: Option<HeaderValue>,
    pub(super) to: Arc<Endpoint>,
}

/// A stream is opened, or none is.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that ended is not opened again within this.
const AGAIN: Duration = Duration::from_secs(30);
/// Where one thing changes, others do: they are asked for when they are done.
const SETTLE: Duration = Duration::from_millis(100);
/// What says that something has changed is short.
const BOUNDS: Bounds = Bounds { depth: 32, members: 1000, values: 10_000, number: 4096 };

impl Ear {
    /// Listens, unless it does. Whether it has begun to.
    pub(super) async fn open(&mut self, server: &Upstream, to: &Arc<Endpoint>, eras: Eras) -> bool {
        let now = clock::monotonic();
        if self.open.is_some() || self.opened.is_some_and(|opened| now.duration_since(opened) < AGAIN) {
            return false;
        }
        self.opened = Some(now);
        self.open = timeout(PATIENCE, inquiry::listen(server, to, eras)).await.ok().flatten();
        self.open.is_some()
    }

    /// Listens no more.
    pub(super) async fn close(&mut self, server: &Upstream) {
        if let Some(Open { session: Some(session), version, to, .. }) = self.open.take() {
            drop(timeout(PATIENCE, server.forget(&to, &session, version.as_ref())).await);
        }
    }

    /// Waits for so long, or until the server says that it has something else. It may say no more: then whoever was there
    /// has gone, most likely, and another comes.
    pub(super) async fn hear(&mut self, server: &Upstream, pause: Duration) {
        let since = clock::monotonic();
        let heard = timeout(pause, self.changed()).await;
        if let Ok(Heard::Nothing) = heard {
            self.close(server).await;
            if self.opened.is_none_or(|opened| clock::monotonic().duration_since(opened) < AGAIN) {
                sleep(pause.saturating_sub(clock::monotonic().duration_since(since))).await;
            }
        }
        if heard.is_ok() {
            sleep(SETTLE.mul_f64(0.5 + rand::random::<f64>())).await;
        }
    }

    /// Waits until there is something to hear, or nothing any more.
    async fn changed(&mut self) -> Heard {
        let Some(Open { hearing, .. }) = &mut self.open else {
            return pending().await;
        };
        loop {
            match hearing.next().await {
                Ok(Some(message)) if is_change(&message) => return Heard::Change,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Heard::Nothing,
            }
        }
    }
}

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It has something else.
    Change,
    /// It says no more.
    Nothing,
}

fn is_change(message: &[u8]) -> bool {
    let message = json::value(message, &BOUNDS).unwrap_or_default();
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    method.starts_with("notifications/") && method.ends_with("/list_changed")
}
