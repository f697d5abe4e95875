//! Calls whose answer comes on another stream than the reply to them: all of 2024-11-05, and those of 2025-11-25 whose
//! server closed the stream so that the client asks again. They keep their room, and are recorded, like any other.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::{Gateway, Room, Served, body, respond, stop};
use crate::exchange::{DecisionId, Outcome, TimeoutKind};
use crate::inspect::Answer;
use crate::mcp::Form;
use crate::state::{Conversation, Declined, Session, UnderWay};
use crate::telemetry::Recorder;
use crate::upstream::{Behalf, Deadline, UpstreamError};

/// Waits for such calls.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) gateway: Arc<Gateway>,
    /// The server that was asked.
    pub(super) served: Arc<Served>,
    /// The protocol revision that the caller's headers name, should the server have to be told something.
    pub(super) version: Option<HeaderValue>,
}

/// A call that waits.
struct Waiting {
    gateway: Arc<Gateway>,
    served: Arc<Served>,
    version: Option<HeaderValue>,
    session: Arc<Session>,
    conversation: Conversation,
    room: Room,
    recorder: Recorder,
}

impl Elsewhere {
    /// Waits for an answer, until it has come, its session has ended or the server has been silent for too long.
    pub(super) fn wait(&self, under_way: UnderWay, conversation: &Conversation, room: Room, recorder: Recorder) {
        let (Conversation::Within { ours, session }, Some(told)) = (conversation, under_way.leave()) else {
            // Its client asked on another stream before this one had ended, and has its answer.
            return recorder.close(Outcome::Ok);
        };
        let waiting = Waiting {
            gateway: Arc::clone(&self.gateway),
            served: Arc::clone(&self.served),
            version: self.version.clone(),
            session: Arc::clone(session),
            conversation: Conversation::Within { ours: ours.clone(), session: Arc::clone(session) },
            room,
            recorder,
        };
        self.gateway.waiting.spawn(waiting.end(told));
    }

    /// Declines what the server has asked and may not, in its client's stead.
    pub(super) fn decline(&self, declined: Declined, room: &Room, conversation: &Conversation, decision: DecisionId) {
        let answer = respond::declined(&declined, decision);
        self.served.upstream.decline(declined, answer, self.behalf(room, conversation));
    }

    /// Tells the server that nobody waits for this call any more.
    pub(super) fn abandon(&self, room: &Room, conversation: &Conversation) {
        self.served.upstream.abandon(self.behalf(room, conversation));
    }

    fn behalf<'a>(&'a self, room: &'a Room, conversation: &'a Conversation) -> Behalf<'a> {
        Behalf { admission: &room.admission, conversation, to: room.server.url(), version: self.version.as_ref() }
    }
}

impl Waiting {
    async fn end(self, mut told: oneshot::Receiver<Form>) {
        let mut stop = stop::stop(&self.gateway, self.room.admission.permit());
        loop {
            tokio::select! {
                biased;
                answer = &mut told => {
                    let answer = answer.map_or(Answer::None, Answer::from);
                    // Without an answer its session has ended, and nobody waits for it any more.
                    let ended = UpstreamError::BrokeOff("the session ended".to_owned());
                    let error = (answer == Answer::None).then_some(&ended);
                    return self.recorder.close(body::outcome(answer, error));
                }
                stopped = &mut stop => return self.give_up(&stopped),
                () = sleep_until(self.deadline()) => {
                    if self.deadline() <= Instant::now() {
                        let silence = self.silence();
                        return self.give_up(&UpstreamError::TimedOut(Deadline::StreamIdle, silence));
                    }
                }
            }
        }
    }

    /// While a client's user is asked, or until a client comes back for its answer.
    fn long(&self) -> Duration {
        self.served.upstream.timeouts().stream_idle
    }

    /// Otherwise.
    fn silence(&self) -> Duration {
        self.room.admission.permit().tool().map_or(self.long(), |tool| tool.timeout)
    }

    /// Every word of the server on the session's stream renews its time.
    fn deadline(&self) -> Instant {
        let (long, tool) = (self.long(), self.silence());
        let asked = self.conversation.url().is_none() || self.session.waits_for_client();
        Instant::from_std(self.session.used()) + if asked { long.max(tool) } else { tool }
    }

    fn give_up(mut self, error: &UpstreamError) {
        let call = self.room.admission.permit().call();
        let Self { room, conversation, .. } = &self;
        self.served.upstream.abandon(Behalf {
            admission: &room.admission,
            conversation,
            to: room.server.url(),
            version: self.version.as_ref(),
        });
        if let Some(id) = call.id() {
            self.session.say(respond::event(error, self.recorder.id, id));
            self.session.answered(id, Form::Error { code: 0 });
        }
        self.recorder.refused = Some(error.reason());
        self.recorder.timeout = TimeoutKind::of(error);
        if let UpstreamError::Stopped(rule) = error {
            self.recorder.rule = Some(rule.clone());
        }
        self.recorder.close(body::outcome(Answer::None, Some(error)));
    }
}
