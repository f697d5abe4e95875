//! How an answer is told: what was looked at on the way to it, each with its place and its line.

use std::collections::HashMap;

use super::question::{Answer, Question};
use crate::diagnostic::SourceFile;
use crate::exchange::Refusal;
use crate::limits::LimitError;
use crate::policy::{Finding, Look, Mode, PolicySet, Reason, RuleId};

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub rule: RuleId,
    /// What it said.
    pub says: String,
}

/// The texts that rules stand in. A rule knows of its file only the end of its name.
#[derive(Debug, Default)]
pub struct Sources(HashMap<String, SourceFile>);

impl Question {
    /// All that was looked at, in that order.
    pub fn explain(&self, policy: &PolicySet, answer: &Answer) -> Vec<Step> {
        let (Ok(principal), Some(call)) = (&self.principal, answer.call.as_deref()) else {
            return Vec::new();
        };
        if matches!(answer.result, Err(Refusal::Header(_))) {
            return Vec::new();
        }
        let (_, findings) = policy.explain(&self.query(principal, call));
        let mut steps: Vec<Step> = findings.into_iter().map(Step::from).collect();
        if let Some(last) = last(answer) {
            // That there is a condition says less than what it says.
            steps.pop_if(|step| step.rule == last.rule);
            steps.push(last);
        }
        steps
    }
}

/// What is looked at after the names: arguments and limits.
fn last(answer: &Answer) -> Option<Step> {
    let step = |rule: &RuleId, says: String| Some(Step { rule: rule.clone(), says });
    match &answer.result {
        Err(Refusal::Policy(denial)) => {
            let unmet = denial.unmet.as_ref()?;
            step(&denial.rule, format!("refuses these arguments: {}", unmet.as_str()))
        }
        Err(Refusal::Limit(LimitError::Exceeded(exceeded))) => step(&exceeded.rule, format!("has no room: {exceeded}")),
        Err(_) => None,
        Ok(_) => match answer.would_deny()? {
            ("arguments", rule) => step(rule, "would refuse these arguments, and is in shadow".to_owned()),
            ("limited", rule) => step(rule, "would have no room, and is in shadow".to_owned()),
            _ => None,
        },
    }
}

impl From<Finding> for Step {
    fn from(Finding { look, rule }: Finding) -> Self {
        let says = match look {
            Look::NoGrant => "does not grant it",
            Look::Grant => "grants it",
            Look::Restriction(reason) => why(reason),
            Look::Scopes => "needs scopes, which the caller has",
            Look::Condition => "has a condition on its arguments",
            Look::Refusal(reason, Mode::Enforce) => return Self { rule, says: format!("refuses it: {}", why(reason)) },
            Look::Refusal(reason, Mode::Shadow) => {
                return Self { rule, says: format!("would refuse it, and is in shadow: {}", why(reason)) };
            }
        };
        Self { rule, says: says.to_owned() }
    }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::NotGranted => "nothing grants it",
        Reason::Denied => "it is denied",
        Reason::OutsideHours => "not at this time",
        Reason::OutsideNetworks => "not from this address",
        Reason::IllFormedName => "no rule spells out this unusual name",
        Reason::InsufficientScope => "the token lacks a scope",
        Reason::Arguments => "not with these arguments",
        Reason::Sensitive => "not with what the arguments hold",
        Reason::UnknownMethod => "the method is not known",
        Reason::PinMissing => "it is not pinned",
        Reason::PinChanged => "it is not as it was pinned",
        Reason::HiddenCharacter => "its definition hides a character",
        Reason::UnfitClaim => "a claim that the server must be told is missing, or no header can carry it",
        Reason::Killed(_) => "an operator has stopped it",
    }
}

impl Sources {
    /// These files.
    pub fn of<'a>(files: impl Iterator<Item = &'a SourceFile>) -> Self {
        let short = |file: &SourceFile| RuleId::at(file.name(), 0, "").file().unwrap_or_default().to_owned();
        Self(files.map(|file| (short(file), file.clone())).collect())
    }

    /// The file of a rule as it was named, and the line; `None` if no file says so.
    pub fn place(&self, rule: &RuleId) -> Option<(&str, u32)> {
        let file = self.0.get(rule.file()?)?;
        Some((file.name(), rule.line()?))
    }

    /// The line of a rule.
    pub fn line(&self, rule: &RuleId) -> Option<&str> {
        let (file, line) = (self.0.get(rule.file()?)?, usize::try_from(rule.line()?).ok()?);
        file.text().lines().nth(line.checked_sub(1)?).map(str::trim)
    }
}
