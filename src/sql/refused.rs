//! Why a text was refused, for its author, who is often a model: what to change. Names are told back, for they are
//! short and plain by then; nothing else of the text is.

use std::fmt;

use super::MAX_BYTES;

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Longer than [`MAX_BYTES`], or of too many tokens.
    TooLong,
    /// Nested too deeply.
    TooDeep,
    /// There is no statement.
    Empty,
    /// More than one statement.
    Several,
    /// A character that has no business outside of a string literal.
    Character,
    /// A comment.
    Comment,
    /// A string literal that not everybody ends at the same place.
    Literal,
    /// A number with something grown to it.
    Number,
    /// A name that is too long, empty, or quoted in an uncommon way.
    Name,
    /// A reserved word in the place of a name.
    Reserved {
        /// The word.
        word: String,
    },
    /// An operator that is not known.
    Operator,
    /// Not SQL, as far as the parser knows.
    Syntax,
    /// A kind of statement that is not allowed.
    Statement {
        /// Those that are.
        allowed: Vec<&'static str>,
    },
    /// A table that is not allowed.
    Table {
        /// As the database reads it.
        name: String,
    },
    /// A function that is not allowed.
    Function {
        /// As the database reads it.
        name: String,
    },
    /// A type that is not known to be plain.
    Type,
    /// Something that is not known to be harmless.
    Construct {
        /// In the words of the grammar.
        what: &'static str,
    },
}

impl Refused {
    /// One word for telemetry and tests, out of a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::Empty => "empty",
            Self::Several => "several",
            Self::Character => "character",
            Self::Comment => "comment",
            Self::Literal => "literal",
            Self::Number => "number",
            Self::Name => "name",
            Self::Reserved { .. } => "reserved",
            Self::Operator => "operator",
            Self::Syntax => "syntax",
            Self::Statement { .. } => "statement",
            Self::Table { .. } => "table",
            Self::Function { .. } => "function",
            Self::Type => "type",
            Self::Construct { .. } => "construct",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the SQL text is too long; the limit is {} KiB", MAX_BYTES / 1024),
            Self::TooDeep => f.write_str("the SQL text is nested too deeply; use fewer parentheses and subqueries"),
            Self::Empty => f.write_str("there is no SQL statement"),
            Self::Several => f.write_str("only one SQL statement is allowed; leave out what follows the `;`"),
            Self::Character => f.write_str(
                "the SQL text has a character that is only allowed in string literals; use plain ASCII, and \"double quotes\" around other names",
            ),
            Self::Comment => f.write_str("comments are not allowed in the SQL text; leave them out"),
            Self::Literal => f.write_str(
                "write string literals as 'text', with blanks around them, '' for a quote, and no backslash before a quote",
            ),
            Self::Number => f.write_str("write numbers as 12, 1.5 or 1e6, with a blank after them"),
            Self::Name => f.write_str("write names as name or \"name\", of at most 63 bytes"),
            Self::Reserved { word } => {
                write!(f, "`{word}` is a reserved word; if it is a name, write it in \"double quotes\"")
            }
            Self::Operator => f.write_str(
                "an operator of the SQL text is not allowed; use the common ones, with blanks around them",
            ),
            Self::Syntax => f.write_str("the SQL text cannot be parsed; write it more plainly"),
            Self::Statement { allowed } => write!(f, "only {} is allowed here", allowed.join(", ")),
            Self::Table { name } => write!(
                f,
                "the table `{name}` is not allowed here; a schema counts: `orders` and `public.orders` are two names"
            ),
            Self::Function { name } => write!(f, "the function `{name}` is not allowed here"),
            Self::Type => f.write_str("a type of the SQL text is not allowed; cast only to numbers, text, dates, json"),
            Self::Construct { what } => write!(f, "{what} is not allowed in the SQL text"),
        }
    }
}

impl std::error::Error for Refused {}
