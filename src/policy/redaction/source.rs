//! `redact` as it is written, and what it is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json as written;

use super::{Action, Flow, Handled, Look, Redactor, Redactors};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::policy::list::List;
use crate::policy::{Mode, RuleId};
use crate::redact::{self, Detector, Detectors, Finder, Group, Pattern};

/// What is looked for, where, and what becomes of it: `find`, or `pattern` with `name`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Redaction",
    extend("required" = ["then"], "dependentRequired" = { "pattern": ["name"], "name": ["pattern"] }),
    example = written!({ "find": ["secrets", "email"], "in": "results", "then": "mask" })
)]
pub(in crate::policy) struct RedactionSource {
    /// Detectors by name, or groups of them: `secrets`, `ids`.
    #[schemars(extend("items" = { "type": "string", "enum": words() }))]
    find: Option<List>,
    /// A regular expression without look-around and backreferences. What it finds is 1 to 1024 bytes long.
    #[schemars(example = "EMP-[0-9]{6}")]
    pattern: Option<Spanned<String>>,
    /// What that is called where it is masked, counted or refused.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    name: Option<Spanned<String>>,
    /// Where: in `arguments` or `results`. In both if not said.
    #[schemars(extend("enum" = ["arguments", "results"]))]
    r#in: Option<Spanned<String>>,
    /// `mask` puts something else in its place, `block` lets nothing pass that holds it, `alert` only records.
    #[schemars(extend("enum" = Action::ALL.map(Action::word)))]
    then: Option<Spanned<String>>,
}

/// A list of them, with its place.
pub(in crate::policy) type Redactions = Spanned<Vec<Spanned<RedactionSource>>>;

fn words() -> Vec<&'static str> {
    Group::ALL.into_iter().map(Group::name).chain(Detector::ALL.into_iter().map(Detector::name)).collect()
}

/// Compiles a list; problems go to `found`.
pub(in crate::policy) fn compile(
    file: &SourceFile,
    list: &Redactions,
    path: &str,
    mode: Mode,
    found: &mut Diagnostics,
) -> Arc<Redactors> {
    let path = format!("{path}redact");
    if list.value.is_empty() {
        found.push(
            file.error(Code::EmptyList, list.referenced, format!("`{path}` is empty"))
                .help("delete it, or say what to `find` and what becomes of it"),
        );
    }
    let mut drafts = Flow::ALL.map(|flow| (flow, Draft::default()));
    for written in &list.value {
        let rule = RuleId::at(file.name(), written.referenced.line, &path);
        match read(file, written, found) {
            Ok(entry) => {
                for (flow, draft) in &mut drafts {
                    if entry.flow.is_none_or(|only| only == *flow) {
                        draft.add(&entry, &rule);
                    }
                }
            }
            Err(problem) => found.push(*problem),
        }
    }
    let [(_, arguments), (_, results)] = drafts;
    Arc::new(Redactors { arguments: arguments.build(), results: results.build(), mode })
}

/// One entry, read.
struct Entry {
    detectors: Detectors,
    pattern: Option<(Box<str>, Pattern)>,
    flow: Option<Flow>,
    action: Action,
}

fn read(
    file: &SourceFile,
    written: &Spanned<RedactionSource>,
    found: &mut Diagnostics,
) -> Result<Entry, Box<Diagnostic>> {
    let RedactionSource { find, pattern, name, r#in, then } = &written.value;
    let shape = |message: &str| {
        Box::new(file.error(Code::IncompleteRedaction, written.referenced, message).help(
            "write `{ find: [secrets, email], in: results, then: mask }`,\n\
             or `{ pattern: \"EMP-[0-9]{6}\", name: employee, then: mask }`",
        ))
    };
    let (detectors, pattern) = match (find, pattern, name) {
        (Some(list), None, None) => (detectors(file, list, found), None),
        (None, Some(pattern), Some(name)) => (Detectors::NONE, Some(own(file, pattern, name)?)),
        (None, Some(_), None) => return Err(shape("nothing says what is called that the pattern finds")),
        (Some(_), Some(_), _) => return Err(shape("an entry is either of detectors or of a pattern; write two")),
        (_, None, Some(_)) => return Err(shape("a name is for what a `pattern` finds; detectors have their own")),
        (None, None, None) => return Err(shape("nothing says what to find")),
    };
    let Some(then) = then else {
        return Err(shape("nothing says what becomes of what is found: `then` is missing"));
    };
    let word = |written: &Spanned<String>, known: &[&'static str]| {
        let message = format!("{} means nothing here", quoted(&written.value));
        let all = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let help = did_you_mean(&written.value, known.iter().copied()).unwrap_or_else(|| format!("write {all}"));
        Box::new(file.error(Code::IncompleteRedaction, written.referenced, message).help(help))
    };
    let action = Action::ALL.into_iter().find(|action| action.word() == then.value);
    let action = action.ok_or_else(|| word(then, &Action::ALL.map(Action::word)))?;
    let flow = match r#in {
        None => None,
        Some(written) => {
            let flow = Flow::ALL.into_iter().find(|flow| flow.word() == written.value);
            Some(flow.ok_or_else(|| word(written, &Flow::ALL.map(Flow::word)))?)
        }
    };
    Ok(Entry { detectors, pattern, flow, action })
}

fn detectors(file: &SourceFile, list: &List, found: &mut Diagnostics) -> Detectors {
    let mut all = Detectors::NONE;
    if list.is_empty() {
        found.push(
            file.error(Code::EmptyList, list.at(), "`find` is empty").help("name what to find, such as `secrets`"),
        );
    }
    for name in list.iter() {
        if let Some(named) = Detector::named(name.value) {
            all = all | named;
        } else {
            let message = format!("there is no detector {}", quoted(name.value));
            let help = did_you_mean(name.value, words())
                .unwrap_or_else(|| format!("there are {}; or write a `pattern`", words().join(", ")));
            found.push(file.error(Code::UnknownDetector, name.referenced, message).help(help));
        }
    }
    all
}

fn own(
    file: &SourceFile,
    pattern: &Spanned<String>,
    name: &Spanned<String>,
) -> Result<(Box<str>, Pattern), Box<Diagnostic>> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let sound = name.value.len() <= 32 && name.value.bytes().all(plain);
    if !sound || !name.value.starts_with(|first: char| first.is_ascii_lowercase()) || words().contains(&&*name.value) {
        let message = format!("{} cannot name what a pattern finds", quoted(&name.value));
        let help = "1 to 32 of a-z, 0-9 and `_`, a letter first, and not the name of a detector";
        return Err(Box::new(file.error(Code::IncompleteRedaction, name.referenced, message).help(help)));
    }
    let compiled = Pattern::new(&pattern.value).map_err(|why| {
        let help = match why {
            redact::BadPattern::Endless => "bound it: `{1,64}` in the place of `+` or `*`",
            redact::BadPattern::Empty => "let it begin with what is never missing",
            redact::BadPattern::Syntax(_) | redact::BadPattern::TooLarge => {
                "https://docs.rs/regex/latest/regex/#syntax has what can be written; `(?-u)` makes classes small"
            }
        };
        Box::new(file.error(Code::InvalidPattern, pattern.referenced, why.to_string()).help(help))
    })?;
    Ok((name.value.as_str().into(), compiled))
}

/// What is looked for in one direction, in the making. Of two entries for one thing the stricter counts.
#[derive(Default)]
struct Draft {
    detectors: Detectors,
    patterns: Vec<(Box<str>, Pattern)>,
    handled: BTreeMap<Box<str>, Handled>,
}

impl Draft {
    fn add(&mut self, entry: &Entry, rule: &RuleId) {
        let mut handle = |name: &str, pattern: Option<&Pattern>| {
            let pattern = pattern.map(|pattern| Box::from(pattern.as_str()));
            let handled = Handled { action: entry.action, pattern, rule: rule.clone() };
            let known = self.handled.entry(name.into()).or_insert_with(|| handled.clone());
            if known.action < handled.action {
                *known = handled;
            }
        };
        for detector in entry.detectors.iter() {
            handle(detector.name(), None);
        }
        if let Some((name, pattern)) = &entry.pattern {
            handle(name, Some(pattern));
            self.patterns.push((name.clone(), pattern.clone()));
        }
        self.detectors = self.detectors | entry.detectors;
    }

    fn build(self) -> Option<Arc<Redactor>> {
        let hides = |name: &str| self.handled.get(name).is_some_and(|handled| handled.action > Action::Alert);
        let (hidden, told) = (self.look(hides), self.look(|name| !hides(name)));
        (!self.handled.is_empty()).then(|| Arc::new(Redactor { hidden, told, handled: self.handled }))
    }

    /// What looks for those of these names.
    fn look(&self, of: impl Fn(&str) -> bool) -> Option<Look> {
        let detectors = self.detectors.iter().filter(|detector| of(detector.name()));
        let detectors = detectors.fold(Detectors::NONE, |all, one| all | one.into());
        let patterns = self.patterns.iter().filter(|(name, _)| of(name)).cloned();
        let (names, patterns): (Vec<_>, Vec<_>) = patterns.unzip();
        let looks = !detectors.is_empty() || !patterns.is_empty();
        looks.then(|| Look { finder: Finder::new(detectors, patterns), patterns: names })
    }
}
