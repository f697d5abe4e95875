//! `tollgate lock`: asks live servers for their tools and pins them, showing what has changed since they were pinned last.
//! The names of their prompts, and which revisions of MCP they speak, are kept beside them.

mod changes;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::ask::{self, Offer, Tool};
use super::output;
use crate::config::{self, Config, Overrides, Server, read_lock};
use crate::diagnostic::{Diagnostics, escaped};
use crate::mcp::{Definition, ProtocolVersion};
use crate::policy::{LOCK_FILE, ToolLock};

use changes::{Change, changes, for_people, for_programs};

/// Exits with 0 if the lock is as the servers are, and with 2 if that could not be said; with --check, with 1 if
/// something differs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file that names the servers [default: ./tollgate.yaml, if there is one]
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
    /// The MCP endpoint to ask
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// What the policy calls the server [default: what the policy files call it; without --server, every server]
    #[arg(long, value_name = "NAME")]
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
    let news = match args.servers(&config).and_then(|servers| news(&servers, &lock)) {
        Ok(news) => news,
        Err(problem) => return output::failed(&problem),
    };
    output::answer(&match args.format {
        Form::Json => told_to_programs(&news),
        Form::Human => told_to_people(&news),
    });
    for news in &news {
        warn_of(&news.hiding);
    }
    if args.check {
        let differs = news.iter().any(|news| news.is_new || !news.changes.is_empty());
        return if differs { ExitCode::from(output::NO) } else { ExitCode::SUCCESS };
    }
    let summary = summary(news.iter().map(|news| news.changes.len()).sum(), &path);
    for News { server, tools, prompts, revisions, .. } in news {
        lock.pin(&server, tools);
        lock.name_prompts(&server, prompts.iter().map(String::as_str));
        lock.note_revisions(&server, revisions);
    }
    match write(&path, &lock.to_text()) {
        Ok(()) => {
            output::note(&summary);
            ExitCode::SUCCESS
        }
        Err(error) => output::failed(&format!("{}: {error}", path.display())),
    }
}

/// What a server has now, and what of it is not as it was pinned.
struct News {
    server: String,
    tools: Vec<Definition>,
    hiding: Vec<String>,
    prompts: BTreeSet<String>,
    revisions: BTreeSet<ProtocolVersion>,
    is_new: bool,
    changes: Vec<Change>,
}

/// Asks every server. What one of several has cannot be told without asking it, so one that does not answer ends it all.
fn news(servers: &[&Server], lock: &ToolLock) -> Result<Vec<News>, String> {
    servers.iter().map(|server| News::of(server, lock)).collect()
}

impl News {
    fn of(server: &Server, lock: &ToolLock) -> Result<Self, String> {
        let Offer { tools, prompts, revisions } = ask(server)?;
        let server = server.name.as_str();
        let (tools, hiding) = pinnable(tools);
        let pinned = lock.server(server);
        let (is_new, changes) = (pinned.is_none(), changes(pinned, &tools, &prompts, &revisions));
        Ok(Self { server: server.to_owned(), tools, hiding, prompts, revisions, is_new, changes })
    }

    fn told(&self) -> String {
        match self.changes.as_slice() {
            [] => format!("the {} tools of {} are as they were pinned", self.tools.len(), self.server),
            changes => for_people(changes),
        }
    }

    fn for_programs(&self) -> Value {
        json!({ "server": self.server, "changes": for_programs(&self.changes), "hiding": self.hiding })
    }
}

/// Where there are several, each is named before what is told of it.
fn told_to_people(news: &[News]) -> String {
    match news {
        [one] => one.told(),
        several => several.iter().map(|one| format!("{}:\n{}", one.server, one.told())).collect::<Vec<_>>().join("\n"),
    }
}

/// One object for one server, a list of them for several.
fn told_to_programs(news: &[News]) -> String {
    match news {
        [one] => format!("{:#}", one.for_programs()),
        several => format!("{:#}", several.iter().map(News::for_programs).collect::<Value>()),
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

    /// The servers that are meant.
    fn servers<'a>(&self, config: &'a Config) -> Result<Vec<&'a Server>, String> {
        let meant = |server: &&Server| self.name.as_deref().is_none_or(|name| server.name.as_str() == name);
        let servers: Vec<_> = config.servers.iter().filter(meant).collect();
        if servers.is_empty() {
            let known: Vec<_> = config.servers.iter().map(|server| server.name.as_str()).collect();
            return Err(format!("the configuration has no such server; it has {}", known.join(", ")));
        }
        Ok(servers)
    }
}

fn failed(problems: &Diagnostics) -> ExitCode {
    output::failed(&format!("nothing was asked\n{problems}"))
}

fn ask(server: &Server) -> Result<Offer, String> {
    let Some(url) = server.endpoints.streamable().first() else {
        return Err(format!("{} has no Streamable HTTP endpoint to ask; `--server URL` names one", server.name));
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

fn summary(changes: usize, path: &Path) -> String {
    let path = path.display();
    match changes {
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
