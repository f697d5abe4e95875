//! The lock: `tools.lock` beside the policy files, in which every tool of a server stands as somebody has looked at it. What
//! a line of it means to the gate is in `pins`; how a file is read, in `lock_file`. Of prompts it has the names only, and of the
//! protocol the revisions that the server speaks, for `check`: the gate makes nothing of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::diagnostic::{At, SourceFile};
use crate::mcp::{Definition, ProtocolVersion};

/// Its name in the policy folder.
pub const LOCK_FILE: &str = "tools.lock";

/// The version of the file's form.
pub(super) const VERSION: u64 = 1;

/// The pinned tools of every server.
#[derive(Clone, Debug, Default)]
pub struct ToolLock {
    pub(super) file: Option<SourceFile>,
    pub(super) servers: BTreeMap<Box<str>, LockedServer>,
}

/// The pinned tools of one server, by name.
#[derive(Clone, Debug, Default)]
pub struct LockedServer {
    /// Where the server stands in the file.
    pub(super) at: Option<At>,
    pub(super) tools: BTreeMap<Box<str>, Pin>,
    /// What its prompts are called; `None` if nobody has asked.
    pub(super) prompts: Option<BTreeSet<Box<str>>>,
    /// Which revisions it speaks; `None` if nobody has asked.
    pub(super) revisions: Option<BTreeSet<ProtocolVersion>>,
}

/// A pinned tool: its whole definition, and where that stands in the file.
#[derive(Clone, Debug)]
pub struct Pin {
    pub(super) definition: Definition,
    pub(super) at: Option<At>,
}

impl ToolLock {
    /// Of which servers something is pinned.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(|name| &**name)
    }

    /// What is pinned of a server; `None` if it is not in the lock. A server without tools is.
    pub fn server(&self, name: &str) -> Option<&LockedServer> {
        self.servers.get(name)
    }

    /// The file that it was read from.
    pub fn file(&self) -> Option<&SourceFile> {
        self.file.as_ref()
    }

    /// Pins these tools of a server, and no others of it. Of its prompts and revisions nothing is known any more.
    pub fn pin(&mut self, server: &str, tools: impl IntoIterator<Item = Definition>) {
        let pin = |definition: Definition| (Box::from(definition.name()), Pin { definition, at: None });
        let tools = tools.into_iter().map(pin).collect();
        self.servers.insert(server.into(), LockedServer { tools, ..LockedServer::default() });
    }

    /// Says what the prompts of a server are called whose tools are pinned.
    pub fn name_prompts<'a>(&mut self, server: &str, prompts: impl IntoIterator<Item = &'a str>) {
        if let Some(server) = self.servers.get_mut(server) {
            server.prompts = Some(prompts.into_iter().map(Box::from).collect());
        }
    }

    /// Says which revisions of the protocol a server speaks whose tools are pinned.
    pub fn note_revisions(&mut self, server: &str, revisions: impl IntoIterator<Item = ProtocolVersion>) {
        if let Some(server) = self.servers.get_mut(server) {
            server.revisions = Some(revisions.into_iter().collect());
        }
    }

    /// The file: the same bytes for the same pins, and one line for each thing that can change by itself.
    pub fn to_text(&self) -> String {
        let tool = |pin: &Pin| {
            let sha256 = pin.definition.fingerprint().to_string();
            json!({ "definition": pin.definition.canonical(), "sha256": sha256 })
        };
        let tools = |server: &LockedServer| -> Map<_, _> {
            server.tools.iter().map(|(name, pin)| (name.to_string(), tool(pin))).collect()
        };
        let servers: Map<_, _> =
            self.servers.iter().map(|(name, server)| (name.to_string(), Value::Object(tools(server)))).collect();
        let mut whole = json!({ "version": VERSION, "servers": servers });
        let prompts = |server: &LockedServer| Some(json!(server.prompts.as_ref()?));
        let revisions = |server: &LockedServer| {
            Some(server.revisions.as_ref()?.iter().map(|revision| revision.name()).collect::<Value>())
        };
        let mut tell = |what: &str, said: &dyn Fn(&LockedServer) -> Option<Value>| {
            let said = self.servers.iter().filter_map(|(name, server)| Some((name.to_string(), said(server)?)));
            let said: Map<_, _> = said.collect();
            if let (false, Some(whole)) = (said.is_empty(), whole.as_object_mut()) {
                whole.insert(what.to_owned(), Value::Object(said));
            }
        };
        tell("prompts", &prompts);
        tell("revisions", &revisions);
        format!("{whole:#}\n")
    }
}

impl LockedServer {
    /// Its tools, by name.
    pub fn tools(&self) -> impl Iterator<Item = &Pin> {
        self.tools.values()
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Pin> {
        self.tools.get(name)
    }

    /// What its prompts are called; `None` if nobody has asked.
    pub fn prompts(&self) -> Option<impl Iterator<Item = &str>> {
        Some(self.prompts.as_ref()?.iter().map(|name| &**name))
    }

    /// Which revisions of the protocol it speaks; `None` if nobody has asked.
    pub fn revisions(&self) -> Option<&BTreeSet<ProtocolVersion>> {
        self.revisions.as_ref()
    }

    /// Where it stands in the file, if it was read from one.
    pub fn at(&self) -> Option<At> {
        self.at
    }
}

impl Pin {
    /// What the server said of the tool when it was pinned.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Where it stands in the file, if it was read from one.
    pub fn at(&self) -> Option<At> {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_same_for_the_same_pins_and_reads_as_it_was_written() {
        let definition = |text: &str| Definition::read(text.as_bytes()).unwrap();
        let search = r#"{"name":"search_records","title":"Search","inputSchema":{"type":"object","properties":{"q":{"maxLength":1e2,"default":null}}},"annotations":{"readOnlyHint":true},"description":"Finds \"records\".\nIn two lines."}"#;
        let mut lock = ToolLock::default();
        lock.pin("records", [definition(search), definition(r#"{"name":"delete record"}"#)]);
        lock.name_prompts("records", ["summarize", "a \"b\""]);
        lock.note_revisions("records", [ProtocolVersion::V2026_07_28, ProtocolVersion::V2025_11_25]);
        lock.pin("empty", []);
        lock.name_prompts("empty", []);
        let text = lock.to_text();
        insta::assert_snapshot!(text);
        let mut other = ToolLock::default();
        other.pin("empty", []);
        other.name_prompts("empty", []);
        other.pin("records", [definition(r#"{"name":"delete record"}"#), definition(search)]);
        other.name_prompts("records", ["a \"b\"", "summarize"]);
        other.note_revisions("records", [ProtocolVersion::V2025_11_25, ProtocolVersion::V2026_07_28]);
        assert_eq!(other.to_text(), text);
        let read = ToolLock::read("policies/tools.lock", text.as_bytes()).unwrap();
        assert_eq!(read.to_text(), text);
        let pin = read.server("records").unwrap().tool("search_records").unwrap();
        assert_eq!(pin.at().map(|at| (at.line, at.column)), Some((24, 25)));
    }
}
