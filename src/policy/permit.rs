//! "May", as a type: only the policy makes a [`Permit`], and nothing is sent without one.

use std::fmt;
use std::sync::Arc;

use super::{Effect, PolicySet, Query, Reason, RuleId, Shown, ToolRules, Unmet};
use crate::identity::Principal;
use crate::mcp::{Call, Method, ServerName, Target};

/// This principal may make this call to this server.
#[derive(Debug)]
pub struct Permit {
    principal: Arc<Principal>,
    call: Arc<Call>,
    server: ServerName,
    rule: RuleId,
    tool: Option<Arc<ToolRules>>,
}

/// This principal may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// What decided.
    pub rule: RuleId,
    /// What is wrong with the arguments, if that is it.
    pub unmet: Option<Unmet>,
}

impl PolicySet {
    /// Asks [`PolicySet::decide`] and turns the answer into what the next step needs. `shown`: how the server last showed
    /// the tool, if it is one.
    ///
    /// # Errors
    /// The call is refused.
    pub fn permit(
        &self,
        principal: &Arc<Principal>,
        call: &Arc<Call>,
        server: &ServerName,
        shown: Shown,
    ) -> Result<Permit, Denial> {
        let query = Query { principal, server, method: call.method(), target: call.target(), shown };
        let decision = self.decide(&query);
        if let Effect::Deny(reason) = decision.effect {
            return Err(Denial { reason, rule: decision.rule, unmet: None });
        }
        let tool = match call.target() {
            Target::Tool(name) => Some(self.tool_rules(server, name)),
            Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_) => None,
        };
        let condition = tool.as_ref().and_then(|tool| tool.arguments.as_ref());
        if let Some(condition) = condition.filter(|_| call.method() == Method::ToolsCall)
            && let Err(unmet) = condition.check(principal, call.arguments().as_deref())
        {
            return Err(Denial { reason: Reason::Arguments, rule: condition.rule.clone(), unmet: Some(unmet) });
        }
        Ok(Permit {
            principal: Arc::clone(principal),
            call: Arc::clone(call),
            server: server.clone(),
            rule: decision.rule,
            tool,
        })
    }
}

impl Permit {
    /// Who may.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What.
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// Of whom.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// By which rule.
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// How the tool may be used, if the call is one of a tool.
    pub fn tool(&self) -> Option<&ToolRules> {
        self.tool.as_deref()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.reason {
            Reason::NotGranted => "no role of the principal grants it",
            Reason::IllFormedName => "no rule spells out this unusual name",
            Reason::Arguments => "it is granted, but not with these arguments",
            Reason::UnknownMethod => "the method is not known",
            Reason::PinMissing => "it is granted, but not pinned",
            Reason::PinChanged => "the server has changed the tool since it was pinned",
            Reason::HiddenCharacter => "the server hides a character in the tool's definition",
        };
        write!(f, "{text} ({})", self.rule)
    }
}

impl Reason {
    /// A word for logs and labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotGranted => "not_granted",
            Self::IllFormedName => "ill_formed_name",
            Self::Arguments => "arguments",
            Self::UnknownMethod => "unknown_method",
            Self::PinMissing => "pin_missing",
            Self::PinChanged => "pin_changed",
            Self::HiddenCharacter => "hidden_character",
        }
    }
}
