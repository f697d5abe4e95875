//! The body of an answer: inspects as it flows, holds the call's room, and closes the books when it ends.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::joined::Joined;
use super::respond;
use crate::exchange::Outcome;
use crate::inspect::{Answer, Heard, Watch};
use crate::limits::Admission;
use crate::mcp::Method;
use crate::telemetry::{Counted, Gauge, Recorder};
use crate::upstream::{Upstream, UpstreamError};

/// What the gate sends back.
#[derive(Debug)]
pub struct GateBody(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Option<Bytes>),
    Relay(Box<Relay>),
}

/// A server's reply on its way to the caller. It holds everything that must last until the last byte: dropping it,
/// which is what happens when the caller goes away, ends the server's stream and gives the room back.
pub(super) struct Relay {
    /// What comes; `None` when all has passed.
    pub(super) stream: Option<Incoming>,
    pub(super) watch: Watch,
    pub(super) admission: Admission,
    pub(super) upstream: Arc<Upstream>,
    /// The caller's headers, should the server have to be told that nobody waits.
    pub(super) headers: HeaderMap,
    pub(super) recorder: Option<Recorder>,
    pub(super) patience: Option<Patience>,
    /// For streams without an end of their own.
    pub(super) endless: Option<Endless>,
    /// What waits for more, in an event stream of which something has passed.
    pub(super) joined: Option<Joined>,
    /// The end, where something is still to pass before it.
    pub(super) broken: Option<Broken>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// A stream without an end of its own: it is counted, and ends when the gate goes away.
#[derive(Debug)]
pub(super) struct Endless {
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: Counted,
}

impl Endless {
    pub(super) fn new(streams: &Gauge, draining: &CancellationToken) -> Self {
        Self { draining: Box::pin(draining.clone().cancelled_owned()), _counted: streams.count() }
    }
}

/// How long the server may be silent about a call.
#[derive(Debug)]
pub(super) struct Patience {
    silence: Duration,
    timer: Pin<Box<Sleep>>,
}

/// While a server waits for its client's user, and on streams that carry what happens: long, but not for ever.
const IDLE: Duration = Duration::from_mins(5);

impl Patience {
    pub(super) fn of(silence: Duration) -> Self {
        Self { silence, timer: Box::pin(sleep(silence)) }
    }

    /// A word from the server renews its time; a question gives it its client's.
    fn hear(&mut self, heard: Heard) {
        let more = match heard {
            Heard::Word | Heard::Answer => self.silence,
            Heard::Question => IDLE.max(self.silence),
        };
        self.timer.as_mut().reset(Instant::now() + more);
    }
}

impl GateBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(Some(bytes)))
    }

    pub(super) fn relay(relay: Relay) -> Self {
        Self(Inner::Relay(Box::new(relay)))
    }
}

/// The connection ends here: the rest of the answer does not come.
#[derive(Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's answer broke off")
    }
}

impl std::error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.0 {
            Inner::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
            }
            Inner::Relay(relay) => relay.poll(cx).map(|next| next.map(|next| next.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Relay(relay) => relay.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Inner::Relay(relay) => match &relay.stream {
                Some(stream) if !relay.watch.edits() => stream.size_hint(),
                Some(_) => SizeHint::default(),
                None => SizeHint::with_exact(0),
            },
        }
    }
}

impl Relay {
    /// The next bytes. The first piece goes on at once, with the head; what comes behind it may be joined.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        loop {
            match (self.next(cx), &mut self.joined) {
                (Poll::Ready(Some(Ok(piece))), Some(joined)) => {
                    if let Some(enough) = joined.push(piece) {
                        return Poll::Ready(Some(Ok(enough)));
                    }
                }
                (Poll::Ready(Some(Ok(piece))), None) => {
                    self.joined = self.watch.is_stream().then(Joined::default);
                    return Poll::Ready(Some(Ok(piece)));
                }
                (next, Some(joined)) if !joined.is_empty() => {
                    if next.is_pending() && joined.look_again(cx) {
                        return Poll::Pending;
                    }
                    if let Poll::Ready(Some(Err(broken))) = next {
                        self.broken = Some(broken);
                    }
                    return Poll::Ready(joined.take().map(Ok));
                }
                (next, _) => return next,
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.stream.is_none() && self.broken.is_none() && self.joined.as_ref().is_none_or(Joined::is_empty)
    }

    /// The next piece, as it comes.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(None);
            };
            let data = match Pin::new(&mut *stream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Some(data),
                    Err(_trailers) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    return self.fail(&UpstreamError::BrokeOff(error.to_string()));
                }
                Poll::Ready(None) => None,
                Poll::Pending => return self.wait(cx),
            };
            // At the length that was told nobody asks for more, so the end must be seen now.
            let ended = data.is_none() || stream.is_end_stream();
            let data = data.unwrap_or_default();
            let passed = if ended { self.watch.last(data) } else { self.watch.feed(data) };
            if let (Some(heard), Some(patience)) = (self.watch.heard(), &mut self.patience) {
                patience.hear(heard);
            }
            if ended && passed.is_ok() {
                self.close(None);
            }
            match passed {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Err(_unreadable) => return self.fail(&UpstreamError::Unreadable),
            }
        }
    }

    /// Nothing has come. Has the server been silent for too long, or is it time to go?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(endless) = &mut self.endless
            && endless.draining.as_mut().poll(cx).is_ready()
        {
            self.close(None);
            return Poll::Ready(None);
        }
        let Some(patience) = &mut self.patience else {
            return Poll::Pending;
        };
        ready!(patience.timer.as_mut().poll(cx));
        let silence = patience.silence;
        self.upstream.abandon(&self.admission, &self.headers);
        self.fail(&UpstreamError::TimedOut(silence))
    }

    /// The answer will not come. In a stream there is still room to say so; elsewhere the connection's end must do.
    fn fail(&mut self, error: &UpstreamError) -> Poll<Option<Result<Bytes, Broken>>> {
        let call = Arc::clone(self.admission.permit().call());
        let decision = self.recorder.as_ref().map(|recorder| recorder.id);
        let event = match (call.id(), decision) {
            (Some(id), Some(decision)) if self.watch.is_stream() && self.watch.answer() == Answer::None => {
                Some(respond::event(error, decision, id))
            }
            _ => None,
        };
        tracing::debug!(%error, "a reply ended early");
        self.close(Some(error));
        Poll::Ready(Some(event.ok_or(Broken)))
    }

    fn close(&mut self, error: Option<&UpstreamError>) {
        self.stream = None;
        if let Some(recorder) = self.recorder.take() {
            recorder.close(outcome(self.watch.answer(), error));
        }
    }
}

/// How a call ended whose reply ended so.
pub(super) fn outcome(answer: Answer, error: Option<&UpstreamError>) -> Outcome {
    match (answer, error) {
        (Answer::Result, _) | (Answer::None, None) => Outcome::Ok,
        (Answer::ToolError, _) => Outcome::ToolError,
        (Answer::Error(code), _) => Outcome::ServerError(code),
        (Answer::None, Some(UpstreamError::TimedOut(_))) => Outcome::Timeout,
        (Answer::None, Some(_)) => Outcome::UpstreamError,
    }
}

/// A caller that has gone before the end of its answer: the books say so. An answer that was already passed counts.
impl Drop for Relay {
    fn drop(&mut self) {
        let Some(recorder) = self.recorder.take() else {
            return;
        };
        let stream = self.admission.permit().call().method() == Method::OpenStream;
        recorder.close(match self.watch.answer() {
            Answer::None if !stream => Outcome::Cancelled,
            answer => outcome(answer, None),
        });
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("stream", &self.stream).finish_non_exhaustive()
    }
}
