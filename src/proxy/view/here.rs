//! What a view tells of itself, as one caller sees it.

use std::sync::Arc;

use super::super::route::Route;
use super::super::{Caller, Gateway};
use crate::exchange::{HttpRefusal, Refusal};
use crate::federation::{Listing, Origin, View};
use crate::identity::Principal;
use crate::inspect::{Tool, counts};
use crate::json;
use crate::mcp::{self, Call, Era, Method, ProtocolVersion, ServerName, Target};
use crate::policy::{Context, Effect, Query};
use crate::state::StateError;
use crate::telemetry::Recorder;

/// A view, as its caller sees it now.
pub(super) struct Here<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) caller: &'a Caller,
    pub(super) view: &'a View,
    pub(super) listing: &'a Listing,
    pub(super) context: Context,
}

/// So much is told of what servers say of themselves.
const MOST_INSTRUCTIONS: usize = 16 * 1024;

impl Here<'_> {
    fn principal(&self) -> &Arc<Principal> {
        &self.caller.principal
    }

    /// The way to the server whose tool is called so here, and the same call under that tool's own name.
    pub(super) fn tool(
        &self,
        call: &Arc<Call>,
        name: &str,
        seen: &mut Recorder,
    ) -> Result<(Arc<Route>, Arc<Call>), Refusal> {
        let found = self.listing.tool(name);
        let found = found.and_then(|(origin, _)| Some((origin, self.gateway.routes.route(&origin.server)?)));
        let Some((origin, route)) = found else {
            return Err(self.unknown(call));
        };
        let own = Arc::new(mcp::renamed(call, &origin.tool)?);
        // Policy, metrics and the audit log know it by its server and its own name; its caller by the name here.
        seen.called = Some(name.into());
        seen.server = origin.server.clone();
        seen.asks(&own, &self.caller.now.policy);
        Ok((Arc::clone(route), own))
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

    /// Whether the caller is shown a tool: by the function that decides calls of it.
    fn shows(&self, origin: &Origin, tool: &Tool) -> bool {
        let (policy, server) = (&self.caller.now.policy, &origin.server);
        let context = self.context.showing(counts(tool.shown, policy, server));
        let (method, target) = (Method::ToolsCall, Target::Tool(&origin.tool));
        policy.decide(&Query { principal: self.principal(), server, method, target, context }).shows()
    }

    /// A page of the tools.
    pub(super) fn list(&self, call: &Call) -> Result<String, Refusal> {
        let (cursor, account) = (mcp::cursor(call), &**self.principal().account());
        let shows = |origin: &Origin, tool: &Tool| self.shows(origin, tool);
        let page = self.listing.page((self.view, account), &self.gateway.seal, cursor.as_deref(), shows);
        let page = page.ok_or(StateError::NoCursor)?;
        let tools = String::from_utf8_lossy(&page.tools);
        let next = page.next.map(|next| format!(",\"nextCursor\":\"{next}\"")).unwrap_or_default();
        Ok(self.result(call, &format!("\"tools\":[{tools}]{next}")))
    }

    /// What the view is, by `server/discover`.
    pub(super) fn discovered(&self, call: &Call, spoken: &[ProtocolVersion]) -> String {
        let versions: Vec<_> = spoken.iter().map(|version| format!("\"{version}\"")).collect();
        let (versions, instructions) = (versions.join(","), self.instructions());
        let changes = if self.may_use(Method::SubscriptionsListen) { r#""listChanged":true"# } else { "" };
        let capabilities = format!(r#"{{"tools":{{{changes}}}}}"#);
        self.result(call, &format!(r#""supportedVersions":[{versions}],"capabilities":{capabilities}{instructions}"#))
    }

    /// The same by `initialize`.
    pub(super) fn initialized(&self, call: &Call, version: ProtocolVersion) -> String {
        let logging = if self.logs() { r#","logging":{}"# } else { "" };
        let (instructions, info) = (self.instructions(), server_info());
        let capabilities = format!(r#"{{"tools":{{"listChanged":true}}{logging}}}"#);
        let members =
            format!(r#""protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{info}{instructions}"#);
        self.result(call, &members)
    }

    /// Whether some server writes logs for its clients, and this one may say how much.
    pub(super) fn logs(&self) -> bool {
        self.listing.has().iter().any(|(_, contents)| contents.logs) && self.may_use(Method::LoggingSetLevel)
    }

    /// Whether the caller may use a method that names nothing, at some server.
    fn may_use(&self, method: Method) -> bool {
        let query =
            |server| Query { principal: self.principal(), server, method, target: Target::None, context: self.context };
        self.view.servers().any(|server| self.caller.now.policy.decide(&query(server)).effect == Effect::Allow)
    }

    /// What servers tell models of themselves, as a member; nothing of those of which the caller is shown no tool.
    fn instructions(&self) -> String {
        let mut instructions = String::new();
        for (server, contents) in self.listing.has() {
            let shown = |tool: &Tool| {
                let origin = Origin { server: server.clone(), tool: tool.name.clone() };
                self.listing.shows(&origin) && self.shows(&origin, tool)
            };
            let told = contents.instructions.as_deref().filter(|_| contents.tools.iter().any(shown));
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
        let failing = catalogues().filter(|catalogue| catalogue.fails()).filter_map(|catalogue| catalogue.age()).max();
        let age = failing.map(|age| format!(r#""io.tollgate/ageMs":{}"#, age.as_millis()));
        let told = match call.era() {
            Era::Legacy => age.map(|age| format!(r#","_meta":{{{age}}}"#)).unwrap_or_default(),
            Era::Modern => {
                let ttl = catalogues().map(|catalogue| catalogue.left()).min().unwrap_or_default().as_millis();
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
