//! Everything that one message is judged by; swapped as a whole on reload.

use std::sync::Arc;

use crate::federation::Views;
use crate::identity::{Authenticators, ProtectedResource, PublicUrl};
use crate::limits::Limits;
use crate::policy::PolicySet;

/// The judgement in force. A message takes one and keeps it to its end.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who may prove themselves, and how.
    pub authenticators: Arc<Authenticators>,
    /// What they may do.
    pub policy: Arc<PolicySet>,
    /// Which servers stand as one, too.
    pub views: Arc<Views>,
    /// How much.
    pub limits: Arc<Limits>,
}

impl Snapshot {
    /// Judgement by these.
    pub fn new(authenticators: Authenticators, policy: PolicySet, views: Views, limits: Limits) -> Self {
        let (authenticators, views) = (Arc::new(authenticators), Arc::new(views));
        Self { authenticators, policy: Arc::new(policy), views, limits: Arc::new(limits) }
    }

    /// What clients are told there that look for a token; nothing where none are taken, or nothing says where clients
    /// are.
    pub(super) fn resource(&self, at: Option<&PublicUrl>) -> Option<ProtectedResource> {
        let issuers: Vec<_> = self.authenticators.issuers().collect();
        ProtectedResource::new(at?, &issuers, self.authenticators.asked_scopes())
    }
}
