//! Reads a lock as strictly as a message: one reading, nothing unknown, and every definition with the hash that it has.

use std::collections::BTreeSet;
use std::ops::Range;

use super::lock::{LockedServer, Pin, ToolLock, VERSION};
use crate::diagnostic::{At, Code, Diagnostic, Diagnostics, SourceFile, did_you_mean, hidden, quoted};
use crate::json::{self, Bounds, Fault, Flaw, Kind, Lens};
use crate::mcp::{Definition, Fingerprint, ProtocolVersion, ServerName};

/// No lock is larger: as large as the largest list of tools that is read.
pub const MAX_LOCK_BYTES: usize = 8 << 20;
const BOUNDS: Bounds = Bounds { depth: 100, members: 10_000, values: 1_000_000, number: 4096 };

const ANEW: &str = "delete it and let `tollgate lock` write it anew; look at what changes";

impl ToolLock {
    /// Reads a file.
    ///
    /// # Errors
    /// Every problem in it, or the first that keeps it from being JSON.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        if bytes.len() > MAX_LOCK_BYTES {
            let message = format!("the file is larger than {MAX_LOCK_BYTES} bytes");
            return Err(Diagnostic::error(Code::TooLarge, name, message).help(ANEW).into());
        }
        let file = SourceFile::new(name, &String::from_utf8_lossy(bytes));
        let lines = Lines::of(bytes);
        let mut reader = Reader::new(&file, &lines, bytes);
        if let Err(fault) = json::scan(bytes, Place::Top, &BOUNDS, &mut reader) {
            return Err(broken(&file, &lines, fault).into());
        }
        let Reader { found, lock, .. } = reader;
        if found.has_errors() { Err(found) } else { Ok(Self { file: Some(file), ..lock }) }
    }
}

/// What keeps the file from being JSON.
fn broken(file: &SourceFile, lines: &Lines<'_>, fault: Fault) -> Diagnostic {
    let (code, message) = match fault.flaw {
        Flaw::NotUtf8 => (Code::NotUtf8, "not UTF-8 text"),
        Flaw::DuplicateMember => (Code::DuplicateKey, "this key stands twice in the same object"),
        Flaw::TooDeep => (Code::TooDeep, "nested too deeply"),
        Flaw::TooManyMembers | Flaw::TooManyValues => (Code::TooLarge, "the file has too many values"),
        Flaw::NumberOverflow | Flaw::NumberTooLong => {
            (Code::InvalidJson, "this is no number that everyone reads alike")
        }
        Flaw::LoneSurrogate => (Code::InvalidJson, "half of a surrogate pair is no character"),
        Flaw::ByteOrderMark => (Code::InvalidJson, "a byte order mark stands in front"),
        Flaw::Syntax | Flaw::PrivateMember | Flaw::ConfusableMember => (Code::InvalidJson, "this is not JSON"),
    };
    file.error(code, lines.at(fault.at..fault.at + 1), message).help(ANEW)
}

/// Where lines begin.
struct Lines<'a> {
    bytes: &'a [u8],
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|end| end + 1));
        Self { bytes, starts: starts.collect() }
    }

    /// A span in lines and characters.
    fn at(&self, span: Range<usize>) -> At {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let count =
            |span: Range<usize>| self.bytes.get(span).map_or(0, |part| String::from_utf8_lossy(part).chars().count());
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        // What spans several lines is marked where it begins.
        let end = self.starts.get(line).map_or(span.end, |next| span.end.min(*next));
        let width = count(span.start..end).max(1);
        At { line: number(line), column: number(count(start..span.start) + 1), width: number(width) }
    }
}

/// What stands where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    Version,
    Servers,
    Server,
    Tool,
    Sha256,
    Definition,
    /// What is told by name of all servers, of one, and one name.
    Names(Told),
    NamesOfServer(Told),
    Name(Told),
    /// Within a definition.
    Within,
    /// Where nothing of this name stands, in an object of this kind.
    Unknown(&'static [&'static str]),
}

/// What of a server is told by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Prompts,
    Revisions,
}

const TOP: &[&str] = &["version", "servers", "prompts", "revisions"];
const TOOL: &[&str] = &["sha256", "definition"];

/// What is told by name of a server, and where that stands.
struct OfServer {
    told: Told,
    server: Box<str>,
    at: At,
    names: BTreeSet<Box<str>>,
}

struct Reader<'a> {
    file: &'a SourceFile,
    lines: &'a Lines<'a>,
    bytes: &'a [u8],
    found: Diagnostics,
    lock: ToolLock,
    /// The members being read, and what they are called.
    server: Box<str>,
    tool: Box<str>,
    unknown: Box<str>,
    open: LockedServer,
    names: Vec<OfServer>,
    open_names: BTreeSet<Box<str>>,
    sha256: Option<Range<usize>>,
    definition: Option<Range<usize>>,
    has_version: bool,
    has_servers: bool,
}

impl Lens for Reader<'_> {
    type Place = Place;

    fn member(&mut self, place: Place, name: &str) -> Result<Place, Flaw> {
        Ok(match (place, name) {
            (Place::Top, "version") => Place::Version,
            (Place::Top, "servers") => Place::Servers,
            (Place::Top, "prompts") => Place::Names(Told::Prompts),
            (Place::Top, "revisions") => Place::Names(Told::Revisions),
            (Place::Servers, name) => {
                self.server = name.into();
                Place::Server
            }
            (Place::Names(told), name) => {
                self.server = name.into();
                Place::NamesOfServer(told)
            }
            (Place::Server, name) => {
                self.tool = name.into();
                Place::Tool
            }
            (Place::Tool, "sha256") => Place::Sha256,
            (Place::Tool, "definition") => Place::Definition,
            (Place::Top, name) => self.unknown(name, TOP),
            (Place::Tool, name) => self.unknown(name, TOOL),
            _ => Place::Within,
        })
    }

    fn element(&mut self, place: Place) -> Place {
        if let Place::NamesOfServer(told) = place { Place::Name(told) } else { Place::Within }
    }

    fn value(&mut self, place: Place, kind: Kind, span: Range<usize>) {
        match (place, kind) {
            (Place::Within, _) | (Place::Names(_), Kind::Object) => {}
            (Place::Version, Kind::Number) => self.version(span),
            (Place::Sha256, Kind::String) => self.sha256 = Some(span),
            (Place::Definition, Kind::Object) => self.definition = Some(span),
            (Place::Tool, Kind::Object) => self.tool(span),
            (Place::Server, Kind::Object) => self.server(span),
            (Place::Servers, Kind::Object) => self.has_servers = true,
            (Place::Name(told), Kind::String) => self.name(told, span),
            (Place::NamesOfServer(told), Kind::Array) => self.names(told, span),
            (Place::Top, Kind::Object) => self.top(span),
            (Place::Unknown(known), _) => {
                let hint = || {
                    format!(
                        "the keys known here are {}",
                        known.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ")
                    )
                };
                let help = did_you_mean(&self.unknown, known.iter().copied()).unwrap_or_else(hint);
                let message = format!("unknown key {}", quoted(&self.unknown));
                self.refuse(Code::UnknownKey, span, message, &help);
            }
            (Place::Version, _) => self.wrong(span, "a number"),
            (Place::Sha256, _) => self.wrong(span, "a text of 64 hexadecimal digits"),
            (Place::NamesOfServer(_), _) => self.wrong(span, "a list of names"),
            (Place::Name(_), _) => self.wrong(span, "a name"),
            (Place::Top | Place::Servers | Place::Server | Place::Tool | Place::Definition | Place::Names(_), _) => {
                self.wrong(span, "an object");
            }
        }
    }
}

impl<'a> Reader<'a> {
    fn new(file: &'a SourceFile, lines: &'a Lines<'a>, bytes: &'a [u8]) -> Self {
        Self {
            file,
            lines,
            bytes,
            found: Diagnostics::new(),
            lock: ToolLock::default(),
            server: Box::default(),
            tool: Box::default(),
            unknown: Box::default(),
            open: LockedServer::default(),
            names: Vec::new(),
            open_names: BTreeSet::new(),
            sha256: None,
            definition: None,
            has_version: false,
            has_servers: false,
        }
    }

    fn unknown(&mut self, name: &str, known: &'static [&'static str]) -> Place {
        self.unknown = name.into();
        Place::Unknown(known)
    }

    fn version(&mut self, span: Range<usize>) {
        self.has_version = true;
        if self.bytes.get(span.clone()) != Some(VERSION.to_string().as_bytes()) {
            let message = format!("a lock of another version than {VERSION}");
            self.refuse(
                Code::WrongType,
                span,
                message,
                "use the program that wrote it, or write it anew with `tollgate lock`",
            );
        }
    }

    fn top(&mut self, span: Range<usize>) {
        for (key, has) in [("version", self.has_version), ("servers", self.has_servers)] {
            if !has {
                self.refuse(Code::MissingKey, span.clone(), format!("the key `{key}` is missing here"), ANEW);
            }
        }
        for OfServer { told, server, at, names } in std::mem::take(&mut self.names) {
            match (self.lock.servers.get_mut(&server), told) {
                (Some(server), Told::Prompts) => server.prompts = Some(names),
                (Some(server), Told::Revisions) => {
                    server.revisions = Some(names.iter().filter_map(|name| ProtocolVersion::named(name)).collect());
                }
                (None, _) => {
                    let what = if told == Told::Prompts { "prompts" } else { "revisions" };
                    let message = format!("{} has {what} here, and is not under `servers`", quoted(&server));
                    self.found.push(self.file.error(Code::UnknownServer, at, message).help(ANEW));
                }
            }
        }
    }

    fn name(&mut self, told: Told, span: Range<usize>) {
        let inner = self.bytes.get(span.start + 1..span.end - 1).and_then(|inner| str::from_utf8(inner).ok());
        let name = json::decode(inner.unwrap_or_default());
        if let Some(hidden) = hidden(&name) {
            let message = format!("this name holds the invisible character U+{:04X}", u32::from(hidden));
            return self.refuse(Code::InvisibleCharacter, span, message, "take it out: no policy can name it");
        }
        if told == Told::Revisions && ProtocolVersion::named(&name).is_none() {
            let message = format!("{} is no revision of MCP that is known here", quoted(&name));
            return self.refuse(Code::WrongType, span, message, ANEW);
        }
        self.open_names.insert(name.into());
    }

    fn names(&mut self, told: Told, span: Range<usize>) {
        let at = self.lines.at(span.start..span.start + 1);
        let (server, names) = (std::mem::take(&mut self.server), std::mem::take(&mut self.open_names));
        self.names.push(OfServer { told, server, at, names });
    }

    fn server(&mut self, span: Range<usize>) {
        let tools = std::mem::take(&mut self.open).tools;
        let at = Some(self.lines.at(span.start..span.start + 1));
        if ServerName::new(&self.server).is_err() {
            let message = format!("{} cannot be the name of a server", quoted(&self.server));
            self.refuse(Code::InvalidServerName, span, message, "use up to 63 of a-z, 0-9, `_` and `-`");
        }
        self.lock
            .servers
            .insert(std::mem::take(&mut self.server), LockedServer { at, tools, ..LockedServer::default() });
    }

    fn tool(&mut self, span: Range<usize>) {
        let name = std::mem::take(&mut self.tool);
        let (Some(sha256), Some(definition)) = (self.sha256.take(), self.definition.take()) else {
            let message = format!("{} has no hash or no definition", quoted(&name));
            return self.refuse(Code::MissingKey, span, message, "a pin is `{ \"sha256\": …, \"definition\": … }`");
        };
        let read = self.bytes.get(definition.clone()).and_then(Definition::read);
        let Some(read) = read.filter(|read| read.name() == &*name) else {
            let message = format!("this is not the definition of {}", quoted(&name));
            return self.refuse(Code::EditedPin, definition, message, "its `name` is that under which it stands");
        };
        if let Some(hidden) = read.hidden() {
            let message =
                format!("a text in this definition holds the invisible character U+{:04X}", u32::from(hidden));
            let help = "such a tool is never passed on, pinned or not; take it out";
            return self.refuse(Code::InvisibleCharacter, definition, message, help);
        }
        let written = self.bytes.get(sha256.start + 1..sha256.end - 1).and_then(|hex| str::from_utf8(hex).ok());
        if written.and_then(Fingerprint::from_hex) != Some(read.fingerprint()) {
            let message = format!("this is not the hash of the definition of {}", quoted(&name));
            return self.refuse(
                Code::EditedPin,
                sha256,
                message,
                "hash or definition was edited; undo that, or delete the file and let `tollgate lock` write it anew; look at what changes",
            );
        }
        let at = Some(self.lines.at(span.start..span.start + 1));
        self.open.tools.insert(name, Pin { definition: read, at });
    }

    fn wrong(&mut self, span: Range<usize>, expected: &str) {
        self.refuse(Code::WrongType, span, format!("expected {expected}"), ANEW);
    }

    fn refuse(&mut self, code: Code, span: Range<usize>, message: String, help: &str) {
        self.found.push(self.file.error(code, self.lines.at(span), message).help(help));
    }
}
