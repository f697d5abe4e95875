//! Views as written, and what they mean, or every problem in them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::contents::Eras;
use super::kind::Kind;
use super::names::{LONGEST, Names, Origin, is_taken};
use super::view::{Member, Naming, Place, View, Views};
use crate::diagnostic::{At, Code, Diagnostics, SourceFile, Spanned, did_you_mean, quoted};
use crate::mcp::{Era, ProtocolVersion, ServerName};
use crate::policy::{Entries, ToolLock};

/// The keys of a file of views. A file with one of them is such a file.
pub const VIEWS_KEYS: &[&str] = &["views"];

/// A file of views that was read.
#[derive(Debug)]
pub struct ViewsFile {
    file: SourceFile,
    written: ViewsSource,
}

/// Several servers as one: which of their tools are shown together, and under which names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate views")]
pub struct ViewsSource {
    /// The views by name. Each is at `/views/NAME/mcp`.
    views: Entries<ViewSource>,
}

/// A view of several servers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "View")]
struct ViewSource {
    /// Whether it is at `/mcp`, too, where several servers are.
    default: Option<Spanned<bool>>,
    /// What tools are called: `prefixed`, by the server's name and their own; or `bare`, by their own names where only one is called so. `prefixed` if not said.
    #[serde(default)]
    names: NamesSource,
    /// What it shows of which server. Callers see of that what policies let them use.
    #[schemars(extend("minProperties" = 1))]
    servers: Entries<MemberSource>,
}

/// What tools are called.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum NamesSource {
    /// By their own names where only one is called so.
    Bare,
    /// By the server's name and their own.
    #[default]
    Prefixed,
}

/// What a view shows of one server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ViewedServer")]
struct MemberSource {
    /// Its tools, by name; `*` at the end of one stands for any more.
    #[schemars(length(min = 1), example = ["find_*", "get_invoice"])]
    tools: Spanned<Vec<Spanned<String>>>,
    /// Its prompts, the same way. None if not said.
    #[serde(default)]
    #[schemars(example = ["summarize"])]
    prompts: Vec<Spanned<String>>,
    /// Its resources and templates of such, by URI; `*` at the end of one stands for any more. None if not said. Of a URI that two servers list, neither's is shown.
    #[serde(default)]
    #[schemars(example = ["docs://*"])]
    resources: Vec<Spanned<String>>,
    /// Tools that are called otherwise here: up to 64 of A-Z, a-z, 0-9, `_` and `-`.
    #[serde(default)]
    rename: Entries<Spanned<String>>,
    /// What models are told here of tools, instead of what the server says.
    #[serde(default)]
    describe: Entries<Spanned<String>>,
}

impl ViewsFile {
    /// What was read from this file.
    pub fn new(file: SourceFile, written: ViewsSource) -> Self {
        Self { file, written }
    }
}

/// The views of these files, of these servers.
///
/// # Errors
/// Every problem in all files.
pub fn compile(files: &[ViewsFile], servers: &[ServerName], lock: Option<&ToolLock>) -> Result<Views, Diagnostics> {
    let mut found = Diagnostics::new();
    let (mut views, mut taken) = (Vec::new(), BTreeSet::new());
    let mut default: Option<&str> = None;
    for ViewsFile { file, written } in files {
        for (name, source) in written.views.iter() {
            let mut reading = Reading { file, servers, found: &mut found };
            if !taken.insert(name.value.as_str()) {
                let message = format!("there is a view {} already", quoted(&name.value));
                reading.tell(Code::DuplicateName, name.referenced, message, "give one of them another name");
            }
            if source.default.as_ref().is_some_and(|it| it.value)
                && let Some(other) = default.replace(&name.value)
            {
                let at = source.default.as_ref().map_or(name.referenced, |it| it.referenced);
                let message = format!("{} is at `/mcp` already", quoted(other));
                reading.tell(
                    Code::DuplicateName,
                    at,
                    message,
                    "one view can be there: leave `default` out of the others",
                );
            }
            let Some(view) = reading.view(name, source) else {
                continue;
            };
            if let Some(lock) = lock {
                reading.collisions(name, &view, lock);
            }
            views.push(view);
        }
    }
    if found.has_errors() { Err(found) } else { Ok(Views::new(views)) }
}

/// What is odd about these views by what the lock says of their servers.
pub fn fits(files: &[ViewsFile], lock: Option<&ToolLock>) -> Diagnostics {
    let mut found = Diagnostics::new();
    let Some(lock) = lock else {
        return found;
    };
    for ViewsFile { file, written } in files {
        for (_, source) in written.views.iter() {
            excluded(file, source, lock, &mut found);
        }
    }
    found
}

/// Nothing is translated from one era to the other: where servers of both stand together, clients of one do not have those of
/// the other.
fn excluded(file: &SourceFile, source: &ViewSource, lock: &ToolLock, found: &mut Diagnostics) {
    let speak =
        source.servers.iter().filter_map(|(server, _)| Some((server, lock.server(&server.value)?.revisions()?)));
    let speak: Vec<_> = speak.collect();
    for clients in [Era::Legacy, Era::Modern] {
        let has = |revisions: &BTreeSet<ProtocolVersion>| Eras::of(revisions.iter().copied()).speak(clients);
        if !speak.iter().any(|(_, revisions)| has(revisions)) {
            continue;
        }
        for (server, revisions) in speak.iter().filter(|(_, revisions)| !has(revisions)) {
            let spoken: Vec<_> = revisions.iter().map(|revision| revision.name()).collect();
            let clients = match clients {
                Era::Legacy => "clients of 2025-11-25 and before",
                Era::Modern => "clients of 2026-07-28",
            };
            let (server_name, spoken) = (quoted(&server.value), spoken.join(" and "));
            let message = format!("{clients} do not have {server_name} in this view: it speaks {spoken} only");
            let help =
                "put servers of one era into a view, or let this one speak the other, too, and `tollgate lock` anew";
            found.push(file.warning(Code::ExcludedServer, server.referenced, message).help(help));
        }
    }
}

/// What a file is read by.
struct Reading<'a> {
    file: &'a SourceFile,
    servers: &'a [ServerName],
    found: &'a mut Diagnostics,
}

impl Reading<'_> {
    fn tell(&mut self, code: Code, at: At, message: impl Into<String>, help: &str) {
        self.found.push(self.file.error(code, at, message).help(help));
    }

    fn view(&mut self, name: &Spanned<String>, source: &ViewSource) -> Option<View> {
        let named = ServerName::new(&name.value);
        if let Err(error) = &named {
            let message = format!("{} cannot name a view", quoted(&name.value));
            let help = error.to_string().replace("server name", "view's name");
            self.tell(Code::InvalidName, name.referenced, message, &help);
        }
        let mut members: Vec<Member> = Vec::new();
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        for (server, member) in source.servers.iter() {
            for (tool, called) in member.rename.iter() {
                if let Some(other) = given.insert(&called.value, &tool.value) {
                    let message = format!("{} is what {} is called already", quoted(&called.value), quoted(other));
                    self.tell(Code::DuplicateName, called.referenced, message, "call one of them otherwise");
                }
            }
            members.extend(self.member(server, member));
        }
        if source.servers.iter().next().is_none() {
            let message = "the view shows no server";
            self.tell(Code::EmptyList, name.referenced, message, "name one under `servers`, or delete the view");
        }
        members.sort_by(|one, other| one.server.as_str().cmp(other.server.as_str()));
        let default = source.default.as_ref().is_some_and(|it| it.value);
        let naming = match source.names {
            NamesSource::Bare => Naming::Bare,
            NamesSource::Prefixed => Naming::Prefixed,
        };
        Some(View::new(named.ok()?, if default { Place::Default } else { Place::Named }, naming, members))
    }

    fn member(&mut self, server: &Spanned<String>, source: &MemberSource) -> Option<Member> {
        let known = || self.servers.iter().map(ServerName::as_str);
        let Some(name) = self.servers.iter().find(|known| known.as_str() == server.value) else {
            let hint = format!("the configuration has {}", known().map(quoted).collect::<Vec<_>>().join(", "));
            let hint = did_you_mean(&server.value, known()).unwrap_or(hint);
            let message = format!("unknown server {}", quoted(&server.value));
            self.tell(Code::UnknownServer, server.referenced, message, &hint);
            return None;
        };
        if source.tools.value.is_empty() {
            let help = "name a tool, or `\"*\"` for every one";
            self.tell(Code::EmptyList, source.tools.referenced, "`tools` is empty", help);
        }
        for tool in source.tools.value.iter().chain(&source.prompts).chain(&source.resources) {
            if tool.value.trim_end_matches('*').contains('*') || tool.value.ends_with("**") || tool.value.is_empty() {
                let message = format!("{} is neither a name nor the beginning of one", quoted(&tool.value));
                self.tell(Code::InvalidName, tool.referenced, message, "write a whole one, or one that ends in `*`");
            }
        }
        let member = Member {
            server: name.clone(),
            tools: patterns(&source.tools.value),
            prompts: patterns(&source.prompts),
            resources: patterns(&source.resources),
            called: written(&source.rename),
            described: written(&source.describe),
        };
        for (tool, called) in source.rename.iter() {
            self.shown(&member, tool);
            if !is_taken(&called.value) {
                let message = format!("{} cannot be the name of a tool here", quoted(&called.value));
                let help = format!("models take 1 to {LONGEST} characters of A-Z, a-z, 0-9, `_` and `-`");
                self.tell(Code::InvalidName, called.referenced, message, &help);
            }
        }
        source.describe.iter().for_each(|(tool, _)| self.shown(&member, tool));
        Some(member)
    }

    /// What is said of a tool that is not shown is a mistake in one or the other.
    fn shown(&mut self, member: &Member, tool: &Spanned<String>) {
        if !member.shows(Kind::Tool, &tool.value) {
            let message = format!("the view does not show {}", quoted(&tool.value));
            self.tell(Code::UnknownTool, tool.referenced, message, "name it under `tools`, too");
        }
    }

    /// Where a lock says which tools there are, none of them may want a name that another has.
    fn collisions(&mut self, name: &Spanned<String>, view: &View, lock: &ToolLock) {
        let locked =
            view.members.iter().filter_map(|member| Some((&member.server, lock.server(member.server.as_str())?)));
        let tools = locked.flat_map(|(server, locked)| {
            locked
                .tools()
                .map(|pin| Origin { server: server.clone(), name: pin.definition().name().into() })
                .collect::<Vec<_>>()
        });
        let tools: Vec<_> =
            tools.filter_map(|origin| view.wish(Kind::Tool, &origin).map(|wish| (origin, wish))).collect();
        for (wanted, origins) in Names::wanted_twice(&tools) {
            let who: Vec<_> = origins.iter().map(|origin| format!("{}/{}", origin.server, origin.name)).collect();
            let message = format!("{} would be the name of {}", quoted(&wanted), who.join(" and of "));
            self.tell(Code::DuplicateName, name.referenced, message, "call one of them otherwise under `rename`");
        }
    }
}

fn patterns(written: &[Spanned<String>]) -> Vec<Box<str>> {
    written.iter().map(|pattern| Box::from(pattern.value.as_str())).collect()
}

fn written(entries: &Entries<Spanned<String>>) -> BTreeMap<Box<str>, Box<str>> {
    entries.iter().map(|(tool, text)| (Box::from(tool.value.as_str()), Box::from(text.value.as_str()))).collect()
}
