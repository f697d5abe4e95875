//! What the lock means to the gate: a tool of a locked server is what it was when somebody looked at it, or it is not
//! there.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::compile::server_of;
use super::lock::{LOCK_FILE, LockedServer, ToolLock};
use super::source::PolicyFile;
use super::{Mode, PolicySet, Reason, RuleId};
use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, did_you_mean, escaped, quoted};
use crate::mcp::{Fingerprint, ServerName};

/// How the pins of a server count.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Pinning {
    /// What is not as it was pinned is withheld.
    Enforce,
    /// It passes, with a warning.
    Warn,
}

/// How the server last showed a tool, as far as that bears on whether it may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Not yet, or in a way that nobody needs to remember.
    #[default]
    NotYet,
    /// With the definition of this fingerprint.
    As(Fingerprint),
    /// With this character in its definition, which people do not see and models read.
    Hiding(char),
}

/// The pins of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    mode: Mode,
    tools: HashMap<Box<str>, (Fingerprint, RuleId)>,
    /// Where the server stands in the lock.
    server: RuleId,
}

/// What is wrong with the definition that the server shows of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// What it is.
    pub reason: Reason,
    /// Where it stands what the tool should be.
    pub rule: RuleId,
    /// Whether the tool is withheld.
    pub mode: Mode,
}

impl Pins {
    /// Whether what is not as it was pinned is withheld.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the server stands in the lock.
    pub(super) fn rule(&self) -> &RuleId {
        &self.server
    }

    /// The names of all pinned tools.
    pub(super) fn tools(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(|name| &**name)
    }

    /// The pin of this tool, and where it stands.
    pub(super) fn get(&self, tool: &str) -> Option<&(Fingerprint, RuleId)> {
        self.tools.get(tool)
    }

    /// Whether a tool of this name is pinned.
    pub fn has(&self, tool: &str) -> bool {
        self.tools.contains_key(tool)
    }
}

/// What is wrong with a tool, by which pin, and whether it is withheld for that. What hides something always is.
pub(super) fn deviation<'a>(
    pins: Option<&'a Pins>,
    tool: &str,
    shown: Shown,
) -> Option<(Reason, Option<&'a RuleId>, Mode)> {
    if let Shown::Hiding(_) = shown {
        return Some((Reason::HiddenCharacter, None, Mode::Enforce));
    }
    let pins = pins?;
    match (pins.tools.get(tool), shown) {
        (None, _) => Some((Reason::PinMissing, Some(&pins.server), pins.mode)),
        (Some((pinned, rule)), Shown::As(shown)) if *pinned != shown => {
            Some((Reason::PinChanged, Some(rule), pins.mode))
        }
        (Some(_), _) => None,
    }
}

impl From<Pinning> for Mode {
    fn from(pinning: Pinning) -> Self {
        match pinning {
            Pinning::Enforce => Self::Enforce,
            Pinning::Warn => Self::Shadow,
        }
    }
}

impl PolicySet {
    /// What is wrong with the definition that the server shows of a tool: what [`PolicySet::decide`] finds of it.
    pub fn deviation(&self, server: &ServerName, tool: &str, shown: Shown) -> Option<Deviation> {
        let (reason, rule, mode) = deviation(self.pins(server), tool, shown)?;
        Some(Deviation { reason, rule: rule.unwrap_or(&self.default).clone(), mode })
    }

    /// The pins of this server, if it is in the lock.
    pub fn pins(&self, server: &ServerName) -> Option<&Pins> {
        self.servers.get(server)?.pins.as_ref()
    }

    /// From now on these tools are what they were.
    pub fn pin(&mut self, pins: Vec<(ServerName, Pins)>) {
        for (server, pins) in pins {
            if let Some(rules) = self.servers.get_mut(&server) {
                Arc::make_mut(rules).pins = Some(pins);
            }
        }
    }
}

/// The pins of each of these servers that is in the lock.
///
/// # Errors
/// Every problem in how files and lock fit each other.
pub fn pins(
    files: &[PolicyFile],
    servers: &[ServerName],
    lock: Option<&ToolLock>,
) -> Result<Vec<(ServerName, Pins)>, Diagnostics> {
    let mut found = Diagnostics::new();
    if let Some(lock) = lock {
        strangers(lock, servers, &mut found);
    }
    let said = said(files, servers, &mut found);
    let mut pins = Vec::new();
    for server in servers {
        let said = said.get(server.as_str());
        match (lock.and_then(|lock| Some((lock.file.as_ref()?, lock.server(server.as_str())?))), said) {
            (Some((file, locked)), said) => {
                let pinning = said.map_or(Pinning::Enforce, |(_, said)| said.value);
                pins.push((server.clone(), compile(file, server, locked, pinning)));
            }
            (None, Some((file, said))) if said.value == Pinning::Enforce => {
                let message = format!("no tool of {} is pinned", quoted(server.as_str()));
                found.push(file.error(Code::MissingPin, said.referenced, message).help(format!(
                    "`tollgate lock` asks the server and writes {LOCK_FILE} beside this file; or leave `pinning` out"
                )));
            }
            (None, _) => {}
        }
    }
    if found.has_errors() { Err(found) } else { Ok(pins) }
}

fn compile(file: &SourceFile, server: &ServerName, locked: &LockedServer, pinning: Pinning) -> Pins {
    let rule = |at: Option<At>, path: &str| RuleId::at(file.name(), at.map_or(1, |at| at.line), path);
    let pins = locked.tools.iter().map(|(name, pin)| {
        let path = format!("servers.{server}.{}", escaped(name));
        (name.clone(), (pin.definition.fingerprint(), rule(pin.at, &path)))
    });
    let tools = pins.collect();
    Pins { mode: pinning.into(), tools, server: rule(locked.at, &format!("servers.{server}")) }
}

/// What the files say of how pins count, by server.
fn said<'a>(
    files: &'a [PolicyFile],
    servers: &'a [ServerName],
    found: &mut Diagnostics,
) -> BTreeMap<&'a str, (&'a SourceFile, &'a Spanned<Pinning>)> {
    let mut said = BTreeMap::new();
    for file in files {
        // That the server is unknown has been told.
        let (Ok(server), Some(pinning)) = (server_of(file, servers), &file.written.pinning) else {
            continue;
        };
        if let Some((first, _)) = said.insert(server.as_str(), (&file.file, pinning)) {
            let message = format!("how the pins of {} count is said twice", quoted(server.as_str()));
            found.push(
                file.file
                    .error(Code::SeveralPinnings, pinning.referenced, message)
                    .help(format!("{} says it already; keep one of them", first.name())),
            );
        }
    }
    said
}

/// A pin under a name that no server has would pin nothing.
fn strangers(lock: &ToolLock, servers: &[ServerName], found: &mut Diagnostics) {
    let known = || servers.iter().map(ServerName::as_str);
    for (name, locked) in &lock.servers {
        if let (false, Some(file), Some(at)) = (known().any(|known| known == &**name), &lock.file, locked.at) {
            let hint = format!("the configuration has {}", known().map(quoted).collect::<Vec<_>>().join(", "));
            found.push(
                file.error(Code::UnknownServer, at, format!("unknown server {}", quoted(name)))
                    .help(did_you_mean(name, known()).unwrap_or(hint)),
            );
        }
    }
}
