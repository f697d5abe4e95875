//! What came of the cases, for a person: what failed and why, what no case shows, and the sum.

use std::fmt::Write as _;

use super::super::told::{self, Paint};
use super::{Totals, Tried};
use crate::diagnostic::{Style, escaped};
use crate::trial::{Ran, Wrong};

pub(super) fn render(tried: &[Tried], totals: &Totals, style: Style) -> String {
    let paint = Paint::of(style);
    let mut text = String::new();
    for tried in tried {
        for (ran, wrong) in tried.trial.failed() {
            failed(ran, wrong, tried, paint, &mut text);
        }
    }
    untested(tried, &mut text);
    let colour = if totals.fails() { paint.bad } else { paint.good };
    text + &format!("{colour}{}{}", totals.summary(), paint.plain)
}

// Writing to a String cannot fail, here and below.
fn failed(ran: &Ran, wrong: Wrong, tried: &Tried, paint: Paint, text: &mut String) {
    let Paint { bad, bold, blue, plain, .. } = paint;
    let (case, answer) = (&ran.case, &ran.answer);
    let _ = writeln!(text, "{bad}FAILED{plain}{bold}: {}{plain}", escaped(&case.name));
    let _ = writeln!(text, "  {blue}-->{plain} {}:{}", escaped(&case.file), case.line);
    let _ = writeln!(text, "  {}", escaped(&case.question.asked.to_string()));
    let _ = writeln!(text, "  expected: {}", expected(ran, wrong));
    let _ = writeln!(text, "  actual:   {}", actual(ran, wrong));
    if let Some(detail) = answer.detail() {
        let _ = writeln!(text, "            {}", escaped(&detail));
    }
    let steps = case.question.explain(&tried.policies.policies.policy, answer);
    if !steps.is_empty() {
        let _ = writeln!(text, "  looked at:");
        text.push_str(&told::steps(&steps, &tried.policies.sources, paint));
    }
    text.push('\n');
}

/// What is expected, as far as it matters to what is wrong.
pub(super) fn expected(ran: &Ran, wrong: Wrong) -> String {
    let expected = &ran.case.expected;
    let told = |rule: &Option<String>| rule.as_deref().map(escaped).unwrap_or_default();
    match wrong {
        Wrong::Verdict => expected.verdict.word().to_owned(),
        Wrong::Because => format!("{}, by {}", expected.verdict.word(), told(&expected.because)),
        Wrong::WouldDeny => format!("{}, though {} would deny it", expected.verdict.word(), told(&expected.would_deny)),
    }
}

/// What came of it, as far as it matters to what is wrong.
pub(super) fn actual(ran: &Ran, wrong: Wrong) -> String {
    let told = told::answer(&ran.answer);
    match wrong {
        Wrong::Verdict | Wrong::Because => told,
        Wrong::WouldDeny => match ran.answer.would_deny() {
            Some((_, rule)) => format!("{told}, though {} would deny it", rule.path()),
            None => format!("{told}, and nothing would deny it"),
        },
    }
}

fn untested(tried: &[Tried], text: &mut String) {
    let untested = tried.iter().flat_map(|tried| tried.trial.coverage.untested.iter().map(move |rule| (tried, rule)));
    let mut lines = untested.map(|(tried, untested)| {
        format!("  {}: {}\n", told::rule(&untested.rule, &tried.policies.sources), untested.says)
    });
    if let Some(first) = lines.next() {
        text.push_str("No case shows:\n");
        text.push_str(&first);
        text.extend(lines);
        text.push('\n');
    }
}
