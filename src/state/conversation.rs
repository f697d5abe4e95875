//! The conversation that one message belongs to.

use std::sync::Arc;

use http::response;
use http::{HeaderValue, Uri};
use tokio::sync::oneshot;

use super::{About, Known, SESSION_ID, Seat, Session, Sessions, Several};
use crate::jsonrpc::RequestId;
use crate::mcp::{Call, Form, Method};

/// The conversation that one message belongs to.
#[derive(Debug)]
pub enum Conversation {
    /// None: it is modern.
    Stateless,
    /// One that begins with this message, if the server wants one.
    Begins(Seat),
    /// One that goes on.
    Within {
        /// What the client calls it; `None` for what a principal does outside of any session.
        ours: Option<HeaderValue>,
        /// What is known of it.
        session: Arc<Session>,
    },
}

impl Conversation {
    /// What is known of it, if it has begun.
    pub fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Within { session, .. } => Some(session),
            Self::Stateless | Self::Begins(_) => None,
        }
    }

    /// What the client calls its session, if it is in one.
    pub fn ours(&self) -> Option<&HeaderValue> {
        match self {
            Self::Within { ours, .. } => ours.as_ref(),
            Self::Stateless | Self::Begins(_) => None,
        }
    }

    /// What the server calls it in `Mcp-Session-Id`.
    pub fn header(&self) -> Option<&HeaderValue> {
        match self.session()?.known() {
            Known::Header(theirs) => Some(theirs),
            Known::Nowhere | Known::Url(_) | Known::Several(_) => None,
        }
    }

    /// Where the server takes its messages, if that is a place of its own (2024-11-05). Their answers come elsewhere.
    pub fn url(&self) -> Option<&Uri> {
        match self.session()?.known() {
            Known::Url(theirs) => Some(theirs),
            Known::Nowhere | Known::Header(_) | Known::Several(_) => None,
        }
    }

    /// The sessions of which it is made, if it is one with several servers.
    pub fn several(&self) -> Option<&Arc<Several>> {
        match self.session()?.known() {
            Known::Several(several) => Some(several),
            Known::Nowhere | Known::Header(_) | Known::Url(_) => None,
        }
    }

    /// Notes a request: from now on it can be cancelled, and answered.
    pub fn begin(&self, call: &Call) -> Option<UnderWay> {
        let session = self.session().filter(|_| call.method() != Method::Answer)?;
        let id = call.id()?;
        session.begin(id, About::of(call));
        let in_session = matches!(self, Self::Within { ours: Some(_), .. });
        let place = if in_session { Answered::Anywhere } else { Answered::Here };
        // Where answers come on another stream, one may come before the reply to its request.
        let told = self.url().and_then(|_| session.tell(id));
        Some(UnderWay { session: Arc::clone(session), id: id.clone(), place, told })
    }

    /// Ends the session: its server does not know of it any more.
    pub fn end(&self, sessions: &Sessions) {
        self.ours().into_iter().for_each(|ours| sessions.end(ours));
    }

    /// What the head of a reply from there means for the session: one begins, goes on or ends. The server's name for it
    /// gives way to ours.
    #[must_use]
    pub fn replied(self, method: Method, (head, from): (&mut response::Parts, &Uri), sessions: &Sessions) -> Self {
        let theirs = head.headers.remove(&SESSION_ID);
        match (self, theirs) {
            (Self::Begins(seat), Some(theirs)) if method == Method::Initialize && head.status.is_success() => {
                // As it came it is a part of all that was read with it, which would stay as long as the session.
                let theirs = HeaderValue::from_bytes(theirs.as_bytes()).unwrap_or(theirs);
                let Some((ours, session)) = seat.begin(Known::Header(theirs), Some(from)) else {
                    return Self::Stateless;
                };
                head.headers.insert(SESSION_ID, ours.clone());
                Self::Within { ours: Some(ours), session }
            }
            (Self::Within { ours: Some(ours), session }, theirs) => {
                let ended = method == Method::EndSession && head.status.is_success();
                if ended || head.status.as_u16() == 404 {
                    sessions.end(&ours);
                }
                if theirs.is_some() {
                    head.headers.insert(SESSION_ID, ours.clone());
                }
                Self::Within { ours: Some(ours), session }
            }
            (unchanged, _) => unchanged,
        }
    }

    pub(super) fn cancel(&self, id: &RequestId) -> bool {
        self.session().is_some_and(|session| session.cancel(id))
    }

    pub(super) fn takes_answer(&self, id: &RequestId) -> bool {
        self.session().is_some_and(|session| session.takes_answer(id))
    }
}

/// A request that is not answered yet. Dropping it forgets the request.
#[derive(Debug)]
pub struct UnderWay {
    session: Arc<Session>,
    id: RequestId,
    place: Answered,
    told: Option<oneshot::Receiver<Form>>,
}

/// Where a request can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// Nowhere but in its own reply: there is no session.
    Here,
    /// On another stream of its session too.
    Anywhere,
    /// It was left to another stream.
    Elsewhere,
}

impl UnderWay {
    /// Leaves the request for another stream of its session to answer, and tells how it was. `None` if that has happened
    /// already, or cannot: outside of sessions there is no such stream.
    pub fn leave(mut self) -> Option<oneshot::Receiver<Form>> {
        if self.place != Answered::Anywhere {
            return None;
        }
        self.place = Answered::Elsewhere;
        self.told.take().or_else(|| self.session.tell(&self.id))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.place != Answered::Elsewhere {
            self.session.forget(&self.id);
        }
    }
}
