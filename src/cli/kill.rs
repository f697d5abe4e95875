//! `tollgate kill` and `tollgate unkill`: stop something in a running gate at once, and let it go on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::output;
use crate::clock;
use crate::config::{self, KillApi, Overrides};
use crate::duration::parse_duration;

/// Exits with 0 once the gate has answered that it is stopped and will stay so, and with 2 otherwise. What is named is
/// stopped where it meets: `--tool x --principal y` is that caller's use of that tool.
#[derive(Debug, clap::Args)]
pub(super) struct KillArgs {
    #[command(flatten)]
    gate: Gate,
    #[command(flatten)]
    what: What,
    /// Why, for whoever finds it stopped
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    reason: Option<String>,
    /// Who stops it
    #[arg(long, value_name = "NAME", env = "USER", required_unless_present = "list", hide_env_values = true)]
    by: Option<String>,
    /// For how long, such as `2h` [default: until `tollgate unkill`]
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    lasts: Option<Duration>,
    /// End calls under way, too; they are told that they may have run
    #[arg(long)]
    abort: bool,
    /// Change nothing; print what is stopped
    #[arg(long)]
    list: bool,
}

/// What goes on again is named by the same flags as it was stopped by.
#[derive(Debug, clap::Args)]
pub(super) struct UnkillArgs {
    #[command(flatten)]
    gate: Gate,
    #[command(flatten)]
    what: What,
}

/// Which gate.
#[derive(Debug, clap::Args)]
struct Gate {
    /// The configuration file that the gate runs with [default: ./tollgate.yaml]
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Where its admin port is [default: as the configuration says]
    #[arg(long, value_name = "ADDR:PORT", env = "TOLLGATE_ADMIN")]
    admin: Option<String>,
}

/// What is stopped.
#[derive(Debug, clap::Args)]
struct What {
    /// Everything
    #[arg(long, conflicts_with_all = ["server", "tool", "principal", "key"])]
    all: bool,
    /// This server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// This tool, or all of a pattern with one `*`
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Whoever is called so in decision lines
    #[arg(long, value_name = "ID")]
    principal: Option<String>,
    /// Whoever shows the API key of this id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
}

/// A gate that is silent for longer has not switched.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn kill(args: &KillArgs) -> ExitCode {
    if args.list {
        return ask(&args.gate, Method::GET, None);
    }
    let mut entry = args.what.entry(args.reason.as_deref().unwrap_or_default(), args.by.as_deref().unwrap_or_default());
    if args.abort {
        entry.insert("in_flight".into(), json!("abort"));
    }
    if let Some(lasts) = args.lasts {
        let end = (clock::wall() + lasts).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let end = i64::try_from(end).ok().and_then(|end| jiff::Timestamp::from_second(end).ok());
        entry.extend(end.map(|end| ("expires".to_owned(), json!(end.to_string()))));
    }
    ask(&args.gate, Method::POST, Some(Value::Object(entry)))
}

pub(super) fn unkill(args: &UnkillArgs) -> ExitCode {
    ask(&args.gate, Method::DELETE, Some(Value::Object(args.what.entry("unkill", "unkill"))))
}

impl What {
    fn entry(&self, reason: &str, by: &str) -> Map<String, Value> {
        let named =
            [("server", &self.server), ("tool", &self.tool), ("principal", &self.principal), ("key", &self.key)];
        let mut entry: Map<_, _> =
            named.into_iter().filter_map(|(key, name)| Some((key.to_owned(), json!(name.as_ref()?)))).collect();
        if self.all {
            entry.insert("all".to_owned(), json!(true));
        }
        entry.insert("reason".to_owned(), json!(reason));
        entry.insert("by".to_owned(), json!(by));
        entry
    }
}

fn span(text: &str) -> Result<Duration, String> {
    parse_duration(text, Duration::from_secs(1)..=Duration::from_hours(24 * 365))
}

/// Asks the gate, and says what it answers.
fn ask(gate: &Gate, method: Method, entry: Option<Value>) -> ExitCode {
    let config = Overrides { config: gate.config.clone(), admin: gate.admin.clone(), ..Overrides::default() };
    let config = match config::deployment(&config) {
        Ok(config) => config,
        Err(problems) => return output::unclear(&problems),
    };
    let Some(api) = config.kill_switch.as_ref().and_then(|switch| switch.api.as_ref()) else {
        let file = config.kill_switch.as_ref().and_then(|switch| switch.file.as_ref());
        return output::failed(&match file {
            Some(file) => format!("the gate has no `kill_switch.api`; write into {}, which it watches", file.display()),
            None => "the gate has no kill switch: tollgate.yaml needs `kill_switch`".to_owned(),
        });
    };
    match answered(config::reachable(config.admin), api, method, entry) {
        Ok(text) => {
            output::answer(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problem) => output::failed(&problem),
    }
}

fn answered(admin: SocketAddr, api: &KillApi, method: Method, entry: Option<Value>) -> Result<String, String> {
    let key = api.key.read().map_err(|error| format!("{} has no key: {error}", api.key))?;
    let unreachable = |error: reqwest::Error| {
        format!(
            "the gate at http://{admin} does not answer, and nothing is known to have changed: {error}; `--admin` says where it is"
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(async {
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
        let client = client.build().map_err(unreachable)?;
        let mut request = client.request(method, format!("http://{admin}/kills")).bearer_auth(key.expose());
        if let Some(entry) = entry {
            request = request.body(entry.to_string());
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(format!("the gate says {}: {}", status.as_u16(), text.trim_end()))
        }
    })
}
