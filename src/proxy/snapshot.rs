//! Everything that one message is judged by; swapped as a whole on reload.

use std::sync::Arc;

use crate::identity::Authenticators;
use crate::limits::Limits;
use crate::policy::PolicySet;

/// The judgement in force. A message takes one and keeps it to its end.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who may prove themselves, and how.
    pub authenticators: Arc<Authenticators>,
    /// What they may do.
    pub policy: Arc<PolicySet>,
    /// How much.
    pub limits: Arc<Limits>,
}
