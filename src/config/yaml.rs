//! The one door for YAML. What is read here is small, plain and unambiguous, or it is refused with its place.

use serde::de::DeserializeOwned;
use serde_yaml::{DuplicateKeyPolicy, Error, Location, MergeKeyPolicy};

use super::survey::{self, MAX_DEPTH, MAX_NODES, SPLIT};
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
        return Err(
            Diagnostic::error(Code::TooLarge, name, format!("the file is larger than {MAX_BYTES} bytes")).help(SPLIT)
        );
    }
    let text = str::from_utf8(bytes).map_err(|error| not_utf8(name, bytes, error.valid_up_to()))?;
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

/// Where the text stops being one.
fn not_utf8(name: &str, bytes: &[u8], valid: usize) -> Diagnostic {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let at = At { line: 1, column: 1, width: 1 };
        let problem = SourceFile::new(name, "").error(Code::NotUtf8, at, "this is UTF-16, not UTF-8 text");
        return problem.help("save the file as UTF-8");
    }
    let before = bytes.get(..valid).unwrap_or_default();
    let lines: Vec<_> = before.split(|b| *b == b'\n').collect();
    let line = lines.last().map(|line| String::from_utf8_lossy(line)).unwrap_or_default();
    let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    let at = At { line: number(lines.len().saturating_sub(1)), column: number(line.chars().count()), width: 1 };
    let byte = bytes.get(valid).copied().unwrap_or_default();
    SourceFile::new(name, &String::from_utf8_lossy(bytes))
        .error(Code::NotUtf8, at, format!("not UTF-8 text: the byte 0x{byte:02X} begins no character here"))
        .help("save the file as UTF-8")
}

/// What serde found, in the words of whoever wrote the file.
fn problem(file: &SourceFile, error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let at = error.location().unwrap_or(Location::UNKNOWN);
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(file, at, field, expected),
        Error::SerdeMissingField { field, .. } => file
            .error(Code::MissingKey, at, format!("the key `{field}` is missing here"))
            .help(format!("the entry that this is part of needs one: `{field}: …`")),
        Error::SerdeUnknownVariant { variant, expected, .. } => file
            .error(Code::WrongType, at, format!("{} is none of {}", quoted(variant), listed(expected)))
            .help(did_you_mean(variant, expected.iter().copied()).unwrap_or_else(|| "write one of these".to_owned())),
        Error::Unexpected { expected, .. } => wrong_type(file, at, expected),
        Error::SerdeInvalidType { expected, .. } => wrong_type(file, at, expected),
        Error::InvalidScalar { ty, .. } => wrong_type(file, at, ty),
        Error::InvalidBooleanStrict { .. } => wrong_type(file, at, "bool"),
        Error::QuotingRequired { .. } => file
            .error(Code::UnquotedScalar, at, "this could be read as a number or a truth value")
            .help("put text in quotes; give a span of time a unit, such as `5s`"),
        // Values with a form of their own say in a second line how to write it.
        Error::Message { msg, .. } => match msg.split_once('\n') {
            Some((wrong, way_out)) => file.error(Code::WrongType, at, wrong).help(way_out),
            None => file.error(Code::WrongType, at, msg),
        },
        Error::Budget { .. } => {
            file.error(Code::TooLarge, at, "the file is too large or too deeply nested").help(SPLIT)
        }
        other => file.error(Code::InvalidYaml, at, other.render_with_formatter(&serde_yaml::UserMessageFormatter)),
    }
}

fn unknown_key(file: &SourceFile, at: Location, key: &str, known: &[&str]) -> Diagnostic {
    let message = format!("unknown key {}", quoted(key));
    let secret = ["key", "api_key", "apikey", "secret", "token", "password", "value"];
    if known.contains(&"hash") && secret.contains(&key) {
        return file.error(Code::SecretInFile, at, message).without_source_line().help(
            "keys never stand in files, only their hashes: `hash: \"sha256:…\"`\n\
             `tollgate keys new` makes a key and prints such an entry; treat this one as leaked",
        );
    }
    let expected = format!("the keys known here are {}", listed(known));
    file.error(Code::UnknownKey, at, message).help(did_you_mean(key, known.iter().copied()).unwrap_or(expected))
}

/// The parser's words for kinds of values, as a person says them, and how to write one.
fn wrong_type(file: &SourceFile, at: Location, expected: &str) -> Diagnostic {
    let problem = |expected: &str| file.error(Code::WrongType, at, format!("expected {expected}"));
    match expected {
        "sequence start" | "a sequence" => problem("a list, such as `[a, b]`")
            .help("put it in brackets, also if it is only one; or write each entry on a line that begins with `- `"),
        "mapping start" => problem("keys and values, such as `{ key: value }`")
            .help("write each key on a line of its own, without `- ` before it, and a space after its `:`"),
        "string scalar" | "scalar" | "a string" => {
            problem("one text").help("write one name, without brackets or braces")
        }
        "boolean" | "bool" => problem("`true` or `false`").help("write one of the two, without quotes"),
        integer if integer.starts_with(['u', 'i']) && integer.len() <= 5 => problem("a whole number")
            .help("write it in digits alone, such as `60`: no sign, no fraction, no quotes, no zero before it"),
        other => problem(other.strip_prefix("struct ").unwrap_or(other)),
    }
}

/// `` `a`, `b` ``.
fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
