//! Who a question is about, by the names that the policies know.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::{did_you_mean, quoted};
use crate::identity::{AuthError, Authenticators, Claims, Principal};
use crate::mcp::ServerName;
use crate::policy::PolicySet;

/// What questions are put to.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Who may do what.
    pub policy: &'a PolicySet,
    /// Who is who.
    pub authenticators: &'a Authenticators,
    /// The servers that the policy is for.
    pub servers: &'a [ServerName],
}

/// A name that the policies do not know: what is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What is wrong.
    pub message: String,
    /// What was probably meant, or what there is.
    pub help: String,
}

impl<'a> Against<'a> {
    /// The server of this name; the only one if nothing is said.
    ///
    /// # Errors
    /// There is no such server, or there are several.
    pub fn server(&self, name: Option<&str>) -> Result<&'a ServerName, Unknown> {
        let known = || self.servers.iter().map(ServerName::as_str);
        let there_are = || known().map(quoted).collect::<Vec<_>>().join(", ");
        match (name, self.servers) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Unknown {
                message: "nothing says which server this is about".to_owned(),
                help: format!("name one of {}", there_are()),
            }),
            (Some(name), servers) => servers.iter().find(|known| known.as_str() == name).ok_or_else(|| Unknown {
                message: format!("unknown server {}", quoted(name)),
                help: did_you_mean(name, known()).unwrap_or_else(|| format!("the policies are for {}", there_are())),
            }),
        }
    }

    /// Who has the key of this id.
    ///
    /// # Errors
    /// Nobody has.
    pub fn key(&self, id: &str) -> Result<Arc<Principal>, Unknown> {
        let keys = self.authenticators.keys();
        keys.get(id).map(|keys| Arc::clone(keys.principal)).ok_or_else(|| {
            let hint = "the ids of keys stand in a principals file beside the policies";
            Unknown {
                message: format!("no key has the id {}", quoted(id)),
                help: did_you_mean(id, keys.keys().copied()).unwrap_or_else(|| hint.to_owned()),
            }
        })
    }

    /// Whoever shows no credential.
    ///
    /// # Errors
    /// Such callers are not let in.
    pub fn anonymous(&self) -> Result<Arc<Principal>, AuthError> {
        self.authenticators.supposed_anonymous()
    }

    /// Whoever has these roles and claims: by a token with these scopes, or, if nothing is said of any, by a key.
    pub fn holder(&self, roles: &[&str], claims: &Claims, scopes: Option<&[&str]>) -> Arc<Principal> {
        Arc::new(match scopes {
            Some(scopes) => Principal::supposed_with_scopes(roles, claims, scopes),
            None => Principal::supposed(roles, claims),
        })
    }

    /// Whether the policies of this server define a role.
    ///
    /// # Errors
    /// They do not.
    pub fn role(&self, server: &ServerName, role: &str) -> Result<(), Unknown> {
        let known: BTreeSet<&str> = self.policy.roles(server).collect();
        if known.contains(role) {
            return Ok(());
        }
        let defined = known.iter().copied().map(quoted).collect::<Vec<_>>().join(", ");
        let hint = match known.len() {
            0 => "no policy file defines any role".to_owned(),
            _ => format!("the policy files define {defined}"),
        };
        let help = did_you_mean(role, known.iter().copied()).unwrap_or(hint);
        Err(Unknown { message: format!("unknown role {}", quoted(role)), help })
    }
}
