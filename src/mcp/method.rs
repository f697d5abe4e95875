//! Every MCP method by name, in all protocol revisions, and what is neither.

/// What a message asks for.
///
/// The three last are no JSON-RPC methods but things a client does over HTTP; they are here so that nothing goes
/// around the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize` (legacy handshake).
    Initialize,
    /// `ping` (legacy).
    Ping,
    /// `server/discover` (2026-07-28).
    ServerDiscover,
    /// `tools/list`.
    ToolsList,
    /// `tools/call`.
    ToolsCall,
    /// `prompts/list`.
    PromptsList,
    /// `prompts/get`.
    PromptsGet,
    /// `resources/list`.
    ResourcesList,
    /// `resources/templates/list`.
    ResourcesTemplatesList,
    /// `resources/read`.
    ResourcesRead,
    /// `resources/subscribe` (legacy).
    ResourcesSubscribe,
    /// `resources/unsubscribe` (legacy).
    ResourcesUnsubscribe,
    /// `completion/complete`.
    CompletionComplete,
    /// `logging/setLevel` (legacy).
    LoggingSetLevel,
    /// `subscriptions/listen` (2026-07-28).
    SubscriptionsListen,
    /// `tasks/get`.
    TasksGet,
    /// `tasks/list` (2025-11-25).
    TasksList,
    /// `tasks/result` (2025-11-25).
    TasksResult,
    /// `tasks/cancel`.
    TasksCancel,
    /// `tasks/update` (tasks extension).
    TasksUpdate,
    /// `notifications/initialized`.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
    /// `notifications/progress`.
    Progress,
    /// `notifications/roots/list_changed`.
    RootsListChanged,
    /// A name that is none of the above.
    Other,
    /// A response: the client answers a request of the server (legacy).
    Answer,
    /// `GET`: the client opens or resumes a stream (legacy).
    OpenStream,
    /// `DELETE`: the client ends its session (legacy).
    EndSession,
}

/// Names of the methods, as on the wire.
const NAMES: &[(&str, Method)] = &[
    ("initialize", Method::Initialize),
    ("ping", Method::Ping),
    ("server/discover", Method::ServerDiscover),
    ("tools/list", Method::ToolsList),
    ("tools/call", Method::ToolsCall),
    ("prompts/list", Method::PromptsList),
    ("prompts/get", Method::PromptsGet),
    ("resources/list", Method::ResourcesList),
    ("resources/templates/list", Method::ResourcesTemplatesList),
    ("resources/read", Method::ResourcesRead),
    ("resources/subscribe", Method::ResourcesSubscribe),
    ("resources/unsubscribe", Method::ResourcesUnsubscribe),
    ("completion/complete", Method::CompletionComplete),
    ("logging/setLevel", Method::LoggingSetLevel),
    ("subscriptions/listen", Method::SubscriptionsListen),
    ("tasks/get", Method::TasksGet),
    ("tasks/list", Method::TasksList),
    ("tasks/result", Method::TasksResult),
    ("tasks/cancel", Method::TasksCancel),
    ("tasks/update", Method::TasksUpdate),
    ("notifications/initialized", Method::Initialized),
    ("notifications/cancelled", Method::Cancelled),
    ("notifications/progress", Method::Progress),
    ("notifications/roots/list_changed", Method::RootsListChanged),
];

/// What names the thing that a method is about, hence which grants open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Part of the protocol itself: open to every principal.
    Protocol,
    /// A tool, by `params.name`.
    Tool,
    /// A prompt, by `params.name`.
    Prompt,
    /// A resource, by `params.uri`.
    Resource,
    /// A prompt or a resource template, by `params.ref`.
    Reference,
    /// The list of the prompts that the principal may use.
    PromptList,
    /// The list of the resources or templates that the principal may use.
    ResourceList,
    /// A task, by `params.taskId`: open to the principal who began it.
    Task,
    /// Only the method's own name: granted under `methods`.
    Method,
    /// Nothing that we know: never granted.
    Unknown,
}

impl Method {
    /// The method of this name, exactly.
    pub fn named(name: &str) -> Self {
        NAMES.iter().find(|(known, _)| *known == name).map_or(Self::Other, |(_, method)| *method)
    }

    /// The name for logs and labels. What has none on the wire is named by what it is.
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "_other",
            Self::Answer => "response",
            Self::OpenStream => "stream/open",
            Self::EndSession => "session/end",
            named => NAMES.iter().find(|(_, method)| *method == named).map_or("_other", |(name, _)| name),
        }
    }

    /// What this method is about.
    pub fn subject(self) -> Subject {
        match self {
            Self::Initialize
            | Self::Ping
            | Self::ServerDiscover
            | Self::ToolsList
            | Self::Initialized
            | Self::Cancelled
            | Self::Progress
            | Self::RootsListChanged
            | Self::Answer
            | Self::OpenStream
            | Self::EndSession => Subject::Protocol,
            Self::ToolsCall => Subject::Tool,
            Self::PromptsGet => Subject::Prompt,
            Self::ResourcesRead | Self::ResourcesSubscribe | Self::ResourcesUnsubscribe => Subject::Resource,
            Self::CompletionComplete => Subject::Reference,
            Self::PromptsList => Subject::PromptList,
            Self::ResourcesList | Self::ResourcesTemplatesList => Subject::ResourceList,
            Self::TasksGet | Self::TasksResult | Self::TasksCancel | Self::TasksUpdate => Subject::Task,
            Self::LoggingSetLevel | Self::SubscriptionsListen | Self::TasksList => Subject::Method,
            Self::Other => Subject::Unknown,
        }
    }

    /// The names that a policy may grant under `methods`.
    pub fn grantable() -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(|(_, method)| method.subject() == Subject::Method).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_nothing_but_that_exact_name() {
        for (name, method) in NAMES {
            assert_eq!(Method::named(name), *method);
            assert_eq!(method.name(), *name);
            assert_eq!(Method::named(&name.to_uppercase()), Method::Other);
            assert_eq!(Method::named(&format!("{name}/")), Method::Other);
        }
        assert_eq!(Method::named("_other"), Method::Other);
        assert_eq!(Method::named("response"), Method::Other);
        assert_eq!(Method::named("stream/open"), Method::Other);
    }
}
