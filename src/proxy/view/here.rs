//! What a view tells of itself, as one caller sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::route::Route;
use super::super::{Caller, Gateway};
use super::callers::Shown;
use crate::exchange::{HttpRefusal, Refusal};
use crate::federation::{Kind, Known, Listing, Offer, Origin, View};
use crate::identity::Principal;
use crate::inspect::{Listed, counts};
use crate::json;
use crate::mcp::{self, Call, Era, Method, ProtocolVersion, ServerName, TASKS, Target};
use crate::policy::{Context, Effect, Query};
use crate::state::StateError;
use crate::telemetry::Recorder;

/// A view, as its caller sees it now.
pub(super) struct Here<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) caller: &'a Caller,
    pub(super) view: &'a View,
    pub(super) shown: &'a Shown,
    pub(super) context: Context,
}

/// So much is told of what servers say of themselves.
const MOST_INSTRUCTIONS: usize = 16 * 1024;

impl Here<'_> {
    pub(super) fn listing(&self) -> &Listing {
        &self.shown.listing
    }

    fn principal(&self) -> &Arc<Principal> {
        &self.caller.principal
    }

    /// The way to the one server that a call is for, and the same call under the name that this has for what it names.
    pub(super) fn one(&self, call: &Arc<Call>, seen: &mut Recorder) -> Result<(Arc<Route>, Arc<Call>), Refusal> {
        if let Target::Task(name) = call.target() {
            return self.task(call, name, seen);
        }
        let named = match call.target() {
            Target::Tool(name) => {
                self.listing().origin(Kind::Tool, name).map(|it| (&it.server, Some((&it.name, name))))
            }
            Target::Prompt(name) => {
                self.listing().origin(Kind::Prompt, name).map(|it| (&it.server, Some((&it.name, name))))
            }
            Target::Resource(uri) => self.listing().owner(uri).map(|server| (server, None)),
            Target::Task(_) | Target::None => None,
        };
        let found = named.and_then(|(server, named)| Some((self.gateway.routes.route(server)?, named)));
        let Some((route, named)) = found else {
            return Err(self.unknown(call));
        };
        let own = match named {
            Some((own, _)) => Arc::new(call.renamed(own)?),
            None => Arc::clone(call),
        };
        // Policy, metrics and the audit log know it by its server and its own name; its caller by the name here.
        seen.called = named.map(|(_, name)| name.into());
        seen.server = route.served.name.clone();
        seen.asks(&own, &self.caller.now.policy);
        Ok((Arc::clone(route), own))
    }

    /// The way to the one server that has a task, and the same call under the name that this has for it.
    fn task(&self, call: &Call, name: &str, seen: &mut Recorder) -> Result<(Arc<Route>, Arc<Call>), Refusal> {
        if call.era() == Era::Modern && !call.declared().has_tasks() {
            return Err(StateError::NoTasks.into());
        }
        let (route, theirs) = self.meant(name).ok_or(StateError::NoTask)?;
        let own = Arc::new(call.renamed(&theirs)?);
        seen.called = Some(name.into());
        seen.server = route.served.name.clone();
        seen.asks(&own, &self.caller.now.policy);
        Ok((Arc::clone(route), own))
    }

    /// The way to the server of a task, be it there or not, and what that calls it.
    pub(super) fn meant(&self, task: &str) -> Option<(&Arc<Route>, Box<str>)> {
        let mut routes = self.view.servers().filter_map(|server| self.gateway.routes.route(server));
        let meant = |route: &Route| route.served.state.tasks().meant(task, &self.view.name, self.principal());
        routes.find_map(|route| Some((route, meant(route)?)))
    }

    /// Whether the caller may ask this of some server of the view.
    pub(super) fn may(&self, call: &Arc<Call>) -> Result<(), Refusal> {
        let policy = &self.caller.now.policy;
        let asked = self.view.servers().map(|server| policy.permit(self.principal(), call, server, self.context));
        let mut denied = None;
        for permit in asked {
            match permit {
                Ok(_) => return Ok(()),
                Err(denial) => denied = Some(denial),
            }
        }
        Err(denied.map_or_else(|| self.unknown(call), Refusal::from))
    }

    /// It sounds like what nobody has granted: that it is not here is not its caller's to know.
    pub(super) fn unknown(&self, call: &Arc<Call>) -> Refusal {
        let denied = self.caller.now.policy.permit(self.principal(), call, &ServerName::none(), self.context).err();
        denied.map_or_else(|| HttpRefusal::NoSuchPath.into(), Refusal::from)
    }

    /// Whether the caller is shown a thing: by the function that decides calls of it.
    fn shows(&self, kind: Kind, (origin, thing): (&Origin, &Listed)) -> bool {
        let (policy, server) = (&self.caller.now.policy, &origin.server);
        let context = self.context.showing(counts(thing.shown, policy, server));
        let (method, target) = kind.used(&origin.name);
        policy.decide(&Query { principal: self.principal(), server, method, target, context }).shows()
    }

    /// A page of a list.
    pub(super) fn list(&self, kind: Kind, call: &Call) -> Result<String, Refusal> {
        let (cursor, account) = (mcp::cursor(call), &**self.principal().account());
        let shows = |origin: &Origin, thing: &Listed| self.shows(kind, (origin, thing));
        let page = self.listing().page((kind, self.view, account), &self.gateway.cursors, cursor.as_deref(), shows);
        let page = page.ok_or(StateError::NoCursor)?;
        let things = String::from_utf8_lossy(&page.things);
        let next = page.next.map(|next| format!(",\"nextCursor\":\"{next}\"")).unwrap_or_default();
        Ok(self.result(call, &format!("\"{}\":[{things}]{next}", kind.member())))
    }

    /// What clients of this era can do here: all that is routed for some server, and that this caller may.
    fn capabilities(&self, era: Era) -> String {
        let hears = era == Era::Legacy || self.may_use(Method::SubscriptionsListen);
        let changes = if hears { r#""listChanged":true"# } else { "" };
        let mut capabilities = vec![format!(r#""tools":{{{changes}}}"#)];
        let has = |kind| self.listing().shown(kind).next().is_some() && self.may_use(kind.list());
        if has(Kind::Prompt) {
            capabilities.push(format!(r#""prompts":{{{changes}}}"#));
        }
        if has(Kind::Resource) || has(Kind::Template) {
            let subscribe = if hears && self.offers(Offer::Subscriptions) { r#","subscribe":true"# } else { "" };
            capabilities.push(format!(r#""resources":{{{changes}{subscribe}}}"#));
        }
        if self.offers(Offer::Completions) && (has(Kind::Prompt) || has(Kind::Template)) {
            capabilities.push(r#""completions":{}"#.to_owned());
        }
        if era == Era::Legacy && self.logs() {
            capabilities.push(r#""logging":{}"#.to_owned());
        }
        if era == Era::Legacy && self.offers(Offer::Tasks) {
            let lists = if self.lists_tasks().next().is_some() { r#""list":{},"# } else { "" };
            let cancels = if self.offers(Offer::TaskCancellations) { r#""cancel":{},"# } else { "" };
            capabilities.push(format!(r#""tasks":{{{lists}{cancels}"requests":{{"tools":{{"call":{{}}}}}}}}"#));
        }
        if era == Era::Modern && self.offers(Offer::TasksExtension) {
            capabilities.push(format!(r#""extensions":{{"{TASKS}":{{}}}}"#));
        }
        format!("{{{}}}", capabilities.join(","))
    }

    /// What the view is, by `server/discover`.
    pub(super) fn discovered(&self, call: &Call, spoken: &[ProtocolVersion]) -> String {
        let versions: Vec<_> = spoken.iter().map(|version| format!("\"{version}\"")).collect();
        let (versions, instructions) = (versions.join(","), self.instructions());
        let capabilities = self.capabilities(Era::Modern);
        self.result(call, &format!(r#""supportedVersions":[{versions}],"capabilities":{capabilities}{instructions}"#))
    }

    /// The same by `initialize`.
    pub(super) fn initialized(&self, call: &Call, version: ProtocolVersion) -> String {
        let (capabilities, instructions, info) = (self.capabilities(Era::Legacy), self.instructions(), server_info());
        let members =
            format!(r#""protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{info}{instructions}"#);
        self.result(call, &members)
    }

    /// Whether some server writes logs for its clients, and this one may say how much.
    pub(super) fn logs(&self) -> bool {
        self.offers(Offer::Logging) && self.may_use(Method::LoggingSetLevel)
    }

    fn offers(&self, offer: Offer) -> bool {
        self.offering(offer).next().is_some()
    }

    fn offering(&self, offer: Offer) -> impl Iterator<Item = &ServerName> {
        self.listing()
            .has()
            .iter()
            .filter(move |(_, contents)| contents.offers.contains(&offer))
            .map(|(server, _)| server)
    }

    /// The servers of which the caller may ask which tasks it has there.
    pub(super) fn lists_tasks(&self) -> impl Iterator<Item = &ServerName> {
        self.offering(Offer::TaskLists).filter(|server| self.may_use_at(server, Method::TasksList))
    }

    /// Whether the caller may use a method that names nothing, at some server.
    fn may_use(&self, method: Method) -> bool {
        self.view.servers().any(|server| self.may_use_at(server, method))
    }

    pub(super) fn may_use_at(&self, server: &ServerName, method: Method) -> bool {
        let (principal, context) = (self.principal(), self.context);
        let query = Query { principal, server, method, target: Target::None, context };
        self.caller.now.policy.decide(&query).effect == Effect::Allow
    }

    /// What servers tell models of themselves, as a member; nothing of those of which the caller is shown no tool.
    fn instructions(&self) -> String {
        let tools = self.listing().shown(Kind::Tool).filter(|shown| self.shows(Kind::Tool, *shown));
        let servers: BTreeSet<_> = tools.map(|(origin, _)| &origin.server).collect();
        let mut instructions = String::new();
        for (server, contents) in self.listing().has().iter().filter(|(server, _)| servers.contains(server)) {
            let told = contents.instructions.as_deref();
            let told = told.map(|told| format!("## {server}\n\n{told}\n\n")).unwrap_or_default();
            if instructions.len() + told.len() <= MOST_INSTRUCTIONS {
                instructions.push_str(&told);
            }
        }
        let mut quoted = String::new();
        json::quote(instructions.trim_end(), &mut quoted);
        if instructions.is_empty() { String::new() } else { format!(",\"instructions\":{quoted}") }
    }

    /// A result. To clients of 2026-07-28: one that lasts no longer than what it was made of, and is for its caller alone,
    /// since the policy shows each something else.
    pub(super) fn result(&self, call: &Call, members: &str) -> String {
        let id = call.id().map_or("null", |id| id.as_json());
        let catalogues = || self.view.servers().filter_map(|name| Some(&self.gateway.routes.server(name)?.catalogue));
        let of_all =
            || catalogues().filter(|catalogue| catalogue.callers().is_none()).map(|catalogue| catalogue.known());
        let known = || of_all().chain(self.shown.own.iter().map(|(_, own)| own.known()));
        let failing = known().filter(|known| known.fails()).filter_map(Known::age).max();
        let age = failing.map(|age| format!(r#""io.tollgate/ageMs":{}"#, age.as_millis()));
        let told = match call.era() {
            Era::Legacy => age.map(|age| format!(r#","_meta":{{{age}}}"#)).unwrap_or_default(),
            Era::Modern => {
                let ttl = known().map(Known::left).min().unwrap_or_default().as_millis();
                let age = age.map(|age| format!(",{age}")).unwrap_or_default();
                let meta = format!(r#"{{"io.modelcontextprotocol/serverInfo":{}{age}}}"#, server_info());
                format!(r#","resultType":"complete","ttlMs":{ttl},"cacheScope":"private","_meta":{meta}"#)
            }
        };
        // A result without members of its own is one, too.
        let all = format!("{members}{told}");
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{}}}}}"#, all.trim_start_matches(','))
    }
}

/// The gate itself: what stands behind it is nobody's to know by its own name.
fn server_info() -> String {
    format!(r#"{{"name":"tollgate","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
}
