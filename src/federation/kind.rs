//! What servers have lists of.

use crate::inspect::List;
use crate::mcp::{Method, Target};

/// What servers have lists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tools, by name.
    Tool,
    /// Prompts, by name.
    Prompt,
    /// Resources, by URI.
    Resource,
    /// Templates of such URIs.
    Template,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// The capabilities of servers that have some of them.
    pub const CAPABILITIES: [&'static str; 3] = ["tools", "prompts", "resources"];

    /// What this method lists.
    pub fn listed_by(method: Method) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.list() == method)
    }

    /// The method that lists them.
    pub fn list(self) -> Method {
        match self {
            Self::Tool => Method::ToolsList,
            Self::Prompt => Method::PromptsList,
            Self::Resource => Method::ResourcesList,
            Self::Template => Method::ResourcesTemplatesList,
        }
    }

    /// The member of the answer that holds them.
    pub fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// What uses one of them: whoever may is shown it.
    pub fn used(self, name: &str) -> (Method, Target<'_>) {
        match self {
            Self::Tool => (Method::ToolsCall, Target::Tool(name)),
            Self::Prompt => (Method::PromptsGet, Target::Prompt(name)),
            Self::Resource | Self::Template => (Method::ResourcesRead, Target::Resource(name)),
        }
    }

    /// How an answer is read that lists them.
    pub(super) fn reading(self) -> List {
        match self {
            Self::Tool => List::Tools,
            Self::Prompt => List::Prompts,
            Self::Resource => List::Resources,
            Self::Template => List::Templates,
        }
    }

    /// The capability of servers that have some, by which clients hear that others are listed.
    pub fn capability(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource | Self::Template => "resources",
        }
    }
}
