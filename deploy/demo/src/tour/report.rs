//! What the tour prints: one aligned line per decision, in colour on a terminal that wants it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::decision::{Decision, Shown};
use super::gate::Gate;
use super::workspace::Workspace;

const WHO: usize = 8;
const WHAT: usize = 56;

/// How the steps went.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) expected: usize,
    pub(super) surprises: usize,
}

impl Tally {
    pub(super) const fn is_clean(&self) -> bool {
        self.surprises == 0 && self.expected > 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    colours: Colours,
}

impl Report {
    pub(super) fn to_terminal() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = if io::stdout().is_terminal() && !unwanted { Colours::On } else { Colours::Off };
        Self { colours }
    }

    pub(super) fn begin() -> io::Result<()> {
        print("Starting the MCP server and its Postgres, and the gate in front of it ..")
    }

    pub(super) fn heading(self, source: &str) -> io::Result<()> {
        print(format_args!(
            "\nTwo callers and a stranger. analyst is a reader and speaks MCP 2025-11-25, with a session;\n\
             oncall is an operator and speaks MCP 2026-07-28, without. The records come from {source}.\n"
        ))?;
        let titles = format!("{:WHO$}  {:WHAT$}  {:8}  {}", "who", "what", "decision", "rule");
        print(self.paint(Style::Bold, &titles))
    }

    pub(super) fn step(self, who: &str, what: &str, shown: Shown, rule: &str) -> io::Result<()> {
        let (style, word) = match shown {
            Shown::Allowed => (Style::Green, "allowed"),
            Shown::Refused => (Style::Red, "refused"),
            Shown::Limited => (Style::Yellow, "limited"),
            Shown::Timeout => (Style::Yellow, "timeout"),
            Shown::Failed => (Style::Red, "failed"),
        };
        // Padded before it is painted: the codes have no width on the screen.
        let word = self.paint(style, &format!("{word:8}"));
        print(format_args!("{who:WHO$}  {what:WHAT$}  {word}  {}", self.paint(Style::Dim, rule)))
    }

    /// A step that went otherwise than the policy says.
    pub(super) fn surprise(self, text: &str) -> io::Result<()> {
        let text = format!("{:WHO$}  ^ {text}", "");
        print(self.paint(Style::Red, &text))
    }

    /// A decision about a message that is not the tour's own.
    pub(super) fn decision(self, decision: &Decision) -> io::Result<()> {
        let who = decision.principal.as_deref().unwrap_or("-");
        let method = decision.method.as_deref().unwrap_or("-");
        let what = match &decision.tool {
            Some(tool) => format!("{method} {tool}"),
            None => method.to_owned(),
        };
        let rule = decision.rule.as_deref().unwrap_or_default();
        self.step(&printable(who), &printable(&what), decision.outcome.shown(), &printable(rule))
    }

    pub(super) fn tally(self, tally: &Tally, took: Duration) -> io::Result<()> {
        let Tally { expected, surprises } = tally;
        let steps = expected + surprises;
        let (style, text) = if tally.is_clean() {
            (Style::Green, format!("{steps} steps, each as expected"))
        } else {
            (Style::Red, format!("{surprises} of {steps} steps went otherwise than expected"))
        };
        print(format_args!("\n{}, in {:.1} s.", self.paint(style, &text), took.as_secs_f64()))
    }

    pub(super) fn how_to_connect(self, gate: &Gate, workspace: &Workspace, server_url: &str) -> io::Result<()> {
        let (url, admin) = (gate.url(), gate.admin());
        let (analyst, oncall) = (workspace.analyst(), workspace.oncall());
        let policies = workspace.folder().join("policies");
        print(format_args!(
            "
{still}
  gate       {url}
  admin      {admin}/metrics  {admin}/readyz
  server     {server_url}  (behind the gate; it lets everybody do everything)
  policies   {}
  keys       analyst  {analyst}
             oncall   {oncall}

{curl}
  curl -s {url} -H 'x-api-key: {analyst}' \\
    -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \\
    -H 'mcp-protocol-version: 2026-07-28' -H 'mcp-method: tools/list' \\
    -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{{\"_meta\":{{\
\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
\"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}'

{inspector}
  npx -y @modelcontextprotocol/inspector --cli {url} --transport http \\
    --header 'x-api-key: {analyst}' --method tools/list

Ctrl-C ends everything and removes every file. Until then, what the gate decides:
",
            policies.display(),
            still = self.paint(Style::Bold, "Everything keeps running"),
            curl = self.paint(Style::Bold, "Ask with curl"),
            inspector = self.paint(Style::Bold, "or with the MCP Inspector (Node.js 22 or newer)"),
        ))
    }

    fn paint(self, style: Style, text: &str) -> String {
        match self.colours {
            Colours::On => format!("\x1b[{}m{text}\x1b[0m", style.code()),
            Colours::Off => text.to_owned(),
        }
    }
}

fn print(text: impl fmt::Display) -> io::Result<()> {
    // Not println!: it panics when the reader went away (`cargo demo | head`), and everything has to be cleared up.
    writeln!(io::stdout(), "{text}")
}

/// A caller chooses the names in its messages; none of them may move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
