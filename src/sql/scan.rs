//! The text, character by character, before anybody parses it: only such tokens as every reader cuts at the same
//! places. Two readers that disagree on where a string or a comment ends read two statements. No grammar here.
//!
//! Sources: PostgreSQL documentation, 4.1 "Lexical Structure"; SQLite, "SQL As Understood By SQLite", tokens.

use std::iter::Peekable;
use std::mem;
use std::str::Chars;

use super::name::{MAX_NAME, may_be_quoted};
use super::{Dialect, Refused};

/// The most tokens. The tree of a long chain, as in `a + a + a`, is as deep as the chain is long.
const MAX_TOKENS: usize = 4096;
/// The most joins. The parser calls itself for each that has no condition yet, and does not count these calls.
const MAX_JOINS: usize = 48;
/// The most open parentheses and brackets at a time.
const MAX_OPEN: usize = 24;
/// The most of them that follow `IN` or `POSITION`. The parser reads what is within twice if the first way fails, so
/// that the time doubles with each.
const MAX_OPEN_TWICE: usize = 5;

/// Operators that are cut at the same places by everybody, if no other such character stands beside them.
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "^", "|", "&", "~", "=", "<", ">", "<=", ">=", "<>", "!=", "||", "<<", ">>", "->", "->>",
    "#>", "#>>", "@>", "<@", "?", "?|", "?&", "&&", "@@", "~*", "!~", "!~*",
];

/// Whether the text consists of plain tokens.
pub(super) fn scan(text: &str, dialect: Dialect) -> Result<(), Refused> {
    let mut scan = Scan {
        rest: text.chars().peekable(),
        before: ' ',
        dialect,
        tokens: 0,
        joins: 0,
        open: Vec::new(),
        last: Last::Other,
    };
    while let Some(c) = scan.next() {
        scan.token(c)?;
    }
    if scan.tokens == 0 { Err(Refused::Empty) } else { Ok(()) }
}

struct Scan<'a> {
    rest: Peekable<Chars<'a>>,
    /// The character before the one in hand.
    before: char,
    dialect: Dialect,
    tokens: usize,
    joins: usize,
    open: Vec<Last>,
    last: Last,
}

/// The token before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// `IN` or `POSITION`.
    ReadTwice,
    Other,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<char> {
        self.rest.next()
    }

    fn token(&mut self, c: char) -> Result<(), Refused> {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            self.before = ' ';
            return Ok(());
        }
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            return Err(Refused::TooLong);
        }
        let last = mem::replace(&mut self.last, Last::Other);
        match c {
            'a'..='z' | 'A'..='Z' | '_' => self.word(c),
            '0'..='9' => self.number(c),
            '\'' => self.string(),
            '"' => self.quoted_name(),
            '$' => self.parameter(),
            '(' => self.opening(last),
            '[' if self.dialect == Dialect::PostgreSql => self.opening(Last::Other),
            ')' | ']' => {
                self.open.pop();
                self.single(c);
                Ok(())
            }
            ',' => {
                self.single(c);
                Ok(())
            }
            '.' => self.dot(),
            ':' => self.colon(),
            ';' => self.end(),
            _ if is_operator(c) => self.operator(c),
            _ => Err(Refused::Character),
        }
    }

    fn single(&mut self, c: char) {
        self.before = c;
    }

    fn opening(&mut self, last: Last) -> Result<(), Refused> {
        self.open.push(last);
        let twice = self.open.iter().filter(|last| **last == Last::ReadTwice).count();
        self.single('(');
        if self.open.len() > MAX_OPEN || twice > MAX_OPEN_TWICE { Err(Refused::TooDeep) } else { Ok(()) }
    }

    fn take_while(&mut self, first: char, takes: impl Fn(char) -> bool) -> String {
        let mut token = String::from(first);
        while let Some(c) = self.rest.next_if(|c| takes(*c)) {
            token.push(c);
        }
        self.before = token.chars().next_back().unwrap_or(first);
        token
    }

    fn word(&mut self, first: char) -> Result<(), Refused> {
        let word = self.take_while(first, is_word);
        if word.eq_ignore_ascii_case("join") {
            self.joins += 1;
        }
        if ["in", "position"].iter().any(|twice| word.eq_ignore_ascii_case(twice)) {
            self.last = Last::ReadTwice;
        }
        match self.rest.peek() {
            _ if word.len() > MAX_NAME => Err(Refused::Name),
            _ if self.joins > MAX_JOINS => Err(Refused::TooLong),
            // `E'..'`, `U&'..'`, `x"..": what is between the quotes is not what it looks like.
            Some('\'' | '"') => Err(Refused::Literal),
            // `a$b` is one name to some.
            Some('$') => Err(Refused::Character),
            _ => Ok(()),
        }
    }

    /// As in `12`, `1.5`, `1e-6`. Older PostgreSQL reads `1a` as `1 a`, newer refuses it.
    fn number(&mut self, first: char) -> Result<(), Refused> {
        let mut number = self.take_while(first, |c| is_word(c) || c == '.');
        if number.ends_with(['e', 'E'])
            && let Some(sign) = self.rest.next_if(|c| matches!(c, '+' | '-'))
        {
            number.push_str(&self.take_while(sign, is_word));
        }
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((&number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let grown = self.rest.peek().is_some_and(|c| matches!(c, '\'' | '"' | '$'));
        if !grown && is_digits(whole) && is_digits(fraction) && is_digits(exponent) {
            Ok(())
        } else {
            Err(Refused::Number)
        }
    }

    /// `'text'`, in which `''` is a quote. What else stands in it is data, but a backslash before a quote escapes it
    /// for some readers, under some settings.
    fn string(&mut self) -> Result<(), Refused> {
        if self.before == '&' {
            return Err(Refused::Literal);
        }
        let mut last = '\'';
        loop {
            match self.next() {
                None => return Err(Refused::Literal),
                Some('\0') => return Err(Refused::Character),
                Some('\'') if last == '\\' => return Err(Refused::Literal),
                Some('\'') => {
                    if self.rest.next_if_eq(&'\'').is_none() {
                        break;
                    }
                    last = '\'';
                }
                Some(c) => last = c,
            }
        }
        self.after_quotes('\'')
    }

    fn quoted_name(&mut self) -> Result<(), Refused> {
        if self.before == '&' {
            return Err(Refused::Literal);
        }
        let mut bytes = 0;
        loop {
            match self.next() {
                Some('"') => break,
                Some(c) if may_be_quoted(c) => bytes += c.len_utf8(),
                Some(_) | None => return Err(Refused::Name),
            }
        }
        if bytes == 0 || bytes > MAX_NAME { Err(Refused::Name) } else { self.after_quotes('"') }
    }

    fn after_quotes(&mut self, quote: char) -> Result<(), Refused> {
        self.before = quote;
        match self.rest.peek() {
            Some(c) if is_word(*c) || matches!(c, '\'' | '"' | '$') => Err(Refused::Literal),
            _ => Ok(()),
        }
    }

    /// `$1`. All else with a dollar is a literal without quotes, or a part of a name.
    fn parameter(&mut self) -> Result<(), Refused> {
        let digits = self.take_while('$', |c| c.is_ascii_digit());
        let ends = !self.rest.peek().is_some_and(|c| is_word(*c) || matches!(c, '\'' | '"' | '$'));
        if ends && (2..8).contains(&digits.len()) { Ok(()) } else { Err(Refused::Literal) }
    }

    /// Between the words of a name, or before digits.
    fn dot(&mut self) -> Result<(), Refused> {
        let after_name = is_word(self.before) || matches!(self.before, '"' | ')' | ']');
        let before_digit = self.rest.peek().is_some_and(char::is_ascii_digit);
        self.single('.');
        if after_name && before_digit { Err(Refused::Number) } else { Ok(()) }
    }

    /// `::`, a cast, or `:`, between the bounds of a slice. `:=` would name an argument.
    fn colon(&mut self) -> Result<(), Refused> {
        let second = self.rest.next_if_eq(&':').is_some();
        self.single(':');
        match self.rest.peek() {
            Some('=' | ':') => Err(Refused::Operator),
            Some(c) if !second && self.dialect == Dialect::PostgreSql && (is_word(*c) && !c.is_ascii_digit()) => {
                Err(Refused::Operator)
            }
            _ => Ok(()),
        }
    }

    /// A `;` may only be the last.
    fn end(&mut self) -> Result<(), Refused> {
        let only_blanks = self.rest.by_ref().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        if only_blanks { Ok(()) } else { Err(Refused::Several) }
    }

    fn operator(&mut self, first: char) -> Result<(), Refused> {
        let run = self.take_while(first, is_operator);
        if run.contains("--") || run.contains("/*") {
            return Err(Refused::Comment);
        }
        if first == '#' && !run.starts_with("#>") {
            return Err(Refused::Comment);
        }
        // Where `>-5` is cut depends on the reader (PostgreSQL: 4.1.3).
        if OPERATORS.contains(&run.as_str()) { Ok(()) } else { Err(Refused::Operator) }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The characters that PostgreSQL makes operators of, but for the backtick.
fn is_operator(c: char) -> bool {
    matches!(c, '+' | '-' | '*' | '/' | '<' | '>' | '=' | '~' | '!' | '@' | '#' | '%' | '^' | '&' | '|' | '?')
}
