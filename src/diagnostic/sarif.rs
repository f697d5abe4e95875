//! Problems in SARIF 2.1.0, which code scanners take in: one run, every rule that there is, one result for each problem.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::report::{Renderer, Totals, relative};
use super::{At, Code, Diagnostic};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What a segment of a path may hold as it is (RFC 3986, `pchar`), but for `:`, which could be taken for a scheme's.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The results so far.
pub(super) struct Sarif {
    here: PathBuf,
    results: Vec<Value>,
}

impl Sarif {
    pub(super) fn new(here: &Path) -> Self {
        Self { here: here.to_owned(), results: Vec::new() }
    }
}

impl Renderer for Sarif {
    fn problem(&mut self, problem: &Diagnostic) {
        let path = relative(&problem.file, &self.here);
        let mut place = json!({ "artifactLocation": { "uri": uri(&path) } });
        if let (Some(at), Some(place)) = (problem.marked(), place.as_object_mut()) {
            let At { line, column, .. } = at;
            let region = json!({ "startLine": line, "startColumn": column, "endColumn": at.end_column() });
            place.insert("region".to_owned(), region);
        }
        let help = problem.help.as_deref().map_or(String::new(), |help| format!("\nHelp: {help}"));
        self.results.push(json!({
            "ruleId": problem.code.id(),
            "ruleIndex": Code::ALL.iter().position(|code| *code == problem.code),
            "level": problem.severity.word(),
            "message": { "text": format!("{}{help}", problem.message) },
            "locations": [{ "physicalLocation": place }],
        }));
    }

    fn end(self, _totals: &Totals) -> String {
        let rule = |code: &Code| json!({ "id": code.id(), "shortDescription": { "text": code.about() } });
        let log = json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "tollgate",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": Code::ALL.iter().map(rule).collect::<Vec<_>>(),
                } },
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        });
        format!("{log:#}")
    }
}

/// A path as a reference: relative where the path is, else as a `file` URL.
fn uri(path: &Path) -> String {
    let segments = path.components().filter_map(|part| match part {
        Component::RootDir => None,
        part => Some(utf8_percent_encode(&part.as_os_str().to_string_lossy(), SEGMENT).to_string()),
    });
    let path_text = segments.collect::<Vec<_>>().join("/");
    if path.has_root() { format!("file:///{path_text}") } else { path_text }
}
