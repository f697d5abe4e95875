//! Comments on a silent stream, so that no load balancer between here and the client takes it for dead (WHATWG HTML,
//! 9.2.7: a comment every 15 seconds or so).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

/// Speaks when a stream has been silent for so long.
#[derive(Debug)]
pub(super) struct KeepAlive {
    every: Duration,
    timer: Pin<Box<Sleep>>,
    /// When something passed last. The timer is set by it only when it rings: passing must not cost a timer.
    passed: Instant,
}

/// A comment; clients skip it.
const COMMENT: &[u8] = b": keep-alive\n\n";

impl KeepAlive {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, timer: Box::pin(sleep(every)), passed: Instant::now() }
    }

    /// Something has passed.
    pub(super) fn pass(&mut self) {
        self.passed = Instant::now();
    }

    /// What to say, when it is time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.passed + self.every;
            let now = Instant::now();
            if due <= now {
                self.passed = now;
                self.timer.as_mut().reset(now + self.every);
                return Poll::Ready(Bytes::from_static(COMMENT));
            }
            self.timer.as_mut().reset(due);
        }
    }
}
