//! National numbers of people, by country: only where a shape or a check digit tells them from other numbers.

use super::Detector;
use super::number::{luhn, shaped, value, weighed};
use super::{ends, run};

/// How a country's numbers look.
struct Country {
    detector: Detector,
    shapes: &'static [&'static str],
    /// Whether these digits are such a number.
    holds: fn(&[u8]) -> bool,
}

/// Those that are all digits.
const COUNTRIES: &[Country] = &[
    // Social Security Administration: areas 000, 666 and 900 and above, groups 00 and serials 0000 are never given.
    Country { detector: Detector::IdUs, shapes: &["999 99 9999"], holds: is_us },
    Country { detector: Detector::IdCa, shapes: &["999 999 999"], holds: luhn },
    Country { detector: Detector::IdBr, shapes: &["999.999.999-99", "99999999999"], holds: is_br },
    Country { detector: Detector::IdDe, shapes: &["99999999999", "99 999 999 999"], holds: is_de },
    Country { detector: Detector::IdFr, shapes: &["999999999999999", "9 99 99 99 999 999 99"], holds: is_fr },
    Country { detector: Detector::IdNl, shapes: &["999999999"], holds: is_nl },
    Country { detector: Detector::IdBe, shapes: &["99.99.99-999.99", "99999999999"], holds: is_be },
    Country { detector: Detector::IdPl, shapes: &["99999999999"], holds: is_pl },
    Country { detector: Detector::IdSe, shapes: &["999999-9999", "99999999-9999"], holds: is_se },
    Country { detector: Detector::IdCh, shapes: &["756.9999.9999.99", "7569999999999"], holds: is_ch },
    Country { detector: Detector::IdIn, shapes: &["9999 9999 9999"], holds: is_in },
];

pub(super) fn is_national(detector: Detector) -> bool {
    matches!(detector, Detector::IdGb | Detector::IdEs | Detector::IdIt)
        || COUNTRIES.iter().any(|country| country.detector == detector)
}

pub(super) fn may_have(detector: Detector, byte: u8, at: usize) -> bool {
    match (detector, at) {
        (Detector::IdGb, 0 | 1) | (Detector::IdIt, _) => byte.is_ascii_uppercase(),
        (Detector::IdGb, _) => byte.is_ascii_digit() || byte == b' ',
        (Detector::IdEs, 0) => byte.is_ascii_digit() || matches!(byte, b'X'..=b'Z'),
        (Detector::IdEs, _) | (_, 0) => byte.is_ascii_digit(),
        (_, _) => true,
    }
}

pub(super) fn may_begin_with_row(detector: Detector, row: usize) -> bool {
    match detector {
        Detector::IdEs => row == 8,
        _ => COUNTRIES.iter().filter(|country| country.detector == detector).any(|country| {
            country.shapes.iter().any(|shape| run(shape.as_bytes(), |byte| byte.is_ascii_digit()) == row)
        }),
    }
}

/// How long the number of this country is that stands here.
pub(super) fn read(detector: Detector, rest: &[u8]) -> Option<usize> {
    match detector {
        Detector::IdGb => gb(rest),
        Detector::IdEs => es(rest),
        Detector::IdIt => it(rest),
        _ => {
            let country = COUNTRIES.iter().find(|country| country.detector == detector)?;
            country.shapes.iter().find_map(|shape| {
                let (length, digits) = shaped(rest, shape)?;
                (country.holds)(digits.as_slice()).then_some(length)
            })
        }
    }
}

fn is_us(digits: &[u8]) -> bool {
    let part = |from: usize, count: usize| value(digits.get(from..from + count).unwrap_or_default());
    let area = part(0, 3);
    area != 0 && area != 666 && area < 900 && part(3, 2) != 0 && part(5, 4) != 0
}

fn is_br(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let heaviest = u32::try_from(count + 1).unwrap_or_default();
        let sum = weighed(digits.get(..count).unwrap_or_default(), (2..=heaviest).rev());
        digits.get(count).map(|digit| u32::from(*digit)) == Some(sum * 10 % 11 % 10)
    };
    !all_alike(digits) && check(9) && check(10)
}

/// ISO 7064, MOD 11,10; of the first ten digits one comes two or three times (Bundeszentralamt fuer Steuern).
fn is_de(digits: &[u8]) -> bool {
    let Some((check, first)) = digits.split_last() else { return false };
    let product = first.iter().fold(10, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let mut times = [0; 10];
    for digit in first {
        if let Some(times) = times.get_mut(usize::from(*digit)) {
            *times += 1;
        }
    }
    digits.first() != Some(&0) && matches!(times.iter().max(), Some(2 | 3)) && (11 - product) % 10 == u32::from(*check)
}

fn is_fr(digits: &[u8]) -> bool {
    let Some((number, key)) = digits.split_at_checked(13) else { return false };
    let month = value(number.get(3..5).unwrap_or_default());
    let plausible = matches!(number.first(), Some(1 | 2)) && ((1..=12).contains(&month) || (20..=42).contains(&month));
    plausible && 97 - value(number) % 97 == value(key)
}

fn is_nl(digits: &[u8]) -> bool {
    let Some((check, first)) = digits.split_last() else { return false };
    let sum = weighed(first, (2..=9).rev());
    value(digits) > 0 && sum % 11 == u32::from(*check)
}

fn is_be(digits: &[u8]) -> bool {
    let Some((number, check)) = digits.split_at_checked(9) else { return false };
    let (number, check) = (value(number), value(check));
    let month = number / 100_000 % 100;
    // Who was born in this century has a 2 before the number when it is divided.
    month <= 12 && number > 0 && [number, 2_000_000_000 + number].iter().any(|it| 97 - it % 97 == check)
}

fn is_pl(digits: &[u8]) -> bool {
    let month = value(digits.get(2..4).unwrap_or_default()) % 20;
    let sum = weighed(digits, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    (1..=12).contains(&month) && sum.is_multiple_of(10)
}

fn is_se(digits: &[u8]) -> bool {
    let short = digits.get(digits.len().saturating_sub(10)..).unwrap_or_default();
    let (month, day) = (value(short.get(2..4).unwrap_or_default()), value(short.get(4..6).unwrap_or_default()));
    // Coordination numbers have 60 more in their day.
    (1..=12).contains(&month) && matches!(day, 1..=31 | 61..=91) && luhn(short)
}

fn is_ch(digits: &[u8]) -> bool {
    // The country's 756 stands in the shape where its digits are not counted.
    let country = weighed(&[7, 5, 6], [1, 3, 1]);
    (country + weighed(digits, [3, 1].into_iter().cycle())).is_multiple_of(10)
}

/// Verhoeff's check, by the tables of the dihedral group of order 10.
fn is_in(digits: &[u8]) -> bool {
    const TIMES: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let at = |table: &[u8; 10], index: u8| table.get(usize::from(index)).copied().unwrap_or_default();
    let permuted = |digit: u8, times: usize| (0..times % 8).fold(digit, |digit, _| at(&PERMUTED, digit));
    let sum = digits.iter().rev().enumerate().fold(0, |sum, (place, digit)| {
        TIMES.get(usize::from(sum)).map(|row| at(row, permuted(*digit, place))).unwrap_or_default()
    });
    digits.first().is_some_and(|first| *first > 1) && sum == 0
}

/// HM Revenue and Customs, National Insurance Manual, NIM39110.
fn gb(rest: &[u8]) -> Option<usize> {
    let prefix = rest.get(..2)?;
    let given = |byte: &u8| byte.is_ascii_uppercase() && !matches!(byte, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V');
    let never = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|it| prefix == *it);
    if never || !prefix.iter().all(given) || prefix.last() == Some(&b'O') {
        return None;
    }
    ["999999", " 99 99 99 "].iter().find_map(|shape| {
        let behind = rest.get(2..)?;
        let digits = behind.get(..shape.len())?;
        let fits = digits.iter().zip(shape.bytes()).all(|(byte, form)| match form {
            b'9' => byte.is_ascii_digit(),
            _ => *byte == b' ',
        });
        let suffix = behind.get(shape.len())?;
        let end = 2 + shape.len() + 1;
        (fits && matches!(suffix, b'A'..=b'D') && ends(rest.get(end..)?)).then_some(end)
    })
}

/// The letter is the remainder by 23 (Real Decreto 1553/2005).
fn es(rest: &[u8]) -> Option<usize> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let (first, count) = match rest.first()? {
        b'X' => (Some(0), 7),
        b'Y' => (Some(1), 7),
        b'Z' => (Some(2), 7),
        _ => (None, 8),
    };
    let from = usize::from(first.is_some());
    let digits = rest.get(from..from + count)?;
    if run(digits, |byte| byte.is_ascii_digit()) != count {
        return None;
    }
    let number = digits.iter().fold(first.unwrap_or(0_u32), |value, byte| value * 10 + u32::from(byte - b'0'));
    let letter = LETTERS.get(usize::try_from(number % 23).ok()?)?;
    let end = from + count + 1;
    (rest.get(end - 1) == Some(letter) && ends(rest.get(end..)?)).then_some(end)
}

/// Six letters, two digits, a letter of the month, two digits, a letter, three digits, and a letter that checks them
/// (Decreto ministeriale 23 dicembre 1976).
fn it(rest: &[u8]) -> Option<usize> {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    const SHAPE: &[u8; 16] = b"AAAAAA99A99A999A";
    let code = rest.get(..SHAPE.len())?;
    let fits = code.iter().zip(SHAPE).all(|(byte, form)| match form {
        b'9' => byte.is_ascii_digit(),
        _ => byte.is_ascii_uppercase(),
    });
    if !fits || !ends(rest.get(SHAPE.len()..)?) {
        return None;
    }
    let (check, first) = code.split_last()?;
    let order = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let sum: u32 = first
        .iter()
        .enumerate()
        .map(|(place, byte)| match place % 2 {
            0 => ODD.get(order(*byte) as usize).copied().unwrap_or_default(),
            _ => order(*byte),
        })
        .sum();
    (sum % 26 == order(*check)).then_some(SHAPE.len())
}

fn all_alike(digits: &[u8]) -> bool {
    digits.iter().all(|digit| Some(digit) == digits.first())
}
