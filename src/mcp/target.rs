//! The tool, prompt, resource or task that a message is about.

/// What a message names. Borrowed, so that deciding costs no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing in particular.
    None,
    /// A tool by name.
    Tool(&'a str),
    /// A prompt by name.
    Prompt(&'a str),
    /// A resource by URI, or a resource template by URI template.
    Resource(&'a str),
    /// A task by id.
    Task(&'a str),
}

impl<'a> Target<'a> {
    /// The tool, if it is one.
    pub fn tool(self) -> Option<&'a str> {
        match self {
            Self::Tool(name) => Some(name),
            Self::None | Self::Prompt(_) | Self::Resource(_) | Self::Task(_) => None,
        }
    }

    /// The name, if there is one.
    pub fn name(self) -> Option<&'a str> {
        match self {
            Self::None => None,
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) | Self::Task(name) => Some(name),
        }
    }

    /// `tool`, `prompt`, `resource` or `task`; for log fields and messages.
    pub fn kind(self) -> &'static str {
        match self {
            Self::None => "message",
            Self::Tool(_) => "tool",
            Self::Prompt(_) => "prompt",
            Self::Resource(_) => "resource",
            Self::Task(_) => "task",
        }
    }
}

/// Whether a tool name is one that every SDK and model vendor agrees on: `[A-Za-z0-9_.-]{1,128}`
/// (MCP 2025-11-25, Tools, Tool Names).
pub fn is_well_formed(tool: &str) -> bool {
    (1..=128).contains(&tool.len())
        && tool.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
