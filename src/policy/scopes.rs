//! `scopes`: what a credential must be good for beside what its holder may do. A role is what somebody may do at all; a
//! scope is what they let this one client do for them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::list::List;
use super::{Reason, RuleId};
use crate::diagnostic::{Diagnostics, SourceFile};
use crate::identity::{Principal, Proof, Scope};

/// All of these are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    all: Arc<[Scope]>,
    /// Where it is written.
    pub(super) rule: RuleId,
}

impl Scopes {
    /// Compiles a list; problems go to `found`.
    pub(super) fn compile(file: &SourceFile, list: &List, path: &str, found: &mut Diagnostics) -> Self {
        let path = format!("{path}.scopes");
        let all = Scope::list(file, (list.at(), list.iter()), &path, found).into();
        Self { all, rule: RuleId::at(file.name(), list.at().line, &path) }
    }

    /// All of them, as they are written: what a client must ask for.
    pub fn all(&self) -> &[Scope] {
        &self.all
    }

    /// Why this caller may not, if it lacks one. Who came with a token can come again with another; who cannot is not
    /// told that something is there.
    pub(super) fn lacking(&self, principal: &Principal) -> Option<Reason> {
        let has = |scope: &Scope| principal.scopes().any(|held| held == scope.as_str());
        if self.all.iter().all(has) {
            return None;
        }
        Some(match principal.proof() {
            Proof::Token(_) => Reason::InsufficientScope,
            Proof::ApiKey(_) | Proof::Certificate(_) | Proof::Anonymous => Reason::NotGranted,
        })
    }

    /// Whether whoever has these has the others, too.
    pub(super) fn cover(&self, others: &Self) -> bool {
        others.all.iter().all(|scope| self.all.contains(scope))
    }
}

/// Whatever the order they are written in.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted: BTreeSet<_> = self.all.iter().map(Scope::as_str).collect();
        f.write_str(&sorted.into_iter().collect::<Vec<_>>().join(", "))
    }
}
