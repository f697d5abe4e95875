//! Numbers of cards and bank accounts, and how such numbers are checked.

use super::{ends, run};

/// The number of a card: its digits in a row, or in groups as they are printed. It begins as those of an issuer do, and
/// its check digit is right (ISO/IEC 7812-1, Luhn).
pub(super) fn card(rest: &[u8]) -> Option<usize> {
    const SHAPES: &[&str] =
        &["9999 9999 9999 9999 999", "9999 9999 9999 9999", "9999 999999 99999", "9999 999999 9999"];
    let row = run(rest.get(..20.min(rest.len()))?, |byte| byte.is_ascii_digit());
    if (13..=19).contains(&row) {
        let digits = Digits::row(rest.get(..row)?);
        return (ends(rest.get(row..)?) && is_card(digits.as_slice())).then_some(row);
    }
    if row != 4 {
        return None;
    }
    SHAPES.iter().find_map(|shape| {
        let (length, digits) = shaped(rest, shape)?;
        is_card(digits.as_slice()).then_some(length)
    })
}

fn is_card(digits: &[u8]) -> bool {
    let first = |count: usize| digits.iter().take(count).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let issued = match digits.len() {
        13 => first(1) == 4,
        14 => matches!(first(2), 36 | 38 | 39) || (300..=305).contains(&first(3)),
        15 => matches!(first(2), 34 | 37),
        16 => {
            first(1) == 4
                || (51..=55).contains(&first(2))
                || (2221..=2720).contains(&first(4))
                || (3528..=3589).contains(&first(4))
                || matches!(first(2), 62 | 65 | 81)
                || matches!(first(4), 6011 | 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763)
                || (644..=649).contains(&first(3))
        }
        17..=19 => first(1) == 4 && digits.len() == 19 || matches!(first(2), 62 | 65),
        _ => false,
    };
    issued && luhn(digits)
}

/// The number of an account, with the length that its country gives it, and the right remainder (ISO 13616, ISO 7064).
pub(super) fn iban(rest: &[u8]) -> Option<usize> {
    let country = rest.get(..2)?;
    let (_, length) = IBAN_LENGTHS.iter().find(|(code, _)| code.as_bytes() == country)?;
    let (mut at, mut count, mut remainder, mut head) = (0, 0, 0, [0_u32; 4]);
    while count < *length {
        let byte = *rest.get(at)?;
        at += 1;
        match byte {
            b' ' if count % 4 == 0 && count > 0 => continue,
            b'0'..=b'9' | b'A'..=b'Z' => {}
            _ => return None,
        }
        let value = char::from(byte).to_digit(36)?;
        match head.get_mut(count) {
            Some(first) => *first = value,
            None => remainder = joined(remainder, value),
        }
        count += 1;
    }
    let remainder = head.into_iter().fold(remainder, joined);
    let [_, _, check, digit] = head;
    (remainder == 1 && check < 10 && digit < 10 && ends(rest.get(at..)?)).then_some(at)
}

/// The remainder by 97 of a number with another value written behind it.
fn joined(remainder: u32, value: u32) -> u32 {
    (remainder * if value < 10 { 10 } else { 100 } + value) % 97
}

/// By country: how many characters (SWIFT, IBAN Registry).
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

/// The most digits of a number that is looked for.
const MOST: usize = 19;

/// The digits of a number, as numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digits {
    digits: [u8; MOST],
    count: usize,
}

impl Digits {
    fn row(bytes: &[u8]) -> Self {
        let mut digits = Self::default();
        for byte in bytes {
            digits.push(*byte);
        }
        digits
    }

    fn push(&mut self, byte: u8) {
        if let Some(next) = self.digits.get_mut(self.count) {
            *next = byte.wrapping_sub(b'0');
            self.count += 1;
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

/// A number of this shape, and how long it is with what stands between its digits: `9` is a digit, ` ` a space or hyphen
/// (the same one throughout), anything else itself.
pub(super) fn shaped(rest: &[u8], shape: &str) -> Option<(usize, Digits)> {
    // What it ends with is what most that begins like it does not have.
    if shape.ends_with('9') && !rest.get(shape.len() - 1)?.is_ascii_digit() {
        return None;
    }
    let text = rest.get(..shape.len())?;
    let mut digits = Digits::default();
    let mut gap = None;
    for (byte, form) in text.iter().zip(shape.bytes()) {
        let fits = match form {
            b'9' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'-') && *gap.get_or_insert(*byte) == *byte,
            itself => itself == *byte,
        };
        if !fits {
            return None;
        }
        if form == b'9' {
            digits.push(*byte);
        }
    }
    ends(rest.get(shape.len()..)?).then_some((shape.len(), digits))
}

/// Whether the last digit is the one that Luhn's sum asks for.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let value = |(place, digit): (usize, &u8)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit });
    digits.iter().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

/// The sum of digits, each times its weight.
pub(super) fn weighed(digits: &[u8], weights: impl IntoIterator<Item = u32>) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// The number that the digits are.
pub(super) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value * 10 + u64::from(*digit))
}
