//! `redact`: what of calls and answers is not for everyone's eyes, and what becomes of it. It decides what data leaves, so
//! it stands where it is reviewed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json as written;

use super::list::List;
use super::{Mode, RuleId};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::json;
use crate::redact::{self, Detector, Detectors, Finder, Group, Part, Pattern, What};

/// What is looked for, where, and what becomes of it: `find`, or `pattern` with `name`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Redaction",
    extend("required" = ["then"], "dependentRequired" = { "pattern": ["name"], "name": ["pattern"] }),
    example = written!({ "find": ["secrets", "email"], "in": "results", "then": "mask" })
)]
pub(super) struct RedactionSource {
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
pub(super) type Redactions = Spanned<Vec<Spanned<RedactionSource>>>;

fn words() -> Vec<&'static str> {
    Group::ALL.into_iter().map(Group::name).chain(Detector::ALL.into_iter().map(Detector::name)).collect()
}

/// What becomes of what is found. The greater one is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is recorded.
    Alert,
    /// Something else stands in its place.
    Mask,
    /// The call is refused, or the answer withheld.
    Block,
}

/// Where something is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// In what a caller sends.
    Arguments,
    /// In what a server says.
    Results,
}

/// What is looked for in one list, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Redactors {
    arguments: Option<Arc<Redactor>>,
    results: Option<Arc<Redactor>>,
    mode: Mode,
}

/// What is looked for in one direction.
#[derive(Debug)]
struct Redactor {
    finder: Finder,
    /// What becomes of what is found, by its name.
    handled: BTreeMap<Box<str>, Handled>,
    /// The names of the finder's patterns.
    patterns: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Handled {
    action: Action,
    /// As it is written, if it is a pattern.
    pattern: Option<Box<str>>,
    rule: RuleId,
}

/// Something that was found, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What: a detector or pattern, by its name.
    pub name: Box<str>,
    /// Where.
    pub flow: Flow,
    /// What came of it: in shadow no more than that it is recorded.
    pub action: Action,
    /// Where that is written.
    pub rule: RuleId,
    /// What would have come of it, in shadow.
    pub would: Option<Action>,
}

/// What is left of a text.
#[derive(Debug, Default)]
pub struct Redacted {
    /// All that was found, once by name.
    pub sightings: Vec<Sighting>,
    /// The text, if something else stands in it now.
    pub masked: Option<Vec<u8>>,
}

/// The lists that apply to one thing: its server's, and its own.
#[derive(Clone, Debug, Default)]
pub struct Redaction(pub(super) Vec<Arc<Redactors>>);

impl Action {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Alert, Self::Mask, Self::Block];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

impl Flow {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Arguments, Self::Results];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Results => "results",
        }
    }
}

/// Compiles a list; problems go to `found`.
pub(super) fn compile(
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
        let Self { detectors, patterns, handled } = self;
        let (names, patterns): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let redactor = Redactor { finder: Finder::new(detectors, patterns), handled, patterns: names };
        (!redactor.handled.is_empty()).then(|| Arc::new(redactor))
    }
}

impl Redactors {
    fn of(&self, flow: Flow) -> Option<&Arc<Redactor>> {
        match flow {
            Flow::Arguments => self.arguments.as_ref(),
            Flow::Results => self.results.as_ref(),
        }
    }

    /// What is enforced: what becomes of each thing in each direction, with what tells apart what has the same name.
    pub(super) fn enforced(&self) -> impl Iterator<Item = ((Flow, Looked), Action)> {
        let enforced = Flow::ALL.into_iter().filter(|_| self.mode == Mode::Enforce);
        enforced.flat_map(|flow| {
            let handled = self.of(flow).into_iter().flat_map(|redactor| &redactor.handled);
            handled.map(move |(name, handled)| {
                ((flow, Looked { name: name.clone(), pattern: handled.pattern.clone() }), handled.action)
            })
        })
    }

    /// Where it is written that arguments are refused.
    pub(super) fn refusing(&self) -> Vec<&RuleId> {
        let handled = self.arguments.iter().flat_map(|redactor| redactor.handled.values());
        let mut rules: Vec<&RuleId> =
            handled.filter(|handled| handled.action == Action::Block).map(|handled| &handled.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }

    /// Where it is written.
    pub(super) fn rule(&self) -> Option<&RuleId> {
        let first = |redactor: &'_ &Arc<Redactor>| !redactor.handled.is_empty();
        let redactor = Flow::ALL.into_iter().filter_map(|flow| self.of(flow)).find(first)?;
        redactor.handled.values().map(|handled| &handled.rule).min()
    }
}

/// What is looked for, as `diff` compares it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Looked {
    name: Box<str>,
    pattern: Option<Box<str>>,
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            None => f.write_str(&self.name),
            Some(pattern) => write!(f, "{} ({pattern})", self.name),
        }
    }
}

/// What finds the same.
impl PartialEq for Redactor {
    fn eq(&self, other: &Self) -> bool {
        self.handled == other.handled
    }
}

impl Eq for Redactor {}

impl Redactor {
    fn handled(&self, what: What) -> Option<(&str, &Handled)> {
        let name = match what {
            What::Detector(detector) => detector.name(),
            What::Pattern(index) => self.patterns.get(index)?,
        };
        self.handled.get_key_value(name).map(|(name, handled)| (&**name, handled))
    }

    fn redact(&self, text: &[u8], (flow, part): (Flow, Part), mode: Mode, redacted: &mut Redacted) {
        let hits = redact::search(&self.finder, text, part);
        let handled = hits.iter().filter_map(|hit| self.handled(hit.what).map(|handled| (hit, handled)));
        let handled: Vec<_> = handled.collect();
        for (_, (name, Handled { action, rule, .. })) in &handled {
            if redacted.sightings.iter().any(|known| &*known.name == *name && known.rule == *rule) {
                continue;
            }
            let (action, would) = match mode {
                Mode::Enforce => (*action, None),
                Mode::Shadow => (Action::Alert, Some(*action)),
            };
            redacted.sightings.push(Sighting { name: Box::from(*name), flow, action, rule: rule.clone(), would });
        }
        let masked = handled.iter().filter(|(_, (_, handled))| handled.action >= Action::Mask && mode == Mode::Enforce);
        let masked: Vec<_> = masked.map(|(hit, (name, _))| (*hit, *name)).collect();
        if !masked.is_empty() {
            redacted.masked = Some(redact::masked(text, masked));
        }
    }
}

impl Redaction {
    /// Whether nothing is looked for there.
    pub fn is_idle(&self, flow: Flow) -> bool {
        self.0.iter().all(|list| list.of(flow).is_none())
    }

    /// What refuses calls for something in their arguments.
    pub fn refuses(&self) -> Option<&RuleId> {
        let enforced = self.0.iter().filter(|list| list.mode == Mode::Enforce);
        enforced.flat_map(|list| list.refusing()).next()
    }

    /// A text by itself, as it would stand in arguments.
    pub fn masked(&self, text: &str) -> String {
        let mut quoted = String::new();
        json::quote(text, &mut quoted);
        let masked = self.redact(quoted.as_bytes(), Flow::Arguments, Part::Whole).masked;
        let masked = masked.and_then(|masked| String::from_utf8(masked).ok());
        let inner = masked.as_deref().and_then(|masked| masked.strip_prefix('"')?.strip_suffix('"'));
        inner.map_or_else(|| text.to_owned(), |inner| json::decode(inner).into_owned())
    }

    /// Looks through this part of a JSON text that is on this way. It has been proved to have one reading.
    pub fn redact(&self, text: &[u8], flow: Flow, part: Part) -> Redacted {
        let mut redacted = Redacted::default();
        for list in &self.0 {
            if let Some(redactor) = list.of(flow) {
                let before = redacted.masked.take();
                redactor.redact(before.as_deref().unwrap_or(text), (flow, part), list.mode, &mut redacted);
                // What the first list has masked stays so if the second finds nothing.
                redacted.masked = redacted.masked.take().or(before);
            }
        }
        redacted
    }
}

impl Redacted {
    /// What must not pass at all, if something must not.
    pub fn blocked(&self) -> Option<&Sighting> {
        self.sightings.iter().find(|sighting| sighting.action == Action::Block)
    }

    /// What would not pass if it were enforced.
    pub fn would_block(&self) -> Option<&Sighting> {
        self.sightings.iter().find(|sighting| sighting.would == Some(Action::Block))
    }
}
