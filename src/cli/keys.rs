//! `tollgate keys`: makes keys for callers. A key is shown once and stored nowhere.

use std::process::ExitCode;
use std::time::Duration;

use super::{output, signing};
use crate::clock;
use crate::diagnostic::quoted;
use crate::identity::{Date, NewKey, hash_entry, is_pepper_id, is_principal_id, new_key, parse_expiry, peppered_entry};
use crate::mcp;
use crate::secret::Reference;

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
    /// Make a key that signs for the gate: assertions of who asks, or which client it is (`private_key_jwt`)
    Signing(signing::Args),
}

#[derive(Debug, clap::Args)]
struct New {
    /// Who will use it: the name in logs, limits and `x-gateway-principal`
    #[arg(long, value_parser = id, required_unless_present = "rotate")]
    id: Option<String>,
    /// A role of the policy; may be given several times
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<String>,
    /// Whose key it replaces: both are good until the old one is taken out
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with_all = ["id", "roles"])]
    rotate: Option<String>,
    /// The pepper that goes into its hash: its id in tollgate.yaml, and where it is kept
    #[arg(long, value_name = "ID=env:NAME|ID=file:/PATH", value_parser = pepper)]
    pepper: Option<(String, Reference)>,
    /// The first day on which the key is refused [default: in a year]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = expires)]
    expires: Option<Date>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let new = match &args.command {
        Command::New(new) => new,
        Command::Signing(args) => return signing::run(args),
    };
    let made = match Made::new(new.expires, new.pepper.as_ref()) {
        Ok(made) => made,
        Err(problem) => return output::failed(&problem),
    };
    let (entry, where_to) = match (&new.rotate, &new.id) {
        (Some(id), _) => (
            format!("hashes:\n  {}", made.hash_entry()),
            format!(
                "Put the entry into that of {id} as one more of its `hashes:`; a `hash:` with its `expires:` becomes the first:\n  \
                 hashes:\n    - {{ hash: \"(the old one)\", expires: (its end) }}\n    {}\n\
                 When nobody uses the old key any more, delete its line.",
                made.hash_entry()
            ),
        ),
        (None, id) => (
            format!("keys:\n  {}", made.entry(id.as_deref().unwrap_or_default(), &new.roles)),
            "Put the entry under `keys:` in a file of the policy folder, such as policies/principals.yaml.".to_owned(),
        ),
    };
    output::answer(&format!("{}\n\n{entry}", made.key));
    output::note(&format!(
        "\nThe first line is the key. It is shown this once: hand it to whoever will use it.\n{where_to}"
    ));
    ExitCode::SUCCESS
}

/// A key, and what stands of it in a principals file.
pub(super) struct Made {
    pub(super) key: String,
    hash: String,
    expires: Date,
}

impl Made {
    /// Makes a key.
    pub(super) fn new(expires: Option<Date>, pepper: Option<&(String, Reference)>) -> Result<Self, String> {
        let NewKey(key) = new_key().map_err(|error| error.to_string())?;
        let hash = match pepper {
            None => hash_entry(&key),
            Some((id, kept)) => peppered_entry(&key, id, kept).map_err(|error| format!("{kept}: {error}"))?,
        };
        Ok(Self { key, hash, expires: expires.unwrap_or_else(|| Date::of(clock::wall() + LIFETIME)) })
    }

    /// The entry of an id that has no other key.
    pub(super) fn entry(&self, id: &str, roles: &[String]) -> String {
        let Self { hash, expires, .. } = self;
        let roles = if roles.is_empty() { String::new() } else { format!(", roles: [{}]", list(roles)) };
        format!("- {{ id: {}, hash: \"{hash}\"{roles}, expires: {expires} }}", plain(id))
    }

    /// The entry beside another key of the same id.
    fn hash_entry(&self) -> String {
        let Self { hash, expires, .. } = self;
        format!("- {{ hash: \"{hash}\", expires: {expires} }}")
    }
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

fn pepper(text: &str) -> Result<(String, Reference), String> {
    let expected = || "write `ID=env:NAME` or `ID=file:/PATH`; the id is up to 64 of a-z, 0-9 and `_.-`".to_owned();
    let (id, kept) = text.split_once('=').filter(|(id, _)| is_pepper_id(id)).ok_or_else(expected)?;
    Ok((id.to_owned(), Reference::parse(kept).ok_or_else(expected)?))
}
