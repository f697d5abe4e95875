//! Several servers as one: a call goes the way of any other, to the server whose tool it names; what a view has of its own
//! is told here. Whatever is shown was decided by the function that decides calls.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, request};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{Asking, Caller, GateBody, Gateway, Peer, refused, respond};
use crate::exchange::{Outcome, Refusal};
use crate::federation::{Has, Listing, Origin, View};
use crate::identity::Principal;
use crate::inspect::{Tool, counts};
use crate::mcp::{self, Call, Era, Method, Mismatch, ServerName, Target};
use crate::policy::{Context, Query};
use crate::state::StateError;
use crate::telemetry::Recorder;

/// A message to a view.
pub(super) struct Viewing {
    pub(super) view: Arc<View>,
    pub(super) caller: Caller,
    pub(super) call: Arc<Call>,
    pub(super) room: OwnedSemaphorePermit,
}

/// What becomes of it.
enum Directed {
    /// It is one server's to answer.
    To(Box<Asking>),
    /// This answers it.
    Here(String),
}

const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// How long a caller waits for servers that were not asked yet what they have.
const FIRST: Duration = Duration::from_secs(2);
/// So much is told of what servers say of themselves.
const MOST_INSTRUCTIONS: usize = 16 * 1024;

/// Answers a message to a view.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    viewing: Viewing,
    peer: &Peer,
    mut seen: Recorder,
) -> Response<GateBody> {
    let now = Arc::clone(&viewing.caller.now);
    let at = gateway.routes.view_url(&viewing.view);
    seen.asks(&viewing.call, &now.policy);
    seen.in_trace();
    match directed(gateway, viewing, peer, &mut seen).await {
        Ok(Directed::To(asking)) => gateway.answer_one(*asking, peer, seen).await,
        Ok(Directed::Here(answer)) => {
            seen.close(Outcome::Ok);
            respond::result(answer)
        }
        Err(refusal) => refused(&refusal, (&now, at.as_ref()), seen, None),
    }
}

async fn directed(
    gateway: &Arc<Gateway>,
    viewing: Viewing,
    peer: &Peer,
    seen: &mut Recorder,
) -> Result<Directed, Refusal> {
    let Viewing { view, caller, call, room } = viewing;
    mcp::agree(&caller.head.headers, &call)?; // do the headers say the same?
    if call.era() == Era::Legacy {
        return Err(Mismatch::UnknownVersion(speaks(&caller.head)).into());
    }
    let has = has(gateway, &view).await;
    let listing = view.listing(has.clone());
    let here = Here { caller: &caller, view: &view, has: &has, listing: &listing, context: peer.context() };
    match (call.method(), call.target()) {
        (Method::ToolsCall, Target::Tool(name)) => {
            let asking = to_its_server(gateway, &here, &call, name, seen)?;
            drop(room); // that server's room is another
            Ok(Directed::To(Box::new(asking)))
        }
        (Method::ToolsList, _) => {
            here.may(&call)?;
            seen.allowed().await?; // is it written down?
            Ok(Directed::Here(here.list(gateway, &call)?))
        }
        (Method::ServerDiscover, _) => {
            here.may(&call)?;
            seen.allowed().await?;
            Ok(Directed::Here(here.told_of_itself(&call)))
        }
        _ => Err(here.unknown(&call)),
    }
}

/// What the client says that it speaks.
fn speaks(head: &request::Parts) -> String {
    let named = head.headers.get(crate::upstream::VERSION).and_then(|version| version.to_str().ok());
    named.unwrap_or("a revision with a handshake").to_owned()
}

/// What the servers of a view have that speak to clients of this era. One that does not tell keeps nobody waiting.
async fn has(gateway: &Gateway, view: &View) -> Vec<Has> {
    let served: Vec<_> = view.servers().filter_map(|name| gateway.routes.server(name)).collect();
    let asked = async {
        for served in &served {
            served.catalogue.asked().await;
        }
    };
    drop(timeout(FIRST, asked).await);
    let has = served.iter().filter_map(|served| Some((served.name.clone(), served.catalogue.contents()?)));
    has.filter(|(_, contents)| contents.eras.modern).collect()
}

/// The same call, to the server whose tool it names, under that tool's own name.
fn to_its_server(
    gateway: &Gateway,
    here: &Here<'_>,
    call: &Arc<Call>,
    name: &str,
    seen: &mut Recorder,
) -> Result<Asking, Refusal> {
    let found = here.listing.tool(name);
    let found = found.and_then(|(origin, _)| Some((origin, gateway.routes.route(&origin.server)?)));
    let Some((origin, route)) = found else {
        return Err(here.unknown(call));
    };
    let own = Arc::new(mcp::renamed(call, &origin.tool)?);
    let mut caller = here.caller.clone();
    if let Ok(name) = HeaderValue::try_from(mcp::encode_sentinel(&origin.tool)) {
        caller.head.headers.insert(NAME, name);
    }
    // Policy, metrics and the audit log know it by its server and its own name; its caller by the name here.
    seen.called = Some(name.into());
    seen.server = origin.server.clone();
    seen.asks(&own, &caller.now.policy);
    let room = route.served.capacity.take()?;
    Ok(Asking { caller, route: Arc::clone(route), call: own, room })
}

/// A view, as its caller sees it now.
struct Here<'a> {
    caller: &'a Caller,
    view: &'a View,
    has: &'a [Has],
    listing: &'a Listing,
    context: Context,
}

impl Here<'_> {
    fn principal(&self) -> &Arc<Principal> {
        &self.caller.principal
    }

    /// Whether the caller may ask this of some server of the view.
    fn may(&self, call: &Arc<Call>) -> Result<(), Refusal> {
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
    fn unknown(&self, call: &Arc<Call>) -> Refusal {
        let denied = self.caller.now.policy.permit(self.principal(), call, &ServerName::none(), self.context).err();
        denied.map_or_else(|| crate::exchange::HttpRefusal::NoSuchPath.into(), Refusal::from)
    }

    /// Whether the caller is shown a tool: by the function that decides calls of it.
    fn shows(&self, origin: &Origin, tool: &Tool) -> bool {
        let (policy, server) = (&self.caller.now.policy, &origin.server);
        let context = self.context.showing(counts(tool.shown, policy, server));
        let (method, target) = (Method::ToolsCall, Target::Tool(&origin.tool));
        policy.decide(&Query { principal: self.principal(), server, method, target, context }).shows()
    }

    fn list(&self, gateway: &Gateway, call: &Call) -> Result<String, Refusal> {
        let (cursor, account) = (mcp::cursor(call), &**self.principal().account());
        let shows = |origin: &Origin, tool: &Tool| self.shows(origin, tool);
        let page = self.listing.page((self.view, account), &gateway.seal, cursor.as_deref(), shows);
        let page = page.ok_or(StateError::NoCursor)?;
        let tools = String::from_utf8_lossy(&page.tools);
        let next = page.next.map(|next| format!(",\"nextCursor\":\"{next}\"")).unwrap_or_default();
        Ok(self.result(call, &format!("\"tools\":[{tools}]{next}")))
    }

    fn told_of_itself(&self, call: &Call) -> String {
        let mut instructions = String::new();
        for (server, contents) in self.has {
            let shown = |tool: &Tool| {
                let origin = Origin { server: server.clone(), tool: tool.name.clone() };
                self.shows(&origin, tool)
            };
            let told = contents.instructions.as_deref().filter(|_| contents.tools.iter().any(shown));
            let told = told.map(|told| format!("## {server}\n\n{told}\n\n")).unwrap_or_default();
            if instructions.len() + told.len() <= MOST_INSTRUCTIONS {
                instructions.push_str(&told);
            }
        }
        let mut quoted = String::new();
        crate::json::quote(instructions.trim_end(), &mut quoted);
        let instructions = if instructions.is_empty() { String::new() } else { format!(",\"instructions\":{quoted}") };
        let version = mcp::ProtocolVersion::V2026_07_28.name();
        self.result(
            call,
            &format!(r#""supportedVersions":["{version}"],"capabilities":{{"tools":{{}}}}{instructions}"#),
        )
    }

    /// What lasts no longer than what it was made of, and is for its caller alone: the policy shows each something else.
    fn result(&self, call: &Call, members: &str) -> String {
        let whole = self.has.len() == self.view.servers().count();
        let left = self.has.iter().map(|(_, contents)| contents.ttl.saturating_sub(contents.age())).min();
        let ttl = left.filter(|_| whole).unwrap_or_default().as_millis();
        let id = call.id().map_or("null", |id| id.as_json());
        let own = format!(
            r#""_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"tollgate","version":"{}"}}}}"#,
            env!("CARGO_PKG_VERSION")
        );
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete",{members},"ttlMs":{ttl},"cacheScope":"private",{own}}}}}"#
        )
    }
}
