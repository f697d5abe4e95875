//! `tollgate keys`: makes keys for callers. A key is shown once and stored nowhere.

use std::process::ExitCode;
use std::time::Duration;

use super::output;
use crate::clock;
use crate::diagnostic::quoted;
use crate::identity::{Date, is_principal_id, new_key, parse_expiry};
use crate::mcp;

/// How long a key is good for if nobody says otherwise.
const LIFETIME: Duration = Duration::from_hours(365 * 24);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: print it once, and the entry with its hash for the policy
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    /// Who will use it: the name in logs, limits and `x-gateway-principal`
    #[arg(long, value_parser = id)]
    id: String,
    /// A role of the policy; may be given several times
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<String>,
    /// The first day on which the key is refused [default: in a year]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = expires)]
    expires: Option<Date>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Command::New(new) = &args.command;
    match make(&new.id, &new.roles, new.expires) {
        Ok(made) => {
            output::answer(&format!("{}\n\nkeys:\n  {}", made.key, made.entry));
            output::note(
                "\nThe first line is the key. It is shown this once: hand it to whoever will use it.\n\
                 Put the entry under `keys:` in a file of the policy folder, such as policies/principals.yaml.",
            );
            ExitCode::SUCCESS
        }
        Err(problem) => output::failed(&problem),
    }
}

/// A key, and its entry in a principals file.
pub(super) struct Made {
    pub(super) key: String,
    pub(super) entry: String,
}

/// Makes a key.
pub(super) fn make(id: &str, roles: &[String], expires: Option<Date>) -> std::io::Result<Made> {
    let new = new_key()?;
    let expires = expires.unwrap_or_else(|| Date::of(clock::wall() + LIFETIME));
    let roles = if roles.is_empty() { String::new() } else { format!(", roles: [{}]", list(roles)) };
    let entry = format!("- {{ id: {}, hash: \"{}\"{roles}, expires: {expires} }}", plain(id), new.hash);
    Ok(Made { key: new.key, entry })
}

/// Each role once, however often it was given.
fn list(roles: &[String]) -> String {
    let first = |(index, role): &(usize, &String)| !roles.iter().take(*index).any(|before| before == *role);
    roles.iter().enumerate().filter(first).map(|(_, role)| plain(role)).collect::<Vec<_>>().join(", ")
}

/// A name as YAML reads it back: in quotes, unless it can only be text.
pub(super) fn plain(name: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"];
    let is_text = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !words.contains(&name.to_ascii_lowercase().as_str());
    if is_text { name.to_owned() } else { format!("\"{name}\"") }
}

pub(super) fn id(text: &str) -> Result<String, String> {
    if is_principal_id(text) {
        Ok(text.to_owned())
    } else {
        Err("use up to 128 of A-Z, a-z, 0-9 and `_.-@:/+`, beginning with a letter or digit".to_owned())
    }
}

fn role(text: &str) -> Result<String, String> {
    if mcp::is_well_formed(text) {
        Ok(text.to_owned())
    } else {
        Err("use up to 128 of A-Z, a-z, 0-9, `_`, `.` and `-`".to_owned())
    }
}

fn expires(text: &str) -> Result<Date, String> {
    let end = parse_expiry(text).filter(|end| *end > clock::wall());
    match (Date::parse(text), end) {
        (Some(date), Some(_)) => Ok(date),
        (Some(_), None) => Err("this day is over or has begun".to_owned()),
        (None, _) => Err(format!("{} is not a date such as 2027-06-01", quoted(text))),
    }
}
