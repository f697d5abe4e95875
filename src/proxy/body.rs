//! The body of an answer: inspects as it flows, holds the call's room, and closes the books when it ends.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::batch::Merged;
use super::elsewhere::Elsewhere;
use super::endless::Endless;
use super::joined::Joined;
use super::keep_alive::KeepAlive;
use super::patience::Patience;
use super::stop::Stop;
use super::view::Shared;
use super::{Room, respond};
use crate::exchange::{Outcome, TimeoutKind};
use crate::inspect::{Answer, Heard, Passed, Watch};
use crate::mcp::Method;
use crate::state::{Declined, UnderWay};
use crate::telemetry::{Recorder, RequestScope};
use crate::upstream::{ReplyStream, Unsound, UpstreamError};

/// What the gate sends back.
#[derive(Debug)]
pub struct GateBody(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Option<Bytes>),
    Relay(Box<Relay>),
    Merged(Merged),
    Shared(Box<Shared>),
    Broken,
}

/// A server's reply on its way to the caller. It holds everything that must last until the last byte: dropping it,
/// which is what happens when the caller goes away, ends the server's stream and gives the room back.
pub(super) struct Relay {
    /// What has come already.
    pub(super) begun: Option<Bytes>,
    /// What comes; `None` when all has passed.
    pub(super) stream: Option<ReplyStream>,
    pub(super) watch: Watch,
    /// The call's room, until its answer has come.
    pub(super) room: Option<Room>,
    pub(super) under_way: Option<UnderWay>,
    pub(super) elsewhere: Elsewhere,
    pub(super) recorder: Option<Recorder>,
    /// The request that it answers, for whatever is logged meanwhile.
    pub(super) scope: RequestScope,
    pub(super) patience: Option<Patience>,
    /// Ends the call if an operator says so; streams without an end are judged anew instead.
    pub(super) stop: Option<Stop>,
    /// For streams without an end of their own.
    pub(super) endless: Option<Endless>,
    /// For streams.
    pub(super) keep_alive: Option<KeepAlive>,
    /// What the gate itself says on a stream of 2024-11-05.
    pub(super) said: Option<mpsc::Receiver<Bytes>>,
    /// What waits for more, in an event stream of which something has passed.
    pub(super) joined: Option<Joined>,
    /// What passes next.
    pub(super) queued: Option<Bytes>,
    /// The end, where something is still to pass before it.
    pub(super) broken: Option<Broken>,
    pub(super) last_piece: LastPiece,
}

/// What has come of a reply.
enum Piece {
    More(Bytes),
    /// Behind it there is nothing.
    Last(Bytes),
}

impl GateBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(Some(bytes)))
    }

    pub(super) fn relay(relay: Relay) -> Self {
        Self(Inner::Relay(Box::new(relay)))
    }

    pub(super) fn merged(merged: Merged) -> Self {
        Self(Inner::Merged(merged))
    }

    pub(super) fn shared(shared: Shared) -> Self {
        Self(Inner::Shared(Box::new(shared)))
    }

    /// Nothing but the connection's end.
    pub(super) fn broken() -> Self {
        Self(Inner::Broken)
    }

    /// The event stream that this is, or the body again.
    pub(super) fn into_stream(self) -> Result<Box<Relay>, Self> {
        match self.0 {
            Inner::Relay(relay) if relay.watch.is_stream() => Ok(relay),
            other => Err(Self(other)),
        }
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
            Inner::Merged(merged) => merged.poll(cx).map(|next| next.map(|next| next.map(Frame::data))),
            Inner::Shared(shared) => shared.poll(cx).map(|next| next.map(|next| next.map(Frame::data))),
            Inner::Broken => Poll::Ready(Some(Err(Broken))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Relay(relay) => relay.has_ended(),
            Inner::Shared(shared) => shared.has_ended(),
            Inner::Merged(_) | Inner::Broken => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Inner::Relay(relay) => match &relay.stream {
                Some(stream) if !relay.watch.is_stream() => {
                    let begun = relay.begun.as_ref().map_or(0, |begun| begun.len() as u64);
                    stream.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(begun + rest))
                }
                Some(_) => SizeHint::default(),
                None => SizeHint::with_exact(0),
            },
            Inner::Merged(_) | Inner::Shared(_) | Inner::Broken => SizeHint::default(),
        }
    }
}

/// What has become of the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastPiece {
    /// The connection has it, and may not have written it yet.
    Unwritten,
    /// It had a turn to be written.
    Written,
}

impl Relay {
    /// Whether everything that has passed is whole events.
    pub(super) fn is_between_events(&self) -> bool {
        self.watch.is_between_events()
    }

    /// The next bytes. The first piece goes on at once, with the head; what comes behind it may be joined.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let scope = self.scope.clone();
        match (scope.within(|| self.poll_joined(cx)), self.last_piece) {
            (Poll::Ready(Some(Ok(piece))), _) => {
                self.last_piece = LastPiece::Unwritten;
                if let Some(keep_alive) = &mut self.keep_alive {
                    keep_alive.pass();
                }
                Poll::Ready(Some(Ok(piece)))
            }
            // hyper drops what it has not written when a body breaks.
            (Poll::Ready(Some(Err(broken))), LastPiece::Unwritten) => {
                (self.broken, self.last_piece) = (Some(broken), LastPiece::Written);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (next, _) => {
                self.last_piece = LastPiece::Written;
                next
            }
        }
    }

    fn poll_joined(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
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
                    // A stream of 2024-11-05 answers many calls. Its clients take what comes in one piece at once, and
                    // forget a call's progress if the answer is in the same one.
                    let joins = self.watch.is_stream() && self.watch.stream().is_none();
                    self.joined = joins.then(Joined::default);
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
        let nothing_waits = self.joined.as_ref().is_none_or(Joined::is_empty) && self.queued.is_none();
        self.stream.is_none() && self.broken.is_none() && nothing_waits
    }

    /// The next piece, as it comes.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if let Some(queued) = self.queued.take() {
                return Poll::Ready(Some(Ok(queued)));
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(None);
            };
            let piece = match self.begun.take() {
                Some(begun) => Some(begun),
                None => match Pin::new(&mut *stream).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => Some(data),
                        Err(_trailers) => continue,
                    },
                    // Its client knows how to ask for the rest, if it hears of the break as it would without a gate.
                    Poll::Ready(Some(Err(_broken))) if self.watch.is_resumable() => {
                        self.close(None);
                        return Poll::Ready(Some(Err(Broken)));
                    }
                    Poll::Ready(Some(Err(error))) => {
                        return self.fail(Bytes::new(), &UpstreamError::BrokeOff(error.to_string()));
                    }
                    Poll::Ready(None) => None,
                    Poll::Pending => return self.wait(cx),
                },
            };
            // At the length that was told nobody asks for more, so the end must be seen now.
            let ended = piece.is_none() || stream.is_end_stream();
            let piece = piece.unwrap_or_default();
            if let Some(passed) = self.pass(if ended { Piece::Last(piece) } else { Piece::More(piece) }) {
                return passed;
            }
        }
    }

    /// Looks at a piece, and at the end behind it if that is there. `None` if nothing passes yet.
    fn pass(&mut self, piece: Piece) -> Option<Poll<Option<Result<Bytes, Broken>>>> {
        let ended = matches!(piece, Piece::Last(_));
        let (Piece::More(piece) | Piece::Last(piece)) = piece;
        let Passed { mut bytes, mut unsound } = self.watch.feed(piece);
        if ended && unsound.is_none() {
            let last = self.watch.end();
            unsound = last.unsound;
            if bytes.is_empty() {
                bytes = last.bytes;
            } else if !last.bytes.is_empty() {
                self.queued = Some(last.bytes);
            }
        }
        let passed = bytes.len() + self.queued.as_ref().map_or(0, Bytes::len);
        if let Some(room) = &self.room {
            room.admission.brings(passed);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.replied = recorder.replied.saturating_add(passed);
        }
        // Of an answer that is no stream every piece is a word.
        let heard = self.watch.heard().or((!self.watch.is_stream()).then_some(Heard::Word));
        if let (Some(heard), Some(patience)) = (heard, &mut self.patience) {
            patience.hear(heard);
        }
        self.outdate();
        for declined in self.watch.declined() {
            self.decline(declined);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.saw(self.watch.sightings());
            recorder.answer = self.watch.kept().or(recorder.answer.take());
        }
        if let Some(unsound) = unsound {
            return Some(self.fail(bytes, &UpstreamError::Unsound(unsound)));
        }
        if ended {
            self.close(None);
        }
        (!bytes.is_empty()).then_some(Poll::Ready(Some(Ok(bytes))))
    }

    /// What the server has for this caller is asked anew once it has said that it has something else: before the caller hears
    /// that, and asks.
    fn outdate(&mut self) {
        if let (Some(_), Some(room)) = (self.watch.other_list(), &self.room)
            && let Some(callers) = self.elsewhere.served.catalogue.callers()
        {
            callers.outdate(room.admission.permit().principal().account());
        }
    }

    /// The server has asked what it may not: it is told so in its client's stead, and the stream goes on.
    fn decline(&self, declined: Declined) {
        if let (Some(room), Some(recorder)) = (&self.room, &self.recorder) {
            let (server, method) = (&recorder.server, declined.question.method());
            tracing::warn!(%server, method, "the server asked what it may not (server_may)");
            recorder.declined(declined.question);
            self.elsewhere.decline(declined, room, self.watch.conversation(), recorder.id);
        }
    }

    /// Nothing has come. Has the gate something to say, has the server been silent for too long, or is it time to go?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(endless) = &mut self.endless
            && !endless.goes_on(&mut self.watch, self.room.as_ref(), cx)
        {
            self.close(None);
            return Poll::Ready(None);
        }
        if let Some(news) = self.watch.news() {
            return Poll::Ready(Some(Ok(news)));
        }
        if self.said.is_none() {
            self.said = self.watch.stream().map(|session| session.listen());
        }
        if let Some(Poll::Ready(Some(event))) = self.said.as_mut().map(|said| said.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(stop) = &mut self.stop
            && let Poll::Ready(stopped) = stop.as_mut().poll(cx)
        {
            if let Some(room) = &self.room {
                self.elsewhere.abandon(room, self.watch.conversation());
            }
            return self.fail(Bytes::new(), &stopped);
        }
        if let Some(patience) = &mut self.patience
            && let Poll::Ready(late) = patience.poll(cx)
        {
            if let Some(room) = &self.room {
                self.elsewhere.abandon(room, self.watch.conversation());
            }
            return self.fail(Bytes::new(), &late);
        }
        let Some(keep_alive) = self.keep_alive.as_mut().filter(|_| self.watch.is_between_events()) else {
            return Poll::Pending;
        };
        Poll::Ready(Some(Ok(ready!(keep_alive.poll(cx)))))
    }

    /// The answer will not come. In a stream there is still room to say so; elsewhere the connection's end must do.
    fn fail(&mut self, passed: Bytes, error: &UpstreamError) -> Poll<Option<Result<Bytes, Broken>>> {
        let call = self.room.as_ref().map(|room| Arc::clone(room.admission.permit().call()));
        let decision = self.recorder.as_ref().map(|recorder| recorder.id);
        let id = call.as_ref().and_then(|call| call.id());
        let last = match (id, decision) {
            (Some(id), Some(decision)) if self.watch.can_answer() => Ok(respond::event(error, decision, id)),
            // The client has its answer, or asked for none.
            _ if self.watch.is_between_events() => Ok(Bytes::new()),
            _ => Err(Broken),
        };
        tracing::debug!(%error, "a reply ended early");
        self.close(Some(error));
        match last {
            Ok(event) if passed.is_empty() && event.is_empty() => Poll::Ready(None),
            Ok(event) if passed.is_empty() => Poll::Ready(Some(Ok(event))),
            Ok(event) => {
                self.queued = Some(event).filter(|event| !event.is_empty());
                Poll::Ready(Some(Ok(passed)))
            }
            Err(broken) if passed.is_empty() => Poll::Ready(Some(Err(broken))),
            Err(broken) => {
                self.broken = Some(broken);
                Poll::Ready(Some(Ok(passed)))
            }
        }
    }

    /// The stream is over. An answer that may still come on another one is waited for there.
    fn close(&mut self, error: Option<&UpstreamError>) {
        self.stream = None;
        let Some(mut recorder) = self.recorder.take() else {
            return;
        };
        recorder.refused = error.map(UpstreamError::reason);
        recorder.timeout = error.and_then(TimeoutKind::of);
        recorder.rule = error.and_then(UpstreamError::rule).cloned().or(recorder.rule.take());
        let resumable = error.is_none() && self.watch.is_resumable();
        match (self.under_way.take().filter(|_| resumable), self.room.take()) {
            (Some(under_way), Some(room)) => {
                self.elsewhere.wait(under_way, self.watch.conversation(), room, recorder);
            }
            _ if self.watch.answer() == Answer::None && self.watch.is_cancelled() => {
                recorder.close(Outcome::Cancelled);
            }
            _ => recorder.close(outcome(self.watch.answer(), error)),
        }
    }
}

/// How a call ended whose reply ended so.
pub(super) fn outcome(answer: Answer, error: Option<&UpstreamError>) -> Outcome {
    match (answer, error) {
        (Answer::Result, _) | (Answer::None, None) => Outcome::Ok,
        (Answer::ToolError, _) => Outcome::ToolError,
        (Answer::Error(code), _) => Outcome::ServerError(code),
        (Answer::None, Some(UpstreamError::TimedOut(..))) => Outcome::Timeout,
        (Answer::None, Some(UpstreamError::Stopped(_) | UpstreamError::Unsound(Unsound::Withheld(_)))) => {
            Outcome::Denied
        }
        (Answer::None, Some(_)) => Outcome::UpstreamError,
    }
}

/// A caller that has gone before the end of its answer: the books say so. An answer that was already passed counts. In a
/// session it may come back for the rest.
impl Drop for Relay {
    fn drop(&mut self) {
        let Some(recorder) = self.recorder.take() else {
            return;
        };
        if let Some(under_way) = self.under_way.take().filter(|_| self.watch.is_resumable()) {
            // Nobody is told: the call counts as cancelled, whatever comes of it.
            let _untold = under_way.leave();
        }
        let method = self.room.as_ref().map(|room| room.admission.permit().call().method());
        let stream = method == Some(Method::OpenStream);
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
