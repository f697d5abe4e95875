//! The question that the policy answers.

use std::net::IpAddr;
use std::time::SystemTime;

use super::Shown;
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
    /// When, from where, and about what the server has shown.
    pub context: Context,
}

/// When and from where something is asked, and what is known of the tool that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// When.
    pub at: SystemTime,
    /// The address at the other end of the connection.
    pub from: IpAddr,
    /// How the server last showed the tool, if it is about one.
    pub shown: Shown,
}

impl Context {
    /// The same caller, at another time.
    #[must_use]
    pub fn later(self, at: SystemTime) -> Self {
        Self { at, ..self }
    }

    /// The same caller, about a tool that was last shown so.
    #[must_use]
    pub fn showing(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }
}
