//! How long the server may take for the rest of an answer that has begun.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::inspect::Heard;
use crate::upstream::{Deadline, Timeouts, UpstreamError};

/// How long the server may take for the rest of an answer.
#[derive(Debug)]
pub(super) struct Patience {
    silence: Duration,
    /// For its next word while it waits for its client's user.
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    total: Option<(Pin<Box<Sleep>>, Duration)>,
}

impl Patience {
    /// It may be silent for so long, while it waits for nobody.
    pub(super) fn new(silence: Duration, timeouts: &Timeouts) -> Self {
        Self { silence, idle: timeouts.stream_idle, timer: Box::pin(sleep(silence)), total: None }
    }

    /// And all must be there so long after that moment.
    #[must_use]
    pub(super) fn ending(self, since: std::time::Instant, total: Duration) -> Self {
        Self { total: Some((Box::pin(sleep_until(Instant::from_std(since) + total)), total)), ..self }
    }

    /// A word from the server renews its time; a question gives it its client's.
    pub(super) fn hear(&mut self, heard: Heard) {
        let more = match heard {
            Heard::Word | Heard::Answer => self.silence,
            Heard::Question => self.idle.max(self.silence),
        };
        self.timer.as_mut().reset(Instant::now() + more);
    }

    /// Done when it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<UpstreamError> {
        if let Some((ends, total)) = &mut self.total
            && ends.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(UpstreamError::TimedOut(Deadline::Total, *total));
        }
        let silence = self.silence;
        self.timer.as_mut().poll(cx).map(|()| UpstreamError::TimedOut(Deadline::StreamIdle, silence))
    }
}
