//! What is remembered between messages: legacy sessions with what is under way in them, who began which task, how the
//! server last showed its tools, and which headers they ask for. Modern requests carry everything in themselves; for them nothing is kept but
//! tasks.

mod conversation;
mod learnt;
mod lists;
mod mirrors;
mod revocations;
mod session;
mod sessions;
mod several;
mod shown;
mod tasks;
#[cfg(test)]
mod tests;
mod ticket;

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri};
use tokio::sync::watch;

use crate::identity::Principal;
use crate::json::Fault;
use crate::jsonrpc::RequestId;
use crate::mcp::{Era, Method, ServerName, Target};
use crate::policy::{Denial, Effect, Permit, PolicySet, Query};

pub use conversation::{Conversation, UnderWay};
pub use learnt::{Learnt, Lesson, Per};
pub use lists::Lists;
pub use mirrors::Mirrors;
pub use revocations::RevocationList;
pub use session::{About, Declined, Known, Session};
pub use sessions::{Ended, MESSAGES, SESSION_ID, STREAM, Seat, SessionBounds, Sessions, Unresumed};
pub use several::{Begun, Leg, Several};
pub use shown::{Changed, ShownTools};
pub use tasks::{TaskNames, Tasks};
pub use ticket::{Sealing, Tickets};

use learnt::Lessons;
use mirrors::Learned;

/// What is remembered of one server.
#[derive(Debug)]
pub struct State {
    sessions: Arc<Sessions>,
    tasks: Tasks,
    lessons: Lessons,
    lists: Lists,
    news: watch::Sender<()>,
}

/// Why a message does not belong where it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The session is unknown, ended or another principal's.
    NoSession,
    /// No session is named where there must be one.
    SessionMissing,
    /// The principal has as many sessions as it may, or the gate as many as it keeps, and all are in use.
    TooManySessions,
    /// The task is unknown, over or another principal's, or the principal may not call its tool any more.
    NoTask,
    /// The client did not declare that it knows tasks.
    NoTasks,
    /// What should be cancelled is not under way.
    NothingToCancel,
    /// What should be answered was not asked.
    NothingAsked,
    /// The page that is asked for is none of this list, or not for this principal.
    NoCursor,
}

impl State {
    /// Nothing yet. So clients of views call its tasks; its lists are for these.
    pub fn new(sessions: Sessions, names: TaskNames, per: Per) -> Self {
        Self {
            sessions: Arc::new(sessions),
            tasks: Tasks::new(names),
            lessons: Lessons::new(per),
            lists: Lists::new(per),
            news: watch::Sender::default(),
        }
    }

    /// The legacy sessions.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Who began which task.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Learns from a list of tools that this account was shown which headers they ask for.
    ///
    /// # Errors
    /// The list has not one reading.
    pub fn learn(&self, account: &Arc<str>, list: &[u8]) -> Result<(), Fault> {
        if self.learnt(account).learn(list)? == Learned::Other {
            self.lists.changed(Method::ToolsList);
        }
        Ok(())
    }

    /// What lists have said of the server's tools that count for this account.
    pub fn learnt(&self, account: &Arc<str>) -> Lesson<'_> {
        self.lessons.of(account)
    }

    /// For whom its lists are.
    pub fn per(&self) -> Per {
        self.lessons.per()
    }

    /// Tells the streams that clients hold open that other tools are there than before.
    pub fn tell(&self) {
        self.news.send_replace(());
    }

    /// Hears of that.
    pub fn hear(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Which lists the server shows.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// What is permitted, where it is about a task that its tool's rules hold for, too.
    ///
    /// # Errors
    /// By those it is refused.
    pub fn about(&self, permit: Permit, policy: &PolicySet) -> Result<Permit, Denial> {
        let tool = match permit.call().target() {
            Target::Task(task) => self.tasks.tool(task, permit.principal()),
            Target::None | Target::Tool(_) | Target::Prompt(_) | Target::Resource(_) => None,
        };
        match tool {
            Some(tool) => policy.permit_about(&tool, permit),
            None => Ok(permit),
        }
    }

    /// The conversation that a permitted call belongs to. What a client names by id, be it a session, a task, or a
    /// request that it cancels or answers, must be its own.
    ///
    /// # Errors
    /// It is not, or there is no room for a new session.
    pub async fn enter(
        &self,
        permit: &Permit,
        place: &Place,
        headers: &HeaderMap,
        policy: &PolicySet,
    ) -> Result<Conversation, StateError> {
        self.owns(permit, policy)?;
        let call = permit.call();
        if call.era() == Era::Modern {
            return Ok(Conversation::Stateless);
        }
        let conversation = match place {
            Place::Endpoint | Place::Several(..) | Place::Catalogue => match headers.get(&SESSION_ID) {
                Some(ours) => self.sessions.enter(ours, permit.principal()).await?,
                None if call.method() == Method::Initialize => {
                    Conversation::Begins(self.sessions.reserve(permit.principal())?)
                }
                None => self.sessions.outside(permit.principal()),
            },
            Place::NewStream => Conversation::Begins(self.sessions.reserve(permit.principal())?),
            Place::Messages(ours) => self.sessions.find(ours, permit.principal())?,
        };
        match (call.method(), call.cancels(), call.id()) {
            (Method::Cancelled, Some(id), _) if !conversation.cancel(id) => Err(StateError::NothingToCancel),
            (Method::Answer, _, Some(id)) if !conversation.takes_answer(id) => Err(StateError::NothingAsked),
            _ => Ok(conversation),
        }
    }

    /// Whether a request with this id is under way in that session of this principal, or outside of any.
    pub fn has_under_way(&self, session: Option<&HeaderValue>, principal: &Principal, id: &RequestId) -> bool {
        let conversation = match session {
            Some(ours) => self.sessions.find(ours, principal).ok(),
            None => Some(self.sessions.outside(principal)),
        };
        let session = conversation.as_ref().and_then(Conversation::session);
        session.is_some_and(|session| session.about(id).is_some())
    }

    /// The endpoint of the server that has what this is about, if not every one of them does: the session or the task.
    pub fn home(&self, target: Target<'_>, conversation: &Conversation) -> Option<Uri> {
        let session = conversation.session().and_then(|session| session.home().cloned());
        session.or_else(|| match target {
            Target::Task(task) => self.tasks.home(task),
            Target::None | Target::Tool(_) | Target::Prompt(_) | Target::Resource(_) => None,
        })
    }

    /// A task is its principal's, for as long as that principal may call the tool that began it.
    fn owns(&self, permit: &Permit, policy: &PolicySet) -> Result<(), StateError> {
        let Target::Task(task) = permit.call().target() else {
            return Ok(());
        };
        if permit.call().era() == Era::Modern && !permit.call().declared().has_tasks() {
            return Err(StateError::NoTasks);
        }
        let principal = permit.principal();
        let tool = self.tasks.tool(task, principal).ok_or(StateError::NoTask)?;
        let (server, target) = (permit.server(), Target::Tool(&tool));
        let context = permit.context().showing(self.learnt(principal.account()).shown().of(target));
        let query = Query { principal, server, method: Method::ToolsCall, target, context };
        match policy.decide(&query).effect {
            Effect::Allow => Ok(()),
            Effect::Deny(_) => Err(StateError::NoTask),
        }
    }
}

/// Where a message came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The endpoint of Streamable HTTP.
    Endpoint,
    /// The same of several servers as one, which are called so together.
    Several(ServerName, Stream),
    /// Nowhere: the gate asks what a caller of such a view is to be shown, in the caller's name, and reads the answer itself.
    Catalogue,
    /// Where a 2024-11-05 client opens its stream.
    NewStream,
    /// Where a 2024-11-05 client posts the messages of the session of this name.
    Messages(HeaderValue),
}

/// Whose the stream is that answers, where several servers are as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The one server's that answers: it can be asked for what was missed.
    Own,
    /// Several servers', of which none can be asked for the others'.
    Shared,
}

impl StateError {
    /// A word for logs and labels.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::SessionMissing => "session_missing",
            Self::TooManySessions => "too_many_sessions",
            Self::NoTask => "no_task",
            Self::NoTasks => "no_tasks",
            Self::NothingToCancel => "nothing_to_cancel",
            Self::NothingAsked => "nothing_asked",
            Self::NoCursor => "no_cursor",
        }
    }
}

/// The operator's text.
impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "the session is unknown, ended or another principal's",
            Self::SessionMissing => "the message names no session (Mcp-Session-Id), and views of this era have some",
            Self::TooManySessions => "the principal, or the gateway, has all the sessions that it may (sessions)",
            Self::NoTask => "the task is unknown, over or another principal's, or its tool is not granted any more",
            Self::NoTasks => "the client did not declare the tasks extension in this request",
            Self::NothingToCancel => "the request to cancel is not under way",
            Self::NothingAsked => "the server has not asked what this answers",
            Self::NoCursor => "the cursor is none that this gate gave this principal for this list",
        })
    }
}
