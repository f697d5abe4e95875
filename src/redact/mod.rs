//! What must not be seen by everyone: secrets, addresses, numbers of cards and people. [`Finder`] finds them in a text,
//! [`search`] in the texts and numbers of a JSON value, and [`masked`] puts something else in their place, every other
//! byte as it came. What it leaves holds nothing more: what was found is blotted out and looked at again, until nothing is.
//!
//! A few looks at most, and in each no input costs more than its bytes: a detector looks only at where its first character stands at the
//! beginning of a word, reads so many characters at most, or takes with it what it has read.

mod address;
mod detector;
mod identifier;
mod mask;
mod message;
mod number;
mod pattern;
mod secret;
#[cfg(test)]
mod tests;

pub use detector::{Detector, Detectors, Group};
pub use message::{Hit, Part, clipped, masked, search};
pub use pattern::{BadPattern, MAX_PATTERN, Pattern};

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

/// What is looked for: built-in detectors, and patterns of somebody's own.
#[derive(Clone, Debug)]
pub struct Finder {
    patterns: Vec<Pattern>,
    /// By byte: the detectors that may find something whose first, second or third byte it is.
    begins: Box<[[Detectors; 256]; 3]>,
    /// By length: the detectors that may find something that begins with so many digits in a row.
    rows: [Detectors; LONGEST_ROW + 1],
}

/// So often a text is looked through in which something is found over and over.
const MOST_LOOKS: usize = 8;
/// Stands where something was found. No text has this byte, and nothing that is found but a private key goes on over it.
const BLOT: u8 = 0xff;
/// More digits in a row are all the same.
const LONGEST_ROW: usize = 20;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// By a detector.
    Detector(Detector),
    /// By this pattern of the finder's.
    Pattern(usize),
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Detector(detector) => detector.name(),
            Self::Pattern(_) => "pattern",
        }
    }
}

/// Something that was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which of the finders found it.
    pub by: usize,
    /// What.
    pub what: What,
    /// Where.
    pub span: Range<usize>,
}

impl Finder {
    /// A finder of these.
    pub fn new(detectors: Detectors, patterns: Vec<Pattern>) -> Self {
        let mut begins = Box::new([[Detectors::NONE; 256]; 3]);
        let mut rows = [Detectors::NONE; LONGEST_ROW + 1];
        for detector in detectors.iter() {
            for (at, bytes) in begins.iter_mut().enumerate() {
                for (byte, may) in (0..=u8::MAX).zip(bytes).filter(|(byte, _)| detector.may_have(*byte, at)) {
                    debug_assert!(byte > 0 || at > 0, "nothing begins with it");
                    *may = *may | detector.into();
                }
            }
            for (_, may) in rows.iter_mut().enumerate().filter(|(row, _)| detector.may_begin_with_row(*row)) {
                *may = *may | detector.into();
            }
        }
        Self { patterns, begins, rows }
    }

    /// This JSON text with everything masked that is found in it, under the detectors' names.
    pub fn mask(&self, json: &[u8]) -> Vec<u8> {
        let hits = search(&[self], json, Part::Whole);
        masked(json, hits.iter().map(|hit| (hit, hit.what.name())))
    }

    /// Everything that is found in this text as it is. What begins within something else of the same pass is not looked for.
    fn look(&self, text: &[u8]) -> Vec<(What, Range<usize>)> {
        let mut found = Vec::new();
        self.built_in(text, &mut found);
        for (index, pattern) in self.patterns.iter().enumerate() {
            let parts = open(text).flat_map(|part| pattern.find(text, part));
            found.extend(parts.map(|span| (What::Pattern(index), span)));
        }
        found
    }

    /// Whether something may be found in this JSON. Most of what is said holds nothing, and this is said without reading
    /// it as JSON: its marks and escapes begin and end words as what they stand for does. Not so a slash or a letter that
    /// is escaped, nor anything where somebody's own patterns are looked for.
    fn may_find(&self, json: &[u8]) -> bool {
        let ascii = |at: usize| json.get(at + b"\\u00".len()).is_some_and(|digit| (b'0'..b'8').contains(digit));
        if !self.patterns.is_empty()
            || memmem::find(json, b"\\/").is_some()
            || memmem::find_iter(json, b"\\u00").any(ascii)
        {
            return true;
        }
        let mut found = Vec::new();
        self.built_in(json, &mut found);
        !found.is_empty()
    }

    fn built_in(&self, text: &[u8], found: &mut Vec<(What, Range<usize>)>) {
        let mut place = Place { text, at: 0, from: 0, behind_escape: 0 };
        while let Some(byte) = text.get(place.at).copied() {
            let here = self.here(place, byte);
            if !here.is_empty()
                && let Some(end) = read(here, place, found)
            {
                (place.at, place.from) = (end, end);
            } else if byte == b'\\' {
                place.behind_escape = place.at + escape(text.get(place.at + 1..).unwrap_or_default());
                place.at += 1;
            } else if byte.is_ascii_alphanumeric() {
                // Within a word nothing begins, but behind an escape in it.
                let end = place.at + run(place.rest(), |byte| byte.is_ascii_alphanumeric());
                let inside = place.behind_escape > place.at && place.behind_escape < end;
                place.at = if inside { place.behind_escape } else { end };
            } else {
                place.at += 1;
            }
        }
    }

    /// The detectors that may find something where this byte stands: at the beginning of a word, or at a mark.
    fn here(&self, place: Place<'_>, byte: u8) -> Detectors {
        let [first, second, third] = &*self.begins;
        let may = |bytes: &[Detectors; 256], byte: u8| bytes.get(usize::from(byte)).copied().unwrap_or_default();
        let here = may(first, byte);
        if here.is_empty() {
            return here;
        }
        let rest = place.rest();
        let next = |at: usize| rest.get(at).copied().unwrap_or_default();
        let here = here & may(second, next(1)) & may(third, next(2));
        if here.is_empty() || !byte.is_ascii_digit() {
            return here;
        }
        let row = run(rest.get(..LONGEST_ROW).unwrap_or(rest), |byte| byte.is_ascii_digit());
        here & self.rows.get(row).copied().unwrap_or_default()
    }
}

/// Everything that these find in the text, in its order: with something else in the place of each, none of them finds
/// anything in what is left. A word that stood before or behind something without a mark between them has an end, or a
/// beginning, only then. Where there is no end of it, the whole part is found.
pub fn find(finders: &[&Finder], text: &str) -> Vec<Match> {
    let mut text = Cow::Borrowed(text.as_bytes());
    for mask in mask::each(&text.clone()) {
        blot(text.to_mut(), mask.span);
    }
    let mut found = Vec::new();
    for look in 1..=MOST_LOOKS {
        let mut here = look_with(finders, &text);
        if here.is_empty() {
            break;
        }
        for found in &mut here {
            if look == MOST_LOOKS {
                found.span = part_with(&text, &found.span);
            }
            blot(text.to_mut(), found.span.clone());
        }
        found.append(&mut here);
    }
    found.sort_by_key(|found| (found.span.start, found.span.end));
    found
}

fn look_with(finders: &[&Finder], text: &[u8]) -> Vec<Match> {
    let finds = finders.iter().enumerate().map(|(by, finder)| (by, finder.look(text)));
    finds.flat_map(|(by, found)| found.into_iter().map(move |(what, span)| Match { by, what, span })).collect()
}

fn blot(text: &mut [u8], span: Range<usize>) {
    if let Some(found) = text.get_mut(span) {
        found.fill(BLOT);
    }
}

/// What of the text is not blotted out.
fn open(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    let parts = text.split(|byte| *byte == BLOT).map(move |part| {
        let from = at;
        at += part.len() + 1;
        from..from + part.len()
    });
    parts.filter(|part| !part.is_empty())
}

/// This, and what stands before and behind it up to what is blotted out.
fn part_with(text: &[u8], span: &Range<usize>) -> Range<usize> {
    let (before, behind) = (text.get(..span.start).unwrap_or_default(), text.get(span.end..).unwrap_or_default());
    let from = before.iter().rposition(|byte| *byte == BLOT).map_or(0, |blot| blot + 1);
    from..span.end + run(behind, |byte| byte != BLOT)
}

/// Where a detector looks.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    text: &'a [u8],
    at: usize,
    /// What stands before this was found already.
    from: usize,
    /// The end of an escape that was escaped once more (JSON in JSON): a word may begin there, whatever stands before.
    behind_escape: usize,
}

impl<'a> Place<'a> {
    /// What stands here and behind.
    fn rest(self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What stands before here, if it could belong to what begins here.
    fn before(self) -> Option<u8> {
        if self.at == self.from || self.at == self.behind_escape {
            return None;
        }
        self.at.checked_sub(1).and_then(|before| self.text.get(before)).copied()
    }
}

/// What these detectors find here; where the longest of it ends.
fn read(detectors: Detectors, place: Place<'_>, found: &mut Vec<(What, Range<usize>)>) -> Option<usize> {
    let mut end = None;
    for detector in detectors.iter() {
        if let Some(span) = detector.read(place).filter(|span| span.end > place.at) {
            end = end.max(Some(span.end));
            found.push((What::Detector(detector), span));
        }
    }
    end
}

/// How long the escape is whose backslash stands before these bytes; 0 if it is none.
fn escape(behind: &[u8]) -> usize {
    match behind.first() {
        Some(b'n' | b'r' | b't' | b'b' | b'f') => 2,
        Some(b'u') if behind.get(1..5).is_some_and(|unit| unit.iter().all(u8::is_ascii_hexdigit)) => 6,
        _ => 0,
    }
}

/// How many bytes from here on are of this class.
fn run(bytes: &[u8], of: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !of(*byte)).unwrap_or(bytes.len())
}

/// Whether a word ends before these bytes.
fn ends(behind: &[u8]) -> bool {
    behind.first().is_none_or(|byte| !byte.is_ascii_alphanumeric())
}
