//! What is wrong with a file that is not YAML, in the words of whoever wrote it, and what they probably meant.
//!
//! The parser says what it expected; this says what usually leads there.

use serde_yaml::granit_parser::{ErrorKind, ScanError, Span};

use super::survey::{MAX_DEPTH, place};
use crate::diagnostic::{At, Code, Diagnostic, SourceFile};

/// The parser stopped here.
pub(super) fn problem(file: &SourceFile, error: &ScanError) -> Diagnostic {
    let at = place(Span::empty(*error.marker()));
    let line = line(file, at);
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return file.error(Code::TooDeep, at, format!("nested more than {MAX_DEPTH} deep")).help(FLATTER);
    }
    if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)) {
        let message = "this is what a merge left of a conflict";
        return file.error(Code::InvalidYaml, at, message).help("choose one side and delete the marks");
    }
    file.error(Code::InvalidYaml, at, format!("this is not YAML: {}", wrong(error))).help(way_out(error.kind(), line))
}

/// A list or mapping stands where a key should be.
pub(super) fn not_a_key(file: &SourceFile, at: At) -> Diagnostic {
    let way_out = if line(file, at).contains("{{") {
        "a template such as `{{ .Values.x }}` must be filled in before it is a policy"
    } else {
        "begin with one word and a `:`; are there brackets or braces too many?"
    };
    file.error(Code::WrongType, at, "a key must be plain text").help(way_out)
}

fn line(file: &SourceFile, at: At) -> &str {
    let line = usize::try_from(at.line).ok().and_then(|line| file.text().lines().nth(line.checked_sub(1)?));
    line.unwrap_or_default()
}

/// The parser's own words, but for those that only it understands.
fn wrong(error: &ScanError) -> String {
    let plain = match error.kind() {
        ErrorKind::UnexpectedEofImplicitFlowMapping => "something is missing before this",
        ErrorKind::MappingValueNotAllowed => "a `:` is not expected here",
        ErrorKind::ExpectedBlockMappingKey => "expected a key of the same mapping as above",
        ErrorKind::MissingAnchorOrAliasName => "`*` and `&` begin the name of an alias or an anchor",
        ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => "a tab in the indentation",
        _ => &error.info(),
    };
    plain.to_owned()
}

/// No file of ours has lists in lists in lists.
pub(super) const FLATTER: &str = "nothing here lies deeper than a limit of a tool; are there brackets too many?";

/// What usually leads there.
fn way_out(kind: &ErrorKind, line: &str) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => "indent with spaces, not with tabs",
        ErrorKind::UnclosedQuotedScalar => "the quote that begins here is not closed",
        ErrorKind::MissingAnchorOrAliasName => "a pattern that begins with `*` must be put in quotes, such as `\"*\"`",
        ErrorKind::DirectiveDisallowed => "delete this line; the version of YAML is always 1.2",
        ErrorKind::MappingValueNotAllowed => {
            "is a `:` missing at the end of the line before, or should there be quotes around a text with `: `?"
        }
        ErrorKind::SimpleKeyExpected if line.trim_start().starts_with('-') => "list entries begin in one column",
        ErrorKind::SimpleKeyExpected => "is a `:` missing after this word?",
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::UnexpectedEofBlockSequence => "what belongs together must begin in the same column",
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::ExpectedNodeContent
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::BlockEntryInFlowCollection => {
            "is a bracket or brace not closed, here or above, or is there a comma too many?"
        }
        // The parser's list may grow.
        _ => "look at the indentation, brackets and quotes here and in the line before",
    }
}
