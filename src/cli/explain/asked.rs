//! A call, described by flags.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use clap::ArgGroup;
use http::HeaderMap;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::clock;
use crate::identity::{AuthError, Claim, Claims, Principal, parse_expiry};
use crate::mcp::ServerName;
use crate::policy::{Context, Shown};
use crate::trial::{Against, Asked, Question, Unknown};

/// Who asks for what.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("who").args(["as_role", "as_key", "as_anonymous", "as_authenticated"]).multiple(false))]
#[command(group = ArgGroup::new("what").args(["call", "prompt", "resource", "method"]).multiple(false))]
pub(super) struct Described {
    /// A caller with this role; may be repeated
    #[arg(long, value_name = "ROLE")]
    as_role: Vec<String>,
    /// The caller with the key of this id
    #[arg(long, value_name = "ID")]
    as_key: Option<String>,
    /// A caller without a credential
    #[arg(long)]
    as_anonymous: bool,
    /// A caller with a key, but no role
    #[arg(long)]
    as_authenticated: bool,
    /// A claim of the caller's, in JSON or as a plain text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", conflicts_with_all = ["as_key", "as_anonymous"])]
    claims: Vec<String>,
    /// A scope of the caller's token, which it has then in place of a key; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with_all = ["as_key", "as_anonymous"])]
    scopes: Vec<String>,
    /// A call of this tool
    #[arg(long, value_name = "TOOL")]
    call: Option<String>,
    /// The arguments of the call
    #[arg(long, value_name = "JSON", requires = "call")]
    arguments: Option<String>,
    /// A prompt by name
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// A resource by URI
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// A method that names nothing, such as `logging/setLevel`
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// The server that is asked [default: the only one]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// When, such as `2026-11-20T10:00:00Z` [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// From which address; must be said where it matters
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
}

impl Described {
    /// The question, or what is missing in it.
    pub(super) fn question(&self, against: &Against<'_>) -> Result<Question, String> {
        let server = against.server(self.server.as_deref()).map_err(told)?;
        let at = match &self.at {
            None => clock::wall(),
            Some(text) => {
                parse_expiry(text).ok_or("--at takes a moment such as `2026-11-20T10:00:00Z`, always in UTC")?
            }
        };
        let question = Question {
            principal: self.principal(server, against)?,
            server: server.clone(),
            asked: self.asked()?,
            headers: HeaderMap::new(),
            context: Context { at, from: self.from.unwrap_or(Ipv4Addr::LOCALHOST.into()), shown: Shown::NotYet },
        };
        match question.bearing(against.policy).address {
            Some(rule) if self.from.is_none() => {
                Err(format!("it depends on the caller's address, by `{}`: add --from 10.0.0.7", rule.path()))
            }
            _ => Ok(question),
        }
    }

    fn principal(
        &self,
        server: &ServerName,
        against: &Against<'_>,
    ) -> Result<Result<Arc<Principal>, AuthError>, String> {
        if self.as_anonymous {
            return Ok(against.anonymous());
        }
        if let Some(id) = &self.as_key {
            return against.key(id).map(Ok).map_err(told);
        }
        if self.as_role.is_empty() && !self.as_authenticated {
            return Err(
                "nothing says who asks: add --as-role, --as-key, --as-anonymous or --as-authenticated".to_owned()
            );
        }
        self.as_role.iter().try_for_each(|role| against.role(server, role)).map_err(told)?;
        let claim = |claim: &String| claim.split_once('=').map(|(name, value)| (name.into(), written(value)));
        let claims: Option<Claims> = self.claims.iter().map(claim).collect();
        let roles: Vec<_> = self.as_role.iter().map(String::as_str).collect();
        let scopes: Vec<_> = self.scopes.iter().map(String::as_str).collect();
        let scopes = Some(scopes.as_slice()).filter(|scopes| !scopes.is_empty());
        Ok(Ok(against.holder(&roles, &claims.ok_or("--claim takes NAME=VALUE")?, scopes)))
    }

    fn asked(&self) -> Result<Asked, String> {
        if let Some(arguments) = &self.arguments {
            // What else is wrong with them the gate's own reader says.
            serde_json::from_str::<IgnoredAny>(arguments)
                .map_err(|error| format!("--arguments is not JSON: {error}"))?;
        }
        match (&self.call, &self.prompt, &self.resource, &self.method) {
            (Some(tool), ..) => Ok(Asked::Call { tool: tool.clone(), arguments: self.arguments.clone() }),
            (_, Some(name), ..) => Ok(Asked::Prompt(name.clone())),
            (_, _, Some(uri), _) => Ok(Asked::Resource(uri.clone())),
            (.., Some(method)) => Ok(Asked::Method(method.clone())),
            (None, None, None, None) => {
                Err("nothing says what is asked for: add --call, --prompt, --resource or --method".to_owned())
            }
        }
    }
}

/// A claim as JSON has it, or else a text.
fn written(value: &str) -> Claim {
    value.parse::<Value>().ok().as_ref().and_then(Claim::of).unwrap_or_else(|| Claim::text(value))
}

fn told(Unknown { message, help }: Unknown) -> String {
    format!("{message}; {help}")
}
