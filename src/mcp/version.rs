//! The protocol revisions that the gate knows.

use std::fmt;

use super::Method;

/// A revision of MCP. Ordered: later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// 2024-11-05: HTTP+SSE, two endpoints.
    V2024_11_05,
    /// 2025-03-26: Streamable HTTP, batches.
    V2025_03_26,
    /// 2025-06-18: no batches, version header.
    V2025_06_18,
    /// 2025-11-25: tasks, polling.
    V2025_11_25,
    /// 2026-07-28: no sessions; everything in each request.
    V2026_07_28,
}

const NAMES: &[(&str, ProtocolVersion)] = &[
    ("2024-11-05", ProtocolVersion::V2024_11_05),
    ("2025-03-26", ProtocolVersion::V2025_03_26),
    ("2025-06-18", ProtocolVersion::V2025_06_18),
    ("2025-11-25", ProtocolVersion::V2025_11_25),
    ("2026-07-28", ProtocolVersion::V2026_07_28),
];

impl ProtocolVersion {
    /// The revision of this name, exactly.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, version)| *version)
    }

    /// All of them, the oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(_, version)| *version)
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, version)| *version == self).map_or("", |(name, _)| name)
    }

    /// Whether a request for this method may have an answer: 2026-07-28 has done away with some.
    pub fn has(self, method: Method) -> bool {
        !self.is_modern()
            || !matches!(
                method,
                Method::Initialize
                    | Method::Ping
                    | Method::LoggingSetLevel
                    | Method::ResourcesSubscribe
                    | Method::ResourcesUnsubscribe
                    | Method::TasksList
                    | Method::TasksResult
            )
    }

    /// Whether requests of this revision carry everything in themselves.
    pub fn is_modern(self) -> bool {
        self >= Self::V2026_07_28
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
