//! "May", as a type: only the policy makes a [`Permit`], and nothing is sent without one.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::rules::Repeats;
use super::{
    Action, Context, Effect, Flow, LimitRule, Mode, PolicySet, Query, Reason, Redaction, RuleId, Scopes, Shadowed,
    Sighting, ToolRules, Unmet,
};
use crate::identity::{Principal, Scope};
use crate::mcp::{Call, KeyName, Keyed, Method, Said, ServerName, Subject, Target};
use crate::redact::Part;

/// This principal may make this call to this server.
#[derive(Debug)]
pub struct Permit {
    principal: Arc<Principal>,
    call: Arc<Call>,
    server: ServerName,
    context: Context,
    rule: RuleId,
    would_deny: Option<Shadowed>,
    tool: Option<Arc<ToolRules>>,
    limits: Arc<[LimitRule]>,
    upstream_headers: Vec<(HeaderName, HeaderValue)>,
    redaction: Redaction,
    sightings: Vec<Sighting>,
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
    /// What the call needs a token for, if that is it.
    pub(super) scopes: Option<Scopes>,
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
        context: Context,
    ) -> Result<Permit, Denial> {
        let decision = self.decide(&Query { principal, server, method: call.method(), target: call.target(), context });
        let tool = match call.target() {
            Target::Tool(name) => Some(self.tool_rules(server, name)),
            Target::None | Target::Prompt(_) | Target::Resource(_) | Target::Task(_) => None,
        };
        if let Effect::Deny(reason) = decision.effect {
            let scopes = tool.and_then(|tool| tool.scopes.clone()).filter(|_| reason == Reason::InsufficientScope);
            return Err(Denial { reason, rule: decision.rule, unmet: None, scopes });
        }
        let upstream_headers = self.upstream_headers(principal, server).map_err(|rule| Denial {
            reason: Reason::UnfitClaim,
            rule: rule.clone(),
            unmet: None,
            scopes: None,
        })?;
        let mut would_deny = decision.would_deny;
        let redaction = self.redaction(server, call.target().tool());
        // What is judged from here on is what is carried.
        let (call, sightings) = seemly(call, &redaction, &mut would_deny)?;
        if let Some(tool) = tool.as_ref().filter(|_| call.method() == Method::ToolsCall)
            && let Some(condition) = &tool.arguments
            && let Err(unmet) = condition.check(principal, call.arguments().as_deref())
        {
            let (reason, rule) = (Reason::Arguments, condition.rule.clone());
            match tool.mode {
                Mode::Enforce => return Err(Denial { reason, rule, unmet: Some(unmet), scopes: None }),
                Mode::Shadow => would_deny = would_deny.or(Some(Shadowed { reason, rule })),
            }
        }
        Ok(Permit {
            principal: Arc::clone(principal),
            call: self.offered(&call, server),
            server: server.clone(),
            context,
            rule: decision.rule,
            would_deny,
            tool,
            limits: self.limits_over(&call, server),
            upstream_headers,
            redaction,
            sightings,
        })
    }

    /// The same, about a task that this tool has begun: what must not be sent to the tool, must not be sent to its task, either.
    ///
    /// # Errors
    /// The call is refused.
    pub fn permit_about(&self, tool: &str, mut permit: Permit) -> Result<Permit, Denial> {
        // What the server's own rules say was looked for already.
        let (call, found) = seemly(&permit.call, &self.tool_redaction(&permit.server, tool), &mut permit.would_deny)?;
        permit.sightings.extend(found);
        Ok(Permit { call, redaction: self.redaction(&permit.server, Some(tool)), ..permit })
    }

    /// The limits over all that the server offers, if the call takes something of that.
    fn limits_over(&self, call: &Call, server: &ServerName) -> Arc<[LimitRule]> {
        let takes = match call.method().subject() {
            Subject::Tool | Subject::Prompt | Subject::Resource | Subject::Reference => true,
            Subject::Protocol
            | Subject::Task
            | Subject::Unknown
            | Subject::Method
            | Subject::PromptList
            | Subject::ResourceList => false,
        };
        let rules = self.servers.get(server).filter(|_| takes);
        rules.map(|rules| Arc::clone(&rules.limits)).unwrap_or_default()
    }

    /// What the server is told of this caller.
    fn upstream_headers(
        &self,
        principal: &Principal,
        server: &ServerName,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, &RuleId> {
        let headers = self.servers.get(server).into_iter().flat_map(|rules| &rules.upstream_headers);
        headers.filter_map(|header| header.of(principal).transpose()).collect()
    }

    /// The call as its server may have it: what that may not ask is not offered to it.
    fn offered(&self, call: &Arc<Call>, server: &ServerName) -> Arc<Call> {
        let less = if call.offers() { call.offering(self.server_may(server)) } else { None };
        less.map_or_else(|| Arc::clone(call), Arc::new)
    }
}

/// The call as it may be carried: without what must not be seen in its arguments, and in answers to what was asked.
fn seemly(
    call: &Arc<Call>,
    redaction: &Redaction,
    would_deny: &mut Option<Shadowed>,
) -> Result<(Arc<Call>, Vec<Sighting>), Denial> {
    let (mut call, mut sightings) = (Arc::clone(call), Vec::new());
    if redaction.is_idle(Flow::Arguments) {
        return Ok((call, sightings));
    }
    for part in Said::ALL {
        let Some(said) = call.said(part) else { continue };
        let redacted = redaction.redact(&said, Flow::Arguments, Part::Whole);
        if let Some(Sighting { name, rule, .. }) = redacted.blocked() {
            let unmet = Some(Unmet(format!("they hold something that must not be sent ({name}); leave it out")));
            return Err(Denial { reason: Reason::Sensitive, rule: rule.clone(), unmet, scopes: None });
        }
        if let Some(Sighting { rule, .. }) = redacted.would_block() {
            *would_deny = would_deny.take().or(Some(Shadowed { reason: Reason::Sensitive, rule: rule.clone() }));
        }
        if let Some(masked) = redacted.masked {
            call = Arc::new(call.saying(part, &masked));
        }
        sightings.extend(redacted.sightings);
    }
    Ok((call, sightings))
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

    /// The question that was answered.
    pub fn query(&self) -> Query<'_> {
        let Self { principal, call, server, context, .. } = self;
        Query { principal, server, method: call.method(), target: call.target(), context: *context }
    }

    /// When and from where it was asked.
    pub fn context(&self) -> Context {
        self.context
    }

    /// By which rule.
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// What would have said no if it were enforced.
    pub fn would_deny(&self) -> Option<&Shadowed> {
        self.would_deny.as_ref()
    }

    /// Every limit that must have room for it.
    pub fn limits(&self) -> impl Iterator<Item = &LimitRule> {
        self.tool.iter().flat_map(|tool| &tool.limits).chain(&*self.limits)
    }

    /// What is looked for in what comes back.
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// By what something was masked in the arguments, if something was.
    pub fn masked(&self) -> Option<&Redaction> {
        self.sightings.iter().any(|it| it.action == Action::Mask).then_some(&self.redaction)
    }

    /// What was found in the arguments.
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// Headers that tell the server who asks.
    pub fn upstream_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.upstream_headers
    }

    /// How the tool may be used, if the call is one of a tool.
    pub fn tool(&self) -> Option<&ToolRules> {
        self.tool.as_deref()
    }

    /// Whether the call may run twice: the policy says that this does no harm.
    pub fn may_run_twice(&self) -> bool {
        let harmless = self.tool.as_ref().is_some_and(|tool| match &tool.repeats {
            Repeats::Harm => false,
            Repeats::Nothing => true,
            // One that lacks a key is given one.
            Repeats::Known(name) => self.call.keyed(name) != Keyed::Unreadable,
        });
        harmless && self.call.method() == Method::ToolsCall
    }

    /// The name of the key that the call lacks, by which its server would know it again.
    pub fn lacks_key(&self) -> Option<&KeyName> {
        match &self.tool.as_ref()?.repeats {
            Repeats::Known(name) if self.call.method() == Method::ToolsCall => {
                (self.call.keyed(name) == Keyed::No).then_some(name)
            }
            Repeats::Known(_) | Repeats::Harm | Repeats::Nothing => None,
        }
    }
}

impl Denial {
    /// The scopes that a token must have for the call, if that is why.
    pub fn needed(&self) -> &[Scope] {
        self.scopes.as_ref().map_or(&[], Scopes::all)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.reason {
            Reason::NotGranted => "no role of the principal grants it",
            Reason::Denied => "a rule denies it",
            Reason::OutsideHours => "it is granted, but not at this time",
            Reason::OutsideNetworks => "it is granted, but not from this address",
            Reason::IllFormedName => "no rule spells out this unusual name",
            Reason::InsufficientScope => "it is granted, but the token lacks a scope",
            Reason::Arguments => "it is granted, but not with these arguments",
            Reason::Sensitive => "it is granted, but not with what the arguments hold",
            Reason::UnknownMethod => "the method is not known",
            Reason::PinMissing => "it is granted, but not pinned",
            Reason::PinChanged => "the server has changed the tool since it was pinned",
            Reason::UnfitClaim => "the server must be told a claim that the caller lacks, or that no header can carry",
            Reason::HiddenCharacter => "the server hides a character in the tool's definition",
            Reason::Killed(_) => "an operator has stopped it (kill switch)",
        };
        write!(f, "{text} ({})", self.rule)
    }
}

impl Reason {
    /// A word for logs and labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotGranted => "not_granted",
            Self::Denied => "denied",
            Self::OutsideHours => "outside_hours",
            Self::OutsideNetworks => "outside_networks",
            Self::IllFormedName => "ill_formed_name",
            Self::InsufficientScope => "insufficient_scope",
            Self::Arguments => "arguments",
            Self::Sensitive => "sensitive",
            Self::UnknownMethod => "unknown_method",
            Self::PinMissing => "pin_missing",
            Self::PinChanged => "pin_changed",
            Self::HiddenCharacter => "hidden_character",
            Self::UnfitClaim => "unfit_claim",
            Self::Killed(_) => "killed",
        }
    }
}
