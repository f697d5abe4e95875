//! How the store is shared, and what becomes of calls while it is away.

use std::num::NonZeroU32;

use crate::store::LinkSettings;

/// How limits are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where.
    pub link: LinkSettings,
    /// What becomes of calls while it is away.
    pub when_down: WhenDown,
    /// How many gates there are, until it was heard how many.
    pub replicas: NonZeroU32,
}

/// What becomes of calls while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// Each gate enforces its share of the limits.
    LocalShare,
    /// They are counted, and none is refused for a limit.
    Open,
    /// All are refused that a limit is on.
    Closed,
}
