//! `tollgate lock`: asks a live server for its tools and pins them, showing what has changed since they were pinned last.
//! The names of its prompts are kept beside them.

mod changes;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::ask::{self, Offer, Tool};
use super::output;
use crate::config::{self, Config, Overrides, read_lock};
use crate::diagnostic::{Diagnostics, escaped};
use crate::mcp::Definition;
use crate::policy::LOCK_FILE;

use changes::{Change, changes, for_people, for_programs};

/// Exits with 0 if the lock is as the server is, and with 2 if that could not be said; with --check, with 1 if something
/// differs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file that names the server [default: ./tollgate.yaml, if there is one]
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
    /// The MCP endpoint to ask
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// What the policy calls the server [default: what the policy files call it]
    #[arg(long, value_name = "NAME", requires = "server")]
    name: Option<String>,
    /// The file to write [default: tools.lock beside the policies]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write nothing; exit with 1 if something differs
    #[arg(long)]
    check: bool,
    /// For whom to write what has changed
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// Text: what is new, gone or other than it was
    Human,
    /// One JSON object
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let config = match config::deployment(&args.overrides()) {
        Ok(config) => config,
        Err(problems) => return failed(&problems),
    };
    let path = args.out.clone().unwrap_or_else(|| config.policies.join(LOCK_FILE));
    let mut lock = match read_lock(&path) {
        Ok(lock) => lock.unwrap_or_default(),
        Err(problems) => return failed(&problems),
    };
    let Offer { tools, prompts } = match ask(&config) {
        Ok(offer) => offer,
        Err(problem) => return output::failed(&problem),
    };
    let server = config.server.name.as_str();
    let (tools, hiding) = pinnable(tools);
    let is_new = lock.server(server).is_none();
    let changes = changes(lock.server(server), &tools, &prompts);
    output::answer(&match args.format {
        Form::Json => format!("{:#}", json!({ "server": server, "changes": for_programs(&changes), "hiding": hiding })),
        Form::Human if changes.is_empty() => format!("the {} tools of {server} are as they were pinned", tools.len()),
        Form::Human => for_people(&changes),
    });
    warn_of(&hiding);
    if args.check {
        return if is_new || !changes.is_empty() { ExitCode::from(output::NO) } else { ExitCode::SUCCESS };
    }
    lock.pin(server, tools);
    lock.name_prompts(server, prompts.iter().map(String::as_str));
    match write(&path, &lock.to_text()) {
        Ok(()) => {
            output::note(&summary(&changes, &path));
            ExitCode::SUCCESS
        }
        Err(error) => output::failed(&format!("{}: {error}", path.display())),
    }
}

impl Args {
    fn overrides(&self) -> Overrides {
        let server = self.server.as_ref().map(|url| match &self.name {
            Some(name) => format!("{name}={url}"),
            None => url.clone(),
        });
        Overrides { config: self.config.clone(), server, ..Overrides::default() }
    }
}

fn failed(problems: &Diagnostics) -> ExitCode {
    output::failed(&format!("nothing was asked\n{problems}"))
}

fn ask(config: &Config) -> Result<Offer, String> {
    let Some(url) = config.server.endpoints.streamable().first() else {
        return Err("the server has no Streamable HTTP endpoint to ask; `--server URL` names one".to_owned());
    };
    ask::offer(url)
}

/// The definitions that can be pinned, and the names of those tools that never pass.
pub(super) fn pinnable(tools: Vec<Tool>) -> (Vec<Definition>, Vec<String>) {
    let (hiding, sound): (Vec<_>, Vec<_>) =
        tools.into_iter().map(|tool| tool.definition).partition(|definition| definition.hidden().is_some());
    (sound, hiding.iter().map(|definition| escaped(definition.name())).collect())
}

/// Says which tools are not pinned.
pub(super) fn warn_of(hiding: &[String]) {
    for tool in hiding {
        output::note(&format!(
            "warning: {tool} is not pinned: it hides characters in its definition, and never passes"
        ));
    }
}

fn summary(changes: &[Change], path: &Path) -> String {
    let path = path.display();
    match changes.len() {
        0 => format!("{path} stays as it is"),
        1 => format!("\nOne change, written to {path}. Look at it before it is in force."),
        many => format!("\n{many} changes, written to {path}. Look at them before they are in force."),
    }
}

/// Writes the file as a whole: a gate that watches the folder never sees half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let next = folder.join(format!(".{LOCK_FILE}.{}", std::process::id()));
    fs::write(&next, text)?;
    fs::rename(&next, path)
}
