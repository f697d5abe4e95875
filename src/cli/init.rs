//! `tollgate init`: a starter policy from what a live server offers, and a lock of what that is. Nothing is granted that the server does not itself
//! call read-only, and nothing is overwritten.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::ask::{self, Nature, Offer, Tool};
use super::{keys, lock, output};
use crate::clock;
use crate::config::{Folder, Reach, parse_endpoint};
use crate::diagnostic::escaped;
use crate::mcp::{self, ServerName};
use crate::policy::{LOCK_FILE, ToolLock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The MCP endpoint to ask, such as <http://127.0.0.1:8000/mcp>
    #[arg(long, value_name = "URL", value_parser = url)]
    server: http::Uri,
    /// What the policy will call the server
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = name)]
    name: ServerName,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "policies")]
    out: PathBuf,
    /// Whose key to make
    #[arg(long, value_name = "ID", default_value = "first-key", value_parser = keys::id)]
    id: String,
}

/// The role that may do what changes nothing.
const ROLE: &str = "reader";
const PRINCIPALS: &str = "principals.yaml";

pub(super) fn run(args: &Args) -> ExitCode {
    match init(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => output::failed(&problem),
    }
}

fn init(args: &Args) -> Result<(), String> {
    let policy = format!("{}.yaml", args.name);
    if policy == PRINCIPALS {
        return Err("a server of this name would share a file with the keys; choose another `--name`".to_owned());
    }
    for file in [policy.as_str(), PRINCIPALS, LOCK_FILE] {
        let path = args.out.join(file);
        if path.symlink_metadata().is_ok() {
            return Err(format!("{} is there already, and nothing is overwritten", path.display()));
        }
    }
    let Offer { tools, prompts, revisions } = ask::offer(&args.server)?;
    let made = keys::Made::new(None, None)?;
    let policy = (policy, policy_file(args, &tools));
    let principals = (PRINCIPALS.to_owned(), principals_file(&made.entry(&args.id, &[ROLE.to_owned()])));
    let next_steps = next_steps(args, &tools);
    let grants_something = tools.iter().any(is_granted);
    let (definitions, hiding) = lock::pinnable(tools);
    let mut pinned = ToolLock::default();
    pinned.pin(args.name.as_str(), definitions);
    pinned.name_prompts(args.name.as_str(), prompts.iter().map(String::as_str));
    pinned.note_revisions(args.name.as_str(), revisions);
    let files = [policy, principals, (LOCK_FILE.to_owned(), pinned.to_text())];
    if grants_something {
        holds(&args.name, &files)?;
    }
    fs::create_dir_all(&args.out).map_err(|error| format!("{}: {error}", args.out.display()))?;
    for (file, text) in &files {
        let path = args.out.join(file);
        write_new(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    output::answer(&made.key);
    output::note(&next_steps);
    lock::warn_of(&hiding);
    Ok(())
}

fn is_granted(tool: &Tool) -> bool {
    tool.nature == Nature::ReadOnly && mcp::is_well_formed(tool.name())
}

/// What was written is what `check` accepts, whatever the server's names were.
fn holds(server: &ServerName, files: &[(String, String)]) -> Result<(), String> {
    let read = files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect();
    let folder = Folder::of(String::new(), read);
    match folder.compile(std::slice::from_ref(server), Reach::Unknown, clock::wall()) {
        Ok(_) => Ok(()),
        Err(found) => Err(format!("the server's answer does not make a policy:\n{found}")),
    }
}

fn policy_file(args: &Args, tools: &[Tool]) -> String {
    let (granted, others): (Vec<_>, Vec<_>) = tools.iter().partition(|tool| is_granted(tool));
    let mut text = format!(
        "# Who may use what of {}. Written by `tollgate init` from what the server says of itself;\n\
         # review it: a server may call a tool read-only that is not.\n\
         server: {}\n\nroles:\n",
        escaped(&args.server.to_string()),
        keys::plain(args.name.as_str()),
    );
    let list = |text: &mut String, mark: &str, tools: &[&Tool]| {
        for tool in tools {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{mark}- {}{}", in_yaml(tool.name()), comment(tool));
        }
    };
    let mark = if granted.is_empty() { "# " } else { "" };
    let _ = writeln!(text, "{mark}  {ROLE}:\n{mark}    tools:");
    list(&mut text, "      ", &granted);
    if !others.is_empty() {
        text += "      # Not granted: the server does not say that these change nothing.\n";
        list(&mut text, "      # ", &others);
    }
    text += SERVER_MAY;
    text += "\n# How a tool may be used, by whoever may use it. `\"*\"` is for all that have no entry of their own.\n\
             tools:\n  \"*\":\n    limits:\n      - { calls: 60, every: 1m, per: principal }\n      - { in_flight: 8, per: tool }\n    timeout: 5s\n";
    text
}

/// A server does not say beforehand what it will ask.
const SERVER_MAY: &str = "
# What the server may ask in the middle of a call. It does not say beforehand whether it will, so nothing stands here;
# a question that is not allowed does not reach the client, and the server is told so. Take what its tools need:
#   elicitation  questions to the user, and addresses for them to open
#   sampling     texts from the client's model, at the client's cost
#   roots        the folders that the user works in
# server_may: [elicitation]
";

/// A name of the server's choosing, so that it is one name and nothing else.
fn in_yaml(name: &str) -> String {
    let shown = escaped(name);
    if mcp::is_well_formed(name) {
        keys::plain(name)
    } else {
        format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

fn comment(tool: &Tool) -> String {
    const LONGEST: usize = 70;
    let nature = match tool.nature {
        Nature::ReadOnly => None,
        Nature::Additive => Some("changes things"),
        Nature::Destructive => Some("may destroy"),
        Nature::Unsaid => Some("says nothing of its effects"),
    };
    let about = escaped(tool.about().lines().next().unwrap_or_default());
    let about: String = about.chars().take(LONGEST).collect();
    let parts: Vec<&str> = nature.into_iter().chain(Some(about.trim()).filter(|about| !about.is_empty())).collect();
    if parts.is_empty() { String::new() } else { format!("  # {}", parts.join(": ")) }
}

fn principals_file(entry: &str) -> String {
    format!(
        "# Who may prove themselves, by the hash of a key. The keys themselves stand in no file.\n\
         # `tollgate keys new --id NAME --role ROLE` makes another one.\nkeys:\n  {entry}\n"
    )
}

fn next_steps(args: &Args, tools: &[Tool]) -> String {
    let granted = tools.iter().filter(|tool| is_granted(tool)).count();
    let out = args.out.display();
    let mut text = format!(
        "\nThe line above is the key of `{}`. It is shown this once.\n\
         {out}/{}.yaml grants {granted} of {} tools to the role `{ROLE}`; {out}/{PRINCIPALS} holds the key's hash.\n\
         {out}/{LOCK_FILE} pins what the tools are now: one that the server changes is withheld until you pin it anew.\n",
        args.id,
        args.name,
        tools.len(),
    );
    if granted == 0 {
        text += "The server calls no tool read-only: take the `#` from those that readers may use before you start.\n";
    }
    let _ = write!(text, "\nNext: tollgate run --server {} --policies {out}", args.server);
    text
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn url(text: &str) -> Result<http::Uri, String> {
    parse_endpoint(text).map_err(str::to_owned)
}

fn name(text: &str) -> Result<ServerName, String> {
    ServerName::new(text).map_err(|error| error.to_string())
}
