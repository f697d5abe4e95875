//! The scanner: bytes to spans, or the first flaw and where it is.

use std::ops::Range;

use super::names::Names;
use super::{decode, run};

/// How much of everything a text may have. Checked while reading, so that no input costs more than its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Objects and arrays within each other.
    pub depth: usize,
    /// Members of one object.
    pub members: usize,
    /// Values in all.
    pub values: usize,
    /// Bytes of one number.
    pub number: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 64, members: 10_000, values: 100_000, number: 64 }
    }
}

/// What is wrong with a text, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub flaw: Flaw,
    /// The offset of the byte where that was seen.
    pub at: usize,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A byte order mark stands in front.
    ByteOrderMark,
    /// Not UTF-8.
    NotUtf8,
    /// Not exactly one JSON value.
    Syntax,
    /// Half of a surrogate pair: no character.
    LoneSurrogate,
    /// A number that no double can hold.
    NumberOverflow,
    /// A number with too many characters.
    NumberTooLong,
    /// Nested too deeply.
    TooDeep,
    /// An object with too many members.
    TooManyMembers,
    /// Too many values.
    TooManyValues,
    /// Two members of one object have the same name.
    DuplicateMember,
    /// A name that `serde_json` reads as something else than a name.
    PrivateMember,
    /// What the lens objects to: a name that some parser may read as another one.
    ConfusableMember,
}

/// What kind of value stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`, `true` or `false`.
    Literal,
    /// A number.
    Number,
    /// A string; the span includes its quotation marks.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// What a reader looks for. It names places and hears what stands there.
pub trait Lens {
    /// Where something stands, in the reader's own words.
    type Place: Copy;

    /// The place of the value of this member of the object at `place`. The name is decoded.
    ///
    /// # Errors
    /// The reader does not stand for a name like this.
    fn member(&mut self, place: Self::Place, name: &str) -> Result<Self::Place, Flaw>;

    /// The place of the elements of the array at `place`.
    fn element(&mut self, place: Self::Place) -> Self::Place;

    /// A value ended. Members and elements are told before what holds them.
    fn value(&mut self, place: Self::Place, kind: Kind, span: Range<usize>);
}

/// Reads exactly one JSON value.
///
/// # Errors
/// The first flaw found. What the lens heard until then means nothing.
pub fn scan<L: Lens>(bytes: &[u8], top: L::Place, bounds: &Bounds, lens: &mut L) -> Result<(), Fault> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Fault { flaw: Flaw::ByteOrderMark, at: 0 });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            return Err(Fault { flaw: Flaw::NotUtf8, at: error.valid_up_to() });
        }
    };
    let mut scanner = Scanner {
        text,
        bytes,
        at: 0,
        values: 0,
        bounds,
        open: Vec::with_capacity(USUAL_DEPTH),
        names: Names::default(),
    };
    scanner.run(top, lens).map_err(|flaw| Fault { flaw, at: scanner.at })
}

/// Most messages are no deeper.
const USUAL_DEPTH: usize = 8;

struct Scanner<'a, P> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    values: usize,
    bounds: &'a Bounds,
    open: Vec<Frame<P>>,
    names: Names<'a>,
}

/// An object or array that is not closed yet.
struct Frame<P> {
    place: P,
    start: usize,
    shape: Shape,
}

/// What a frame is.
#[derive(Clone, Copy)]
enum Shape {
    Array,
    /// With where its names begin in [`Names`].
    Object {
        names: usize,
    },
}

impl<P: Copy> Scanner<'_, P> {
    /// The loop: one value after the other; the stack is ours, so depth costs no stack of the thread.
    fn run<L: Lens<Place = P>>(&mut self, top: P, lens: &mut L) -> Result<(), Flaw> {
        self.skip_space();
        let mut place = top;
        loop {
            let opened = self.begin(place, lens)?;
            // After a value (or an empty container) come closings, until a comma asks for the next value.
            let next = if opened { self.first(lens)? } else { self.next(lens)? };
            match next {
                Some(following) => place = following,
                None => break,
            }
        }
        if self.at == self.bytes.len() { Ok(()) } else { Err(Flaw::Syntax) }
    }

    /// Reads a scalar, or opens a container (then `true`).
    fn begin<L: Lens<Place = P>>(&mut self, place: P, lens: &mut L) -> Result<bool, Flaw> {
        self.values += 1;
        if self.values > self.bounds.values {
            return Err(Flaw::TooManyValues);
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => {
                return self.push(place, Shape::Object { names: self.names.len() });
            }
            Some(b'[') => return self.push(place, Shape::Array),
            Some(b'"') => {
                self.string()?;
                Kind::String
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Kind::Number
            }
            Some(_) => {
                self.literal()?;
                Kind::Literal
            }
            None => return Err(Flaw::Syntax),
        };
        lens.value(place, kind, start..self.at);
        Ok(false)
    }

    fn push(&mut self, place: P, shape: Shape) -> Result<bool, Flaw> {
        if self.open.len() == self.bounds.depth {
            return Err(Flaw::TooDeep);
        }
        self.open.push(Frame { place, start: self.at, shape });
        self.at += 1;
        Ok(true)
    }

    /// The place of the first value of the container just opened; or, if it is empty, of what follows it.
    fn first<L: Lens<Place = P>>(&mut self, lens: &mut L) -> Result<Option<P>, Flaw> {
        self.skip_space();
        let Some(frame) = self.open.last() else {
            return Err(Flaw::Syntax);
        };
        match (self.peek(), frame.shape) {
            (Some(b'}'), Shape::Object { .. }) | (Some(b']'), Shape::Array) => {
                self.close(lens)?;
                self.next(lens)
            }
            (_, Shape::Object { .. }) => self.member(lens).map(Some),
            (_, Shape::Array) => Ok(Some(lens.element(frame.place))),
        }
    }

    /// The place of the next value, after one has ended; `None` when the outermost has.
    fn next<L: Lens<Place = P>>(&mut self, lens: &mut L) -> Result<Option<P>, Flaw> {
        loop {
            self.skip_space();
            let Some(frame) = self.open.last() else {
                return Ok(None);
            };
            match (self.peek(), frame.shape) {
                (Some(b','), Shape::Array) => {
                    let place = lens.element(frame.place);
                    self.at += 1;
                    self.skip_space();
                    return Ok(Some(place));
                }
                (Some(b','), Shape::Object { .. }) => {
                    self.at += 1;
                    self.skip_space();
                    return self.member(lens).map(Some);
                }
                (Some(b'}'), Shape::Object { .. }) | (Some(b']'), Shape::Array) => {
                    self.close(lens)?;
                }
                _ => return Err(Flaw::Syntax),
            }
        }
    }

    fn close<L: Lens<Place = P>>(&mut self, lens: &mut L) -> Result<(), Flaw> {
        self.at += 1;
        let Some(frame) = self.open.pop() else {
            return Err(Flaw::Syntax);
        };
        let kind = match frame.shape {
            Shape::Array => Kind::Array,
            Shape::Object { names } => {
                self.names.close(names)?;
                Kind::Object
            }
        };
        lens.value(frame.place, kind, frame.start..self.at);
        Ok(())
    }

    /// A member's name and colon; the place of its value.
    fn member<L: Lens<Place = P>>(&mut self, lens: &mut L) -> Result<P, Flaw> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(Flaw::Syntax);
        }
        self.string()?;
        let name = decode(self.text.get(start + 1..self.at - 1).unwrap_or_default());
        if name.starts_with("$serde_json::private::") {
            return Err(Flaw::PrivateMember);
        }
        let Some(Frame { place, shape: Shape::Object { names }, .. }) = self.open.last() else {
            return Err(Flaw::Syntax);
        };
        let value = lens.member(*place, &name)?;
        self.names.add(name, *names, self.bounds.members)?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(Flaw::Syntax);
        }
        self.at += 1;
        self.skip_space();
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// A string, from its opening quotation mark to behind its closing one.
    fn string(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        loop {
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                // Where one escape stands, more do.
                Some(b'\\') => {
                    self.escape()?;
                    self.at += run::sound(self.bytes, self.at);
                }
                _ => return Err(Flaw::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0xd800..=0xdbff => {
                    let pair = self.bytes.get(self.at..self.at + 2) == Some(b"\\u");
                    self.at += 1;
                    if pair && matches!(self.unit()?, 0xdc00..=0xdfff) { Ok(()) } else { Err(Flaw::LoneSurrogate) }
                }
                0xdc00..=0xdfff => Err(Flaw::LoneSurrogate),
                _ => Ok(()),
            },
            _ => Err(Flaw::Syntax),
        }
    }

    /// `uXXXX`, the `u` not yet read.
    fn unit(&mut self) -> Result<u32, Flaw> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).ok_or(Flaw::Syntax)?;
        let unit = digits.iter().try_fold(0, |unit, digit| Some((unit << 4) | char::from(*digit).to_digit(16)?));
        self.at += 5;
        unit.ok_or(Flaw::Syntax)
    }

    fn number(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut scaled = false;
        if let Some(b'e' | b'E') = self.peek() {
            scaled = true;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let lexeme = self.text.get(start..self.at).unwrap_or_default();
        if lexeme.len() > self.bounds.number {
            return Err(Flaw::NumberTooLong);
        }
        // Without an exponent a lexeme within the bound is far from the largest double.
        if scaled && !lexeme.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Flaw::NumberOverflow);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(Flaw::Syntax) } else { Ok(()) }
    }

    fn literal(&mut self) -> Result<(), Flaw> {
        for word in [&b"true"[..], b"false", b"null"] {
            if self.bytes.get(self.at..self.at + word.len()) == Some(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(Flaw::Syntax)
    }
}

/// How many bytes from here on are plain: no quotation mark, backslash or control character. Eight at a time.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set is right; a borrow makes only bits above it wrong.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut run = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let special = below(word, 0x20) | is(word, b'"') | is(word, b'\\');
        if special != 0 {
            return run + (special.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
}
