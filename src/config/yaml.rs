//! The one door for YAML. What is read here is small, plain and unambiguous, or it is refused with its place.

use serde::de::DeserializeOwned;
use serde_yaml::{DuplicateKeyPolicy, Error, Location, MergeKeyPolicy};

use super::survey::{self, MAX_DEPTH, MAX_NODES};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, did_you_mean, disturbs_review, quoted};

/// No file of ours is larger.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// A file that is known to be plain YAML, and the keys at its top.
#[derive(Debug)]
pub(super) struct Document {
    file: SourceFile,
    keys: Vec<(String, At)>,
}

impl Document {
    /// Reads a file as far as any kind of file is read the same way.
    pub(super) fn new(name: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        let file = SourceFile::new(name, text(name, bytes)?);
        let keys = survey::survey(&file)?;
        Ok(Self { file, keys })
    }

    /// The keys at the top of the file.
    pub(super) fn keys(&self) -> &[(String, At)] {
        &self.keys
    }

    /// The file itself.
    pub(super) fn file(&self) -> &SourceFile {
        &self.file
    }

    /// Its content as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        let options = serde_yaml::options! {
            budget: serde_yaml::budget! {
                max_reader_input_bytes: Some(MAX_BYTES),
                max_total_scalar_bytes: MAX_BYTES,
                max_nodes: MAX_NODES,
                max_depth: MAX_DEPTH,
                flow_nesting_limit: MAX_DEPTH,
                max_documents: 1,
                max_aliases: 0,
                max_anchors: 0,
                max_merge_keys: 0,
            },
            duplicate_keys: DuplicateKeyPolicy::Error,
            merge_keys: MergeKeyPolicy::Error,
            strict_booleans: true,
            no_schema: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        serde_yaml::from_str_with_options(self.file.text(), options).map_err(|error| problem(&self.file, &error))
    }
}

/// The bytes as text in which nothing is hidden.
fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostic> {
    if bytes.len() > MAX_BYTES {
        return Err(Diagnostic::error(Code::TooLarge, name, format!("the file is larger than {MAX_BYTES} bytes")));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        Diagnostic::error(Code::NotUtf8, name, format!("not UTF-8 text: {error}")).help("save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, content) in (1..).zip(text.split('\n')) {
        let content = content.strip_suffix('\r').unwrap_or(content);
        if let Some((column, found)) = (1..).zip(content.chars()).find(|(_, c)| *c == '\r' || disturbs_review(*c)) {
            let file = SourceFile::new(name, text);
            let message = format!("the character U+{:04X} must not stand in this file", u32::from(found));
            return Err(file
                .error(Code::InvisibleCharacter, At { line, column, width: 1 }, message)
                .help("it is invisible, or makes the text look other than it is read; delete it"));
        }
    }
    Ok(text)
}

/// What serde found, in the words of whoever wrote the file.
fn problem(file: &SourceFile, error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let at = error.location().unwrap_or(Location::UNKNOWN);
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(file, at, field, expected),
        Error::SerdeMissingField { field, .. } => {
            file.error(Code::MissingKey, at, format!("the key `{field}` is missing here"))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => file
            .error(Code::WrongType, at, format!("{} is none of {}", quoted(variant), listed(expected)))
            .maybe_help(did_you_mean(variant, expected.iter().copied())),
        Error::Unexpected { expected, .. } => {
            file.error(Code::WrongType, at, format!("expected {}", plain_words(expected)))
        }
        Error::SerdeInvalidType { expected, .. } => {
            file.error(Code::WrongType, at, format!("expected {}", plain_words(expected)))
        }
        Error::InvalidScalar { ty, .. } => file.error(Code::WrongType, at, format!("expected {}", plain_words(ty))),
        Error::InvalidBooleanStrict { .. } => file.error(Code::WrongType, at, "expected `true` or `false`"),
        Error::QuotingRequired { .. } => file
            .error(Code::UnquotedScalar, at, "this could be read as a number or a truth value")
            .help("put text in quotes; give a span of time a unit, such as `5s`"),
        Error::Message { msg, .. } => file.error(Code::WrongType, at, msg),
        Error::Budget { .. } => file.error(Code::TooLarge, at, "the file is too large or too deeply nested"),
        other => file.error(Code::InvalidYaml, at, other.render_with_formatter(&serde_yaml::UserMessageFormatter)),
    }
}

fn unknown_key(file: &SourceFile, at: Location, key: &str, known: &[&str]) -> Diagnostic {
    let problem = file.error(Code::UnknownKey, at, format!("unknown key {}", quoted(key)));
    let secret = ["key", "api_key", "apikey", "secret", "token", "password", "value"];
    if known.contains(&"hash") && secret.contains(&key) {
        return problem.without_source_line().help(
            "keys never stand in files, only their hashes: `hash: \"sha256:…\"`\n\
             `tollgate keys new` makes a key and prints such an entry; treat this one as leaked",
        );
    }
    let expected = format!("the keys known here are {}", listed(known));
    problem.help(did_you_mean(key, known.iter().copied()).unwrap_or(expected))
}

/// The parser's words for kinds of values, as a person says them.
fn plain_words(expected: &str) -> String {
    match expected {
        "sequence start" | "a sequence" => "a list, such as `[a, b]`".to_owned(),
        "mapping start" => "keys and values, such as `{ key: value }`".to_owned(),
        "string scalar" | "scalar" | "a string" => "one text".to_owned(),
        "boolean" | "bool" => "`true` or `false`".to_owned(),
        integer if integer.starts_with(['u', 'i']) && integer.len() <= 5 => "a whole number".to_owned(),
        other => other.strip_prefix("struct ").unwrap_or(other).to_owned(),
    }
}

/// `` `a`, `b` ``.
fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
