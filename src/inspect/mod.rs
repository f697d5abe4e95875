//! What comes back: [`Watch`] reads a reply by the same strict rules as a call, message by message. What is sound passes
//! as it came, but for lists, which are cut down to what the caller may use; what is not ends the reply.

mod asked;
mod catalog;
mod endpoint;
mod events;
mod judge;
mod kept;
mod outline;
mod pinning;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;
use http::header;

use crate::cache::Turn;
use crate::mcp::{Call, Form, Method, Subject};
use crate::policy::{Flow, Permit, PolicySet, Sighting};
use crate::state::{Conversation, Declined, Place, Session, State, Stream};
use crate::upstream::{MediaType, Reply, ReplyBody, Unsound, media_type};

pub use catalog::{List, Listed, Unreadable, counts, learn, listed};

use endpoint::Opens;
use events::{Events, Ids, Most};
use judge::Judge;
use outline::Outline;
use verdict::{Sort, Verdict};

/// Watches one reply.
#[derive(Debug)]
pub struct Watch {
    judge: Judge,
    mode: Mode,
    heard: Option<Heard>,
    /// How much has come.
    length: usize,
    most: usize,
    state: Arc<State>,
}

#[derive(Debug)]
enum Mode {
    /// Not a message of MCP, and nothing that is taken for one.
    Pass,
    /// One JSON message, too long to be held: all but its last piece passes while it is followed.
    Long { outline: Box<Outline>, last: Bytes },
    /// A stream of messages.
    Events(Box<Events>),
}

/// What the server did last, where it bears on how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It told something: it is alive.
    Word,
    /// It asked the client something, and waits for it.
    Question,
    /// It answered.
    Answer,
}

/// How the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not, or not that the gate could tell.
    None,
    /// With a result.
    Result,
    /// With a result that says that the tool failed.
    ToolError,
    /// With a JSON-RPC error.
    Error(i64),
}

/// What passes of a piece; what must not pass stops the reply behind that.
#[derive(Debug)]
pub struct Passed {
    /// What passes.
    pub bytes: Bytes,
    /// Why nothing more does.
    pub unsound: Option<Unsound>,
}

/// Messages up to this length are judged before any of their bytes pass.
const HELD: usize = 256 * 1024;
/// Those that must be judged as a whole, because something may have to be taken out of them, may be so long.
const LARGEST_LIST: usize = 8 * 1024 * 1024;

/// How long a message may be that is held as a whole, and what of a longer one.
fn most(permit: &Permit) -> Most {
    if !permit.redaction().is_idle(Flow::Results) {
        return Most::Held(LARGEST_LIST);
    }
    match permit.call().method() {
        // What its tool may not let out may stand anywhere, and in a view what tasks are called.
        method if method.subject() == Subject::Task => Most::Held(LARGEST_LIST),
        method if List::of(method).is_some() => Most::Held(LARGEST_LIST),
        // A stream may bring the answer to anything. What a resource says may have to be kept from caches.
        Method::OpenStream | Method::SubscriptionsListen | Method::ResourcesRead => Most::Held(LARGEST_LIST),
        _ => Most::Followed(HELD),
    }
}

/// How much of a reply to this call is to be read before anything of it passes.
pub fn held(permit: &Permit) -> usize {
    match most(permit) {
        Most::Held(most) | Most::Followed(most) => most,
    }
}

/// What a reply is watched by.
#[derive(Debug)]
pub struct Watcher<'a> {
    /// What the call was permitted by.
    pub permit: &'a Permit,
    /// The policy in force.
    pub policy: &'a Arc<PolicySet>,
    /// What is remembered of the server.
    pub state: &'a Arc<State>,
    /// What stands before the protocol's own paths where the caller has it.
    pub base: &'a str,
    /// Where the call came in.
    pub place: &'a Place,
    /// How many bytes a reply to a request may have in all.
    pub max_reply_bytes: usize,
}

impl Watcher<'_> {
    /// Begins to watch a reply. What is already here as a whole is judged now, so that what is wrong with it can still
    /// be told properly.
    ///
    /// Who has the `turn` to ask for others is answered for them, too.
    ///
    /// # Errors
    /// It is not what it must be.
    pub fn watch(
        &self,
        conversation: Conversation,
        mut reply: Reply,
        turn: Option<Turn>,
    ) -> Result<(Watch, Reply), Unsound> {
        let call = self.permit.call();
        let from = reply.from.url();
        let conversation = conversation.replied(call.method(), (&mut reply.head, from), self.state.sessions());
        let limit = most(self.permit);
        let elsewhere = conversation.url().is_some();
        let opens = call.method() == Method::OpenStream && matches!(conversation, Conversation::Begins(_));
        let opens = opens.then(|| Opens { stream: from.clone(), base: self.base.into() });
        let judge = Judge::new(self, conversation, (&reply.head, from));
        let mut judge = judge.answering(turn.map(|turn| (turn, reply.from.ended())));
        let mut heard = None;
        let mode = match (media_type(&reply.head.headers), &mut reply.body) {
            // Its answer comes on the session's stream; a notification has none. So nothing here is one.
            (_, body) if reply.head.status.is_success() && (elsewhere || is_unanswered(call)) => {
                *body = ReplyBody::Whole(Bytes::new());
                reply.head.headers.remove(header::CONTENT_LENGTH);
                Mode::Pass
            }
            (MediaType::Json, ReplyBody::Whole(bytes)) if !bytes.is_empty() => {
                let (verdict, sort) = judge.page(bytes)?;
                let edited = match verdict {
                    Verdict::Pass => None,
                    Verdict::Edit(edited) => Some(Bytes::from(edited)),
                    Verdict::Drop => Some(Bytes::new()),
                };
                if let Some(edited) = edited {
                    *bytes = edited;
                    reply.head.headers.remove(header::CONTENT_LENGTH);
                }
                heard = sort.map(Heard::from);
                if judge.must_answer() {
                    return Err(Unsound::NoAnswer);
                }
                Mode::Pass
            }
            (MediaType::Json, ReplyBody::Stream(..)) => match limit {
                Most::Held(most) => return Err(Unsound::TooLong(most)),
                Most::Followed(_) => Mode::Long { outline: Box::default(), last: Bytes::new() },
            },
            (MediaType::EventStream, ReplyBody::Stream(..)) => {
                reply.head.headers.remove(header::CONTENT_LENGTH);
                Mode::Events(Box::new(Events::new(limit, opens, self.ids())))
            }
            _ if judge.must_answer() => return Err(Unsound::NoAnswer),
            _ => Mode::Pass,
        };
        let most = match call.method() {
            Method::OpenStream | Method::SubscriptionsListen => usize::MAX,
            _ => self.max_reply_bytes,
        };
        Ok((Watch { judge, mode, heard, length: 0, most, state: Arc::clone(self.state) }, reply))
    }
}

impl Watcher<'_> {
    /// What the caller is told of events' ids.
    fn ids(&self) -> Ids {
        match self.place {
            Place::Endpoint | Place::NewStream | Place::Messages(_) | Place::Catalogue => Ids::Kept,
            Place::Several(_, Stream::Own) => Ids::OfServer(self.permit.server().clone()),
            Place::Several(_, Stream::Shared) => Ids::LeftOut,
        }
    }
}

/// Whether nothing answers such a call: it is a notification, or itself an answer.
fn is_unanswered(call: &Call) -> bool {
    call.id().is_none() && !matches!(call.method(), Method::OpenStream | Method::EndSession)
        || call.method() == Method::Answer
}

impl Watch {
    /// Whether the reply is an event stream, to which events may be added, and from which they may be taken.
    pub fn is_stream(&self) -> bool {
        matches!(self.mode, Mode::Events(_))
    }

    /// Whether something may be added here: in a stream, between its events.
    pub fn is_between_events(&self) -> bool {
        matches!(&self.mode, Mode::Events(events) if events.is_between())
    }

    /// Whether the gate can answer in the server's stead: in a stream, where the server has not and will not.
    pub fn can_answer(&self) -> bool {
        self.is_between_events() && self.judge.must_answer()
    }

    /// From now on this decides what passes.
    pub fn judge_by(&mut self, permit: &Permit, policy: &Arc<PolicySet>) {
        self.judge.judge_by(permit, policy);
    }

    /// Other tools are there than before.
    pub fn tools_changed(&mut self) {
        self.judge.tools_changed();
    }

    /// What the gate itself has to say here, as an event: that the list of tools has changed.
    pub fn news(&mut self) -> Option<Bytes> {
        let news = if self.is_between_events() { self.judge.news() } else { None };
        news.map(|news| Bytes::from(format!("event: message\ndata: {news}\n\n")))
    }

    /// Looks at the next bytes; says what passes now.
    pub fn feed(&mut self, bytes: Bytes) -> Passed {
        self.length = self.length.saturating_add(bytes.len());
        if self.length > self.most {
            return Passed { bytes: Bytes::new(), unsound: Some(Unsound::TooLong(self.most)) };
        }
        match &mut self.mode {
            Mode::Pass => Passed { bytes, unsound: None },
            Mode::Long { outline, last } => {
                outline.feed(&bytes);
                Passed { bytes: std::mem::replace(last, bytes), unsound: None }
            }
            Mode::Events(events) => {
                let fed = events.feed(&bytes, &mut self.judge);
                self.heard = fed.heard.map(Heard::from).or(self.heard);
                Passed { bytes: fed.passed, unsound: fed.unsound }
            }
        }
    }

    /// The reply has ended: all that is left to pass.
    pub fn end(&mut self) -> Passed {
        let unsound = |unsound| Passed { bytes: Bytes::new(), unsound: Some(unsound) };
        match std::mem::replace(&mut self.mode, Mode::Pass) {
            Mode::Long { outline, last } => match self.judge.long(outline.finish()) {
                Ok(sort) => {
                    self.heard = Some(sort.into());
                    Passed { bytes: last, unsound: None }
                }
                Err(why) => unsound(why),
            },
            Mode::Events(events) => {
                self.mode = Mode::Events(events);
                let missing = self.judge.must_answer() && !self.is_resumable();
                Passed { bytes: Bytes::new(), unsound: missing.then_some(Unsound::NoAnswer) }
            }
            Mode::Pass => Passed { bytes: Bytes::new(), unsound: None },
        }
    }

    /// Whether the answer may still come, on another stream of the session.
    pub fn is_resumable(&self) -> bool {
        let in_session = matches!(self.conversation(), Conversation::Within { ours: Some(_), .. });
        in_session && matches!(&self.mode, Mode::Events(events) if events.resumable) && self.judge.must_answer()
    }

    /// Whether the client has cancelled the call, so that no answer need come.
    pub fn is_cancelled(&self) -> bool {
        self.judge.is_cancelled()
    }

    /// The conversation that the reply belongs to.
    pub fn conversation(&self) -> &Conversation {
        self.judge.conversation()
    }

    /// The session that this stream is, if it is one of 2024-11-05 and has begun.
    pub fn stream(&self) -> Option<&Arc<Session>> {
        self.conversation().session().filter(|_| self.is_stream() && self.conversation().url().is_some())
    }

    /// What the server did since this was last asked.
    pub fn heard(&mut self) -> Option<Heard> {
        self.heard.take()
    }

    /// What the server has asked since this was last asked, and must be told that it may not.
    pub fn declined(&mut self) -> Vec<Declined> {
        self.judge.declined()
    }

    /// The list of which the server has said that it is another one, since this was last asked.
    pub fn other_list(&mut self) -> Option<Method> {
        self.judge.other_list.take()
    }

    /// What was found that is not for everyone's eyes since this was last asked.
    pub fn sightings(&mut self) -> Vec<Sighting> {
        self.judge.sightings()
    }

    /// From now on the answer in a stream is kept as it passes, so that it can be told of.
    pub fn keep(&mut self) {
        self.judge.kept.begin();
    }

    /// The answer that was kept since this was last asked.
    pub fn kept(&mut self) -> Option<Bytes> {
        self.judge.kept.take()
    }

    /// How the server answered, as far as it has.
    pub fn answer(&self) -> Answer {
        match self.judge.answered() {
            None => Answer::None,
            Some(form) => Answer::from(form),
        }
    }
}

impl From<Form> for Answer {
    fn from(form: Form) -> Self {
        match form {
            Form::Result { failed: false } => Self::Result,
            Form::Result { failed: true } => Self::ToolError,
            Form::Error { code } => Self::Error(code),
        }
    }
}

impl From<Sort> for Heard {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Notification | Sort::Declined => Self::Word,
            Sort::Request => Self::Question,
            Sort::Answer(_) => Self::Answer,
        }
    }
}

/// A session of 2024-11-05 is its stream.
impl Drop for Watch {
    fn drop(&mut self) {
        if let (Some(_), Conversation::Within { ours: Some(ours), .. }) = (self.stream(), self.conversation()) {
            self.state.sessions().end(ours);
        }
    }
}
