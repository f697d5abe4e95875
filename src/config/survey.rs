//! A first pass over a YAML file: finds whatever a reviewer could read in two ways, all of it at once.
//!
//! Not for what the keys mean; that is read after it by type.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::syntax::{self, FLATTER};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, quoted};

/// Values, lists and mappings in a file.
pub(super) const MAX_NODES: usize = 50_000;
/// Lists and mappings within each other.
pub(super) const MAX_DEPTH: usize = 32;
/// The way out of a file that is too large.
pub(super) const SPLIT: &str = "split it by what it is about into several files of the same folder";
/// More problems of one file would tell nobody more.
const MAX_PROBLEMS: usize = 20;

/// Looks through a file, and returns the keys at its top.
pub(super) fn survey(file: &SourceFile) -> Result<Vec<(String, At)>, Diagnostics> {
    let mut options = Options::default();
    options.disallow_directives = true;
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut survey =
        Survey { file, open: Vec::new(), top: Vec::new(), nodes: 0, documents: 0, found: Diagnostics::new() };
    for event in Parser::new_from_str_with_options(file.text(), options) {
        let step =
            event.map_err(|error| syntax::problem(file, &error)).and_then(|(event, span)| survey.read(event, span));
        if let Err(fatal) = step {
            survey.found.push(fatal);
            break;
        }
        if survey.found.count(crate::diagnostic::Severity::Error) >= MAX_PROBLEMS {
            break;
        }
    }
    if survey.nodes == 0 && survey.found.is_empty() {
        survey.found.push(empty(file));
    }
    if survey.found.is_empty() { Ok(survey.top) } else { Err(survey.found) }
}

struct Survey<'a> {
    file: &'a SourceFile,
    open: Vec<Open>,
    top: Vec<(String, At)>,
    nodes: usize,
    documents: usize,
    found: Diagnostics,
}

/// A list or mapping that has not ended yet.
enum Open {
    List,
    Mapping { seen: HashMap<String, u32>, key: Option<(String, At)> },
}

impl Survey<'_> {
    /// One event. What comes back as an error ends the survey; the rest is collected.
    fn read(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        self.properties(&event, span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self
                        .file
                        .error(Code::SeveralDocuments, place(span), "a second document begins here")
                        .help("write one file for each, without `---` between"));
                }
            }
            Event::Scalar(text, style, ..) => {
                self.node(span)?;
                self.scalar(text, style, span);
            }
            Event::SequenceStart(..) => {
                self.node(span)?;
                self.collection(span, Open::List)?;
            }
            Event::MappingStart(..) => {
                self.node(span)?;
                self.collection(span, Open::Mapping { seen: HashMap::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                self.value_done();
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.alias(span),
            _ => {}
        }
        Ok(())
    }

    fn node(&mut self, span: Span) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self
                .file
                .error(Code::TooLarge, place(span), format!("the file has more than {MAX_NODES} values"))
                .help(SPLIT));
        }
        Ok(())
    }

    /// Anchors and tags change what a value means from afar.
    fn properties(&mut self, event: &Event<'_>, span: Span) {
        if event.anchor_id().is_some() {
            self.found.push(
                self.file
                    .error(Code::YamlAnchor, anchor(self.file.text(), span), "anchors (`&name`) are refused")
                    .help("write the value out where it is used"),
            );
        }
        if let Some(tag) = event.tag() {
            let at = span.tag_start.map_or(place(span), |start| place(Span::empty(start)));
            self.found.push(
                self.file
                    .error(Code::YamlTag, at, format!("tags ({}) are refused", quoted(&tag.original())))
                    .help("nothing is included, computed or converted by a policy file"),
            );
        }
    }

    /// What a merge key merges was told with the key.
    fn alias(&mut self, span: Span) {
        let merged = matches!(self.open.last(), Some(Open::Mapping { key: Some((key, _)), .. }) if key == "<<");
        if !merged {
            self.found.push(self.file.error(Code::YamlAlias, place(span), "aliases (`*name`) are refused").help(
                "write out what is granted, so that a reviewer sees it; a pattern such as `\"*_pool\"` needs quotes",
            ));
        }
        self.value_done();
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, span: Span) {
        let at = place(span);
        let plain = style == ScalarStyle::Plain;
        let mut problem = (plain && is_truth_value_to_some(&text)).then(|| ambiguous(self.file, &text, at));
        match self.open.last_mut() {
            Some(Open::Mapping { seen, key: key @ None }) => {
                if plain && text == "<<" {
                    problem = Some(
                        self.file
                            .error(Code::YamlMergeKey, at, "merge keys (`<<`) are refused")
                            .help("write the keys out here; a role takes over what another one has by `inherits`"),
                    );
                } else if let Some(first) = seen.insert(text.to_string(), at.line) {
                    problem = Some(
                        self.file
                            .error(Code::DuplicateKey, at, format!("the key {} stands here twice", quoted(&text)))
                            .help(format!("it stands in line {first} already; keep one of them")),
                    );
                }
                *key = Some((text.into_owned(), at));
                if self.open.len() == 1
                    && let Some(Open::Mapping { key: Some(key), .. }) = self.open.last()
                {
                    self.top.push(key.clone());
                }
            }
            holder => {
                if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    problem = Some(no_value(self.file, holder.as_deref(), at));
                } else if holder.is_none() {
                    problem = Some(not_a_mapping(self.file, at, "expected keys and values, such as `roles:`"));
                }
                self.value_done();
            }
        }
        if let Some(problem) = problem {
            self.found.push(problem);
        }
    }

    fn collection(&mut self, span: Span, new: Open) -> Result<(), Diagnostic> {
        if let Some(Open::Mapping { key: None, .. }) = self.open.last() {
            return Err(syntax::not_a_key(self.file, place(span)));
        }
        if self.open.is_empty() && matches!(new, Open::List) {
            let message = "expected keys and values, such as `roles:`, not a list";
            return Err(not_a_mapping(self.file, place(span), message));
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} deep");
            return Err(self.file.error(Code::TooDeep, place(span), message).help(FLATTER));
        }
        self.open.push(new);
        Ok(())
    }

    /// The value of the current key is complete.
    fn value_done(&mut self) {
        if let Some(Open::Mapping { key, .. }) = self.open.last_mut() {
            *key = None;
        }
    }
}

/// Nothing where a value should be: a reader may take it for "none" or for "no restriction".
fn no_value(file: &SourceFile, holder: Option<&Open>, at: At) -> Diagnostic {
    match holder {
        Some(Open::Mapping { key: Some((key, at)), .. }) => file
            .error(Code::MissingValue, *at, format!("{} has no value", quoted(key)))
            .help("give it a value, or leave the key out"),
        Some(_) => file
            .error(Code::MissingValue, at, "this entry is empty")
            .help("a name that is spelt `null` must be put in quotes"),
        None => empty(file),
    }
}

/// It says nothing.
fn empty(file: &SourceFile) -> Diagnostic {
    Diagnostic::error(Code::EmptyFile, file.name(), "the file is empty").help("say something in it, or delete it")
}

/// The top of a file is something else than keys and values.
fn not_a_mapping(file: &SourceFile, at: At, message: &str) -> Diagnostic {
    file.error(Code::WrongType, at, message).help("begin the line with a key and a `:`")
}

/// Words that YAML 1.1 reads as truth values and YAML 1.2 as text. Both are in use.
fn is_truth_value_to_some(text: &str) -> bool {
    ["yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn ambiguous(file: &SourceFile, text: &str, at: At) -> Diagnostic {
    file.error(Code::UnquotedScalar, at, format!("{} is a text to some and a truth value to others", quoted(text)))
        .help("put text in quotes; as a truth value write `true` or `false`")
}

/// Where the `&name` stands that belongs to the value at this place: the parser only knows the value's.
fn anchor(text: &str, value: Span) -> At {
    let before: Vec<char> = text.chars().take(value.start.index()).collect();
    let Some(start) = before.iter().rposition(|c| *c == '&') else {
        return place(value);
    };
    let (before, name) = before.split_at(start);
    let lines = before.iter().filter(|c| **c == '\n').count();
    let column = before.iter().rev().take_while(|c| **c != '\n').count();
    let width = name.iter().take_while(|c| !c.is_whitespace()).count();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: number(lines + 1), column: number(column + 1), width: number(width) }
}

/// Where something stands, in our numbers.
pub(super) fn place(span: Span) -> At {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At {
        line: number(span.start.line()),
        column: number(span.start.col()).saturating_add(1),
        width: number(span.end.index().saturating_sub(span.start.index())),
    }
}
