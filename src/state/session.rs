//! One session: whose it is, what the server calls it, and what is under way in it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Uri};
use tokio::sync::{mpsc, oneshot};

use super::Several;
use crate::clock;
use crate::jsonrpc::RequestId;
use crate::mcp::{Call, Form, Method, Question, Target};

/// One session, or what a principal does outside of any.
#[derive(Debug)]
pub struct Session {
    principal: Arc<str>,
    known: Known,
    /// Where the server keeps it, if it does.
    home: Option<Uri>,
    begun: Instant,
    /// When it began by the calendar, if its name is a ticket.
    ticketed: Option<SystemTime>,
    talk: Mutex<Talk>,
}

/// What the server calls a session.
#[derive(Clone, Debug)]
pub enum Known {
    /// Nothing: the server keeps none.
    Nowhere,
    /// This, in `Mcp-Session-Id`.
    Header(HeaderValue),
    /// The URL that takes its messages (2024-11-05).
    Url(Uri),
    /// It is one with several servers: each has its own name for it.
    Several(Arc<Several>),
}

/// What is under way.
#[derive(Debug)]
struct Talk {
    used: Instant,
    /// Requests of the client.
    requests: HashMap<RequestId, Request>,
    /// Requests of the server.
    questions: HashSet<RequestId>,
    /// How many more there are that are being declined.
    declined: usize,
    /// Counts the client's requests.
    count: u64,
    /// To the stream that answers all (2024-11-05).
    stream: Option<mpsc::Sender<Bytes>>,
}

/// A request of the client that is not answered yet.
#[derive(Debug)]
struct Request {
    about: About,
    /// The one begun first is forgotten first.
    order: u64,
    told: Option<oneshot::Sender<Form>>,
    cancelled: bool,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its method.
    pub method: Method,
    /// The tool that it calls.
    pub tool: Option<Box<str>>,
    /// The task that it names.
    pub task: Option<Box<str>>,
}

impl About {
    /// What this call is about.
    pub fn of(call: &Call) -> Self {
        let (tool, task) = match call.target() {
            Target::Tool(tool) => (Some(Box::from(tool)), None),
            Target::Task(task) => (None, Some(Box::from(task))),
            Target::None | Target::Prompt(_) | Target::Resource(_) => (None, None),
        };
        Self { method: call.method(), tool, task }
    }
}

/// So much may be under way in one session, each way. Beyond that the oldest is forgotten.
const MOST: usize = 1024;

/// So many of the server's questions may wait at once to be declined.
const MOST_DECLINED: usize = 64;

/// A question of the server that does not reach its client: the gate declines it in the client's stead. It takes room in
/// its session until it is dropped.
#[derive(Debug)]
pub struct Declined {
    /// The server's own id for it.
    pub id: RequestId,
    /// What it asked.
    pub question: Question,
    session: Arc<Session>,
}

impl Session {
    pub(super) fn new(principal: Arc<str>, known: Known, home: Option<Uri>) -> Self {
        let begun = clock::monotonic();
        let talk = Talk {
            used: begun,
            requests: HashMap::new(),
            questions: HashSet::new(),
            declined: 0,
            count: 0,
            stream: None,
        };
        Self { principal, known, home, begun, ticketed: None, talk: Mutex::new(talk) }
    }

    /// The same, which began then, by the calendar at that time: its name is a ticket that says so.
    pub(super) fn ticketed(self, begun: Instant, at: SystemTime) -> Self {
        Self { begun, ticketed: Some(at), ..self }
    }

    /// Whose it is.
    pub fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    /// What the server calls it.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// The endpoint where the server keeps it: no other one knows of it.
    pub fn home(&self) -> Option<&Uri> {
        self.home.as_ref()
    }

    /// How long it is there at that time.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// When it began by the calendar, if its name is a ticket.
    pub(super) fn ticket(&self) -> Option<SystemTime> {
        self.ticketed
    }

    /// When it was last used.
    pub fn used(&self) -> Instant {
        self.talk().used
    }

    /// Notes that it is in use: its client has asked, or its server has said something.
    pub fn touch(&self) {
        self.talk().used = clock::monotonic();
    }

    pub(super) fn begin(&self, id: &RequestId, about: About) {
        let mut talk = self.talk();
        if talk.requests.len() >= MOST {
            let oldest = talk.requests.iter().min_by_key(|(_, request)| request.order).map(|(id, _)| id.clone());
            oldest.and_then(|id| talk.requests.remove(&id));
        }
        talk.count += 1;
        let order = talk.count;
        talk.requests.insert(id.clone(), Request { about, order, told: None, cancelled: false });
    }

    /// The client cancels a request; false if it is not under way. What is cancelled need not be answered.
    pub(super) fn cancel(&self, id: &RequestId) -> bool {
        let mut talk = self.talk();
        talk.requests.get_mut(id).map(|request| request.cancelled = true).is_some()
    }

    /// Whether the client has cancelled this request.
    pub fn is_cancelled(&self, id: &RequestId) -> bool {
        self.talk().requests.get(id).is_some_and(|request| request.cancelled)
    }

    /// What this request is about, if it is under way.
    pub fn about(&self, id: &RequestId) -> Option<About> {
        self.talk().requests.get(id).map(|request| request.about.clone())
    }

    /// The server has answered this request: what it was about, if it was asked at all and not answered before.
    pub fn answered(&self, id: &RequestId, form: Form) -> Option<About> {
        let request = self.talk().requests.remove(id)?;
        // Whoever waited may have gone.
        let _gone = request.told.map(|told| told.send(form));
        Some(request.about)
    }

    /// Who is to be told how this request is answered; `None` if it has been.
    pub(super) fn tell(&self, id: &RequestId) -> Option<oneshot::Receiver<Form>> {
        let (told, tells) = oneshot::channel();
        self.talk().requests.get_mut(id)?.told = Some(told);
        Some(tells)
    }

    pub(super) fn forget(&self, id: &RequestId) {
        self.talk().requests.remove(id);
    }

    /// The server asks the client; false if it has asked too much already.
    pub fn asks(&self, id: RequestId) -> bool {
        let mut talk = self.talk();
        talk.used = clock::monotonic();
        (talk.questions.len() < MOST || talk.questions.contains(&id)) && {
            talk.questions.insert(id);
            true
        }
    }

    /// The server asks what it may not; `None` if it has done so too often without waiting to be told.
    pub fn declines(self: &Arc<Self>, id: RequestId, question: Question) -> Option<Declined> {
        let mut talk = self.talk();
        talk.used = clock::monotonic();
        (talk.declined < MOST_DECLINED).then(|| {
            talk.declined += 1;
            Declined { id, question, session: Arc::clone(self) }
        })
    }

    pub(super) fn takes_answer(&self, id: &RequestId) -> bool {
        self.talk().questions.remove(id)
    }

    /// Whether the server waits for its client.
    pub fn waits_for_client(&self) -> bool {
        !self.talk().questions.is_empty()
    }

    /// Whether a request of the client waits for its answer.
    pub fn owes(&self) -> bool {
        !self.talk().requests.is_empty()
    }

    /// The stream that answers all: what the gate itself has to say comes here.
    pub fn listen(&self) -> mpsc::Receiver<Bytes> {
        let (stream, said) = mpsc::channel(MOST);
        self.talk().stream = Some(stream);
        said
    }

    /// Says something on that stream. There is room for what is under way, and each request is answered once.
    pub fn say(&self, event: Bytes) {
        if let Some(stream) = &self.talk().stream {
            // Without a stream nobody waits for it.
            let _gone = stream.try_send(event);
        }
    }

    /// Ends everything that is under way: nothing will be answered.
    pub(super) fn end(&self) {
        let mut talk = self.talk();
        talk.requests.clear();
        talk.questions.clear();
        talk.stream = None;
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        // Every change is one step, so what a panic left behind is as good as any.
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Declined {
    fn drop(&mut self) {
        let mut talk = self.session.talk();
        talk.declined = talk.declined.saturating_sub(1);
    }
}
