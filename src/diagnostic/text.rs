//! Names from files: shown so that nothing hides in them, and compared with those that were probably meant.

/// A text from a file, in backticks, made visible and short.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The text with every character that cannot be seen, or moves others about, as an escape.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let (plain, escape) = if is_invisible(c) { (None, Some(c.escape_unicode())) } else { (Some(c), None) };
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// Whether a reader of the file cannot see this character, or sees another order than there is: controls, format and
/// bidirectional characters, fillers, and every space but the plain one.
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    disturbs_review(c)
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0080}'..='\u{e0fff}')
}

/// The first character that hides from whoever reads this text, or turns it around: controls but for line breaks and tabs,
/// bidirectional and format characters, and tags. The joiners and variation selectors that scripts and emoji need may
/// stand behind a character that can be seen.
pub fn hidden(text: &str) -> Option<char> {
    let mut seen = false;
    text.chars().find(|&c| {
        let joins = seen && matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}');
        let plain = matches!(c, '\n' | '\r' | '\t') || (c.is_whitespace() && !disturbs_review(c));
        seen = !is_invisible(c) && c != ' ';
        is_invisible(c) && !plain && !joins
    })
}

/// Whether this character must not stand anywhere in a reviewed file, not even in a comment: it breaks or reorders lines
/// for some readers and not for others.
pub fn disturbs_review(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The known name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", if something is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|name| format!("did you mean {}?", quoted(name)))
}

/// How many letters must be put in, left out, changed or swapped with their neighbour to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j) + usize::from(x != *y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if let Some(k) = j.checked_sub(1)
                && previous == Some(*y)
                && b.get(k) == Some(&x)
            {
                best = best.min(at(&before, k) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
        previous = Some(x);
    }
    last.last().copied().unwrap_or_default()
}
