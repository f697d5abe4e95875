//! From policy files as written to the rules in force, or every problem in them at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_yaml::Spanned;

use super::inheritance;
use super::names::{self, Kind};
use super::redundancy::{self, Granted};
use super::rules::{Grants, Names, Rules, ToolRules};
use super::source::{Entries, List, PolicyFile, RoleSource, ToolSource};
use super::tool_rules;
use super::{PolicySet, RuleId};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, did_you_mean, escaped, quoted};
use crate::mcp::ServerName;

/// A policy that can be enforced, and what is odd about it.
#[derive(Debug)]
pub struct Compiled {
    /// The rules in force.
    pub policy: PolicySet,
    /// No errors, only warnings.
    pub warnings: Diagnostics,
}

/// A role as it is written, and what it grants by itself.
pub(super) struct Role<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) name: &'a Spanned<String>,
    pub(super) source: &'a RoleSource,
    pub(super) grants: Grants,
}

/// Whether all roles are known, or some may stand in files that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolesElsewhere {
    /// All are known.
    None,
    /// Some may not be: that a role is unknown is no problem of whoever names it.
    InBrokenFiles,
}

/// Compiles all policy files for these servers. A file that names no server is for the only one there is.
///
/// # Errors
/// Every problem in all files, warnings among them.
pub fn compile(
    files: &[PolicyFile],
    servers: &[ServerName],
    elsewhere: RolesElsewhere,
    digest: Arc<str>,
) -> Result<Compiled, Diagnostics> {
    let mut found = Diagnostics::new();
    let mut written: BTreeMap<&str, Vec<&PolicyFile>> =
        servers.iter().map(|name| (name.as_str(), Vec::new())).collect();
    for file in files {
        match server_of(file, servers) {
            Ok(server) => written.entry(server.as_str()).or_default().push(file),
            Err(problem) => found.push(problem),
        }
    }
    let mut rules = HashMap::new();
    for server in servers {
        let files = written.get(server.as_str()).map(Vec::as_slice).unwrap_or_default();
        rules.insert(server.clone(), Server::new(&mut found).compile(files, elsewhere));
    }
    if found.has_errors() {
        return Err(found);
    }
    let policy = PolicySet { servers: rules, digest, protocol: RuleId::protocol(), default: RuleId::default_deny() };
    Ok(Compiled { policy, warnings: found })
}

/// The server that a file is for.
pub(super) fn server_of<'a>(file: &PolicyFile, servers: &'a [ServerName]) -> Result<&'a ServerName, Diagnostic> {
    let known = || servers.iter().map(ServerName::as_str);
    match (&file.written.server, servers) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Diagnostic::error(
            Code::MissingServer,
            file.file.name(),
            "the file does not say which server it is for",
        )
        .help(format!("begin it with `server:` and one of {}", known().collect::<Vec<_>>().join(", ")))),
        (Some(name), _) => servers.iter().find(|known| known.as_str() == name.value).ok_or_else(|| {
            let hint = format!("the configuration has {}", known().map(quoted).collect::<Vec<_>>().join(", "));
            file.file
                .error(Code::UnknownServer, name.referenced, format!("unknown server {}", quoted(&name.value)))
                .help(did_you_mean(&name.value, known()).unwrap_or(hint))
        }),
    }
}

/// The rules of one server in the making.
struct Server<'a, 'b> {
    found: &'b mut Diagnostics,
    roles: BTreeMap<&'a str, Role<'a>>,
    authenticated: Grants,
    tools: HashMap<Box<str>, Arc<ToolRules>>,
    /// Where each entry under `tools` stands.
    tool_entries: BTreeMap<&'a str, (&'a SourceFile, &'a Spanned<String>)>,
}

impl<'a, 'b> Server<'a, 'b> {
    fn new(found: &'b mut Diagnostics) -> Self {
        Self {
            found,
            roles: BTreeMap::new(),
            authenticated: Grants::default(),
            tools: HashMap::new(),
            tool_entries: BTreeMap::new(),
        }
    }

    fn compile(mut self, files: &[&'a PolicyFile], elsewhere: RolesElsewhere) -> Rules {
        for file in files {
            self.roles(&file.file, &file.written.roles);
            self.tools(&file.file, &file.written.tools);
            if let Some(list) = &file.written.allowed_tools {
                let names = self.list(&file.file, list, Kind::Tools, "allowed_tools");
                let granted = Granted { own: &names, inherited: Vec::new() };
                redundancy::shadowed(&file.file, list, Kind::Tools, &granted, self.found);
                self.authenticated.tools.extend(&names);
            }
            if file.written.roles.iter().next().is_none()
                && file.written.allowed_tools.is_none()
                && file.written.tools.iter().next().is_none()
            {
                self.found.push(
                    Diagnostic::error(Code::GrantsNothing, file.file.name(), "the file grants nothing")
                        .help("name roles under `roles:`, or tools for every caller under `allowed_tools:`"),
                );
            }
        }
        let roles = inheritance::flatten(&self.roles, elsewhere, self.found);
        self.unreachable_tools(&roles);
        if !self.found.has_errors() {
            redundancy::roles(&self.roles, &roles, self.found);
        }
        let other_tools = self.tools.remove("*").unwrap_or_default();
        Rules::new(roles, self.authenticated, self.tools, other_tools)
    }

    fn roles(&mut self, file: &'a SourceFile, roles: &'a Entries<RoleSource>) {
        for (name, role) in roles.iter() {
            if let Err(problem) = names::check_role(file, name) {
                self.found.push(problem);
                continue;
            }
            if let Some(first) = self.roles.get(name.value.as_str()) {
                let message = format!("the role {} is defined twice", quoted(&name.value));
                let first = format!("{}:{}", first.file.name(), first.name.referenced.line());
                self.found.push(
                    file.error(Code::DuplicateRole, name.referenced, message)
                        .help(format!("it is defined at {first} already; put both into one, or rename one")),
                );
                continue;
            }
            let grants = self.grants(file, name, role);
            self.roles.insert(&name.value, Role { file, name, source: role, grants });
        }
    }

    /// What a role grants by itself.
    fn grants(&mut self, file: &SourceFile, name: &Spanned<String>, role: &RoleSource) -> Grants {
        let mut named = |list: Option<&List>, kind: Kind| {
            let path = format!("roles.{}.{}", name.value, kind.key());
            list.map(|list| self.list(file, list, kind, &path)).unwrap_or_default()
        };
        let grants = Grants {
            tools: named(role.tools.as_ref(), Kind::Tools),
            prompts: named(role.prompts.as_ref(), Kind::Prompts),
            resources: named(role.resources.as_ref(), Kind::Resources),
            methods: named(role.methods.as_ref(), Kind::Methods),
        };
        let lists = [&role.tools, &role.prompts, &role.resources, &role.methods, &role.inherits];
        if lists.iter().all(|list| list.is_none()) {
            self.found.push(
                file.error(
                    Code::GrantsNothing,
                    name.referenced,
                    format!("the role {} grants nothing", quoted(&name.value)),
                )
                .help("give it `tools:`, `prompts:`, `resources:`, `methods:` or `inherits:`, or delete it"),
            );
        }
        grants
    }

    /// One list of names.
    fn list(&mut self, file: &SourceFile, list: &List, kind: Kind, path: &str) -> Names {
        let (List(list), mut names) = (list, Names::default());
        if list.value.is_empty() {
            self.found.push(
                file.error(Code::EmptyList, list.referenced, format!("`{path}` is empty"))
                    .help("an empty list grants nothing; delete it, or name what it should grant"),
            );
        }
        let mut seen: HashMap<&str, u64> = HashMap::new();
        for name in &list.value {
            if let Err(problem) = names::check(file, name, kind, self.found) {
                self.found.push(problem);
                continue;
            }
            let line = name.referenced.line();
            if let Some(first) = seen.insert(&name.value, line) {
                let message = format!("{} stands here twice", quoted(&name.value));
                self.found.push(
                    file.warning(Code::DuplicateName, name.referenced, message)
                        .help(format!("it stands in line {first} already; delete one of them")),
                );
            }
            names.add(&name.value, &RuleId::at(file.name(), line, path));
        }
        names
    }

    fn tools(&mut self, file: &'a SourceFile, tools: &'a Entries<ToolSource>) {
        for (name, tool) in tools.iter() {
            if let Err(problem) = self.tool_name(file, name) {
                self.found.push(problem);
                continue;
            }
            if let Some((first, at)) = self.tool_entries.insert(&name.value, (file, name)) {
                let message = format!("the tool {} has two entries", quoted(&name.value));
                let first = format!("{}:{}", first.name(), at.referenced.line());
                self.found.push(
                    file.error(Code::DuplicateTool, name.referenced, message)
                        .help(format!("the other is at {first}; put both into one")),
                );
            }
            let path = format!("tools.{}", escaped(&name.value));
            let rules = tool_rules::compile(file, name, tool, &path, self.found);
            self.tools.insert(name.value.as_str().into(), Arc::new(rules));
        }
    }

    fn tool_name(&mut self, file: &SourceFile, name: &Spanned<String>) -> Result<(), Diagnostic> {
        if name.value == "*" {
            return Ok(());
        }
        names::check(file, name, Kind::Tools, self.found)?;
        if name.value.contains('*') {
            return Err(file
                .error(Code::PatternInSettings, name.referenced, format!("{} is a pattern", quoted(&name.value)))
                .help("settings are for one tool each, or for all others: `\"*\"`"));
        }
        Ok(())
    }

    /// Settings for a tool that nobody may call are probably misspelt.
    fn unreachable_tools(&mut self, roles: &HashMap<Arc<str>, Grants>) {
        let granted =
            |tool: &str| roles.values().chain([&self.authenticated]).any(|grants| grants.tools.find(tool).is_some());
        let named: Vec<&str> =
            roles.values().chain([&self.authenticated]).flat_map(|grants| grants.tools.spelt_out()).collect();
        for (tool, (file, name)) in &self.tool_entries {
            if *tool != "*" && !granted(tool) {
                self.found.push(
                    file.warning(
                        Code::UnreachableTool,
                        name.referenced,
                        format!("no role grants the tool {}", quoted(tool)),
                    )
                    .maybe_help(did_you_mean(tool, named.iter().copied())),
                );
            }
        }
    }
}
