//! Everything that one message is judged by; swapped as a whole on reload.

use std::sync::Arc;
use std::time::Duration;

use super::Door;
use crate::config::ListenTimeouts;
use crate::federation::Views;
use crate::identity::{Authenticators, ProtectedResource, PublicUrl};
use crate::limits::{Limits, QuotaHeader};
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
    /// What the configuration says of all messages.
    pub terms: Arc<Terms>,
}

/// What the configuration says of all messages and connections, and may say anew while the gate runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is taken over HTTP.
    pub door: Door,
    /// How long clients may take for what.
    pub timeouts: ListenTimeouts,
    /// A stream says something at least so often.
    pub keep_alive: Duration,
    /// Whether callers are told what is left for them.
    pub quota_header: QuotaHeader,
    /// How long calls under way may take to end when the process is told to.
    pub drain_timeout: Duration,
}

impl Snapshot {
    /// Judgement by these.
    pub fn new(
        authenticators: Authenticators,
        policy: PolicySet,
        views: Views,
        limits: Limits,
        terms: Arc<Terms>,
    ) -> Self {
        let (authenticators, views) = (Arc::new(authenticators), Arc::new(views));
        Self { authenticators, policy: Arc::new(policy), views, limits: Arc::new(limits), terms }
    }

    /// What clients are told there that look for a token; nothing where none are taken, or nothing says where clients
    /// are.
    pub(super) fn resource(&self, at: Option<&PublicUrl>) -> Option<ProtectedResource> {
        let issuers: Vec<_> = self.authenticators.issuers().collect();
        ProtectedResource::new(at?, &issuers, self.authenticators.asked_scopes())
    }
}
