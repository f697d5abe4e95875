//! The one decision: the steps, and what they look at.

use super::names::Kind;
use super::pins;
use super::rules::{Brought, Found, Rules};
use super::{Decision, Effect, Mode, PolicySet, Query, Reason, RuleId, Shadowed};
use crate::identity::Proof;
use crate::mcp::{self, Method, Subject, Target};

impl PolicySet {
    /// May they? What no rule grants is refused, and the answer always says which rule decided.
    ///
    /// Listing asks this too, once per listed thing, so that what is listed can be called and nothing else can.
    pub fn decide(&self, query: &Query<'_>) -> Decision {
        self.weigh(query, &mut ())
    }

    /// The same, with all that was looked at on the way, in that order.
    pub fn explain(&self, query: &Query<'_>) -> (Decision, Vec<Finding>) {
        let mut findings = Vec::new();
        let decision = self.weigh(query, &mut findings);
        (decision, findings)
    }

    /// Whether the caller may ask for a list and could be shown something of it: it is granted something of that kind.
    pub fn lists(&self, query: &Query<'_>) -> bool {
        let mut witness = ();
        let weighing = self.servers.get(query.server).map(|rules| Weighing {
            rules,
            query,
            default: &self.default,
            witness: &mut witness,
            would_deny: None,
        });
        // Whoever may use the server at all may ask for its tools. Other lists are decided so already.
        let granted = query.method != Method::ToolsList;
        let granted = granted || weighing.is_some_and(|mut weighing| weighing.listed(Kind::Tools).is_ok());
        granted && self.decide(query).effect == Effect::Allow
    }

    fn weigh(&self, query: &Query<'_>, witness: &mut impl Witness) -> Decision {
        // Before anything is granted, and whatever is in shadow.
        if let Some(kill) = self.kills.stopping(query) {
            return No { reason: Reason::Killed(kill.stopped()), rule: kill.rule() }.into();
        }
        let Some(rules) = self.servers.get(query.server) else {
            return No { reason: Reason::NotGranted, rule: &self.default }.into();
        };
        let mut weighing = Weighing { rules, query, default: &self.default, witness, would_deny: None };
        let weighed = weighing.identity().and_then(|()| match query.method.subject() {
            // Whose a task is, the policy cannot know; who may not make its call any more is refused there, too.
            Subject::Protocol | Subject::Task => Ok(&self.protocol),
            Subject::Unknown => weighing.ungranted(Reason::UnknownMethod),
            Subject::Method => weighing.named(Kind::Methods, query.method.name()),
            Subject::PromptList => weighing.listed(Kind::Prompts),
            Subject::ResourceList => weighing.listed(Kind::Resources),
            Subject::Tool | Subject::Prompt | Subject::Resource | Subject::Reference => match query.target {
                Target::Tool(name) => weighing.tool(name),
                Target::Prompt(name) => weighing.named(Kind::Prompts, name),
                Target::Resource(uri) => weighing.named(Kind::Resources, uri),
                Target::None | Target::Task(_) => weighing.ungranted(Reason::NotGranted),
            },
        });
        match weighed {
            Ok(rule) => Decision { effect: Effect::Allow, rule: rule.clone(), would_deny: weighing.would_deny },
            Err(no) => no.into(),
        }
    }
}

/// A decision in the making.
struct Weighing<'a, W> {
    rules: &'a Rules,
    query: &'a Query<'a>,
    default: &'a RuleId,
    witness: &'a mut W,
    would_deny: Option<Shadowed>,
}

/// It is refused.
struct No<'a> {
    reason: Reason,
    rule: &'a RuleId,
}

/// The rule that allows it, or the one that refuses it.
type Weighed<'a> = Result<&'a RuleId, No<'a>>;

/// The steps, each total.
impl<'a, W: Witness> Weighing<'a, W> {
    /// Whoever the server cannot be told of gets nothing of it. Also in shadow: it may show anybody's data otherwise.
    fn identity(&mut self) -> Result<(), No<'a>> {
        let unfit = self.rules.upstream_headers.iter().find_map(|header| header.of(self.query.principal).err());
        unfit.map_or(Ok(()), |rule| self.no(No { reason: Reason::UnfitClaim, rule }, Mode::Enforce))
    }

    /// A tool may have an unusual name only where a rule spells that name: no pattern that grants is read as meaning it.
    fn tool(&mut self, name: &str) -> Weighed<'a> {
        let rule = self.named(Kind::Tools, name)?;
        // What is granted is a tool that somebody has looked at: as something else it is not there.
        if let Some((reason, rule, mode)) = pins::deviation(self.rules.pins.as_ref(), name, self.query.context.shown) {
            self.no(No { reason, rule: rule.unwrap_or(self.default) }, mode)?;
        }
        let tool = self.rules.tool(name);
        if let Some((reason, rule)) = tool.restriction.as_ref().and_then(|it| it.broken(&self.query.context)) {
            self.no(No { reason, rule }, tool.mode)?;
        }
        // Arguments that this principal can never have right are as good as no grant.
        if let Some(condition) = tool.arguments.as_deref() {
            self.witness.saw(Look::Condition, &condition.rule);
            if !condition.is_possible(self.query.principal) {
                self.no(No { reason: Reason::NotGranted, rule: &condition.rule }, tool.mode)?;
            }
        }
        // Last: nobody is sent for a scope that would not open it.
        if let Some(scopes) = &tool.scopes {
            match scopes.lacking(self.query.principal) {
                None => self.witness.saw(Look::Scopes, &scopes.rule),
                Some(reason) => self.no(No { reason, rule: &scopes.rule }, tool.mode)?,
            }
        }
        Ok(rule)
    }

    /// What is denied is refused, whatever grants it. So every role is asked, also after one that grants it.
    fn named(&mut self, kind: Kind, name: &str) -> Weighed<'a> {
        let (mut granted, mut restricted, mut tried) = (None, None, None);
        for brought in brought(self.rules, self.query) {
            if let Some(denied) = &brought.role.denied
                && let Some(found) = denied.names.of(kind).find(name)
            {
                self.no(No { reason: Reason::Denied, rule: found.rule() }, denied.mode)?;
            }
            let Some(found) = brought.role.grants.of(kind).find(name).filter(|it| means(*it, kind, name)) else {
                self.witness.saw(Look::NoGrant, &brought.role.rule);
                continue;
            };
            self.witness.saw(Look::Grant, found.rule());
            match brought.broken(&self.query.context) {
                None => granted = granted.or(Some(found.rule())),
                Some((reason, rule, Mode::Enforce)) => {
                    self.witness.saw(Look::Restriction(reason), rule);
                    restricted = restricted.or(Some(No { reason, rule }));
                }
                Some((reason, rule, Mode::Shadow)) => tried = tried.or(Some((found.rule(), No { reason, rule }))),
            }
        }
        for denied in &self.rules.denied {
            if let Some(found) = denied.names.of(kind).find(name) {
                self.no(No { reason: Reason::Denied, rule: found.rule() }, denied.mode)?;
            }
        }
        match (granted, tried, restricted) {
            (Some(rule), _, _) => Ok(rule),
            (None, Some((rule, no)), _) => self.no(no, Mode::Shadow).map(|()| rule),
            (None, None, Some(no)) => self.no(no, Mode::Enforce).map(|()| &self.rules.ungranted.rule),
            (None, None, None) if kind == Kind::Tools && !mcp::is_well_formed(name) => {
                self.ungranted(Reason::IllFormedName)
            }
            (None, None, None) => self.ungranted(Reason::NotGranted),
        }
    }

    /// Who may use something of a kind may ask for the list of it. What is denied whatever it is called counts for nothing.
    fn listed(&mut self, kind: Kind) -> Weighed<'a> {
        for brought in brought(self.rules, self.query) {
            let mut granted = brought.role.grants.of(kind).entries();
            if let Some((_, rule)) = granted.find(|(name, _)| !self.denies(kind, name)) {
                match brought.broken(&self.query.context) {
                    None | Some((_, _, Mode::Shadow)) => return Ok(rule),
                    Some((reason, rule, Mode::Enforce)) => self.witness.saw(Look::Restriction(reason), rule),
                }
            }
        }
        self.ungranted(Reason::NotGranted)
    }

    /// Whether a rule in force denies all that a grant of this name or pattern means.
    fn denies(&self, kind: Kind, name: &str) -> bool {
        let by_role = brought(self.rules, self.query).filter_map(|brought| brought.role.denied.as_ref());
        let mut enforced = by_role.chain(&self.rules.denied).filter(|denied| denied.mode == Mode::Enforce);
        enforced.any(|denied| denied.names.of(kind).covering(name).is_some())
    }

    /// No rule grants it.
    fn ungranted(&mut self, reason: Reason) -> Weighed<'a> {
        let default = &self.rules.ungranted;
        self.no(No { reason, rule: &default.rule }, default.mode).map(|()| &default.rule)
    }

    /// A rule refuses it: that is the end, or only noted.
    fn no(&mut self, no: No<'a>, mode: Mode) -> Result<(), No<'a>> {
        self.witness.saw(Look::Refusal(no.reason, mode), no.rule);
        match mode {
            Mode::Enforce => Err(no),
            Mode::Shadow => {
                self.would_deny.get_or_insert_with(|| Shadowed { reason: no.reason, rule: no.rule.clone() });
                Ok(())
            }
        }
    }
}

/// What the principal's roles bring, one after the other.
pub(super) fn brought<'a>(rules: &'a Rules, query: &Query<'a>) -> impl Iterator<Item = &'a Brought> {
    let authenticated = match query.principal.proof() {
        Proof::ApiKey(_) | Proof::Certificate(_) | Proof::Token(_) => rules.authenticated.as_ref(),
        Proof::Anonymous => None,
    };
    query.principal.roles().iter().filter_map(|role| rules.roles.get(role)).flatten().chain(authenticated)
}

fn means(found: Found<'_>, kind: Kind, name: &str) -> bool {
    matches!(found, Found::Exact(_)) || kind != Kind::Tools || mcp::is_well_formed(name)
}

impl From<No<'_>> for Decision {
    fn from(no: No<'_>) -> Self {
        Self { effect: Effect::Deny(no.reason), rule: no.rule.clone(), would_deny: None }
    }
}

/// Sees what a decision looks at. Deciding for real has none, and pays nothing for it.
trait Witness {
    fn saw(&mut self, look: Look, rule: &RuleId);
}

/// Something that a decision looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it said.
    pub look: Look,
    /// What was looked at.
    pub rule: RuleId,
}

/// What a rule said to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A role of the principal's grants nothing of this name.
    NoGrant,
    /// It grants it.
    Grant,
    /// But not now, or not from there.
    Restriction(Reason),
    /// The tool has a condition on its arguments.
    Condition,
    /// A call of the tool needs scopes, and the caller has them.
    Scopes,
    /// It refuses it.
    Refusal(Reason, Mode),
}

impl Witness for () {
    fn saw(&mut self, _: Look, _: &RuleId) {}
}

impl Witness for Vec<Finding> {
    fn saw(&mut self, look: Look, rule: &RuleId) {
        self.push(Finding { look, rule: rule.clone() });
    }
}
