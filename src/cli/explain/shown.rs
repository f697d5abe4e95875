//! A decision, explained: for a person, and for a program.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::told::{self, Paint, Place, place};
use crate::diagnostic::{Style, escaped};
use crate::policy::RuleId;
use crate::trial::{Record, Said, Sources, Step};

/// All that can be said of one decision.
pub(super) struct Shown {
    pub(super) decision: &'static str,
    pub(super) told: String,
    pub(super) reason: Option<String>,
    pub(super) rule: Option<RuleId>,
    pub(super) would_deny: Option<RuleId>,
    /// What the caller hears.
    pub(super) heard: Option<String>,
    pub(super) steps: Vec<Step>,
    /// What cannot be told, and why.
    pub(super) notes: Vec<String>,
    pub(super) policy: String,
    /// What was decided then, if it was.
    pub(super) recorded: Option<(Record, Said)>,
}

#[derive(Serialize)]
struct Json<'a> {
    decision: &'static str,
    reason: Option<&'a str>,
    rule: Option<Place<'a>>,
    would_deny: Option<Place<'a>>,
    heard: Option<&'a str>,
    looked_at: Vec<LookedAt<'a>>,
    notes: &'a [String],
    policy: &'a str,
    recorded: Option<Then<'a>>,
}

#[derive(Serialize)]
struct LookedAt<'a> {
    #[serde(flatten)]
    rule: Place<'a>,
    says: &'a str,
    source: Option<&'a str>,
}

/// What a line says.
#[derive(Serialize)]
struct Then<'a> {
    time: &'a str,
    principal: Option<&'a str>,
    server: &'a str,
    method: &'a str,
    target: Option<&'a str>,
    outcome: &'a str,
    decision: &'static str,
    policy: &'a str,
}

impl Shown {
    pub(super) fn human(&self, sources: &Sources, style: Style) -> String {
        let paint = Paint::of(style);
        let Paint { good, bad, bold, plain, .. } = paint;
        let mut text = String::new();
        // Writing to a String cannot fail, here and below.
        if let Some((record, then)) = &self.recorded {
            let who = escaped(record.principal().unwrap_or_default());
            let what = format!("{} {}", record.method(), record.target().name().unwrap_or_default());
            let _ = writeln!(text, "{} {who}: {} of {}", record.time(), escaped(what.trim_end()), record.server());
            let _ = writeln!(
                text,
                "{bold}then:{plain} {} (policy {}, {})",
                escaped(&then.to_string()),
                record.policy(),
                record.outcome()
            );
            let _ = write!(text, "{bold}now:{plain}  ");
        }
        let colour = if self.decision == "allow" { good } else { bad };
        let _ = writeln!(text, "{colour}{}{plain}", escaped(&self.told));
        if let Some(would) = &self.would_deny {
            let _ = writeln!(text, "would be refused if it were enforced, by {}", told::rule(would, sources));
        }
        if let Some(heard) = &self.heard {
            let _ = writeln!(text, "the caller hears: {}", escaped(heard));
        }
        if !self.steps.is_empty() {
            let _ = writeln!(text, "looked at:\n{}", told::steps(&self.steps, sources, paint).trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        let _ = write!(text, "policy {}", self.policy);
        text
    }

    pub(super) fn json(&self, sources: &Sources) -> String {
        let looked_at = self.steps.iter().map(|step| LookedAt {
            rule: place(&step.rule, sources),
            says: &step.says,
            source: sources.line(&step.rule),
        });
        let json = Json {
            decision: self.decision,
            reason: self.reason.as_deref(),
            rule: self.rule.as_ref().map(|rule| place(rule, sources)),
            would_deny: self.would_deny.as_ref().map(|rule| place(rule, sources)),
            heard: self.heard.as_deref(),
            looked_at: looked_at.collect(),
            notes: &self.notes,
            policy: &self.policy,
            recorded: self.recorded.as_ref().map(|(record, then)| Then {
                time: record.time(),
                principal: record.principal(),
                server: record.server(),
                method: record.method(),
                target: record.target().name(),
                outcome: record.outcome(),
                decision: then.word(),
                policy: record.policy(),
            }),
        };
        // Text and numbers only: there is nothing that could fail to be written.
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }
}
