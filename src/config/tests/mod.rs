//! What is said about files that are wrong, and that those which are right are read as meant.

mod attacks;
mod broken_files;
mod cases;
mod deployment;
mod examples;
mod folder;
mod forms;
mod policy_files;
mod principals_files;
mod taking;
mod tls;

use std::time::SystemTime;

use super::{Folder, Policies, Reach};
use crate::diagnostic::{Diagnostics, Severity};
use crate::identity::parse_expiry;
use crate::mcp::ServerName;

/// The hash of a key that nobody knows.
const HASH: &str = "sha256:8d5a1a4d3e1c7c6b7c2a5b0ea1fbc0e5b3a4ed9a2c2b6ae5bb5e0a4c1b3c9d77";

fn now() -> SystemTime {
    parse_expiry("2026-11-21").unwrap()
}

fn load(files: &[(&str, &[u8])]) -> Result<Policies, Diagnostics> {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    let servers = [ServerName::new("records").unwrap()];
    Folder::of("policies".to_owned(), files).compile(&servers, Reach::Loopback, now())
}

/// A policy file beside a principals file in which alice is a reader.
fn with_policy(text: &str) -> Result<Policies, Diagnostics> {
    let principals = format!("keys: [{{ id: alice, hash: \"{HASH}\", roles: [reader], expires: 2027-06-01 }}]\n");
    load(&[("principals.yaml", principals.as_bytes()), ("records.yaml", text.as_bytes())])
}

/// A principals file beside a policy that defines the role `reader`. `HASH` stands for a hash.
fn with_keys(text: &str) -> Result<Policies, Diagnostics> {
    let policy = "roles: { reader: { tools: [search_records] } }\n";
    load(&[("keys.yaml", text.replace("HASH", HASH).as_bytes()), ("records.yaml", policy.as_bytes())])
}

/// As the command line shows it.
fn shown(result: Result<Policies, Diagnostics>) -> String {
    let found = result.map_or_else(|found| found, |policies| policies.warnings);
    format!("{found}{}", found.summary())
}

/// One line for each problem: where, what, way out.
fn told(result: Result<Policies, Diagnostics>) -> String {
    lines(&result.map_or_else(|found| found, |policies| policies.warnings))
}

fn lines(found: &Diagnostics) -> String {
    let lines = found.iter().map(|problem| {
        let mark = if problem.severity == Severity::Error { "" } else { "warning: " };
        let place = problem.at.map_or(String::new(), |at| format!(":{}:{}", at.line, at.column));
        let help = problem.help.as_deref().map_or(String::new(), |help| format!(" | {}", help.replace('\n', " / ")));
        format!("{mark}{}{place} {}{help}", problem.file, problem.message)
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() { "fits".to_owned() } else { lines.join("\n") }
}

/// Each text and what is told about it.
fn table(cases: &[&str], tell: fn(&str) -> Result<Policies, Diagnostics>) -> String {
    let rows = cases.iter().map(|case| {
        format!("{}\n    {}", case.trim_end().replace('\n', " ⏎ "), told(tell(case)).replace('\n', "\n    "))
    });
    rows.collect::<Vec<_>>().join("\n")
}
