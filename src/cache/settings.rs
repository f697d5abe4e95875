//! What is kept, and how much of it.

use std::time::Duration;

use crate::secret::Reference;

/// Answers that are given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// About how many bytes they may take in memory.
    pub max_bytes: usize,
    /// How long lists may last, if they are kept.
    pub lists: Option<Duration>,
    /// How they are shared with other gates, if they are.
    pub shared: Option<SharedSettings>,
}

/// Answers that gates share, where they share limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSettings {
    /// Where the key is kept that they are sealed with.
    pub key: Reference,
    /// How long a call waits for one at most.
    pub timeout: Duration,
}
