//! Who asks, and how that was proved.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A caller whose identity was proved, or who was let in as nobody by an operator who spelt that out.
///
/// There is no `Default` and no public constructor: only an authenticator makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    id: Arc<str>,
    roles: Box<[Arc<str>]>,
    claims: Claims,
    proof: Proof,
}

/// What is known of a caller beside its id, by name.
pub(super) type Claims = BTreeMap<Box<str>, Box<str>>;

/// How the caller's identity was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// An API key.
    ApiKey,
    /// Not at all: `anonymous: true` is set.
    Anonymous,
}

/// The role that callers without a credential hold, where the policy lets them in.
pub const ANONYMOUS: &str = "anonymous";

impl Principal {
    pub(super) fn new(id: Arc<str>, roles: impl IntoIterator<Item = Arc<str>>, proof: Proof) -> Self {
        Self { id, roles: roles.into_iter().collect(), claims: Claims::new(), proof }
    }

    pub(super) fn with(mut self, claims: Claims) -> Self {
        self.claims = claims;
        self
    }

    /// A caller who proves nothing, for asking what would be decided. Nothing is ever sent for it.
    pub fn supposed(roles: &[&str], claims: &BTreeMap<String, String>) -> Self {
        let claims = claims.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        Self::new(Arc::from("supposed"), roles.iter().copied().map(Arc::from), Proof::ApiKey).with(claims)
    }

    /// Who it is: the key's id, or `anonymous`.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The roles it holds, before inheritance.
    pub fn roles(&self) -> &[Arc<str>] {
        &self.roles
    }

    /// What is known of it under this name.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).map(|value| &**value)
    }

    /// All that is known of it, by name.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        self.claims.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How that was proved.
    pub fn proof(&self) -> Proof {
        self.proof
    }
}

#[cfg(test)]
impl Principal {
    /// A principal out of thin air, for tests of the floors above.
    pub fn for_test(id: &str, roles: &[&str]) -> Self {
        Self::new(Arc::from(id), roles.iter().map(|role| Arc::from(*role)), Proof::ApiKey)
    }

    /// The same, with this claim.
    #[must_use]
    pub fn claiming(mut self, name: &str, value: &str) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }
}
