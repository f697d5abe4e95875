//! `scopes`: what a credential must be good for beside what its holder may do. A role is what somebody may do at all; a
//! scope is what they let this one client do for them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::source::List;
use super::{Reason, RuleId};
use crate::diagnostic::{Code, Diagnostics, SourceFile, quoted};
use crate::identity::{Principal, Proof, Scope};

/// More than that no token has.
const MAX_SCOPES: usize = 32;

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
        let List(list) = list;
        let (path, mut all) = (format!("{path}.scopes"), Vec::new());
        if list.value.is_empty() {
            let message = format!("`{path}` is empty");
            found.push(file.error(Code::EmptyList, list.referenced, message).help("name a scope, or delete it"));
        }
        if list.value.len() > MAX_SCOPES {
            let message = format!("more than {MAX_SCOPES} scopes");
            found.push(file.error(Code::TooLarge, list.referenced, message).help("make one of those that go together"));
        }
        for word in &list.value {
            let Some(scope) = Scope::new(&word.value) else {
                found.push(
                    file.error(Code::InvalidScope, word.referenced, format!("{} is no scope", quoted(&word.value)))
                        .help("a scope is 1 to 256 characters of ASCII without spaces, `\"` and `\\`; write one in each entry"),
                );
                continue;
            };
            if all.contains(&scope) {
                let message = format!("{} stands here twice", quoted(&word.value));
                found.push(file.warning(Code::DuplicateName, word.referenced, message).help("delete one of the two"));
                continue;
            }
            all.push(scope);
        }
        Self { all: all.into(), rule: RuleId::at(file.name(), list.referenced.line, &path) }
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
            Proof::ApiKey | Proof::Certificate(_) | Proof::Anonymous => Reason::NotGranted,
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
