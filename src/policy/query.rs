//! The question that the policy answers.

use super::Shown;
use crate::identity::Principal;
use crate::mcp::{Method, ServerName, Target};

/// May this principal ask this of that server?
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
    /// How the server last showed that, if it is a tool.
    pub shown: Shown,
}
