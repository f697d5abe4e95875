//! What came of the cases as JUnit XML: a suite for each file of cases, and one for coverage where some is required.
//!
//! Written by hand: the part that all readers of the format agree on is four elements.

use std::fmt::Write as _;

use super::human::{actual, expected};
use super::{Totals, Tried};
use crate::trial::Ran;

pub(super) fn render(tried: &[Tried], totals: &Totals) -> String {
    let ran: Vec<&Ran> = tried.iter().flat_map(|tried| &tried.trial.ran).collect();
    let (coverage, lacks) = (usize::from(totals.required.is_some()), usize::from(totals.lacks().is_some()));
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        xml,
        "<testsuites name=\"tollgate\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
        ran.len() + coverage,
        totals.failed + lacks
    );
    for suite in ran.chunk_by(|one, next| one.case.file == next.case.file) {
        let failures = suite.iter().filter(|ran| ran.wrong.is_some()).count();
        let file = suite.first().map(|ran| ran.case.file.as_str()).unwrap_or_default();
        begin(file, suite.len(), failures, &mut xml);
        for ran in suite {
            case(ran, &mut xml);
        }
        xml.push_str("  </testsuite>\n");
    }
    if let Some(required) = totals.required {
        begin("coverage", 1, lacks, &mut xml);
        let failure = totals.lacks().map(|_| totals.summary());
        test("coverage", &format!("{required} % of the policy"), failure.as_deref(), &mut xml);
        xml.push_str("  </testsuite>\n");
    }
    xml + "</testsuites>"
}

fn begin(name: &str, tests: usize, failures: usize, xml: &mut String) {
    let name = quote(name);
    let _ =
        writeln!(xml, "  <testsuite name={name} tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">");
}

fn case(ran: &Ran, xml: &mut String) {
    let failure = ran.wrong.map(|wrong| {
        let place = format!("{}:{}", ran.case.file, ran.case.line);
        format!("{place}: expected {}, actual {}", expected(ran, wrong), actual(ran, wrong))
    });
    test(&ran.case.file, &ran.case.name, failure.as_deref(), xml);
}

fn test(class: &str, name: &str, failure: Option<&str>, xml: &mut String) {
    let (class, name) = (quote(class), quote(name));
    let _ = match failure {
        None => writeln!(xml, "    <testcase classname={class} name={name}/>"),
        Some(message) => {
            let message = quote(message);
            writeln!(
                xml,
                "    <testcase classname={class} name={name}>\n      <failure message={message} type=\"expectation\"/>\n    </testcase>"
            )
        }
    };
}

/// An attribute's value. Controls cannot stand in XML 1.0 at all.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '&' => quoted.push_str("&amp;"),
            '<' => quoted.push_str("&lt;"),
            '>' => quoted.push_str("&gt;"),
            '"' => quoted.push_str("&quot;"),
            '\n' => quoted.push_str("&#10;"),
            '\t' => quoted.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => quoted.push('\u{fffd}'),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_name_of_a_case_breaks_out_of_its_attribute() {
        assert_eq!(super::quote("a \"<b>\" & 'c'\n\u{1}"), "\"a &quot;&lt;b&gt;&quot; &amp; 'c'&#10;\u{fffd}\"");
    }
}
