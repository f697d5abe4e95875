//! What of the server's messages may pass: the one answer to what was asked, and nothing that this caller may not see.

use std::sync::Arc;

use http::{Uri, response};

use super::Watcher;
use super::asked::{is_among, safe};
use super::catalog::{CatalogFilter, List};
use super::endpoint::{self, Opens};
use super::kept::Kept;
use super::outline::LongAnswer;
use super::verdict::{Sort, Verdict};
use crate::cache::Turn;
use crate::clock;
use crate::identity::Principal;
use crate::json;
use crate::jsonrpc::RequestId;
use crate::mcp::{self, Asked, Call, Era, Form, Method, Notice, Problem, Question, ServerMessage, ServerName, Target};
use crate::policy::{Context, Effect, Flow, Permit, PolicySet, Query, Sighting};
use crate::redact::Part;
use crate::sse::Event;
use crate::state::{About, Conversation, Declined, Place, State, Stream};
use crate::upstream::{InFlight, Unsound};

/// Judges the messages of one reply.
#[derive(Debug)]
pub(super) struct Judge {
    principal: Arc<Principal>,
    call: Arc<Call>,
    server: ServerName,
    context: Context,
    policy: Arc<PolicySet>,
    state: Arc<State>,
    /// Where the call came in.
    place: Place,
    conversation: Conversation,
    /// The endpoint that replies.
    from: Uri,
    awaits: Awaits,
    answered: Option<Form>,
    /// Others may ask the same, and have the same answer.
    turn: Option<(Turn, InFlight)>,
    /// A subscription has begun.
    acknowledged: bool,
    /// Other tools are there than the client knows.
    tools_changed: bool,
    /// The list of which the server has said that it is another one.
    pub(super) other_list: Option<Method>,
    /// What the server has asked and may not.
    declined: Vec<Declined>,
    /// What was found that is not for everyone's eyes.
    sightings: Vec<Sighting>,
    /// The answer as it passes.
    pub(super) kept: Kept,
}

/// Which answers belong into a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The one to the call that it replies to.
    TheCall,
    /// The same, or an error that does not say what it is about: the server could not read the call.
    TheCallOrNone,
    /// Those to whatever is under way in the session: the stream was opened for that.
    Anything,
}

impl Judge {
    pub(super) fn new(by: &Watcher<'_>, conversation: Conversation, (head, from): (&response::Parts, &Uri)) -> Self {
        let permit = by.permit;
        // A refusal of a stream opens none: it is an answer like any other refusal's.
        let awaits = match permit.call().method() {
            _ if !head.status.is_success() => Awaits::TheCallOrNone,
            Method::OpenStream => Awaits::Anything,
            _ => Awaits::TheCall,
        };
        Self {
            principal: Arc::clone(permit.principal()),
            call: Arc::clone(permit.call()),
            server: permit.server().clone(),
            context: permit.context(),
            policy: Arc::clone(by.policy),
            state: Arc::clone(by.state),
            place: by.place.clone(),
            conversation,
            from: from.clone(),
            awaits,
            answered: None,
            turn: None,
            acknowledged: false,
            tools_changed: false,
            other_list: None,
            declined: Vec::new(),
            sightings: Vec::new(),
            kept: Kept::default(),
        }
    }

    /// The answer, which comes from there, is for others, too, if it may be.
    pub(super) fn answering(self, turn: Option<(Turn, InFlight)>) -> Self {
        Self { turn, ..self }
    }

    /// From now on this decides.
    pub(super) fn judge_by(&mut self, permit: &Permit, policy: &Arc<PolicySet>) {
        self.principal = Arc::clone(permit.principal());
        self.tools_changed |= self.policy.pins(&self.server) != policy.pins(&self.server);
        self.policy = Arc::clone(policy);
    }

    /// Other tools are there than before.
    pub(super) fn tools_changed(&mut self) {
        self.tools_changed = true;
    }

    /// That the list of tools has changed, if the client does not know yet and can be told here.
    pub(super) fn news(&mut self) -> Option<String> {
        let about = match self.call.era() {
            Era::Legacy if matches!(self.conversation, Conversation::Begins(_)) => return None,
            Era::Legacy => String::new(),
            Era::Modern if !self.acknowledged => return None,
            Era::Modern => {
                let id = self.call.id()?.as_json();
                format!(r#","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}"#)
            }
        };
        let told = std::mem::take(&mut self.tools_changed) && self.hears_of_tools();
        told.then(|| format!(r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed"{about}}}"#))
    }

    /// Whether the client wants to hear of other tools: a subscription says what it is for.
    fn hears_of_tools(&self) -> bool {
        if self.call.era() == Era::Legacy {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "the call was read within tight bounds")]
        let asked: Option<serde_json::Value> = serde_json::from_slice(self.call.body()).ok();
        let wanted = asked.as_ref().and_then(|asked| asked.pointer("/params/notifications/toolsListChanged"));
        wanted.and_then(serde_json::Value::as_bool) == Some(true)
    }

    /// The conversation that the reply belongs to.
    pub(super) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Begins the session of a 2024-11-05 stream, if this one is to begin one: its first event says where its messages
    /// go. Returns where ours go.
    pub(super) fn begin(&mut self, event: &Event<'_>, opens: &Opens) -> Result<Option<Vec<u8>>, Unsound> {
        match std::mem::replace(&mut self.conversation, Conversation::Stateless) {
            Conversation::Begins(seat) if self.awaits == Awaits::Anything => {
                let (ours, conversation) = endpoint::begin(seat, event, opens)?;
                self.conversation = conversation;
                Ok(Some(ours))
            }
            other => {
                self.conversation = other;
                Ok(None)
            }
        }
    }

    /// Whether what must not be said is left out, and the rest goes on: one wrong message on a stream that brings many
    /// things is no reason to lose the others.
    pub(super) fn is_patient(&self) -> bool {
        self.awaits == Awaits::Anything
    }

    /// How the call was answered, if it was.
    pub(super) fn answered(&self) -> Option<Form> {
        self.answered
    }

    /// What the server has asked since, and must be told that it may not.
    pub(super) fn declined(&mut self) -> Vec<Declined> {
        std::mem::take(&mut self.declined)
    }

    /// What was found since that is not for everyone's eyes.
    pub(super) fn sightings(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sightings)
    }

    /// Whether an answer must come.
    pub(super) fn must_answer(&self) -> bool {
        self.awaits == Awaits::TheCall && self.call.id().is_some() && self.answered.is_none() && !self.is_cancelled()
    }

    /// Whether the client does not want it any more.
    pub(super) fn is_cancelled(&self) -> bool {
        let session = self.conversation.session().zip(self.call.id());
        session.is_some_and(|(session, id)| session.is_cancelled(id))
    }

    /// Judges one message.
    ///
    /// # Errors
    /// The server must not say that here.
    pub(super) fn message(&mut self, message: &[u8]) -> Result<(Verdict, Sort), Unsound> {
        match mcp::read_server(message).map_err(Unsound::Message)? {
            ServerMessage::Request { id, asked } => {
                let (verdict, sort) = self.asks(id, &asked)?;
                let verdict = self.told_apart(verdict, message)?;
                let tool = self.tool(&About::of(&self.call));
                Ok((self.seemly(verdict, (message, Part::Said), tool.as_deref())?, sort))
            }
            ServerMessage::Notification(notice) => {
                self.acknowledged |= matches!(notice, Notice::Acknowledged);
                if let Some(session) = self.conversation.session() {
                    session.touch();
                }
                let verdict = self.notice(&notice, message)?;
                let verdict = self.told_apart(verdict, message)?;
                let tool = self.tool(&About::of(&self.call));
                match self.seemly(verdict, (message, Part::Said), tool.as_deref()) {
                    Err(Unsound::Withheld(_)) => Ok((Verdict::Drop, Sort::Notification)),
                    seemly => Ok((seemly?, Sort::Notification)),
                }
            }
            ServerMessage::Answer(answer) => {
                let about = self.about(answer.id.as_ref(), answer.form)?;
                for asked in &answer.asks {
                    self.wants(asked, answer.form)?;
                }
                let verdict = match answer.form {
                    Form::Error { .. } => Verdict::Pass,
                    Form::Result { .. } => {
                        self.task(&about, answer.task.as_deref())?;
                        self.result(about.method, message, answer.cache_scope)?
                    }
                };
                let verdict = if answer.names_tasks { self.told_apart(verdict, message)? } else { verdict };
                let verdict = match about.method {
                    // What there is, is no answer to a call, and was filtered.
                    Method::Initialize | Method::ServerDiscover => verdict,
                    method if List::of(method).is_some() => verdict,
                    _ => self.seemly(verdict, (message, Part::Said), self.tool(&about).as_deref())?,
                };
                // What does not pass is no answer to anybody.
                self.settle(answer.id.as_ref(), answer.form)?;
                self.share(Some(message));
                self.kept.passes(&verdict, message);
                // Where several servers' news come together, the end of one's is not the end.
                let verdict = match (&self.place, self.call.method()) {
                    (Place::Several(_, Stream::Shared), Method::SubscriptionsListen) => Verdict::Drop,
                    _ => verdict,
                };
                Ok((verdict, Sort::Answer(answer.form)))
            }
        }
    }

    /// Judges an error page: a message, or JSON that is none, which a web server sends when it means no MCP.
    pub(super) fn page(&mut self, page: &[u8]) -> Result<(Verdict, Option<Sort>), Unsound> {
        match (self.message(page), self.awaits) {
            (Ok((verdict, sort)), _) => Ok((verdict, Some(sort))),
            (Err(Unsound::Message(problem)), Awaits::TheCallOrNone) if !matches!(problem, Problem::Json(_)) => {
                let tool = self.tool(&About::of(&self.call));
                Ok((self.seemly(Verdict::Pass, (page, Part::Whole), tool.as_deref())?, None))
            }
            (Err(unsound), _) => Err(unsound),
        }
    }

    /// Judges an answer that was too long to be held.
    pub(super) fn long(&mut self, answer: Option<LongAnswer>) -> Result<Sort, Unsound> {
        let answer = answer.ok_or(Unsound::Message(Problem::Answer))?;
        self.about(Some(&answer.id), answer.form)?;
        self.settle(Some(&answer.id), answer.form)?;
        self.share(None);
        Ok(Sort::Answer(answer.form))
    }

    /// An answer belongs to exactly one request that waits for it. Returns what that is about.
    fn about(&self, id: Option<&RequestId>, form: Form) -> Result<About, Unsound> {
        match (self.awaits, id) {
            (Awaits::Anything, id) => {
                let session = self.conversation.session().zip(id);
                session.and_then(|(session, id)| session.about(id)).ok_or(Unsound::WrongId)
            }
            (Awaits::TheCall | Awaits::TheCallOrNone, Some(id)) if Some(id) == self.call.id() => {
                if self.answered.is_some() { Err(Unsound::SecondAnswer) } else { Ok(About::of(&self.call)) }
            }
            // `server-error` is what SDKs of before 2026 call a request whose id they could not read.
            (Awaits::TheCallOrNone, id)
                if matches!(form, Form::Error { .. }) && id.is_none_or(|id| id.as_json() == "\"server-error\"") =>
            {
                Ok(About::of(&self.call))
            }
            (Awaits::TheCall | Awaits::TheCallOrNone, _) => Err(Unsound::WrongId),
        }
    }

    /// The request is answered then.
    fn settle(&mut self, id: Option<&RequestId>, form: Form) -> Result<(), Unsound> {
        let session = self.conversation.session().zip(id);
        let told = session.is_some_and(|(session, id)| session.answered(id, form).is_some());
        match self.awaits {
            Awaits::Anything if !told => Err(Unsound::WrongId),
            Awaits::Anything => Ok(()),
            Awaits::TheCall | Awaits::TheCallOrNone => {
                self.answered = Some(form);
                Ok(())
            }
        }
    }

    /// Whoever waits for the answer to the same call is told: of one that was held as a whole, all of it. They get it as it
    /// came; what they may see of it is judged then.
    fn share(&mut self, message: Option<&[u8]>) {
        match (self.turn.take(), message) {
            (Some((turn, from)), Some(message)) if self.awaits == Awaits::TheCall => turn.answered(message, from),
            (Some((turn, _)), _) => turn.unshared(),
            (None, _) => {}
        }
    }

    /// What the server says, as its client hears it.
    fn told_apart(&self, verdict: Verdict, message: &[u8]) -> Result<Verdict, Unsound> {
        let Place::Several(view, _) = &self.place else {
            return Ok(verdict);
        };
        let said = match &verdict {
            Verdict::Pass => message,
            Verdict::Edit(edited) => edited,
            Verdict::Drop => return Ok(verdict),
        };
        let called = |task: &str| self.state.tasks().called(task, view, &self.principal);
        mcp::among(said, &self.server, called).map(Verdict::Edit).ok_or(Unsound::Asks)
    }

    /// A request of the server: only legacy ones make any, and only within what can be answered. What the server may not
    /// ask does not reach the client.
    fn asks(&mut self, id: RequestId, asked: &Asked) -> Result<(Verdict, Sort), Unsound> {
        let session = self.conversation.session();
        match (Question::of(&asked.method), self.call.era()) {
            (_, Era::Modern) => Err(Unsound::Asks),
            // Nobody is there who could answer.
            (_, Era::Legacy) if self.place == Place::Catalogue => Err(Unsound::Asks),
            (Some(question), Era::Legacy) if !self.policy.server_may(&self.server).has(question) => {
                let declined = session.and_then(|session| session.declines(id, question)).ok_or(Unsound::Asks)?;
                self.declined.push(declined);
                Ok((Verdict::Drop, Sort::Declined))
            }
            (_, Era::Legacy) => {
                safe(asked)?;
                if session.is_some_and(|session| !session.asks(id)) {
                    return Err(Unsound::Asks);
                }
                self.tried(asked);
                Ok((Verdict::Pass, Sort::Request))
            }
        }
    }

    /// What a server wants to know before it answers: only what it may ask, and what the client declared (MCP 2026-07-28,
    /// MRTR).
    fn wants(&self, asked: &Asked, form: Form) -> Result<(), Unsound> {
        safe(asked)?;
        let may = self.policy.server_may(&self.server);
        let may = match (form, self.call.era()) {
            // What a legacy client declared, its server knows (MCP 2025-11-25, URL elicitation required).
            (Form::Error { .. }, Era::Legacy) => may,
            _ => may & self.call.declared().asks(),
        };
        if !is_among(asked, may) {
            return Err(Unsound::Asks);
        }
        self.tried(asked);
        Ok(())
    }

    /// What passes only because the policy is tried out is told.
    fn tried(&self, asked: &Asked) {
        if is_among(asked, self.policy.server_may_in_shadow(&self.server)) {
            tracing::warn!(server = %self.server, method = %asked.method, "the server asks what it may not (server_may), in shadow");
        }
    }

    /// News of a thing reach those who may see it.
    fn notice(&mut self, notice: &Notice, message: &[u8]) -> Result<Verdict, Unsound> {
        let passes = match notice {
            Notice::Resource(uri) => self.may(Method::ResourcesRead, Target::Resource(uri)),
            Notice::Task { id, asks } => {
                let may = self.policy.server_may(&self.server);
                let sound = asks.iter().all(|asked| safe(asked).is_ok() && is_among(asked, may));
                let tasks = self.state.tasks();
                sound
                    && match &self.place {
                        // There it has a name only if it is known.
                        Place::Several(view, _) => tasks.called(id, view, &self.principal).is_some(),
                        _ => !tasks.is_foreign(id, &self.principal),
                    }
            }
            Notice::Acknowledged => return self.filtered(List::Acknowledged, message),
            Notice::List(method) => {
                self.state.lists().changed(*method);
                self.other_list = Some(*method);
                true
            }
            Notice::Other => true,
        };
        Ok(if passes { Verdict::Pass } else { Verdict::Drop })
    }

    /// What a result may show: lists lose what the caller may not use, and what was decided for this caller is kept for
    /// nobody else (MCP 2026-07-28, Caching).
    fn result(
        &self,
        method: Method,
        message: &[u8],
        scope: Option<std::ops::Range<usize>>,
    ) -> Result<Verdict, Unsound> {
        if method == Method::ToolsList {
            self.state.learn(self.principal.account(), message).map_err(|_fault| Unsound::List)?;
        }
        match (List::of(method), &self.place) {
            // The gate reads it itself: what its caller is shown of it is decided whenever it is shown.
            (Some(list), Place::Catalogue) => {
                let filter = self.filter(list);
                return filter.heed(message).map(|()| Verdict::Pass).map_err(|_unreadable| Unsound::List);
            }
            (Some(list), _) => return self.filtered(list, message),
            (None, _) => {}
        }
        match scope.filter(|_| method != Method::ServerDiscover) {
            None => Ok(Verdict::Pass),
            Some(scope) => Ok(Verdict::Edit(json::edited(message, vec![(scope, b"\"private\"".to_vec())]))),
        }
    }

    fn filter(&self, list: List) -> CatalogFilter<'_> {
        let Self { principal, server, policy, state, .. } = self;
        CatalogFilter { list, principal, server, policy, context: self.now(), state }
    }

    fn filtered(&self, list: List, message: &[u8]) -> Result<Verdict, Unsound> {
        let shown = self.filter(list).apply(message).map_err(|_unreadable| Unsound::List)?;
        Ok(if shown == message { Verdict::Pass } else { Verdict::Edit(shown) })
    }

    /// The message as it may be seen, if it is about this tool or nothing in particular.
    fn seemly(
        &mut self,
        verdict: Verdict,
        (message, part): (&[u8], Part),
        tool: Option<&str>,
    ) -> Result<Verdict, Unsound> {
        let redaction = self.policy.redaction(&self.server, tool);
        let text = match &verdict {
            _ if redaction.is_idle(Flow::Results) => return Ok(verdict),
            Verdict::Pass => message,
            Verdict::Edit(edited) => edited,
            Verdict::Drop => return Ok(verdict),
        };
        let redacted = redaction.redact(text, Flow::Results, part);
        let blocked = redacted.blocked().cloned();
        self.sightings.extend(redacted.sightings);
        match (blocked, redacted.masked) {
            (Some(found), _) => Err(Unsound::Withheld(Box::new(found))),
            (None, Some(masked)) => Ok(Verdict::Edit(masked)),
            (None, None) => Ok(verdict),
        }
    }

    /// The tool that brings this: what it may not let out, its task may not, either.
    fn tool(&self, about: &About) -> Option<Box<str>> {
        let of_task = || self.state.tasks().tool(about.task.as_deref()?, &self.principal);
        about.tool.clone().or_else(of_task)
    }

    /// Whoever calls a tool owns the task that begins with it.
    fn task(&self, about: &About, task: Option<&str>) -> Result<(), Unsound> {
        let (Some(tool), Some(task)) = (&about.tool, task) else {
            return Ok(());
        };
        let tasks = self.state.tasks();
        if !tasks.begin(task, &self.principal, (tool, &self.from)) {
            return Err(Unsound::Task);
        }
        match &self.place {
            Place::Several(view, _) if tasks.called(task, view, &self.principal).is_none() => {
                Err(Unsound::TooLong(mcp::LONGEST_NAME))
            }
            _ => Ok(()),
        }
    }

    /// A stream may last longer than the hours in which something is granted.
    fn now(&self) -> Context {
        self.context.later(clock::wall())
    }

    fn may(&self, method: Method, target: Target<'_>) -> bool {
        let context = self.now().showing(self.state.learnt(self.principal.account()).shown().of(target));
        let query = Query { principal: &self.principal, server: &self.server, method, target, context };
        self.policy.decide(&query).effect == Effect::Allow
    }
}
