//! What the gate says that it decided: one JSON object per message on its standard output, read in order.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

/// A decision is written when its message is done, which may be a moment after the caller has the answer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Decision {
    #[serde(rename = "decision")]
    id: String,
    #[serde(default)]
    pub(super) principal: Option<String>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) tool: Option<String>,
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) rule: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    ToolError,
    Denied,
    Limited,
    Timeout,
    UpstreamError,
    Invalid,
    Unauthenticated,
    Cancelled,
}

/// An outcome as the tour shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Allowed,
    Refused,
    Limited,
    Timeout,
    Failed,
}

impl Outcome {
    pub(super) const fn shown(self) -> Shown {
        match self {
            Self::Ok | Self::ToolError => Shown::Allowed,
            Self::Denied | Self::Invalid | Self::Unauthenticated => Shown::Refused,
            Self::Limited => Shown::Limited,
            Self::Timeout => Shown::Timeout,
            Self::UpstreamError | Self::Cancelled => Shown::Failed,
        }
    }
}

/// Which decision is looked for: the one that a refusal names, else the next about this method and tool.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    Id(&'a str),
    Message { method: &'a str, tool: Option<&'a str> },
}

impl About<'_> {
    fn is(&self, decision: &Decision) -> bool {
        match self {
            Self::Id(id) => decision.id == *id,
            Self::Message { method, tool } => {
                decision.method.as_deref() == Some(method) && decision.tool.as_deref() == *tool
            }
        }
    }
}

pub(super) struct Decisions {
    lines: Lines<BufReader<ChildStdout>>,
    /// Left out where a rule names a file in it, with the slash.
    folder: String,
}

impl Decisions {
    /// Reads the lines of a gate whose configuration lies in `folder`.
    pub(super) fn new(lines: Lines<BufReader<ChildStdout>>, folder: &Path) -> Self {
        Self { lines, folder: format!("{}/", folder.display()) }
    }

    /// The next decision; nothing once the gate has ended.
    pub(super) async fn next(&mut self) -> io::Result<Option<Decision>> {
        while let Some(line) = self.lines.next_line().await? {
            if let Ok(mut decision) = serde_json::from_str::<Decision>(&line) {
                decision.rule = decision.rule.map(|rule| rule.replace(&self.folder, ""));
                return Ok(Some(decision));
            }
        }
        Ok(None)
    }

    /// The next decision about a message, or nothing if the gate writes none. Those before it are passed over.
    pub(super) async fn about(&mut self, wanted: About<'_>) -> io::Result<Option<Decision>> {
        let search = async {
            while let Some(decision) = self.next().await? {
                if wanted.is(&decision) {
                    return Ok(Some(decision));
                }
            }
            Ok(None)
        };
        timeout(WRITTEN_WITHIN, search).await.unwrap_or(Ok(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_its_optional_parts() {
        let full = r#"{"time":"2026-11-21T10:00:00Z","decision":"d1","principal":"analyst","server":"records",
            "method":"tools/call","tool":"delete_record","outcome":"denied","rule":"default","policy":"ab12",
            "duration_ms":0.2,"trace_id":"00"}"#;
        let decision: Decision = serde_json::from_str(full).unwrap();
        assert_eq!(decision.outcome.shown(), Shown::Refused);
        assert!(About::Id("d1").is(&decision));
        assert!(About::Message { method: "tools/call", tool: Some("delete_record") }.is(&decision));
        assert!(!About::Message { method: "tools/call", tool: None }.is(&decision));

        let bare: Decision = serde_json::from_str(r#"{"decision":"d2","outcome":"unauthenticated"}"#).unwrap();
        assert_eq!((bare.principal, bare.rule), (None, None));
    }
}
