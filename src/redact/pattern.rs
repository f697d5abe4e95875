//! Patterns of somebody's own: regular expressions without look-around or backreferences, in linear time.

use std::fmt;
use std::ops::Range;

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_syntax::ParserBuilder;

/// The most bytes that a pattern may find at once. A search costs no more than this over and over, whatever the text is.
pub const MAX_PATTERN: usize = 1024;
/// The most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 256 * 1024;

/// A pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    written: Box<str>,
    regex: Regex,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPattern {
    /// It is no regular expression.
    Syntax(String),
    /// It finds nothing in particular: an empty text.
    Empty,
    /// What it finds has no end.
    Endless,
    /// It is too large.
    TooLarge,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// It is not what it must be.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let parsed = ParserBuilder::new().nest_limit(32).build().parse(text);
        let parsed = parsed.map_err(|error| match error {
            regex_syntax::Error::Parse(error) => BadPattern::Syntax(error.kind().to_string()),
            regex_syntax::Error::Translate(error) => BadPattern::Syntax(error.kind().to_string()),
            other => BadPattern::Syntax(other.to_string()),
        })?;
        let properties = parsed.properties();
        match (properties.minimum_len(), properties.maximum_len()) {
            (None | Some(0), _) => return Err(BadPattern::Empty),
            (_, None) => return Err(BadPattern::Endless),
            (_, Some(most)) if most > MAX_PATTERN => return Err(BadPattern::Endless),
            (Some(_), Some(_)) => {}
        }
        let bounds = Regex::config().nfa_size_limit(Some(MAX_COMPILED));
        let regex = Regex::builder().configure(bounds).build_from_hir(&parsed);
        let regex = regex.map_err(|_too_large| BadPattern::TooLarge)?;
        Ok(Self { written: text.into(), regex })
    }

    /// What it finds in this part of the text, which begins and ends where the whole does.
    pub(super) fn find(&self, text: &[u8], part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        self.regex.find_iter(Input::new(text).span(part)).map(|found| found.range())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => write!(f, "it is no regular expression: {why}"),
            Self::Empty => f.write_str("it finds the empty text, so it would find something everywhere"),
            Self::Endless => write!(f, "what it finds has no end within {MAX_PATTERN} bytes"),
            Self::TooLarge => write!(f, "it is too large: compiled, more than {} KiB", MAX_COMPILED / 1024),
        }
    }
}
