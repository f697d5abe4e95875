//! From policy files as written to the rules in force, or every problem in them at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::inheritance;
use super::limit::LimitRule;
use super::limit_source;
use super::list::List;
use super::names::{self, Kind, Purpose};
use super::redaction::{self, Redactors};
use super::redundancy::{self, Granted};
use super::redundant_limits;
use super::rules::{Brought, Denied, RoleRules, Rules, Targets, ToolRules, Ungranted};
use super::server_may;
use super::source::{Entries, PolicyFile, PolicySource, RoleSource, TargetsSource, ToolSource};
use super::targets::{Place, Reader};
use super::tool_rules::Settings;
use super::upstream_headers::{self, UpstreamHeader};
use super::when::{self, Written};
use super::{Kills, Mode, PolicySet, RuleId};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, SourceFile, Spanned, did_you_mean, escaped, quoted};
use crate::mcp::{Questions, ServerName};

/// A policy that can be enforced, and what is odd about it.
#[derive(Debug)]
pub struct Compiled {
    /// The rules in force.
    pub policy: PolicySet,
    /// No errors, only warnings.
    pub warnings: Diagnostics,
}

/// A role as it is written, and what it says by itself.
pub(super) struct Role<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) name: &'a Spanned<String>,
    pub(super) source: &'a RoleSource,
    pub(super) rules: Arc<RoleRules>,
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
        rules.insert(server.clone(), Arc::new(Server::new(&mut found).compile(files, elsewhere)));
    }
    if found.has_errors() {
        return Err(found);
    }
    let (protocol, default) = (RuleId::protocol(), RuleId::default_deny());
    let policy = PolicySet { servers: rules, kills: Kills::default(), digest, protocol, default };
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
    reader: Reader,
    roles: BTreeMap<&'a str, Role<'a>>,
    authenticated: Targets,
    denied: Vec<Denied>,
    limits: Vec<LimitRule>,
    redactors: Vec<Arc<Redactors>>,
    upstream_headers: Vec<UpstreamHeader>,
    tools: HashMap<Box<str>, Arc<ToolRules>>,
    /// Where each entry under `tools` stands.
    tool_entries: BTreeMap<&'a str, (&'a SourceFile, &'a Spanned<String>)>,
}

/// A file of the server that is being compiled.
#[derive(Clone, Copy)]
struct Page<'a> {
    file: &'a SourceFile,
    mode: Mode,
}

impl<'a, 'b> Server<'a, 'b> {
    fn new(found: &'b mut Diagnostics) -> Self {
        Self {
            found,
            reader: Reader::default(),
            roles: BTreeMap::new(),
            authenticated: Targets::default(),
            denied: Vec::new(),
            limits: Vec::new(),
            redactors: Vec::new(),
            upstream_headers: Vec::new(),
            tools: HashMap::new(),
            tool_entries: BTreeMap::new(),
        }
    }

    fn compile(mut self, files: &[&'a PolicyFile], elsewhere: RolesElsewhere) -> Rules {
        let mut server_may = Questions::default();
        let mut ungranted = None;
        for PolicyFile { file, written } in files {
            let mode = when::mode(file, written.mode.as_ref(), Mode::Enforce, self.found);
            let rule = written.mode.as_ref().map(|mode| RuleId::at(file.name(), mode.referenced.line, "mode"));
            ungranted = Some(Ungranted::both(ungranted, mode, rule));
            let page = Page { file, mode };
            if let Some(list) = &written.server_may {
                server_may = server_may | server_may::compile(file, list, self.found);
            }
            upstream_headers::compile(file, &written.upstream_headers, &mut self.upstream_headers, self.found);
            self.roles(page, &written.roles);
            self.tools(page, &written.tools);
            if let Some(list) = &written.allowed_tools {
                self.allowed_tools(file, list);
            }
            self.bounds(page, written);
            if written.says_nothing() {
                self.found.push(
                    Diagnostic::error(Code::GrantsNothing, file.name(), "the file grants nothing")
                        .help("name roles under `roles:`, or tools for every caller under `allowed_tools:`"),
                );
            }
        }
        let named_tools = self.named_tools();
        let roles = inheritance::follow(&self.roles, elsewhere, self.found);
        self.unreachable_tools();
        if !self.found.has_errors() {
            redundancy::roles(&self.roles, &roles, self.found);
            redundancy::denied(&self.roles, &self.denied, self.found);
            redundant_limits::check(files, self.found);
        }
        let other_tools = self.tools.remove("*").unwrap_or_default();
        let authenticated = self.authenticated.tools.any().cloned().map(|rule| {
            let grants = std::mem::take(&mut self.authenticated);
            Brought::alone(RoleRules { rule, grants, denied: None, restriction: None })
        });
        let ungranted = ungranted.unwrap_or_default();
        let in_shadow = match ungranted.mode {
            Mode::Shadow => server_may.others(),
            Mode::Enforce => Questions::default(),
        };
        Rules {
            named_tools,
            server_may,
            in_shadow,
            roles,
            authenticated,
            denied: self.denied,
            limits: self.limits.into(),
            redactors: self.redactors,
            ungranted,
            tools: self.tools,
            other_tools,
            pins: None,
            upstream_headers: self.upstream_headers,
        }
    }

    /// What nobody may use, how much all may, and what nobody sees.
    fn bounds(&mut self, page: Page<'a>, written: &PolicySource) {
        let Page { file, mode } = page;
        if let Some(limits) = &written.limits {
            let place = limit_source::Place { file, path: "limits", mode, scopes: limit_source::OF_SERVER };
            self.limits.extend(place.compile(limits, self.found));
        }
        if let Some(list) = &written.redact {
            self.redactors.push(redaction::compile(file, list, "", mode, self.found));
        }
        if let Some(deny) = &written.deny {
            let denied = self.denied(page, deny, "deny");
            self.denied.push(denied);
        }
    }

    /// The short form: what every authenticated caller may use.
    fn allowed_tools(&mut self, file: &SourceFile, list: &List) {
        let place = Place { file, path: "allowed_tools", purpose: Purpose::Grant };
        let names = self.reader.list(place, Kind::Tools, list, self.found);
        let granted = Granted { own: &names, inherited: Vec::new() };
        redundancy::shadowed(file, list, Kind::Tools, &granted, self.found);
        self.authenticated.tools.extend(&names);
    }

    fn roles(&mut self, page: Page<'a>, roles: &'a Entries<RoleSource>) {
        let file = page.file;
        for (name, role) in roles.iter() {
            if let Err(problem) = names::check_role(file, name) {
                self.found.push(problem);
                continue;
            }
            if let Some(first) = self.roles.get(name.value.as_str()) {
                let message = format!("the role {} is defined twice", quoted(&name.value));
                let first = format!("{}:{}", first.file.name(), first.name.referenced.line);
                self.found.push(
                    file.error(Code::DuplicateRole, name.referenced, message)
                        .help(format!("it is defined at {first} already; put both into one, or rename one")),
                );
                continue;
            }
            let own = Arc::new(self.role(page, name, role));
            self.roles.insert(&name.value, Role { file, name, source: role, rules: own });
        }
    }

    /// What a role says by itself.
    fn role(&mut self, page: Page<'a>, name: &Spanned<String>, role: &RoleSource) -> RoleRules {
        let (file, path) = (page.file, format!("roles.{}", name.value));
        let mode = when::mode(file, role.mode.as_ref(), page.mode, self.found);
        let grants = self.reader.targets(
            Place { file, path: &path, purpose: Purpose::Grant },
            |kind| role.list(kind),
            self.found,
        );
        let page = Page { mode, ..page };
        let denied = role.deny.as_ref().map(|deny| self.denied(page, deny, &format!("{path}.deny")));
        let written = Written { file, path: &path, when: role.when.as_ref(), networks: role.networks.as_ref(), mode };
        let restriction = when::compile(&written, self.found).map(Arc::new);
        if Kind::ALL.iter().all(|kind| role.list(*kind).is_none()) && role.inherits.is_none() && denied.is_none() {
            self.found.push(
                file.error(
                    Code::GrantsNothing,
                    name.referenced,
                    format!("the role {} grants nothing", quoted(&name.value)),
                )
                .help("give it `tools:`, `prompts:`, `resources:`, `methods:` or `inherits:`, or delete it"),
            );
        }
        if let Some(shadow) = role.mode.as_ref().filter(|_| denied.is_none() && restriction.is_none()) {
            self.found.push(
                file.warning(
                    Code::IneffectiveMode,
                    shadow.referenced,
                    "this role refuses nothing that could be tried out",
                )
                .help("`mode` is about its `deny:`, `when:` and `networks:`; delete it"),
            );
        }
        RoleRules { rule: RuleId::at(file.name(), name.referenced.line, &path), grants, denied, restriction }
    }

    fn denied(&mut self, page: Page<'a>, deny: &Spanned<TargetsSource>, path: &str) -> Denied {
        let source = &deny.value;
        if Kind::ALL.iter().all(|kind| source.list(*kind).is_none()) {
            self.found.push(
                page.file
                    .error(Code::EmptyList, deny.referenced, format!("`{path}` denies nothing"))
                    .help("give it `tools:`, `prompts:`, `resources:` or `methods:`, or delete it"),
            );
        }
        let names = self.reader.targets(
            Place { file: page.file, path, purpose: Purpose::Deny },
            |kind| source.list(kind),
            self.found,
        );
        Denied { names, mode: page.mode }
    }

    fn tools(&mut self, page: Page<'a>, tools: &'a Entries<ToolSource>) {
        let file = page.file;
        for (name, tool) in tools.iter() {
            if let Err(problem) = self.tool_name(file, name) {
                self.found.push(problem);
                continue;
            }
            if let Some((first, at)) = self.tool_entries.insert(&name.value, (file, name)) {
                let message = format!("the tool {} has two entries", quoted(&name.value));
                let first = format!("{}:{}", first.name(), at.referenced.line);
                self.found.push(
                    file.error(Code::DuplicateTool, name.referenced, message)
                        .help(format!("the other is at {first}; put both into one")),
                );
            }
            let path = format!("tools.{}", escaped(&name.value));
            let mode = when::mode(file, tool.mode.as_ref(), page.mode, self.found);
            let rules = Settings { file, name, path: &path, mode }.compile(tool, self.found);
            self.tools.insert(name.value.as_str().into(), Arc::new(rules));
        }
    }

    fn tool_name(&mut self, file: &SourceFile, name: &Spanned<String>) -> Result<(), Diagnostic> {
        if name.value == "*" {
            return Ok(());
        }
        names::check(file, name.as_text(), (Kind::Tools, Purpose::Grant), self.found)?;
        if name.value.contains('*') {
            return Err(file
                .error(Code::PatternInSettings, name.referenced, format!("{} is a pattern", quoted(&name.value)))
                .help("settings are for one tool each, or for all others: `\"*\"`"));
        }
        Ok(())
    }

    /// What each role and `allowed_tools` grant by themselves.
    fn granted(&self) -> impl Iterator<Item = &Targets> {
        self.roles.values().map(|role| &role.rules.grants).chain([&self.authenticated])
    }

    /// Every tool that some rule spells out.
    fn named_tools(&self) -> HashSet<Arc<str>> {
        let denied = self.denied.iter().map(|denied| &denied.names);
        let denied_by_roles = self.roles.values().filter_map(|role| Some(&role.rules.denied.as_ref()?.names));
        let named = self.granted().chain(denied).chain(denied_by_roles).flat_map(|names| names.tools.spelt_out());
        named.cloned().chain(self.tools.keys().map(|name| Arc::from(&**name))).collect()
    }

    /// Settings for a tool that nobody may call are probably misspelt.
    fn unreachable_tools(&mut self) {
        let mut problems = Vec::new();
        for (tool, (file, name)) in &self.tool_entries {
            if *tool != "*" && !self.granted().any(|grants| grants.tools.find(tool).is_some()) {
                let named = self.granted().flat_map(|grants| grants.tools.spelt_out()).map(|name| &**name);
                problems.push(
                    file.warning(
                        Code::UnreachableTool,
                        name.referenced,
                        format!("no role grants the tool {}", quoted(tool)),
                    )
                    .maybe_help(did_you_mean(tool, named)),
                );
            }
        }
        for problem in problems {
            self.found.push(problem);
        }
    }
}
