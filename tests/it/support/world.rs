//! The files that a gate is started with: the default world, and what one test changes in it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tollgate::mcp::Definition;
use tollgate::policy::ToolLock;

use super::gate::Gate;
use super::keys;

/// How the policy folder is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Plain files.
    Plain,
    /// As Kubernetes mounts a `ConfigMap`: names link into `..data`, which links to a dated folder.
    ConfigMap,
}

/// A deployment: alice and bob are readers of three tools at one server.
#[derive(Debug, Clone)]
pub(crate) struct World {
    server: String,
    /// What else is said of the server.
    said: String,
    /// More servers, by name, with what is said of them.
    beside: Vec<(String, String)>,
    listen: Vec<String>,
    top: Vec<String>,
    layout: Layout,
    policies: Vec<(String, String)>,
    /// Files beside `tollgate.yaml`.
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

pub(crate) const READERS: &str = "\
server: records
roles:
  reader: { tools: [search_records, get_record_detail, get_statistics] }
";

impl World {
    pub(crate) fn new(server_url: &str) -> Self {
        Self {
            server: server_url.to_owned(),
            said: String::new(),
            beside: Vec::new(),
            listen: vec!["address: 127.0.0.1:0".to_owned(), "hosts: [\"localhost:8080\"]".to_owned()],
            top: Vec::new(),
            layout: Layout::Plain,
            files: Vec::new(),
            environment: Vec::new(),
            policies: vec![
                ("records.yaml".to_owned(), READERS.to_owned()),
                ("principals.yaml".to_owned(), principals("reader")),
            ],
        }
    }

    /// One more line under `listen:`.
    pub(crate) fn listen(mut self, line: &str) -> Self {
        self.listen.push(line.to_owned());
        self
    }

    /// Says more of the server than its URL.
    pub(crate) fn server(mut self, said: &str) -> Self {
        self.said = format!(", {said}");
        self
    }

    /// One more server, with a policy for it.
    pub(crate) fn beside(mut self, name: &str, said: &str, policy: &str) -> Self {
        self.beside.push((name.to_owned(), said.to_owned()));
        self.policy(&format!("{name}.yaml"), &format!("server: {name}\n{policy}"))
    }

    /// One more line at the top of `tollgate.yaml`. `HOME` in it is the folder in which that lies.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top.push(line.to_owned());
        self
    }

    /// This text instead of the file of that name, or beside the others.
    pub(crate) fn policy(mut self, name: &str, text: &str) -> Self {
        self.policies.retain(|(known, _)| known != name);
        self.policies.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A file beside `tollgate.yaml`.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.retain(|(known, _)| known != name);
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// More in the environment of the process.
    pub(crate) fn environment(mut self, variables: &[(&str, String)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self
    }

    pub(crate) fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Writes the files and starts the gate; it serves when this returns.
    pub(crate) async fn start(&self) -> Gate {
        let home = tempfile::tempdir().expect("a temporary folder");
        self.write_to(home.path());
        Gate::start(Arc::new(home), &self.environment).await
    }

    /// Writes the files; returns where `tollgate.yaml` is.
    pub(crate) fn write_to(&self, home: &Path) -> PathBuf {
        let file = home.join("tollgate.yaml");
        let config = self.config().replace("HOME", &home.display().to_string());
        fs::write(&file, config).expect("it can be written");
        for (name, text) in &self.files {
            fs::write(home.join(name), text).expect("it can be written");
        }
        let policies = home.join("policies");
        fs::create_dir(&policies).expect("it is new");
        match self.layout {
            Layout::Plain => {
                for (name, text) in &self.policies {
                    fs::write(policies.join(name), text).expect("it can be written");
                }
            }
            Layout::ConfigMap => {
                mount(&policies, "..2026_01_01", &self.policies);
                for (name, _) in &self.policies {
                    symlink(Path::new("..data").join(name), policies.join(name)).expect("new");
                }
            }
        }
        file
    }

    fn config(&self) -> String {
        let mut text = String::from("listen:\n");
        for line in &self.listen {
            writeln!(text, "  {line}").expect("a String takes what is written to it");
        }
        text.push_str("admin: { address: 127.0.0.1:0 }\n");
        writeln!(text, "servers:\n  records: {{ url: {}{} }}", self.server, self.said).expect("likewise");
        for (name, said) in &self.beside {
            writeln!(text, "  {name}: {{ {said} }}").expect("likewise");
        }
        text.push_str("policies: policies/\n");
        for line in &self.top {
            writeln!(text, "{line}").expect("likewise");
        }
        text
    }
}

/// A lock in which the server has these tools.
pub(crate) fn lock(tools: Vec<Value>) -> String {
    let mut lock = ToolLock::default();
    lock.pin("records", tools.into_iter().filter_map(Definition::new));
    lock.to_text()
}

/// Puts files into a dated folder and swings `..data` over to it in one step, as a kubelet does.
pub(crate) fn mount(policies: &Path, dated: &str, files: &[(String, String)]) {
    let folder = policies.join(dated);
    fs::create_dir(&folder).expect("it is new");
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("it can be written");
    }
    let next = policies.join("..data_tmp");
    symlink(dated, &next).expect("it is new");
    fs::rename(&next, policies.join("..data")).expect("a rename replaces a link");
}

/// The callers: alice with the role given, bob a reader, and one whose key has expired.
pub(crate) fn principals(role_of_alice: &str) -> String {
    let line = |id: &str, key: &str, role: &str, expires: &str| {
        format!("  - {{ id: {id}, hash: \"{}\", roles: [{role}], expires: {expires} }}\n", keys::hash(key))
    };
    let mut text = String::from("keys:\n");
    text += &line("alice", keys::ALICE, role_of_alice, "2099-01-01");
    text += &line("bob", keys::BOB, "reader", "2099-01-01");
    text += &line("eve", keys::EXPIRED, "reader", "2020-01-01");
    text
}
