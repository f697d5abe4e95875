//! An answer as its caller takes it: what of it is under way, and whose turn it is.
//!
//! A caller that takes nothing from an HTTP/1 connection holds up what is written there, and its guard sees that. On HTTP/2 each
//! stream has a window, and hyper asks an answer for more only while there is room in it. While a caller grants none nobody asks,
//! and no timer within the answer would be looked at: so it is whoever runs the stream that looks.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Sleep, sleep};

use super::peer::Asking;
use super::{Broken, GateBody, Gateway};
use crate::exchange::TimeoutKind;

/// So much of an answer is given at once: on HTTP/2 it waits for the caller without a bound of its own.
const PIECE: usize = 64 << 10;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The gate's: the answer, or more of it, is not there yet.
    Gate,
    /// The caller's: there is something to take.
    Caller,
}

tokio::task_local! {
    /// Whose turn it has become on the stream that is run.
    static BECOMES: Cell<Option<Turn>>;
}

/// It has become somebody's turn. On HTTP/1 nobody keeps count.
fn becomes(turn: Turn) {
    // The error says that it is HTTP/1.
    let _ = BECOMES.try_with(|becomes| becomes.set(Some(turn)));
}

/// An answer as its caller takes it, in pieces of a bounded size.
#[derive(Debug)]
pub(super) struct Taken {
    body: GateBody,
    /// What has come of it and was not given yet.
    left: Bytes,
    _asking: Asking,
}

impl Taken {
    /// An answer that begins.
    pub(super) fn new(body: GateBody, asking: Asking) -> Self {
        becomes(Turn::Caller);
        Self { body, left: Bytes::new(), _asking: asking }
    }
}

impl Body for Taken {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        becomes(Turn::Gate);
        if self.left.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?).map(Frame::into_data) {
                Some(Ok(data)) => self.left = data,
                Some(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                None => return Poll::Ready(None),
            }
        }
        becomes(Turn::Caller);
        let piece = self.left.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (come, comes) = (self.left.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(come + comes.lower());
        if let Some(upper) = comes.upper() {
            hint.set_upper(come + upper);
        }
        hint
    }
}

/// Runs the streams of HTTP/2 connections, each until its caller takes nothing of it for too long.
#[derive(Clone, Debug)]
pub struct Streams(pub Arc<Gateway>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let gateway = Arc::clone(&self.0);
        let patience = gateway.snapshot.load().terms.timeouts.write;
        TokioExecutor::new().execute(async move {
            if let Taking::Stalled = taken(stream, patience).await {
                gateway.telemetry.timed_out(TimeoutKind::ResponseWrite);
            }
        });
    }
}

/// What has become of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Ended,
    /// It was dropped, and with it its answer: hyper resets it.
    Stalled,
}

async fn taken(stream: impl Future<Output = ()>, patience: Duration) -> Taking {
    let mut stream = pin!(stream);
    let mut turn = Turn::Gate;
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        let (ended, becomes) =
            BECOMES.sync_scope(Cell::default(), || (stream.as_mut().poll(cx), BECOMES.with(Cell::get)));
        if ended.is_ready() {
            return Poll::Ready(Taking::Ended);
        }
        if let Some(now) = becomes {
            (turn, timer) = (now, None);
        }
        if turn == Turn::Gate {
            return Poll::Pending;
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        timer.as_mut().poll(cx).map(|()| Taking::Stalled)
    })
    .await
}
