//! The question that the policy answers.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::identity::Principal;
use crate::mcp::{Method, ServerName, Target};

/// May this principal ask this of that server, now and from there?
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The server asked.
    pub server: &'a ServerName,
    /// What is asked.
    pub method: Method,
    /// About what.
    pub target: Target<'a>,
    /// When and from where.
    pub context: Context,
}

/// When and from where something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// When.
    pub at: SystemTime,
    /// The address at the other end of the connection.
    pub from: IpAddr,
}

impl Context {
    /// The same caller, at another time.
    #[must_use]
    pub fn later(self, at: SystemTime) -> Self {
        Self { at, ..self }
    }
}
