//! Everything that one message is judged by; swapped as a whole on reload.

use std::sync::Arc;

use crate::identity::{Authenticators, ProtectedResource, PublicUrl};
use crate::limits::Limits;
use crate::policy::PolicySet;

/// The judgement in force. A message takes one and keeps it to its end.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who may prove themselves, and how.
    pub authenticators: Arc<Authenticators>,
    /// What clients are told that look for a token; nothing where none are taken, or nothing says where clients are.
    pub resource: Option<Arc<ProtectedResource>>,
    /// What they may do.
    pub policy: Arc<PolicySet>,
    /// How much.
    pub limits: Arc<Limits>,
}

impl Snapshot {
    /// Judgement by these, for clients that reach the gate there.
    pub fn new(authenticators: Authenticators, policy: PolicySet, limits: Limits, at: Option<&PublicUrl>) -> Self {
        let issuers: Vec<_> = authenticators.issuers().collect();
        let resource =
            at.and_then(|url| ProtectedResource::new(url, &issuers, authenticators.asked_scopes())).map(Arc::new);
        let authenticators = Arc::new(authenticators);
        Self { authenticators, resource, policy: Arc::new(policy), limits: Arc::new(limits) }
    }
}
