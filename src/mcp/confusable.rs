//! Member names that some parser would read as another one.
//!
//! Parsers that fold case (CVE-2026-27896), trim, normalise or stop at NUL see `name` where we see something else.
//! Nobody sends such names by accident, so a message that has one is refused.

use unicode_normalization::UnicodeNormalization;

/// Names that JavaScript objects give a meaning of their own.
const PROTOTYPE: &[&str] = &["__proto__", "constructor", "prototype"];

/// Whether a name is none of the known ones, yet may be taken for one.
pub(super) fn is_confusable(name: &str, known: &[&str]) -> bool {
    if known.contains(&name) {
        return false;
    }
    if PROTOTYPE.contains(&name) {
        return true;
    }
    let folded = if name.is_ascii() { fold(name.chars()) } else { fold(name.nfkc()) };
    known.iter().any(|known| folded.eq_ignore_ascii_case(known))
}

/// What is left of a name after all that a lenient reader may do to it.
fn fold(chars: impl Iterator<Item = char>) -> String {
    let visible = chars.filter(|c| !c.is_control() && !is_format(*c));
    let lower: String = visible.flat_map(char::to_lowercase).map(|c| if c == 'ſ' { 's' } else { c }).collect();
    lower.trim().to_owned()
}

/// Format characters (Unicode category Cf): invisible, or changing the order in which text is shown.
pub(super) fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::is_confusable;

    #[test]
    fn a_name_that_folds_to_a_known_one_is_confusable_and_others_are_not() {
        let known = &["name", "arguments", "_meta"];
        for bad in [
            "Name",
            "NAME",
            "name\0",
            "na\u{200b}me",
            " name",
            "argumentſ",
            "ｎａｍｅ",
            "_Meta",
            "__proto__",
            "constructor",
        ] {
            assert!(is_confusable(bad, known), "{bad:?}");
        }
        for good in ["name", "arguments", "_meta", "names", "x-name", "meta", "größe"] {
            assert!(!is_confusable(good, known), "{good:?}");
        }
    }
}
