//! The kill switch as written: the file that operators write, the one that the gate keeps, and one entry by itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::RuleId;
use super::kill::{InFlight, Kill, Kills};
use super::names::{self, Kind, Purpose};
use super::rules::Names;
use crate::diagnostic::{Code, Diagnostics, SourceFile, Spanned, quoted};
use crate::identity::{EXPIRY, parse_expiry};

/// What is stopped at once, whatever the policies say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate kill switch")]
pub struct KillsSource {
    /// What is stopped; `[]` for nothing.
    kills: Vec<Spanned<KillSource>>,
}

/// Something that is stopped: what all that it names have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Kill",
    example = json!({ "tool": "delete_record", "reason": "it deletes too much", "by": "ann" }),
    example = json!({ "all": true, "reason": "the server leaks", "by": "ann", "in_flight": "abort" })
)]
pub struct KillSource {
    /// `true` stops everything. Nothing else is named then.
    all: Option<Spanned<bool>>,
    /// The server, as tollgate.yaml names it.
    server: Option<Spanned<String>>,
    /// The tool: its exact name, or a pattern with one `*`.
    tool: Option<Spanned<String>>,
    /// Whoever is called so in decision lines.
    principal: Option<Spanned<String>>,
    /// Whoever shows the API key of this id.
    key: Option<Spanned<String>>,
    /// Why, for whoever finds it stopped.
    reason: Spanned<String>,
    /// Who stopped it.
    by: Spanned<String>,
    /// Since when.
    #[schemars(regex(pattern = EXPIRY), example = "2027-06-01T12:00:00Z")]
    at: Option<Spanned<String>>,
    /// The day or moment, in UTC, from which on it is not stopped any more. Never, if not said.
    #[schemars(regex(pattern = EXPIRY), example = "2027-06-01", example = "2027-06-01T12:00:00Z")]
    expires: Option<Spanned<String>>,
    /// What becomes of calls under way: `drain` lets them end, `abort` ends them. `drain` if not said.
    in_flight: Option<InFlight>,
}

/// So much may be stopped at once.
const MOST: usize = 1_000;
/// So many characters may a reason or a name have.
const LONGEST: usize = 500;

impl KillsSource {
    /// What the file says.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn compile(&self, file: &SourceFile) -> Result<Kills, Diagnostics> {
        let mut found = Diagnostics::new();
        if let Some(one_too_many) = self.kills.get(MOST) {
            let message = format!("more than {MOST} things are stopped");
            found.push(
                file.error(Code::TooLarge, one_too_many.referenced, message)
                    .help("stop the server, or everything: `{ all: true, … }`"),
            );
        }
        let kills: Vec<_> = self.kills.iter().filter_map(|kill| found.take(kill.value.compile(file, kill))).collect();
        if found.is_empty() { Ok(Kills(kills.into())) } else { Err(found) }
    }
}

impl KillSource {
    /// What one entry says.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn compile<T>(&self, file: &SourceFile, place: &Spanned<T>) -> Result<Kill, Diagnostics> {
        let mut found = Diagnostics::new();
        let named = [&self.server, &self.tool, &self.principal, &self.key];
        let names_something = named.iter().any(|name| name.is_some());
        match &self.all {
            Some(all) if !all.value || names_something => found.push(
                file.error(Code::UnknownScope, all.referenced, "`all` is `true` and stands alone, or is not there")
                    .help("delete it, or all of `server`, `tool`, `principal` and `key`"),
            ),
            None if !names_something => found.push(
                file.error(Code::UnknownScope, place.referenced, "it does not say what is stopped")
                    .help("name a `server`, `tool`, `principal` or `key`, or say `all: true`"),
            ),
            Some(_) | None => {}
        }
        for name in named.into_iter().flatten() {
            // Names that deny are checked for being what they seem, and for no more.
            if let Err(problem) = names::check(file, name.as_text(), (Kind::Tools, Purpose::Deny), &mut found) {
                found.push(problem);
            }
        }
        for text in [&self.reason, &self.by] {
            let length = text.value.chars().count();
            if text.value.trim().is_empty() || length > LONGEST {
                found.push(
                    file.error(
                        Code::InvalidName,
                        text.referenced,
                        format!("expected a text of up to {LONGEST} characters"),
                    )
                    .help("whoever finds it stopped at night must know why and whom to ask"),
                );
            }
        }
        let at = moment(file, self.at.as_ref(), &mut found);
        let expires = moment(file, self.expires.as_ref(), &mut found);
        if !found.is_empty() {
            return Err(found);
        }
        let rule = RuleId::at(file.name(), place.referenced.line, "kills");
        let text = |name: &Option<Spanned<String>>| name.as_ref().map(|name| name.value.as_str().into());
        Ok(Kill {
            server: text(&self.server),
            tool: self.tool.as_ref().map(|tool| (tool.value.as_str().into(), pattern(&tool.value, &rule))),
            principal: text(&self.principal),
            key: text(&self.key),
            reason: self.reason.value.as_str().into(),
            by: self.by.value.as_str().into(),
            at,
            expires,
            in_flight: self.in_flight.unwrap_or_default(),
            rule,
        })
    }
}

fn pattern(text: &str, rule: &RuleId) -> Names {
    let mut names = Names::default();
    names.add(&Arc::from(text), rule);
    names
}

fn moment(file: &SourceFile, written: Option<&Spanned<String>>, found: &mut Diagnostics) -> Option<SystemTime> {
    let text = written?;
    let moment = parse_expiry(&text.value);
    if moment.is_none() {
        found.push(
            file.error(Code::InvalidDate, text.referenced, format!("{} is no date", quoted(&text.value)))
                .help("write it as `2027-06-01`, or with a time `2027-06-01T12:00:00Z`"),
        );
    }
    moment
}

impl Kills {
    /// The file that says this: one entry a line.
    pub fn to_text(&self) -> String {
        if self.0.is_empty() {
            return "kills: []\n".to_owned();
        }
        self.iter().fold("kills:\n".to_owned(), |text, kill| format!("{text}- {}\n", kill.told()))
    }
}

impl Kill {
    /// All that it says, by the keys of the file.
    pub fn told(&self) -> Value {
        let mut told: Map<String, Value> =
            self.named().into_iter().map(|(key, name)| (key.into(), json!(name))).collect();
        if told.is_empty() {
            told.insert("all".into(), json!(true));
        }
        told.insert("reason".into(), json!(self.reason));
        told.insert("by".into(), json!(self.by));
        for (key, moment) in [("at", self.at), ("expires", self.expires)] {
            told.extend(moment.map(|moment| (key.to_owned(), json!(written(moment)))));
        }
        if self.in_flight == InFlight::Abort {
            told.insert("in_flight".into(), json!("abort"));
        }
        Value::Object(told)
    }

    /// The same, since this moment.
    #[must_use]
    pub fn since(self, now: SystemTime) -> Self {
        Self { at: Some(now), ..self }
    }
}

/// A moment as files have it.
fn written(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(text: &str) -> Result<Kills, Diagnostics> {
        let file = SourceFile::new("kill.yaml", text);
        serde_yaml::from_str::<KillsSource>(text).unwrap().compile(&file)
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        let cases = [
            "kills: [{ reason: r, by: b }]",
            "kills: [{ all: true, tool: a, reason: r, by: b }]",
            "kills: [{ all: false, reason: r, by: b }]",
            "kills: [{ tool: \"a*b*\", reason: r, by: b }]",
            "kills: [{ principal: \"alice \", reason: r, by: b }]",
            "kills: [{ tool: a, reason: \" \", by: \"\" }]",
            "kills: [{ tool: a, reason: r, by: b, expires: tomorrow }]",
        ];
        let told = cases.map(|case| {
            let found = kills(case).unwrap_err();
            let lines: Vec<_> = found.iter().map(|it| format!("{} {}", it.at.unwrap().column, it.message)).collect();
            format!("{case}\n    {}", lines.join("\n    "))
        });
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_the_gate_keeps_is_read_as_what_it_was() {
        for text in [
            "kills: []",
            "kills: [{ all: true, reason: \"it \\\"leaks\\\"\\nbadly\", by: ann, in_flight: abort }]",
            "kills: [{ tool: \"a*\", server: s, reason: \"no\", by: \"1\", at: 2026-01-02T03:04:05Z, expires: 2030-01-01 }]",
            "kills: [{ key: k, principal: p, reason: ü, by: b }, { all: true, reason: r, by: b }]",
        ] {
            let before = kills(text).unwrap();
            let after = kills(&before.to_text()).unwrap();
            assert!(after.are(&before), "{}", before.to_text());
        }
    }
}
